"""What a training run tells of itself: the events in its folder, read while it goes on, by the standard library alone.

One JSON object a line. Runs of earlier versions lack some events and facts; unknown ones are passed over. After a
resume, iterations that are done again appear again, and the later ones count.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EVENTS_FILE = "events.jsonl"
#: Code of the error of a process whose peer has ended; the peer knows why.
PROCESS_LOST = "PROCESS_LOST"
#: How every line begins. A process that was killed leaves a line cut off, and the next one may write on after it.
_BEGIN = b'{"event"'


@dataclass(frozen=True)
class Start:
    """The run begins or is taken up with `iteration` iterations done. Times are in seconds since 1970."""

    iteration: int
    iterations: int | None = None
    pretraining_iterations: int = 0
    batch: int | None = None
    device: str | None = None
    processes: int = 1
    pid: int | None = None
    host: str | None = None
    time: float | None = None


@dataclass(frozen=True)
class Stage:
    """What is done before the run begins, in words, and the fraction done of it, 0 to 1."""

    message: str
    fraction: float | None = None
    pid: int | None = None
    host: str | None = None
    time: float | None = None


@dataclass(frozen=True)
class Step:
    """An iteration, counted from 0: losses, learning rate, sequences encoded, seconds in all and waiting for data.

    The seconds left are those of the whole run, at its pace since the last start.
    """

    iteration: int
    loss: float
    loss_task: float
    loss_ckd: float
    lr: float
    seconds: float
    present: Sequence[str] = ()
    seconds_data: float = 0.0
    memory_mb: float | None = None
    patches_per_second: float | None = None
    seconds_left: float | None = None
    time: float | None = None


@dataclass(frozen=True)
class Election:
    """Dice by sequence alone and region, and with all sequences, after `iteration` iterations; the teachers."""

    iteration: int
    dice: Mapping[str, Mapping[str, float]]
    teachers: Mapping[str, str]
    full: Mapping[str, float] | None = None
    score: float | None = None
    time: float | None = None


@dataclass(frozen=True)
class Weights:
    """Learned weights of the sequences for each region, after `iteration` iterations."""

    iteration: int
    weights: Mapping[str, Mapping[str, float]]
    time: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint was written after `iteration` iterations; whether it is the best so far."""

    iteration: int
    best: bool = False
    time: float | None = None


@dataclass(frozen=True)
class End:
    """The run has ended: ``finished``, ``interrupted`` or ``failed`` (with the error's code, message and action)."""

    iteration: int
    reason: str
    code: str | None = None
    message: str | None = None
    action: str | None = None
    time: float | None = None


Event = Start | Stage | Step | Election | Weights | Checkpoint | End
_KINDS: dict[str, type[Event]] = {
    "start": Start,
    "stage": Stage,
    "step": Step,
    "election": Election,
    "weights": Weights,
    "checkpoint": Checkpoint,
    "end": End,
}
#: Facts that each kind knows, and those that it needs.
_KNOWN = {kind: [one.name for one in dataclasses.fields(kind)] for kind in _KINDS.values()}
_NEEDED = {
    kind: [one.name for one in dataclasses.fields(kind) if one.default is dataclasses.MISSING]
    for kind in _KINDS.values()
}


def parse_event(facts: Any) -> Event | None:
    """An event from its JSON object; None if it is of no known kind or lacks what its kind needs."""
    kind = _KINDS.get(str(facts.get("event"))) if isinstance(facts, dict) else None
    if kind is None:
        return None
    if any(name not in facts for name in _NEEDED[kind]):
        return None
    return kind(**{name: facts[name] for name in _KNOWN[kind] if name in facts})


class EventReader:
    """Reads the events that have been added since it last read; a line still being written waits for the next time.

    Args:
        file: ``events.jsonl`` of a run, which need not exist yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0
        self._identity: int | None = None

    def read(self) -> list[Event]:
        """The new events. Where the file was replaced by another one, those from its beginning.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            stream = self._file.open("rb")
        except FileNotFoundError:
            return []
        with stream:
            status = self._file.stat()
            if status.st_ino != self._identity or status.st_size < self._offset:
                self._identity, self._offset = status.st_ino, 0
            stream.seek(self._offset)
            added = stream.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        events = (_parse_line(line) for line in whole.split(b"\n"))
        return [event for event in events if event is not None]


def _parse_line(line: bytes) -> Event | None:
    """The event of a line; of one that was cut off and written on, the last event."""
    for start in (0, line.rfind(_BEGIN)):
        try:
            return parse_event(json.loads(line[start:]))
        except ValueError:
            continue
    return None


@dataclass
class History:
    """The course of a run, as its events tell it.

    Attributes:
        start: the last start; None in runs of earlier versions.
        stage: what is being prepared; None once the run has started.
        steps: by iteration; what was lost by an interruption and is done again counts once.
        elections, weights, checkpoints: likewise.
        first: index of the first step since the last start.
        end: the end, unless the run was started again or simply stopped.
    """

    start: Start | None = None
    stage: Stage | None = None
    steps: list[Step] = field(default_factory=list)
    elections: list[Election] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    first: int = 0
    end: End | None = None

    @staticmethod
    def of(events: Iterable[Event]) -> History:
        """The history that these events make."""
        history = History()
        for event in events:
            history.add(event)
        return history

    def add(self, event: Event) -> None:
        """Take in the next event."""
        if isinstance(event, Start):
            self._begin_again(event.iteration)
            self.start = event
        elif isinstance(event, Stage):
            if self.end is not None:
                self._begin_again(self.done)
            self.stage = event
        elif isinstance(event, Step):
            if self.steps and event.iteration <= self.steps[-1].iteration:
                self._begin_again(event.iteration)
            self.steps.append(event)
        elif isinstance(event, Election):
            self.elections.append(event)
        elif isinstance(event, Weights):
            self.weights.append(event)
        elif isinstance(event, Checkpoint):
            self.checkpoints.append(event)
        elif self.end is None or event.code != PROCESS_LOST:
            self.end = event

    @property
    def done(self) -> int:
        """Iterations done."""
        stepped = self.steps[-1].iteration + 1 if self.steps else 0
        return max(stepped, self.start.iteration if self.start else 0)

    def last_steps(self, count: int) -> list[Step]:
        """The last steps, none of them from before the last start."""
        return self.steps[max(self.first, len(self.steps) - count) :]

    @property
    def last_time(self) -> float | None:
        """When the last event happened, where the run says so."""
        latest = [self.start, self.stage, self.end, *(part[-1] for part in self._parts() if part)]
        return max((one.time for one in latest if one is not None and one.time is not None), default=None)

    def _parts(self) -> tuple[list[Any], ...]:
        return self.steps, self.elections, self.weights, self.checkpoints

    def _begin_again(self, done: int) -> None:
        """Forget what came after `done` iterations: it will be done again."""
        while self.steps and self.steps[-1].iteration >= done:
            self.steps.pop()
        self.elections = [one for one in self.elections if one.iteration <= done]
        self.weights = [one for one in self.weights if one.iteration <= done]
        self.checkpoints = [one for one in self.checkpoints if one.iteration <= done]
        self.first, self.stage, self.end = len(self.steps), None, None


def mean_dice(election: Election) -> float:
    """Score of an election: what the run says, else the mean over sequences and regions."""
    values = [value for by_region in election.dice.values() for value in by_region.values()]
    return election.score if election.score is not None else sum(values) / max(1, len(values))


def steps_per_second(steps: Sequence[Step]) -> float | None:
    """Iterations per second over these steps, pauses for elections and checkpoints included where times are told."""
    if len(steps) > 1 and steps[0].time is not None and steps[-1].time is not None:
        elapsed, count = steps[-1].time - steps[0].time, len(steps) - 1
    else:
        elapsed, count = sum(step.seconds for step in steps), len(steps)
    return count / elapsed if elapsed > 0 else None

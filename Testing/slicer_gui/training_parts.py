"""What the tests of the training panel share: a logic whose commands and runs do what the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lckd.errors import CancelledError, LckdError
from lckd_training.watching.events import Checkpoint, History, Start
from lckd_training.watching.status import RunStatus, status_of
from LCKDSegmentationLib.EngineCommand import EngineCommand
from LCKDTrainingLib.Logic import TrainingLogic
from LCKDTrainingLib.TrainingRun import TrainingOrder, TrainingRun


@dataclass
class FakeCommand:
    """A command of the engine; the test says what it tells and how it ends."""

    what: str
    asked: Any
    onEvent: Callable[[dict[str, Any]], None]
    onEnded: Callable[[LckdError | None], None]

    def tell(self, event: str, **facts: Any) -> None:
        self.onEvent({"event": event, **facts})

    def end(self, error: LckdError | None = None) -> None:
        self.onEnded(error)

    def cancel(self) -> None:
        self.end(CancelledError())


@dataclass
class FakeRun:
    """A run folder that is watched; `becomes` is what happens in it."""

    folder: Path
    order: TrainingOrder | None = None
    state: str = "preparing"
    isOurs: bool = True
    stage: str = "Starting"
    fraction: float = 0.0
    errorWords: tuple[str, str] = ("", "")
    errorCode: str = ""
    wasAskedToStop: bool = False
    refusal: LckdError | None = None
    secondsLeft: float | None = None
    slots: list[Callable[[Any], None]] = field(default_factory=list)
    history: History = field(default_factory=History)

    @property
    def status(self) -> RunStatus:
        return replace(status_of(self.history, {}, written=0.0, now=0.0), seconds_left=self.secondsLeft)

    @property
    def isRunning(self) -> bool:
        return self.state in ("preparing", "training")

    def requestStop(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.wasAskedToStop = True

    def kill(self) -> None:
        self.becomes("stopped")

    def connectChanged(self, slot: Callable[[Any], None]) -> None:
        self.slots.append(slot)

    def disconnectChanged(self, slot: Callable[[Any], None]) -> None:
        self.slots.remove(slot)

    def becomes(self, state: str, error: LckdError | None = None, done: int = 0, saved: int = 0) -> None:
        self.state = state
        self.errorCode, self.errorWords = (error.code, (error.message, error.action)) if error else ("", ("", ""))
        self.history.add(Start(done, 3000))
        self.history.checkpoints = [Checkpoint(saved)] if saved else []
        for slot in list(self.slots):
            slot(self)


class FakeLogic:
    """Starts nothing; remembers what it was asked for."""

    def __init__(self, facts: list[dict[str, Any]]) -> None:
        self.facts = facts
        self.current: FakeRun | None = None
        self.commands: list[FakeCommand] = []
        self.orders: list[TrainingOrder] = []
        self.runs: dict[Path, FakeRun] = {}
        self.asked: list[str] = []
        self.refusal: LckdError | None = None
        self.isClosed = False

    @property
    def last(self) -> FakeCommand:
        return self.commands[-1]

    def check(self, data: str, onEvent: Any, onEnded: Any) -> FakeCommand:
        return self._command("check", data, onEvent, onEnded)

    def estimate(self, order: TrainingOrder, onEvent: Any, onEnded: Any) -> FakeCommand:
        return self._command("estimate", order, onEvent, onEnded)

    def presetNames(self) -> list[str]:
        return ["fast", "paper", "small-cpu"]

    def settings(self, preset: str, onSettings: Any, onError: Any) -> FakeCommand:
        """Answers at once, unless it is to refuse."""
        self.asked.append(preset)
        command = FakeCommand("settings", preset, onSettings, onError)
        if self.refusal is not None:
            command.end(self.refusal)
        else:
            onSettings([dict(one) for one in self.facts])
        return command

    def train(self, order: TrainingOrder, waitForCompletion: bool = False, onChanged: Any = None) -> FakeRun:
        if self.refusal is not None:
            raise self.refusal
        self.orders.append(order)
        folder = Path(order.runFolder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "events.jsonl").touch()
        self.current = self.runs[folder] = FakeRun(folder, order)
        return self.current

    def attach(self, folder: str) -> FakeRun:
        if self.refusal is not None:
            raise self.refusal
        self.current = self.runs.setdefault(Path(folder), FakeRun(Path(folder), state="stopped", isOurs=False))
        return self.current

    def close(self) -> None:
        self.isClosed = True

    def _command(self, what: str, asked: Any, onEvent: Any, onEnded: Any) -> FakeCommand:
        self.commands.append(FakeCommand(what, asked, onEvent, onEnded))
        return self.last


def checked(
    name: str, label: bool = True, fault: str = "", present: tuple[str, ...] = ("flair", "t1c")
) -> dict[str, Any]:
    """A case as ``lckd data check --json`` tells of it."""
    finding = {"kind": "fault", "code": "UNREADABLE", "file": f"{name}/t1c.nii.gz", "message": fault}
    sequences = ("flair", "t1", "t1c", "t2")
    return {
        "case": name,
        "usable": not fault,
        "present": list(present),
        "missing": [sequence for sequence in sequences if sequence not in present],
        "files": {sequence: f"/data/{name}/{sequence}.nii.gz" for sequence in present},
        "labels": f"/data/{name}/seg.nii.gz" if label else None,
        "volumes_ml": {"ET": 1.25, "TC": 2.5, "WT": 10.0} if label else {},
        "findings": [finding | {"action": "Copy the image again."}] if fault else [],
    }


def realFacts(preset: str) -> list[dict[str, Any]]:
    """What ``lckd train settings --json`` says."""
    from lckd_training.cli.settings_words import setting_facts
    from lckd_training.config import TrainingConfig

    return json.loads(json.dumps(setting_facts(TrainingConfig.preset(preset))))


#: What the fakes imitate; a test holds them against it.
IMITATED = {FakeLogic: TrainingLogic, FakeRun: TrainingRun, FakeCommand: EngineCommand}

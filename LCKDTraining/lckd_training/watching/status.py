"""How a training run stands, as its folder tells; it may be going on in another process, or on another computer."""

from __future__ import annotations

import enum
import itertools
import platform
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lckd.errors import InputError
from lckd.worker.lifetime import is_alive

from .events import EVENTS_FILE, Election, EventReader, History, Step, Weights, mean_dice, steps_per_second

#: Steps over which losses, throughput and waiting are averaged, and those from which the time left is reckoned.
RECENT, LONG = 50, 1000
#: A run that cannot be asked is taken for dead if it is silent for longer than all of these: seconds, usual steps, and
#: times its longest pause (elections take longer than steps).
_PATIENCE_SECONDS, _PATIENCE_STEPS, _PATIENCE_PAUSES = 600.0, 20, 3
#: After so many seconds of silence, the number of its process may have gone to another one.
_PROCESS_SECONDS = 86400.0


class State(str, enum.Enum):
    """What a run does."""

    PREPARING = "preparing"
    TRAINING = "training"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class RunStatus:
    """How a run stands. None stands for what the run does not tell.

    Attributes:
        state: what it does; stopped means that it gives no sign of life.
        reason: why it failed or why it is taken for dead, or what it is preparing.
        code: of the error, if it failed.
        iteration: iterations done.
        iterations: iterations in all.
        silent: seconds since the last event.
        device, host, processes: where it runs.
        losses: mean of the last steps by term.
        lr: learning rate.
        election: the last one.
        best_score, best_iteration: of the best election.
        weights: learned weights by region and sequence.
        steps_per_second, patches_per_second: of the last steps, pauses included.
        waiting: share of the last steps' time in which data was waited for, 0 to 1.
        memory_mb: of the last step.
        seconds_left: at the pace so far; None unless it is training.
        checkpoint, checkpoint_age: iterations done at the last checkpoint, and its age in seconds.
    """

    state: State
    reason: str | None
    code: str | None
    iteration: int
    iterations: int | None
    silent: float | None
    device: str | None
    host: str | None
    processes: int
    losses: Mapping[str, float]
    lr: float | None
    election: Election | None
    best_score: float | None
    best_iteration: int | None
    weights: Weights | None
    steps_per_second: float | None
    patches_per_second: float | None
    waiting: float | None
    memory_mb: float | None
    seconds_left: float | None
    checkpoint: int | None
    checkpoint_age: float | None

    @property
    def percent(self) -> float | None:
        """Share of the iterations that is done, 0 to 100."""
        return 100 * self.iteration / self.iterations if self.iterations else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        facts = {name: value for name, value in vars(self).items() if name not in ("election", "weights")}
        election, weights = self.election, self.weights
        return facts | {
            "state": self.state.value,
            "percent": self.percent,
            "losses": dict(self.losses),
            "election": vars(election) if election is not None else None,
            "weights": weights.weights if weights is not None else None,
        }


def read_status(run: Path, now: float | None = None) -> RunStatus:
    """How the run in a folder stands.

    Args:
        run: its folder.
        now: seconds since 1970; None: the computer's clock.

    Raises:
        InputError: the folder holds no run.
    """
    file = run / EVENTS_FILE
    if not file.is_file():
        raise InputError("NO_RUN", f"There is no training run in {run}.", "Choose the folder given to lckd train -o.")
    return status_of(
        History.of(EventReader(file).read()),
        _settings(run),
        # Another computer's clock may be wrong, and runs of earlier versions do not tell the time.
        written=file.stat().st_mtime,
        now=time.time() if now is None else now,
        saved=_last_checkpoint(run),
    )


def status_of(
    history: History,
    settings: Mapping[str, Any],
    written: float,
    now: float,
    saved: tuple[int, float] | None = None,
) -> RunStatus:
    """How a run with this history stands.

    Args:
        history: of the run.
        settings: from its ``config.yaml``, as far as known.
        written: when its events were last written, seconds since 1970.
        now: seconds since 1970.
        saved: iterations done at its last checkpoint file, and when that was written.
    """
    start, recent = history.start, history.last_steps(RECENT)
    iterations = start.iterations if start is not None and start.iterations else settings.get("iterations")
    processes = start.processes if start is not None else 1
    batch = start.batch if start is not None and start.batch else settings.get("batch", 1)
    silent = max(0.0, now - max(written, history.last_time or 0.0))
    state, reason = _state(history, iterations, silent)
    best = max(history.elections, key=mean_dice, default=None)
    pace, long_pace = steps_per_second(recent), steps_per_second(history.last_steps(LONG))
    left = max(0, iterations - history.done) if iterations is not None and state is State.TRAINING else None
    seconds = sum(step.seconds for step in recent)
    return RunStatus(
        state=state,
        reason=reason,
        code=history.end.code if history.end is not None else None,
        iteration=history.done,
        iterations=iterations,
        silent=silent,
        device=start.device if start is not None else None,
        host=start.host if start is not None else None,
        processes=processes,
        losses=_mean_losses(recent),
        lr=recent[-1].lr if recent else None,
        election=history.elections[-1] if history.elections else None,
        best_score=mean_dice(best) if best is not None else None,
        best_iteration=best.iteration if best is not None else None,
        weights=history.weights[-1] if history.weights else None,
        steps_per_second=pace,
        patches_per_second=pace * processes * batch if pace is not None else None,
        waiting=sum(step.seconds_data for step in recent) / seconds if seconds > 0 else None,
        memory_mb=recent[-1].memory_mb if recent else None,
        seconds_left=left / long_pace if left is not None and long_pace is not None else None,
        checkpoint=saved[0] if saved is not None else None,
        checkpoint_age=max(0.0, now - saved[1]) if saved is not None else None,
    )


def _state(history: History, iterations: int | None, silent: float) -> tuple[State, str | None]:
    """What the run does, and why or at what."""
    end, start = history.end, history.start
    if end is not None:
        return State(end.reason), end.message
    if start is None and iterations is not None and history.done >= iterations:
        return State.FINISHED, None
    # A run that is taken up again prepares in another process than it was started in.
    process = history.stage if history.stage is not None and history.stage.pid is not None else start
    if process is not None and process.pid is not None and process.host == platform.node():
        if not is_alive(process.pid) or silent > _PROCESS_SECONDS:
            return State.STOPPED, f"Its process {process.pid} is gone."
    elif silent > _patience(history):
        return State.STOPPED, "It gives no sign of life."
    if history.last_steps(1):
        return State.TRAINING, None
    return State.PREPARING, history.stage.message if history.stage is not None else None


def _patience(history: History) -> float:
    """After how many seconds of silence a run is taken for dead."""
    recent = history.last_steps(LONG)
    times = [step.time for step in recent if step.time is not None]
    pause = max((after - before for before, after in itertools.pairwise(times)), default=0.0)
    usual = statistics.median(step.seconds for step in recent) if recent else 0.0
    return max(_PATIENCE_SECONDS, _PATIENCE_STEPS * usual, _PATIENCE_PAUSES * pause)


def _mean_losses(steps: list[Step]) -> dict[str, float]:
    names = ("loss", "loss_task", "loss_ckd") if steps else ()
    return {name: statistics.fmean(getattr(step, name) for step in steps) for name in names}


def _settings(run: Path) -> dict[str, Any]:
    """The settings of a run; empty where there is no readable file, as while it is being written, or no reader."""
    try:
        import yaml
    except ImportError:
        return {}
    try:
        settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _last_checkpoint(run: Path) -> tuple[int, float] | None:
    """Iterations done at the last checkpoint file, named after them, and when it was written."""
    files = sorted((run / "checkpoints").glob("[0-9]*.pt"))
    try:
        return (int(files[-1].stem), files[-1].stat().st_mtime) if files else None
    except FileNotFoundError:  # the run has replaced it by the next one meanwhile
        return _last_checkpoint(run)

"""What is to be trained, and a run folder that is watched: one of this session, of an earlier one, or of a shell."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from lckd_training.watching.events import EVENTS_FILE, End, EventReader, History
from LCKDSegmentationLib.WorkerProcess import workerError

from .TrainingProcess import Launch, TrainingProcess, loggedError, notWritable, unexpectedEnd

if TYPE_CHECKING:
    from lckd.errors import LckdError
    from lckd_training.watching.status import RunStatus

#: While this file is in the run folder, the training stops after its iteration.
STOP_FILE = "stop"
_RUNNING = ("preparing", "training")


@dataclass(frozen=True)
class TrainingOrder:
    """What to train.

    :param data: folder of labeled cases, or a CSV file that lists them
    :param runFolder: folder for everything that is written
    :param preset: name of a preset, or path of a YAML file of settings; a run that goes on has its own
    :param settings: settings that differ from the preset: by name, as YAML text
    :param device: auto, cpu, cuda, cuda:1 or mps
    :param split: file that says which case is for what; empty: it is drawn
    :param resume: go on with the run in the folder
    :param outlivesSlicer: whether the training goes on when the application is closed
    """

    data: str
    runFolder: str
    preset: str = "small-cpu"
    settings: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    split: str = ""
    resume: bool = False
    outlivesSlicer: bool = False

    def trainArguments(self) -> list[str]:
        """Return what follows ``lckd``, to train this."""
        split = ["--split", os.path.abspath(self.split)] if self.split else []
        resume = ["--resume"] if self.resume else []
        return ["train", *self._options(), "-o", os.path.abspath(self.runFolder), *split, *resume]

    def estimateArguments(self) -> list[str]:
        """Return what follows ``lckd``, to try out what it takes to train this."""
        return ["train", "estimate", *self._options()]

    def _options(self) -> list[str]:
        settings = [word for name, value in self.settings.items() for word in ("--set", f"{name}={value}")]
        return ["--data", os.path.abspath(self.data), "--preset", self.preset, *settings, "--device", self.device]


class TrainingRun:
    """A run folder that is watched.

    :param folder: the run folder
    :param process: the training in it, if this application has started it

    Attributes:
        folder: the run folder.
        history: all events so far.
        status: all that can be said about how it stands; None before the first event.
        state: preparing, training, finished, interrupted, failed or stopped (without a sign of life).
        stage: what is being done, in words; empty if nothing is.
        fraction: done of the preparation, then of the iterations, 0 to 1.
        errorWords: message and action of a run that has failed; empty ones otherwise.
        errorCode: code of that error.
    """

    def __init__(self, folder: Path, process: TrainingProcess | None = None) -> None:
        self.folder = folder
        self.history = History()
        self.status: RunStatus | None = None
        self.state = "stopped"
        self.stage = ""
        self.fraction = 0.0
        self.errorWords = ("", "")
        self.errorCode = ""
        self._process = process
        self._exitCode: int | None = None
        self._launch = process.launch if process is not None else Launch.read(folder)
        self._reader = EventReader(folder / EVENTS_FILE)
        self._isStopWanted = False
        self._slots: list[Callable[[TrainingRun], None]] = []
        self._readEvents()
        self._assess()

    @property
    def isRunning(self) -> bool:
        """Whether the training is under way."""
        return self.state in _RUNNING

    @property
    def pretraining(self) -> int:
        """How many of the first iterations are of pre-training: it has no teachers, and the network cannot segment."""
        return self.history.start.pretraining_iterations if self.history.start is not None else 0

    @property
    def isOurs(self) -> bool:
        """Whether this application has started the training that is under way, and so may end it."""
        return self._process is not None and self._process.isRunning

    @property
    def exists(self) -> bool:
        """Whether there is a run in the folder."""
        return (self.folder / EVENTS_FILE).is_file() or self._launch is not None

    def poll(self) -> bool:
        """Read what is new, and tell it; return whether anything is. Never waits."""
        before = (self.state, self.stage, self._launch)
        # Asked first, so that all its events are read once it has ended.
        exitCode = self._process.exitCode if self._process is not None else None
        self._launch = Launch.read(self.folder) if self._process is None else self._process.launch
        hasNews = self._readEvents()
        if exitCode is not None:
            self._process, self._exitCode = None, exitCode
        elif hasNews and self._process is None:
            # Somebody else has resumed it.
            self._exitCode = None
        if hasNews or self.isRunning or exitCode is not None or self._launch != before[2]:
            self._assess()
        self._repeatStopRequest()
        isChanged = hasNews or (self.state, self.stage, self._launch) != before
        if isChanged:
            for slot in list(self._slots):
                slot(self)
        return isChanged

    def requestStop(self) -> None:
        """Ask the training to stop after its iteration; one of ours that has not begun to train is ended at once.

        :raises LckdError: NOT_WRITABLE
        """
        if self.isOurs and self.state == "preparing":
            self.kill()
            return
        try:
            self._writeStopFile()
        except OSError as error:
            raise notWritable(self.folder) from error
        self._isStopWanted = True

    def kill(self) -> None:
        """End the training now; what is saved stays.

        :raises LckdError: NOT_OURS, it was not started by this application
        """
        if self._process is None or not self.isOurs:
            raise workerError(
                "NOT_OURS",
                _("This training was not started by this application."),
                _("Let it stop after its iteration, or end it where it was started."),
            )
        self._process.kill()
        self.poll()

    def end(self, graceSeconds: float) -> None:
        """Ask one of ours to stop; kill it if it has not in time, or has nothing to save. Blocks until it is gone."""
        process = self._process
        if process is None or not process.isRunning:
            return
        # Where that cannot be written, there is still the other way.
        with contextlib.suppress(OSError):
            self._writeStopFile()
        if self.state == "preparing" or not process.waitForEnd(graceSeconds):
            process.kill()
        self.poll()

    def connectChanged(self, slot: Callable[[TrainingRun], None]) -> None:
        """Have a function told whenever something is new."""
        self._slots.append(slot)

    def disconnectChanged(self, slot: Callable[[TrainingRun], None]) -> None:
        """Have it told no more."""
        if slot in self._slots:
            self._slots.remove(slot)

    def error(self) -> LckdError | None:
        """Return why the run has failed or was interrupted; None if it is under way or finished."""
        from lckd.errors import CancelledError

        if self.state == "failed":
            return workerError(self.errorCode, *self.errorWords)
        return CancelledError(_("Resume it to go on.")) if self.state in ("interrupted", "stopped") else None

    def _readEvents(self) -> bool:
        try:
            events = self._reader.read()
        except OSError:
            # As while a network drive is away; the state then goes by the silence.
            return False
        for event in events:
            self.history.add(event)
        return bool(events)

    def _assess(self) -> None:
        """Find out how the run stands."""
        from lckd_training.watching.status import State, status_of

        history = self.history
        saved = history.checkpoints[-1] if history.checkpoints else None
        self.status = status_of(
            history,
            {},
            written=self._lastWritten(),
            now=time.time(),
            saved=(saved.iteration, saved.time) if saved is not None and saved.time is not None else None,
        )
        self.errorCode, self.errorWords = "", ("", "")
        self.state = self._judge(self.status.state.value)
        self.status = replace(self.status, state=State(self.state))
        self.stage, self.fraction = self._progress(self.status)

    def _lastWritten(self) -> float:
        try:
            return (self.folder / EVENTS_FILE).stat().st_mtime
        except OSError:
            return self._launch.time if self._launch is not None else 0.0

    @property
    def _isAwaited(self) -> bool:
        """Whether a training was started that has told nothing yet."""
        return self._launch is not None and (self.history.last_time or 0.0) < self._launch.time

    @property
    def _isPreparing(self) -> bool:
        return self._isAwaited or self.history.stage is not None

    def _judge(self, told: str) -> str:
        """The state: of our own process we know it, of others the start of the run and its events tell it."""
        if self._process is not None:
            # It may have ended this very moment: the next `poll` takes note of that, with its exit status and events.
            return "preparing" if self._isPreparing else "training"
        end = self.history.end
        if end is not None and not self._isAwaited:
            if end.reason == "failed":
                self._explain(end)
            return end.reason
        if self._launch is None or (self._exitCode is None and not self._isPreparing):
            return told
        if self._exitCode is None and self._launch.isAlive():
            return "preparing"
        return self._endOfTheSilent(self._launch)

    def _endOfTheSilent(self, launch: Launch) -> str:
        """The state of a training that has ended without word of it among its events."""
        if launch.wasKilled:
            return "stopped"
        error = loggedError(self.folder, launch) or unexpectedEnd(self.folder, launch, self._exitCode)
        if error.code == "CANCELLED":
            return "interrupted"
        self.errorCode, self.errorWords = error.code, (error.message, error.action)
        return "failed"

    def _explain(self, end: End) -> None:
        """Say why the run has failed: its events say what, the log what can be done."""
        logged = loggedError(self.folder, self._launch) if self._launch is not None else None
        if logged is not None and end.code in (None, logged.code):
            self.errorCode, self.errorWords = logged.code, (logged.message, logged.action)
            return
        self.errorCode = end.code or "TRAINING_ENDED"
        action = _("Correct that and resume; what was done up to the last checkpoint is kept.")
        self.errorWords = (end.message or _("The training has failed."), action)

    def _progress(self, status: RunStatus) -> tuple[str, float]:
        """What is being done, in words, and the fraction of it."""
        fraction = status.iteration / status.iterations if status.iterations else 0.0
        stage = self.history.stage
        if self.state == "training":
            words = _("Training: iteration {iteration} of {iterations}")
            if status.iteration < self.pretraining:
                words = _("Pre-training until {pretraining}: iteration {iteration} of {iterations}")
            facts = {"iteration": status.iteration, "iterations": status.iterations or "?"}
            return words.format(pretraining=self.pretraining, **facts), fraction
        if self.state != "preparing":
            return "", fraction
        if self._isAwaited or stage is None:
            return _("Starting"), 0.0
        return _("Preparing: {what}").format(what=stage.message), stage.fraction or 0.0

    def _repeatStopRequest(self) -> None:
        """The training removes the file as it begins, so that one that was put there a moment before is lost."""
        if not self.isRunning:
            self._isStopWanted = False
        elif self._isStopWanted and not (self.folder / STOP_FILE).exists():
            with contextlib.suppress(OSError):
                self._writeStopFile()

    def _writeStopFile(self) -> None:
        (self.folder / STOP_FILE).touch()

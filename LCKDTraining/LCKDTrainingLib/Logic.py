"""What the module can do, without any widget: check data, train, watch, evaluate, export.

Works in scripts (``waitForCompletion=True``) and for the panel, which goes on while the training does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LCKDSegmentationLib.EngineCommand import EngineCommand
from LCKDSegmentationLib.Requirements import Requirements
from LCKDSegmentationLib.WorkerProcess import pythonSlicer

from .TrainingProcess import TrainingProcess, notWritable
from .TrainingRun import TrainingOrder, TrainingRun

if TYPE_CHECKING:
    from lckd.errors import LckdError

    OnEvent = Callable[[dict[str, Any]], None]
    OnEnded = Callable[[LckdError | None], None]

REQUIREMENTS_FILE = Path(__file__).parents[1] / "Resources" / "training-requirements.txt"
#: How often the run folder is looked at.
POLL_MILLISECONDS = 1000
#: When the application ends, so long is waited for a training to stop by itself, and for so many iterations more.
CLOSE_SECONDS = 5.0
_CLOSE_ITERATIONS = 2
_LONGEST_CLOSE_SECONDS = 60.0
_WAIT_MILLISECONDS = 10
#: The trainings that this application has started, by run folder, whichever logic did so.
_started: dict[Path, TrainingProcess] = {}


class TrainingLogic:
    """Starts trainings, one at a time, and watches one; runs the other commands of the trainer.

    :param python: returns the program that runs Python; by default Slicer's own

    Attributes:
        current: the run that is watched; None before the first.
    """

    def __init__(self, python: Callable[[], str] = pythonSlicer) -> None:
        self.current: TrainingRun | None = None
        self._python = python
        #: Those that are under way, so that they go on though nobody else keeps them.
        self._commands: list[EngineCommand] = []
        #: The training that this logic has started, and whether it may go on when the application ends.
        self._own: TrainingRun | None = None
        self._ownOutlives = False
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._poll)

    def check(self, data: str, onEvent: OnEvent, onEnded: OnEnded) -> EngineCommand:
        """Look through labeled cases; the ``result`` event has the table.

        Ends with the error CASES_UNUSABLE after the result where some of them cannot be used.
        """
        return self._run(["data", "check", _path(data)], onEvent, onEnded)

    def presetNames(self) -> list[str]:
        """Return the names of the presets that come with the trainer."""
        import lckd_training

        return sorted(file.stem for file in Path(lckd_training.__file__).parent.glob("presets/*.yaml"))

    def settings(
        self, preset: str, onSettings: Callable[[list[dict[str, Any]]], None], onError: Callable[[LckdError], None]
    ) -> EngineCommand:
        """Ask for every setting: its value in a preset, what it means and what it may be."""

        def take(event: dict[str, Any]) -> None:
            if event["event"] == "result":
                onSettings(event["settings"])

        def end(error: LckdError | None) -> None:
            if error is not None:
                onError(error)

        return self._run(["train", "settings", "--preset", preset], take, end)

    def estimate(self, order: TrainingOrder, onEvent: OnEvent, onEnded: OnEnded) -> EngineCommand:
        """Time a few real iterations; the ``result`` event says what the training will take."""
        return self._run(order.estimateArguments(), onEvent, onEnded)

    def train(
        self,
        order: TrainingOrder,
        waitForCompletion: bool = False,
        onChanged: Callable[[TrainingRun], None] | None = None,
    ) -> TrainingRun:
        """Start a training, which then is `current`.

        :param order: what to train
        :param waitForCompletion: return when the run has ended; the application goes on meanwhile
        :param onChanged: is told whenever something is new
        :raises LckdError: it was refused (BUSY, RUN_ACTIVE, RUN_EXISTS, NO_DATA, NO_RUN_FOLDER, NOT_WRITABLE); when
            waiting also whatever the run failed with, CANCELLED if it was stopped
        """
        folder = self._accept(order)
        command = [self._python(), "-m", "lckd", *order.trainArguments(), "--json"]
        process = _started[folder] = TrainingProcess(command, folder)
        if self._own is None:
            slicer.app.connect("aboutToQuit()", self.close)
        run = self._own = TrainingRun(folder, process)
        self._ownOutlives = order.outlivesSlicer
        if onChanged is not None:
            run.connectChanged(onChanged)
        self._watch(run)
        if waitForCompletion:
            self._waitFor(run)
        return run

    def outlives(self, run: TrainingRun) -> bool:
        """Return whether a training goes on when the application ends: one of others does."""
        return run is not self._own or self._ownOutlives

    def letOutlive(self, run: TrainingRun, goesOn: bool) -> None:
        """Say whether the training that was started here goes on when the application ends."""
        if run is self._own:
            self._ownOutlives = goesOn

    def attach(self, folder: str) -> TrainingRun:
        """Watch the run in a folder, wherever it was made.

        :raises LckdError: NO_RUN, there is none
        """
        path = Path(_path(folder))
        run = self._runIn(path)
        if not run.exists:
            raise _noRun(path)
        self._watch(run)
        return run

    def evaluate(
        self,
        model: str,
        data: str,
        output: str,
        onEvent: OnEvent,
        onEnded: OnEnded,
        split: str = "",
        device: str = "auto",
    ) -> EngineCommand:
        """Score a model on labeled cases, from every subset of the sequences."""
        only = ["--split", _path(split)] if split else []
        arguments = ["evaluate", "--model", model, "--data", _path(data), "-o", _path(output), *only]
        return self._run([*arguments, "--device", device], onEvent, onEnded)

    def compare(self, evaluations: Sequence[str], output: str, onEvent: OnEvent, onEnded: OnEnded) -> EngineCommand:
        """Compare finished evaluations, the first against each of the others."""
        folders = [_path(folder) for folder in evaluations]
        return self._run(["evaluate", "--compare", *folders, "-o", _path(output)], onEvent, onEnded)

    def export(
        self,
        runFolder: str,
        model: str,
        onEvent: OnEvent,
        onEnded: OnEnded,
        evaluation: str = "",
        best: bool = False,
        overwrite: bool = False,
    ) -> EngineCommand:
        """Make a model of the last checkpoint of a run, or of its best one."""
        options = ["--evaluation", _path(evaluation)] if evaluation else []
        options += ["--best"] * best + ["--overwrite"] * overwrite
        return self._run(["export", _path(runFolder), "-o", _path(model), *options], onEvent, onEnded)

    def addModel(self, model: str, onEvent: OnEvent, onEnded: OnEnded) -> EngineCommand:
        """Offer a model for segmentation: the ``result`` event has it."""
        return self._run(["models", "add", _path(model)], onEvent, onEnded)

    def close(self) -> None:
        """The module or the application ends: so does the training that was started here, unless it may go on.

        It is asked to stop after its iteration, and ended if it has not in the time of two and five seconds more.
        Watching ends as well, and so do the other commands.
        """
        self._timer.stop()
        for command in self._commands:
            command.cancel()
        own, self._own, self.current = self._own, None, None
        if own is not None:
            slicer.app.disconnect("aboutToQuit()", self.close)
            if not self._ownOutlives:
                seconds = sum(step.seconds for step in own.history.last_steps(1))
                own.end(min(CLOSE_SECONDS + _CLOSE_ITERATIONS * seconds, _LONGEST_CLOSE_SECONDS))

    def _run(self, arguments: Sequence[str], onEvent: OnEvent, onEnded: OnEnded) -> EngineCommand:
        command = EngineCommand(arguments, onEvent, onEnded, self._python)
        self._commands = [*(one for one in self._commands if one.isRunning), command]
        command.start()
        return command

    def _watch(self, run: TrainingRun) -> None:
        self.current = run
        self._timer.start()
        self._poll()

    def _poll(self) -> None:
        for run in {id(run): run for run in (self._own, self.current) if run is not None}.values():
            run.poll()

    def _runIn(self, folder: Path) -> TrainingRun:
        """The run in a folder: one that is known, since to read a long one takes a moment, or else another."""
        for run in (self._own, self.current):
            if run is not None and run.folder == folder:
                run.poll()
                return run
        return TrainingRun(folder, _startedHere(folder))

    def _accept(self, order: TrainingOrder) -> Path:
        """Refuse what would fail only after a while, and make the run folder."""
        from lckd.errors import InputError, UsageError

        if self._own is not None and self._own.isRunning:
            raise UsageError("BUSY", _("Another training is under way."), _("Wait for its end, or stop it."))
        if not order.data:
            raise UsageError("NO_DATA", _("No data was chosen."), _("Choose the folder of the labeled cases."))
        if not order.runFolder:
            raise UsageError("NO_RUN_FOLDER", _("No run folder was chosen."), _("Choose a folder for the run."))
        folder = Path(_path(order.runFolder))
        if self._runIn(folder).isRunning:
            raise InputError(
                "RUN_ACTIVE",
                _("A training is under way in {folder}.").format(folder=folder),
                _("Watch it, or choose another run folder."),
            )
        if not order.resume and any(folder.glob("checkpoints/[0-9]*.pt")):
            raise InputError(
                "RUN_EXISTS",
                _("There already is a run in {folder}.").format(folder=folder),
                _("Resume it, or choose another run folder."),
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise notWritable(folder) from error
        return folder

    def _waitFor(self, run: TrainingRun) -> None:
        while run.isRunning and self._own is run:
            _letTheApplicationWork()
        error = run.error()
        if error is not None:
            raise error


def trainingRequirements() -> Requirements:
    """Return what training, evaluation and export need of Python packages, to be installed after consent."""
    return Requirements(REQUIREMENTS_FILE)


def resultOf(start: Callable[[OnEvent, OnEnded], EngineCommand]) -> dict[str, Any]:
    """Run a command of `TrainingLogic` and wait for its end, with the application alive; for scripts.

    :param start: starts it with the two functions that are told of it
    :return: the facts of its ``result`` event, also where some cases cannot be used
    :raises LckdError: it has no result
    """
    results: list[dict[str, Any]] = []
    ends: list[LckdError | None] = []
    start(lambda event: results.append(event) if event["event"] == "result" else None, ends.append)
    while not ends:
        _letTheApplicationWork()
    if ends[0] is not None and not results:
        raise ends[0]
    return results[-1]


def _letTheApplicationWork() -> None:
    slicer.app.processEvents()
    qt.QThread.msleep(_WAIT_MILLISECONDS)


def _path(path: str) -> str:
    """The commands run in another folder than the application may."""
    return os.path.abspath(path)


def _startedHere(folder: Path) -> TrainingProcess | None:
    process = _started.get(folder)
    return process if process is not None and process.isRunning else None


def _noRun(folder: Path) -> LckdError:
    from lckd.errors import InputError

    return InputError(
        "NO_RUN",
        _("There is no training run in {folder}.").format(folder=folder),
        _("Choose the run folder of a training."),
    )

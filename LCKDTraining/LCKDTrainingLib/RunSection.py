"""The section "Training run": with which settings, on what, where to, and the run itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from LCKDSegmentationLib.DeviceChoice import DeviceChoice
from LCKDSegmentationLib.Panel import reveal, setEnabledWithReason
from LCKDSegmentationLib.PathEdit import PathEdit
from LCKDSegmentationLib.WorkerProcess import workerError

from .EstimateButton import EstimateButton
from .Parameters import changedSettings, holdsRun, orderOf, rememberRun, runProblem
from .Remedies import Remedy, actionFor, remediesFor
from .SettingsSection import SettingsSection
from .Wording import durationWords, iterationsWords

if TYPE_CHECKING:
    from LCKDSegmentationLib.WorkerClient import WorkerClient

    from .DataSection import DataSection
    from .TrainingPanel import TrainingPanel
    from .TrainingRun import TrainingOrder, TrainingRun

#: What is about to happen to a run because of a button.
_NOTHING, _PAUSE, _KILL = "", "pause", "kill"


class RunSection:
    """Starts, pauses, goes on with and ends a training, and says how it stands.

    :param data: the section with the cases
    :param client: the worker that knows the devices
    """

    def __init__(self, panel: TrainingPanel, data: DataSection, client: WorkerClient) -> None:
        self._panel = panel
        self._data = data
        self._run: TrainingRun | None = None
        #: A folder whose run could not be watched, so that this is not tried and told again and again.
        self._refusedFolder = ""
        #: The state that was told last, and whether the settings were known then, of which offers are made.
        self._told = ("", False)
        self._wish = _NOTHING
        self._remedies: list[Remedy] = []
        ui = panel.ui
        self.devices = DeviceChoice(panel, client)
        self.settings = SettingsSection(panel, self.lock)
        self.estimate = EstimateButton(panel, self._estimateProblem, self._order)
        self._folder = PathEdit(panel, ui.runFolderEdit, "runFolder")
        self._split = PathEdit(panel, ui.splitFileEdit, "splitFile")
        self._deviceTip, self._outlivesTip = ui.deviceSelector.toolTip, ui.outlivesBox.toolTip
        ui.trainProgress.setRange(0, 1000)
        ui.trainButton.connect("clicked(bool)", self.startOrPause)
        ui.stopButton.connect("clicked(bool)", self.kill)
        for index, button in enumerate((ui.remedyButton, ui.otherRemedyButton)):
            button.connect("clicked(bool)", lambda _checked, index=index: self.applyRemedy(index))

    @property
    def run(self) -> TrainingRun | None:
        """The run in the chosen folder; None if there is none."""
        return self._run

    @property
    def isRunning(self) -> bool:
        """Whether the run in the chosen folder is going on."""
        return self._run is not None and self._run.isRunning

    def lock(self) -> str:
        """Return why nothing can be changed now; empty if it can."""
        return _("The training is going on. Pause it to change this.") if self.isRunning else ""

    def problem(self) -> str:
        """Return why no training can be started or gone on with; empty if one can."""
        parameters = self._panel.parameters
        if parameters is None:
            return self._panel.setProblem()
        problem = self._data.problem() or runProblem(parameters)
        if problem:
            return problem
        if self.estimate.isRunning:
            return _("Wait for the end of the estimate, or cancel it.")
        if self._run is not None and self._run.state == "finished" and "iterations" not in changedSettings(parameters):
            return _("This run is finished. Raise the iterations to train longer, or choose another run folder.")
        return ""

    def update(self) -> None:
        """Show the choices, the run in the chosen folder, and what the buttons do now or why they do nothing."""
        locked = self._panel.setProblem() or self.lock()
        self._folder.update(self._panel.setProblem())
        # One that has failed before it had its split is given another one.
        hasSplit = self._run is not None and (self._run.folder / "split.json").is_file()
        self._split.update(locked or (_("The run in this folder has its own split.") if hasSplit else ""))
        setEnabledWithReason(self._panel.ui.deviceSelector, locked, self._deviceTip)
        # One does not know when a training begins whether the application will be closed before its end.
        setEnabledWithReason(self._panel.ui.outlivesBox, "" if self._isOurs() else locked, self._outlivesTip)
        if self._isOurs():
            self._panel.logic.letOutlive(self._run, self._panel.parameters.outlivesSlicer)
        self.devices.update()
        self.settings.update()
        self.estimate.update()
        self._showRun()

    def stop(self) -> None:
        """End what is asked of the engine, not the training."""
        self.estimate.stop()
        self.settings.stop()

    def startOrPause(self) -> None:
        """Do what the button says."""
        if self.isRunning:
            self._wish = _PAUSE
            if not self._panel.try_(self._run.requestStop):
                self._wish = _NOTHING
        elif self._panel.ensureRequirements() and not self.problem():
            self._panel.say("")
            self._panel.try_(self._start)
        self._panel.changed()

    def kill(self) -> None:
        """End the training at once, after asking."""
        question = _(
            "End the training at once? What was learned since it last saved its state is lost; what is saved stays, and"
            " you can go on from there."
        )
        if self.isRunning and self._panel.dialogs.confirm(question):
            self._wish = _KILL
            if not self._panel.try_(self._run.kill):
                self._wish = _NOTHING
            self._panel.changed()

    def applyRemedy(self, index: int) -> None:
        """Change what is offered and try again what failed."""
        remedy, isOfEstimate = self._remedies[index], self.estimate.error is not None
        for name, value in remedy.changes.items():
            self.settings.change(name, value)
        self._data.leaveOut(list(remedy.leftOut))
        if isOfEstimate:
            self.estimate.start()
        else:
            self.startOrPause()

    def _start(self) -> None:
        parameters = self._panel.parameters
        self._watch(self._panel.logic.train(self._order()))
        rememberRun(parameters)
        reveal(self._panel.ui.trainStatus)

    def _order(self) -> TrainingOrder:
        return orderOf(self._panel.parameters, self._data.unusable)

    def _estimateProblem(self) -> str:
        return self._panel.setProblem() or self.lock() or self._data.problem()

    def _isOurs(self) -> bool:
        """Whether a training is shown that this application has started and would end with itself."""
        return self._panel.parameters is not None and self.isRunning and self._run.isOurs

    def _holdsRun(self) -> bool:
        return self._panel.parameters is not None and holdsRun(self._panel.parameters.runFolder)

    def follow(self) -> None:
        """Watch the run in the chosen folder."""
        folder = os.path.abspath(self._panel.parameters.runFolder) if self._holdsRun() else ""
        if not folder:
            self._refusedFolder = ""
            if self._run is not None and self._panel.logic.current is self._run:
                # What is watched is what is chosen; a run that goes on does so unwatched.
                self._panel.logic.current = None
            self._watch(None)
        elif self._run is None or str(self._run.folder) != folder or self._run is not self._panel.logic.current:
            current = self._panel.logic.current
            if current is not None and str(current.folder) == folder:
                self._watch(current)
            elif folder != self._refusedFolder:
                self._watch(None)
                isThere = self._panel.try_(lambda: self._watch(self._panel.logic.attach(folder)))
                self._refusedFolder = "" if isThere else folder

    def _watch(self, run: TrainingRun | None) -> None:
        if run is self._run:
            return
        if self._run is not None:
            self._run.disconnectChanged(self._takeChange)
        self._run, self._told, self._wish = run, ("", False), _NOTHING
        self._panel.say("")
        if run is not None:
            run.connectChanged(self._takeChange)
        if self._panel.parameters is not None and self.isRunning:
            # What it will do, also where another parameter set shows it, or where it was begun elsewhere.
            self._panel.parameters.outlivesSlicer = self._panel.logic.outlives(run)

    def _takeChange(self, run: TrainingRun) -> None:
        """The run tells something new: mostly that it has got further."""
        if run is not self._run:
            return
        if run.state == self._told[0]:
            self._showProgress()
        else:
            self._panel.changed()

    def _showRun(self) -> None:
        self._showProgress()
        self._remedies = self._findRemedies()
        told = (self._run.state if self._run is not None else "", bool(self.settings.settings))
        if told != self._told:
            self._told = told
            self._tell(told[0])
            if not self.isRunning:
                self._wish = _NOTHING
        self._showButtons()
        self._showRemedies()

    def _showProgress(self) -> None:
        ui, run = self._panel.ui, self._run
        ui.trainProgress.setVisible(self.isRunning)
        ui.trainStatus.setVisible(self.isRunning)
        if run is None or not run.isRunning:
            return
        ui.trainProgress.value = round(1000 * run.fraction)
        ui.trainProgress.setFormat(f"{100 * run.fraction:.1f} %")
        left = run.status.seconds_left if run.status is not None else None
        words = [run.stage, *([_("about {time} left").format(time=durationWords(left))] if left is not None else [])]
        ui.trainStatus.text = " · ".join(words)

    def _tell(self, state: str) -> None:
        """Say how a run has ended."""
        run = self._run
        if run is None or run.isRunning:
            self._panel.say("")
        elif state == "failed":
            message, action = run.errorWords
            told = actionFor(run.errorCode, self.settings.values, self._remedies) or action
            self._panel.sayError(workerError(run.errorCode, message, told))
        else:
            self._panel.say(self._endWords(state))

    def _endWords(self, state: str) -> str:
        done = iterationsWords(self._run.history.done)
        if state == "finished":
            return _("The training is finished: {done}. Evaluate and use it below.").format(done=done)
        if state == "interrupted":
            return _("Paused after {done}; everything is saved.").format(done=done)
        checkpoints = self._run.history.checkpoints
        saved = iterationsWords(checkpoints[-1].iteration if checkpoints else 0)
        kept = _("What was saved after {saved} is kept; Resume goes on from there.").format(saved=saved)
        if self._wish != _NOTHING:
            return _("Stopped.") + " " + kept
        return _("This training has ended without a word; its program or computer was shut down.") + " " + kept

    def _showButtons(self) -> None:
        ui, run = self._panel.ui, self._run
        if self.isRunning:
            ui.trainButton.text = _("Pause")
            pausing = _("The training pauses as soon as this iteration is done and saved.") if self._wish else ""
            toolTip = _("Stop after this iteration and save everything. Resume goes on exactly there.")
            setEnabledWithReason(ui.trainButton, pausing, toolTip)
        else:
            ui.trainButton.text = _("Resume") if self._holdsRun() else _("Start training")
            toolTip = _("Go on with the run in this folder from its last saved state.")
            start = _("Train a network on the ticked cases. For research use only; not for clinical use.")
            setEnabledWithReason(ui.trainButton, self.problem(), toolTip if self._holdsRun() else start)
        elsewhere = _("This training was started elsewhere; pause it here, or end it where it was started.")
        reason = _("No training is going on.") if not self.isRunning else ("" if run.isOurs else elsewhere)
        toolTip = _("End the training at once. What was learned since it last saved its state is lost.")
        setEnabledWithReason(ui.stopButton, reason, toolTip)

    def _showRemedies(self) -> None:
        ui = self._panel.ui
        then = _("{remedy} and estimate again") if self.estimate.error is not None else _("{remedy} and resume")
        for index, button in enumerate((ui.remedyButton, ui.otherRemedyButton)):
            button.setVisible(index < len(self._remedies))
            if index < len(self._remedies):
                remedy = self._remedies[index]
                button.text = then.format(remedy=remedy.title)
                setEnabledWithReason(button, self._remedyProblem(), remedy.words)
        ui.remedyLabel.textFormat = qt.Qt.PlainText
        ui.remedyLabel.text = " ".join(remedy.words for remedy in self._remedies)
        ui.remedyLabel.setVisible(bool(self._remedies))

    def _remedyProblem(self) -> str:
        return self._estimateProblem() if self.estimate.error is not None else self.problem()

    def _findRemedies(self) -> list[Remedy]:
        if self._panel.parameters is None or self.isRunning or self.estimate.isRunning:
            return []
        if self.estimate.error is not None:
            code, message = self.estimate.error.code, self.estimate.error.message
        elif self._run is not None and self._run.state == "failed":
            code, message = self._run.errorCode, self._run.errorWords[0]
        else:
            return []
        return remediesFor(code, message, self.settings.values, self._cases())

    def _cases(self) -> set[str]:
        """The names of all cases, as the check or the run knows them."""
        names = set(self._panel.dataCases)
        if self._run is not None:
            try:
                split = json.loads((Path(self._run.folder) / "split.json").read_text(encoding="utf-8"))
                names |= {name for role in ("train", "election") for name in split.get(role, ())}
            except (OSError, ValueError):
                # Without the file the cases of the check are all that is known.
                return names
        return names

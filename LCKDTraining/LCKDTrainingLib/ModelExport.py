"""A run as a model: written into a folder, or added to those that Brain Tumor Segmentation (LCKD) can use."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from LCKDSegmentationLib.About import disclaimer
from LCKDSegmentationLib.Panel import Message, setEnabledWithReason

from .CheckpointWork import TemporaryModel, Work, ignore

if TYPE_CHECKING:
    from lckd.errors import LckdError

    from .TrainingPanel import TrainingPanel


class ModelExport:
    """Makes a model of the run that is watched.

    :param problem: says why no model can be made of a checkpoint; empty if one can
    :param scores: returns the folder of the evaluation of the chosen checkpoint; empty if there is none
    """

    def __init__(self, panel: TrainingPanel, problem: Callable[[], str], scores: Callable[[], str]) -> None:
        self._panel = panel
        self._checkpointProblem = problem
        self._scores = scores
        self.message = Message(panel.ui.exportMessageLabel)
        self._run: Path | None = None
        self._work: Work | None = None
        #: The name that was proposed last, after a run.
        self._proposed = ""
        ui = panel.ui
        self._toolTips = {
            ui.exportButton: _("Write the network with its model card into a folder that can be passed on."),
            ui.useButton: _("Add the model to Brain Tumor Segmentation (LCKD), and go there with it chosen."),
        }
        ui.exportButton.connect("clicked(bool)", self.export)
        ui.useButton.connect("clicked(bool)", self.use)
        ui.exportNameEdit.connect("textChanged(QString)", self.update)

    def take(self, run: Path | None) -> None:
        """Another run is watched now; the model is called after it, unless the user has given a name."""
        self._run = run
        edit = self._panel.ui.exportNameEdit
        if run is not None and edit.text in ("", self._proposed):
            edit.text = self._proposed = modelName(run)
        self.message.say("")

    def update(self) -> None:
        """Show what the buttons do, or why they do nothing."""
        for button, toolTip in self._toolTips.items():
            setEnabledWithReason(button, self._problem(), toolTip)

    def close(self) -> None:
        """End what is under way."""
        if self._work is not None:
            self._work.cancel()

    def export(self) -> None:
        """Ask where, and make a model of the run there."""
        if self._problem() or not self.message.try_(self._panel.requirements.ensure):
            return
        parent = self._panel.dialogs.folder(_("Folder to put the model {name} into").format(name=self._name))
        if not parent:
            return
        target = Path(parent) / self._name
        isThere = target.exists()
        if isThere and not self._panel.dialogs.confirm(_("Replace what is in {folder}?").format(folder=target)):
            return
        work = Work(None, lambda error: self._end(error, _("The model was written: {path}").format(path=target)))
        self._begin(work, lambda: self._make(work, target, work.end, isThere))

    def use(self) -> None:
        """Add the model to those that segment, and go to the module that does so, with it chosen."""
        if self._problem() or not self.message.try_(self._panel.requirements.ensure):
            return
        self.message.try_(self._use)

    def _use(self) -> None:
        name = self._name
        refuseTaken(name)
        model = TemporaryModel(name)
        work = Work(model, lambda error: self._endUse(error, name))

        def add() -> None:
            work.run(lambda end: self._panel.logic.addModel(str(model.path), ignore, end), work.end)

        self._begin(work, lambda: self._make(work, model.path, add))

    @property
    def _name(self) -> str:
        return str(self._panel.ui.exportNameEdit.text).strip()

    def _problem(self) -> str:
        if self._work is not None:
            return _("Wait until the model has been made.")
        return self._checkpointProblem() or nameProblem(self._name)

    def _begin(self, work: Work, start: Callable[[], None]) -> None:
        self._work = work
        self.message.say(_("The model is being made…"))
        work.start(start)
        self.update()

    def _make(self, work: Work, target: Path, then: Callable[[], None], overwrite: bool = False) -> None:
        """Make a model of the chosen checkpoint, with its scores on the card where they are known."""
        run, isBest, scores = str(self._run), bool(self._panel.ui.bestBox.checked), self._scores()
        export = self._panel.logic.export
        work.run(lambda end: export(run, str(target), ignore, end, scores, isBest, overwrite), then)

    def _end(self, error: LckdError | None, words: str) -> None:
        self._work = None
        if error is not None:
            self.message.sayError(error)
        else:
            self.message.say(f"{words} {disclaimer()}")
        self._panel.changed()

    def _endUse(self, error: LckdError | None, name: str) -> None:
        from lckd.models.store import remove_unfinished

        # A process that was killed could not.
        remove_unfinished()
        self._end(error, _("The model {name} was added and can segment now.").format(name=name))
        if error is None:
            # Not now, while the output of the command is being read.
            qt.QTimer.singleShot(0, lambda: self.message.try_(lambda: segmentWith(name)))


def nameProblem(name: str) -> str:
    """Return why a model cannot be called so; empty if it can."""
    from lckd.models.card import NAME_PATTERN

    if not name:
        return _("Give the model a name.")
    if re.fullmatch(NAME_PATTERN, name) is None:
        return _(
            "The name of a model holds letters, digits, dots, hyphens and underscores, begins with a letter or a digit,"
            " and is no longer than 64."
        )
    return ""


def modelName(run: Path) -> str:
    """Return what the model of a run may be called: after its folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", run.name).strip("._-")[:64]


def refuseTaken(name: str) -> None:
    """Refuse the name of a model that there is.

    :raises UsageError: NAME_TAKEN
    """
    from lckd.errors import UsageError
    from lckd.models import list_models

    if any(entry.name == name for entry in list_models()):
        message = _("There already is a model called {name}.").format(name=name)
        raise UsageError("NAME_TAKEN", message, _("Give this one another name, or delete that one first."))


def segmentWith(model: str) -> None:
    """Go to Brain Tumor Segmentation (LCKD) and choose a model there.

    :raises UsageError: the application has no main window
    """
    from lckd.errors import UsageError

    try:
        slicer.util.selectModule("LCKDSegmentation")
    except RuntimeError as error:
        message = _("The module Brain Tumor Segmentation (LCKD) cannot be opened from here.")
        raise UsageError("NO_MAIN_WINDOW", message, _("Open it yourself and choose the model there.")) from error
    # Set by Slicer when it has made the widget; it has read which models there are when it was entered.
    slicer.modules.LCKDSegmentationWidget.panel.panel.parameters.model = model

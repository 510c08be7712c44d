"""The panel of the module: sections over one ``.ui`` file, and the parameters they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from LCKDSegmentationLib.About import disclaimer
from LCKDSegmentationLib.Dialogs import Dialogs
from LCKDSegmentationLib.Panel import DialogsProtocol, RequirementsProtocol
from LCKDSegmentationLib.PanelWidget import PanelWidget
from LCKDSegmentationLib.WorkerClient import WorkerClient, sharedWorkerClient

from .DataSection import DataSection
from .Logic import TrainingLogic, trainingRequirements
from .Parameters import MODULE_NAME, recallRun, runProblem
from .RunSection import RunSection
from .TrainingPanel import TrainingPanel
from .UseSection import UseSection
from .WatchSection import WatchSection

if TYPE_CHECKING:
    from .Parameters import TrainingParameters

#: How often files that are missing are looked for.
LOOK_MILLISECONDS = 1000
UI_FILE = Path(__file__).parents[1] / "Resources" / "UI" / "LCKDTraining.ui"


class TrainingWidget(PanelWidget):
    """The panel.

    :param logic: does the work
    :param dialogs: asks for files and confirmations
    :param requirements: installs what is missing
    :param client: the worker that knows the devices; by default that of this session
    """

    def __init__(
        self,
        logic: TrainingLogic | None = None,
        dialogs: DialogsProtocol | None = None,
        requirements: RequirementsProtocol | None = None,
        parent: qt.QWidget | None = None,
        client: WorkerClient | None = None,
    ) -> None:
        PanelWidget.__init__(self, UI_FILE, parent)
        self.logic = logic or TrainingLogic()
        needed = requirements or trainingRequirements()
        self.panel = TrainingPanel(self.ui, self.logic, dialogs or Dialogs(self), needed)
        self.panel.changed = self.update_
        self.ui.disclaimerLabel.text = f"<b>{disclaimer()}</b>"
        self.ui.parameterNodeSelector.addAttribute("vtkMRMLScriptedModuleNode", "ModuleName", MODULE_NAME)
        self.ui.parameterNodeSelector.setNodeTypeLabel(_("Parameter set"), "vtkMRMLScriptedModuleNode")
        self.ui.parameterNodeSelector.baseName = MODULE_NAME
        self.data = DataSection(self.panel, lambda: self.run.lock())
        self.run = RunSection(self.panel, self.data, client or sharedWorkerClient())
        self.watch = WatchSection(self.panel)
        self.use = UseSection(self.panel)
        self._guiTag: int | None = None
        self._observerTag: int | None = None
        #: Whether the next parameter set shows the training that was begun last.
        self._recalls = True
        #: What is in the way of the choices; it may go away by itself, as where a drive is plugged in again.
        self._problem = ""
        self._timer = qt.QTimer()
        self._timer.setInterval(LOOK_MILLISECONDS)
        self._timer.connect("timeout()", self._lookAgain)
        self.update_()

    def setScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        """Choose among the nodes of a scene."""
        self.root.setMRMLScene(scene)

    def setParameters(self, parameters: TrainingParameters | None) -> None:
        """Show a parameter set, and write the user's choices into it; None: show none."""
        before = self.panel.parameters
        if before is not None:
            before.disconnectGui(self._guiTag)
            before.RemoveObserver(self._observerTag)
            # Its set may be deleted, but not the training: the next one shows it.
            self._recalls = parameters is None and self.run.isRunning
        self.panel.parameters = parameters
        if parameters is not None:
            if self._recalls:
                recallRun(parameters)
                self._recalls = False
            self._guiTag = parameters.connectParametersToGui({"outlivesSlicer": self.ui.outlivesBox})
            self._observerTag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)
        self.update_()

    def enter(self) -> None:
        """The user opens the module: see which devices there are now."""
        self.panel.isEntered = True
        self.run.devices.ask()
        self.run.settings.tryAgain()
        self.update_()

    def exit(self) -> None:
        """The user opens another module; what is under way goes on, but leaves the views alone."""
        self.panel.isEntered = False

    def closeScene(self) -> None:
        """The scene is about to be closed: a training goes on, and the next parameter set shows it."""
        for section in (self.data, self.run, self.watch):
            section.stop()
        self.setParameters(None)

    def cleanUp(self) -> None:
        """The module or the application ends: leave no process behind, except for a training that is to go on."""
        for section in (self.data, self.run):
            section.stop()
        for section in (self.watch, self.use):
            section.close()
        self.setParameters(None)
        self.logic.close()

    def update_(self) -> None:
        """Bring all sections up to date."""
        self.run.follow()
        self.data.update()
        self.run.update()
        self.watch.update()
        self.use.update()
        self._problem = self._findProblem()
        if self._problem:
            self._timer.start()
        else:
            self._timer.stop()

    def _findProblem(self) -> str:
        return runProblem(self.panel.parameters) if self.panel.parameters is not None else ""

    def _lookAgain(self) -> None:
        if self._findProblem() != self._problem:
            self.update_()

    def _onModified(self, _caller: object = None, _event: str = "") -> None:
        self.update_()

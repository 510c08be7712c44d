"""The panel of the module: sections over one ``.ui`` file, and the parameters they show."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from .About import disclaimer
from .BatchSection import BatchSection
from .CompareSection import CompareSection
from .ComparisonViews import ComparisonViews
from .Dialogs import Dialogs
from .Logic import SegmentationLogic
from .ModelSection import ModelSection
from .Panel import DialogsProtocol, Panel, RequirementsProtocol
from .PanelWidget import PanelWidget
from .Parameters import MODULE_NAME, SEQUENCE_KEYS, SegmentationParameters, useKey
from .Requirements import Requirements
from .ResultSection import ResultSection
from .Runs import CompareRun, SegmentRun
from .SegmentSection import SegmentSection
from .SequencesSection import SequencesSection

UI_FILE = Path(__file__).parents[1] / "Resources" / "UI" / "LCKDSegmentation.ui"


class SegmentationWidget(PanelWidget):
    """The panel.

    :param logic: does the work; by default with the worker of this session
    :param dialogs: asks for files and confirmations
    :param requirements: installs what is missing
    """

    def __init__(
        self,
        logic: SegmentationLogic | None = None,
        dialogs: DialogsProtocol | None = None,
        requirements: RequirementsProtocol | None = None,
        parent: qt.QWidget | None = None,
    ) -> None:
        PanelWidget.__init__(self, UI_FILE, parent)
        self.logic = logic or SegmentationLogic()
        self.panel = Panel(self.ui, self.logic, dialogs or Dialogs(self), requirements or Requirements())
        self.panel.changed = self.update_
        self.ui.disclaimerLabel.text = f"<b>{disclaimer()}</b>"
        self.ui.parameterNodeSelector.addAttribute("vtkMRMLScriptedModuleNode", "ModuleName", MODULE_NAME)
        self.ui.parameterNodeSelector.setNodeTypeLabel(_("Parameter set"), "vtkMRMLScriptedModuleNode")
        self.ui.parameterNodeSelector.baseName = MODULE_NAME
        self.sequences = SequencesSection(self.panel)
        self.models = ModelSection(self.panel)
        self.segment = SegmentSection(self.panel, self.models.problem, self._takeSegmentation)
        self.result = ResultSection(self.panel)
        self.compare = CompareSection(self.panel, self.models.problem, self._takeComparison)
        self.views = ComparisonViews(self.panel, self.compare.message)
        self.batch = BatchSection(self.panel, self.models.problem)
        self._guiTag: int | None = None
        self._observerTag: int | None = None
        self.update_()

    def setScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        """Choose among the nodes of a scene."""
        self.root.setMRMLScene(scene)

    def setParameters(self, parameters: SegmentationParameters | None) -> None:
        """Show a parameter set, and write the user's choices into it; None: show none."""
        before = self.panel.parameters
        if before is not None:
            before.disconnectGui(self._guiTag)
            before.RemoveObserver(self._observerTag)
        isOther = before is None or parameters is None or before.parameterNode is not parameters.parameterNode
        self.panel.parameters = parameters
        if isOther:
            self.sequences.forget()
        if parameters is not None:
            self._guiTag = parameters.connectParametersToGui(self._widgetsByParameter())
            self._observerTag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)
        self.update_()

    def enter(self) -> None:
        """The user opens the module: see which devices and models there are now."""
        self.panel.isEntered = True
        self.models.readModels()
        self.models.devices.ask()
        self.update_()

    def exit(self) -> None:
        """The user opens another module; what is under way goes on, but leaves the views alone."""
        self.panel.isEntered = False

    def closeScene(self) -> None:
        """The scene is about to be closed: stop what belongs to it and leave nothing behind."""
        self.setParameters(None)
        self.logic.closeCase()
        self.segment.stop()
        self.compare.stop()
        self.panel.say("")
        self.compare.message.say("")
        self.update_()

    def cleanUp(self) -> None:
        """The module or the application ends: leave no process and no file behind."""
        self.setParameters(None)
        self.views.stopFollowing()
        self.models.close()
        self.batch.close()
        self.logic.close()
        self.segment.stop()
        self.compare.stop()
        self.update_()

    def update_(self) -> None:
        """Bring all sections up to date."""
        self.models.update()
        self.sequences.update(self.models.card)
        self.segment.update()
        self.result.update()
        self.compare.update()
        self.views.update()
        self.batch.update()

    def _widgetsByParameter(self) -> dict[str, qt.QWidget]:
        ui = self.ui
        inputs = {sequence: self.sequences.selector(sequence) for sequence in SEQUENCE_KEYS}
        uses = {useKey(sequence): getattr(ui, useKey(sequence)) for sequence in SEQUENCE_KEYS}
        return (
            inputs
            | uses
            | {
                "threads": ui.threadsBox,
                "mirror": ui.mirrorBox,
                "grid": ui.gridSelector,
                "segmentation": ui.resultSelector,
                "division": ui.divisionSelector,
                "rerun": ui.rerunSelector,
                "probabilities": ui.probabilitiesBox,
                "uncertainty": ui.uncertaintyBox,
                "reference": ui.referenceSelector,
            }
        )

    def _onModified(self, _caller: object = None, _event: str = "") -> None:
        self.update_()

    def _takeSegmentation(self, run: SegmentRun, parameters: SegmentationParameters) -> None:
        self.result.take(run, parameters)
        # The packages for it may have been installed for this run.
        self.models.devices.ask()

    def _takeComparison(self, run: CompareRun | None) -> None:
        self.views.take(run)

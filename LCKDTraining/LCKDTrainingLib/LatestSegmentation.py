"""How the newest state of a network that is being trained segments a case, beside the expert's label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from LCKDSegmentationLib import Views
from LCKDSegmentationLib.About import disclaimer
from LCKDSegmentationLib.Logic import SegmentationLogic
from LCKDSegmentationLib.Panel import Message
from LCKDSegmentationLib.Parameters import RunSettings
from LCKDSegmentationLib.ProgressDisplay import stageWords
from LCKDSegmentationLib.Terminology import REGIONS, labelsOf
from LCKDSegmentationLib.TumorSegments import isUnchanged, referenceVolume

from .CaseNodes import CaseNodes, labels, readCase
from .CheckpointWork import TemporaryModel
from .Wording import iterationsWords

if TYPE_CHECKING:
    from lckd.errors import LckdError
    from LCKDSegmentationLib.EngineCommand import EngineCommand
    from LCKDSegmentationLib.Runs import Run, SegmentRun

    from .TrainingPanel import TrainingPanel

#: Attribute of the newest segmentation of a case: the name of the case.
LATEST_ATTRIBUTE = "LCKD.LatestOf"


@dataclass(frozen=True)
class Wish:
    """What is to be segmented.

    :param run: folder of the run whose newest checkpoint segments
    :param facts: the case, as in ``panel.dataCases``
    :param subset: from which sequences (``flair+t1c``)
    """

    run: Path
    facts: Mapping[str, Any]
    subset: str


class LatestSegmentation:
    """Makes a model of the newest checkpoint, segments a case with it, and shows both segmentations side by side.

    The model and all files are gone afterwards; a segmentation of the same case takes the new result.

    :param message: takes what is to be said
    :param segmentation: segments; by default with the worker of this session
    """

    def __init__(self, panel: TrainingPanel, message: Message, segmentation: SegmentationLogic | None = None) -> None:
        self._panel = panel
        self._message = message
        self._segmentation = segmentation or SegmentationLogic()
        self._wish: Wish | None = None
        self._model: TemporaryModel | None = None
        self._command: EngineCommand | None = None
        self._run: SegmentRun | None = None
        self._case: CaseNodes | None = None
        #: The layout that is followed while the segmentations are side by side, with the observer.
        self._layout: tuple[slicer.vtkMRMLLayoutNode, int] | None = None
        #: Whether the user has gone to another layout since the segmentation was last asked for.
        self._isLeft = False

    @property
    def isRunning(self) -> bool:
        """Whether a segmentation is under way."""
        return self._wish is not None

    def comeBack(self) -> None:
        """Show the next segmentation beside its label, although the user has gone to another layout."""
        self._isLeft = False

    def start(self, wish: Wish) -> None:
        """Segment a case, while the application goes on.

        :raises LckdError: it cannot be started
        """
        self._model = TemporaryModel("latest")
        self._wish = wish
        self._message.say(_("A model is being made of the newest checkpoint…"))
        try:
            self._command = self._panel.logic.export(
                str(wish.run), str(self._model.path), lambda _event: None, self._takeModel, overwrite=True
            )
        except BaseException:
            self._leaveNothing()
            raise

    def cancel(self) -> None:
        """Stop what is under way."""
        if self._command is not None:
            self._command.cancel()
        elif self._run is not None:
            self._run.cancel()

    def stop(self) -> None:
        """End what is under way and leave no file behind; for the end of the scene and of the module."""
        command, self._wish = self._command, None
        if command is not None:
            command.cancel()
        self._leaveNothing()
        self._followLayout(None)

    def _takeModel(self, error: LckdError | None) -> None:
        self._command = None
        if self._wish is None:
            return
        self._goOn(self._segment, error)

    def _segment(self) -> None:
        wish, model = self._wish, self._model
        assert wish is not None
        assert model is not None
        case = readCase(slicer.mrmlScene, wish.facts, wish.subset.split("+"))
        parameters = self._panel.parameters
        device = parameters.device if parameters is not None else ""
        self._case = case
        self._run = self._segmentation.segment(
            case.volumes,
            RunSettings(model=str(model.path), device=device or "auto"),
            _formerSegmentation(case),
            waitForCompletion=False,
            onProgress=self._showProgress,
            onFinished=self._takeSegmentation,
        )

    def _showProgress(self, run: Run) -> None:
        words = _("The case is being segmented: {stage}, {percent} %")
        self._message.say(words.format(stage=stageWords(run.stage), percent=round(100 * run.fraction)))

    def _takeSegmentation(self, run: SegmentRun) -> None:
        from lckd.errors import CancelledError

        if self._wish is not None:
            self._goOn(lambda: self._conclude(run), CancelledError() if run.isCancelled else run.error)

    def _conclude(self, run: SegmentRun) -> None:
        model, case = self._model, self._case
        assert model is not None
        assert case is not None
        iterations = model.iterations()
        run.segmentation.SetAttribute(LATEST_ATTRIBUTE, case.name)
        self._leaveNothing()
        self._message.say(_wordsOf(run.segmentation, case, iterations))
        if self._panel.isEntered and not self._isLeft:
            self._showBesideLabel(run.segmentation, case, iterationsWords(iterations))
        self._panel.changed()

    def _goOn(self, action: Callable[[], None], error: LckdError | None) -> None:
        """Take the next step, or say why it ends here."""
        from lckd.errors import CancelledError, LckdError

        try:
            if error is None:
                action()
        except LckdError as refusal:
            error = refusal
        except BaseException:
            self._message.say("")
            self._leaveNothing()
            raise
        if isinstance(error, CancelledError):
            self._message.say(_("The segmentation was cancelled."))
        elif error is not None:
            self._message.sayError(error)
        if error is not None:
            self._leaveNothing()
            self._panel.changed()

    def _leaveNothing(self) -> None:
        """Nothing is under way any more, and no file is left; also the worker forgets the case."""
        self._segmentation.closeCase()
        if self._model is not None:
            self._model.dispose()
        self._wish = self._model = self._command = self._run = self._case = None

    def _showBesideLabel(self, segmentation: slicer.vtkMRMLSegmentationNode, case: CaseNodes, title: str) -> None:
        scene = segmentation.GetScene()
        layout = Views.layoutOf(scene)
        # What is looked at stays where it is when only the segmentation is another one.
        isMoving = self._layout is None or not _isShown(case.grid)
        if isMoving:
            # Also in the views of the other layouts: there nothing lies over another case when the user goes back.
            _showInAllViews(case.grid)
        Views.showSideBySide(layout, Views.TWO_UP_LAYOUT)
        Views.showAlone(segmentation)
        hideLabels(scene)
        sliceNodes = Views.comparisonSliceNodes(scene, 2)
        panels = [Views.Panel(case.grid, segmentation, title), Views.Panel(case.grid, case.label, _("Label"))]
        Views.showPanels(scene, sliceNodes, panels)
        self._followLayout(layout)
        if isMoving:
            center = Views.tumorCenter(case.label or segmentation)
            Views.jumpTo(Views.allSliceNodes(scene), center)
            # New views have no size before the event loop ran.
            qt.QTimer.singleShot(0, lambda: _fit(sliceNodes, center))

    def _followLayout(self, layout: slicer.vtkMRMLLayoutNode | None) -> None:
        if self._layout is not None:
            self._layout[0].RemoveObserver(self._layout[1])
        self._layout = None
        if layout is not None:
            self._layout = (layout, layout.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLayoutModified))

    def _onLayoutModified(self, layout: slicer.vtkMRMLLayoutNode, _event: str) -> None:
        """The user leaves the views side by side: one segmentation is shown in all views, and no label over it."""
        scene = layout.GetScene()
        if scene is None or scene.IsBatchProcessing() or Views.isSideBySide(layout):
            return
        self._isLeft = True
        self._followLayout(None)
        Views.leaveSideBySide(scene)
        hideLabels(scene)


def loadCase(panel: TrainingPanel, name: str) -> CaseNodes:
    """Show a case of ``panel.dataCases`` in the views, its label over it.

    :raises InputError: a file is missing or damaged
    """
    scene = slicer.mrmlScene
    case = readCase(scene, panel.dataCases[name])
    hideLabels(scene)
    _showInAllViews(case.grid)
    if case.label is not None:
        Views.showAlone(case.label)
        Views.jumpTo(Views.allSliceNodes(scene), Views.tumorCenter(case.label))
    return case


def hideLabels(scene: slicer.vtkMRMLScene) -> None:
    """Hide the labels of all cases: over another case or another segmentation they mislead."""
    for node in labels(scene):
        Views.showEverywhere(node)
        node.GetDisplayNode().SetVisibility(False)


def diceTo(
    label: slicer.vtkMRMLSegmentationNode,
    segmentation: slicer.vtkMRMLSegmentationNode,
    grid: slicer.vtkMRMLScalarVolumeNode,
) -> dict[str, float]:
    """Return the Dice of ET, TC and WT of a segmentation to a label on the voxels of a volume; 1 if both are empty."""
    import numpy as np
    from vtk.util.numpy_support import vtk_to_numpy

    from LCKDSegmentationLib.ReferenceExport import tissueLabels

    arrays = [vtk_to_numpy(tissueLabels(node, grid).GetPointData().GetScalars()) for node in (label, segmentation)]
    found = {}
    for region in REGIONS:
        first, second = (np.isin(array, labelsOf(region)) for array in arrays)
        total = np.count_nonzero(first) + np.count_nonzero(second)
        found[region] = 2.0 * np.count_nonzero(first & second) / total if total else 1.0
    return found


def _formerSegmentation(case: CaseNodes) -> slicer.vtkMRMLSegmentationNode | None:
    """The segmentation of this case that takes the new result, unless the user has changed it."""
    scene = case.grid.GetScene()
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
        isOfCase = node.GetAttribute(LATEST_ATTRIBUTE) == case.name and referenceVolume(node) is case.grid
        if isOfCase and isUnchanged(node):
            return node
    return None


def _wordsOf(segmentation: slicer.vtkMRMLSegmentationNode, case: CaseNodes, iterations: int) -> str:
    words = _("{case} after {iterations}.").format(case=case.name, iterations=iterationsWords(iterations))
    if case.label is None:
        return f"{words} {_('It has no label.')} {disclaimer()}"
    dice = diceTo(case.label, segmentation, case.grid)
    scores = ", ".join(f"{region} {value:.2f}" for region, value in dice.items())
    return f"{words} {_('Dice to the label: {scores}.').format(scores=scores)} {disclaimer()}"


def _showInAllViews(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume in the slice views of all layouts, as large as it can be."""
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetActiveVolumeID(volume.GetID())
    logic.PropagateBackgroundVolumeSelection(1)


def _isShown(volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether the first view for comparison shows a volume."""
    scene = volume.GetScene()
    shown = Views.comparisonSliceNodes(scene, 1)
    return bool(shown) and Views.compositeOf(scene, shown[0]).GetBackgroundVolumeID() == volume.GetID()


def _fit(sliceNodes: Sequence[slicer.vtkMRMLSliceNode], center: tuple[float, float, float] | None) -> None:
    """Show the whole image in each view, as large as it can be, at the tumor."""
    logic = slicer.app.applicationLogic().GetSliceLogic(sliceNodes[0])
    if logic is None or any(node.GetScene() is None for node in sliceNodes):
        return
    logic.FitSliceToBackground()
    Views.alignWithFirst(sliceNodes)
    Views.jumpTo(sliceNodes, center)

"""The module "Brain Tumor Segmentation (LCKD)" as Slicer finds it; LCKDSegmentationLib and lckd do its work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from LCKDSegmentationLib.About import CONTRIBUTORS, acknowledgement, helpText
from LCKDSegmentationLib.ModuleWidget import ModuleWidget

if TYPE_CHECKING:
    from LCKDSegmentationLib.Logic import SegmentationLogic
    from LCKDSegmentationLib.Parameters import SegmentationParameters
    from LCKDSegmentationLib.Runs import Run, SegmentRun
    from LCKDSegmentationLib.Widget import SegmentationWidget


class LCKDSegmentation(ScriptedLoadableModule):
    """Name, help and icon of the module."""

    def __init__(self, parent: slicer.qSlicerScriptedLoadableModule) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Brain Tumor Segmentation (LCKD)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = CONTRIBUTORS
        self.parent.helpText = helpText(
            _("Segments enhancing tumor, tumor core and whole tumor from any of FLAIR, T1, T1c and T2 that exist.")
        )
        self.parent.acknowledgementText = acknowledgement()
        slicer.app.connect("startupCompleted()", registerResources)


@functools.cache
def registerResources() -> None:
    """Offer the sample case, the terminology and the layouts, once all modules are there."""
    from LCKDSegmentationLib.OwnedNodes import followRemoval
    from LCKDSegmentationLib.SampleCase import registerSampleData
    from LCKDSegmentationLib.Terminology import loadTerminology
    from LCKDSegmentationLib.Views import registerLayouts

    followRemoval(slicer.mrmlScene)
    loadTerminology(slicer.modules.terminologies.logic())
    layoutNode = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layoutNode is not None:
        registerLayouts(layoutNode)
    if hasattr(slicer.modules, "sampledata"):
        registerSampleData()


class LCKDSegmentationWidget(ModuleWidget):
    """Puts the panel into Slicer, and keeps it with the scene."""

    reloaded = ("LCKDSegmentationLib", "lckd")

    def makeLogic(self) -> LCKDSegmentationLogic:
        """Return the module's logic."""
        return LCKDSegmentationLogic()

    def makePanel(self) -> SegmentationWidget:
        """Return the panel."""
        from LCKDSegmentationLib.Widget import SegmentationWidget

        return SegmentationWidget(self.logic.runner)

    def isUntouched(self, parameters: SegmentationParameters) -> bool:
        """Whether no volume is chosen."""
        from LCKDSegmentationLib.Parameters import chosenVolumes

        return not chosenVolumes(parameters)

    def setup(self) -> None:
        """Build the panel when the module is opened for the first time."""
        # The module may have been added to a running application.
        registerResources()
        ModuleWidget.setup(self)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)
        self.panel.views.followLayout(slicer.mrmlScene)

    def onSceneEndImport(self, caller: object = None, event: str = "") -> None:
        """A scene was loaded, with a layout."""
        self.panel.views.followLayout(slicer.mrmlScene)
        ModuleWidget.onSceneEndImport(self, caller, event)

    def onNodeRemoved(self, _caller: object = None, _event: str = "") -> None:
        """A volume may be gone; what was made from it is let go."""
        if not slicer.mrmlScene.IsClosing():
            self.logic.runner.forgetRemovedVolumes()


class LCKDSegmentationLogic(ScriptedLoadableModuleLogic):
    """For scripts: segments without any widget.

    Several parameter sets may be in a scene.
    """

    def __init__(self, runner: SegmentationLogic | None = None) -> None:
        from LCKDSegmentationLib.Logic import SegmentationLogic

        ScriptedLoadableModuleLogic.__init__(self)
        self.isSingletonParameterNode = False
        self.runner = runner or SegmentationLogic()

    def getParameterNode(self) -> SegmentationParameters:
        """Return the first parameter set of the scene; it is made if there is none."""
        return self.wrap(ScriptedLoadableModuleLogic.getParameterNode(self))

    @staticmethod
    def wrap(node: slicer.vtkMRMLScriptedModuleNode) -> SegmentationParameters:
        """Return the typed parameters that a node holds."""
        from LCKDSegmentationLib.Parameters import SegmentationParameters

        return SegmentationParameters(node)

    def segment(
        self,
        inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode | None],
        model: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        mirror: bool = False,
        grid: str | None = None,
        division: str = "tissues",
        probabilities: bool = False,
        uncertainty: bool = False,
        replaced: slicer.vtkMRMLSegmentationNode | None = None,
        waitForCompletion: bool = True,
        onProgress: Callable[[Run], None] | None = None,
        onFinished: Callable[[Run], None] | None = None,
    ) -> SegmentRun:
        """Segment the tumor from the volumes that there are. For research use only; not for clinical use.

        :param inputs: a volume for any of ``flair``, ``t1``, ``t1c``, ``t2``
        :param model: name or folder of a model; None: the embedded one
        :param device: auto, cpu, cuda, cuda:1 or mps
        :param threads: CPU threads; None: all
        :param mirror: average over mirrored copies
        :param grid: the sequence on whose voxels the segmentation lies; None: the first of T1c, FLAIR, T2, T1
        :param division: ``tissues`` (ET, NCR/NET, ED) or ``regions`` (ET, TC, WT, one in the other)
        :param probabilities: also make a volume with the probability of each region
        :param uncertainty: also make a volume that says where the model is unsure
        :param replaced: a segmentation of a former run that takes the new result; None: a new one is made
        :param waitForCompletion: return when the result is in the scene, else at once
        :param onProgress: is told of each step; `Run.fraction` and `Run.stage` say how far it is
        :param onFinished: is told of the end; `Run.error` says why there is no result
        :return: the run; ``run.segmentation`` is the segmentation, ``run.imported`` all that was made
        :raises LckdError: the inputs are refused; when waiting also whatever the run failed with
        """
        from LCKDSegmentationLib.Parameters import Division, RunSettings

        settings = RunSettings(model, device, threads, mirror, grid, Division(division), probabilities, uncertainty)
        return self.runner.segment(inputs, settings, replaced, waitForCompletion, onProgress, onFinished)


class LCKDSegmentationTest(ScriptedLoadableModuleTest):
    """Segments the sample case with the embedded model, run by ctest and by "Reload and Test"."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        for test in (self.test_segmentsTheSampleCase, self.test_panelShowsTheEmbeddedModel):
            self.setUp()
            test()

    def test_segmentsTheSampleCase(self) -> None:
        """The embedded model finds the tumor of the sample case, on the voxels of T1c; without T2 from the cache."""
        from LCKDSegmentationLib.Requirements import Requirements
        from LCKDSegmentationLib.SampleCase import loadSampleCase

        missing = [str(one) for one in Requirements().missing()]
        self.assertEqual(missing, [], "the packages that the worker needs are not installed")
        logic = LCKDSegmentationLogic()
        try:
            volumes = loadSampleCase(slicer.mrmlScene)
            run = logic.segment(volumes, device="cpu")
            self.checkSegmentation(run, volumes["t1c"])
            withoutT2 = {sequence: volume for sequence, volume in volumes.items() if sequence != "t2"}
            again = logic.segment(withoutT2, device="cpu")
            self.assertFalse(again.encoded, "the sequences were encoded twice")
            self.assertEqual(again.segmentation.GetAttribute("LCKD.Subset"), "flair+t1+t1c")
        finally:
            logic.runner.close()
        self.assertIsNone(logic.runner.case.path)

    def checkSegmentation(self, run: SegmentRun, grid: slicer.vtkMRMLScalarVolumeNode) -> None:
        """The segmentation has its three segments, a plausible volume, and the geometry of its volume."""
        node = run.segmentation
        segmentation = node.GetSegmentation()
        self.assertEqual([segmentation.GetNthSegmentID(index) for index in range(3)], ["ET", "NCR", "ED"])
        table = run.imported.volumes
        volumes = {table.GetCellText(row, 0): float(table.GetCellText(row, 2)) for row in range(5)}
        self.assertGreater(volumes["WT"], 5.0)
        self.assertLess(volumes["WT"], 400.0)
        self.assertAlmostEqual(volumes["WT"], volumes["ET"] + volumes["NCR"] + volumes["ED"], places=2)
        reference = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
        self.assertIs(reference, grid)

    def test_panelShowsTheEmbeddedModel(self) -> None:
        """The embedded model is there, and the panel says what to expect from the sequences that are chosen."""
        from LCKDSegmentationLib.SampleCase import loadSampleCase
        from LCKDSegmentationLib.Widget import SegmentationWidget

        logic = LCKDSegmentationLogic()
        panel = SegmentationWidget(logic.runner)
        panel.setScene(slicer.mrmlScene)
        try:
            panel.setParameters(logic.getParameterNode())
            volumes = loadSampleCase(slicer.mrmlScene)
            panel.ui.detectButton.click()
            for sequence, volume in volumes.items():
                self.assertIs(getattr(panel.panel.parameters, sequence), volume)
            self.assertRegex(panel.ui.expectationLabel.text, r"ET 0\.\d\d, TC 0\.\d\d, WT 0\.\d\d")
            self.assertTrue(panel.ui.segmentButton.enabled)
        finally:
            panel.cleanUp()
            panel.setParent(None)
            panel.deleteLater()

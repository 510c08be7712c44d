"""The module "Brain Tumor Segmentation (LCKD)" as Slicer finds it; LCKDSegmentationLib and lckd do its work."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

from LCKDSegmentationLib.About import CONTRIBUTORS, acknowledgement, helpText


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


class LCKDSegmentationWidget(ScriptedLoadableModuleWidget):
    """Puts the panel into Slicer."""

    def setup(self) -> None:
        """Build the panel when the module is opened for the first time."""
        from LCKDSegmentationLib.Widget import SegmentationWidget

        ScriptedLoadableModuleWidget.setup(self)
        self.panel = SegmentationWidget()
        self.layout.addWidget(self.panel)
        self.layout.addStretch(1)


class LCKDSegmentationTest(ScriptedLoadableModuleTest):
    """Checks of what the module shows, run by ctest and by "Reload and Test"."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_panelShowsTheEmbeddedModel()

    def test_panelShowsTheEmbeddedModel(self) -> None:
        """The embedded model is there, and the panel has its expected Dice for each of the 15 subsets."""
        from LCKDSegmentationLib.Widget import SegmentationWidget

        panel = SegmentationWidget()
        self.assertGreater(panel.modelSelector.count, 0, "no model came with the extension")
        self.assertEqual(panel.diceTable.rowCount, 15)
        self.assertRegex(panel.diceTable.item(0, 3).text(), r"^[01]\.\d\d$")
        panel.deleteLater()
        slicer.app.processEvents()

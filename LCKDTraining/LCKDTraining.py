"""The module "Brain Tumor Training (LCKD)" as Slicer finds it; LCKDTrainingLib and lckd_training do its work."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

from LCKDSegmentationLib.About import CONTRIBUTORS, acknowledgement, helpText


class LCKDTraining(ScriptedLoadableModule):
    """Name, help and icon of the module."""

    def __init__(self, parent: slicer.qSlicerScriptedLoadableModule) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Brain Tumor Training (LCKD)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["LCKDSegmentation"]
        self.parent.contributors = CONTRIBUTORS
        self.parent.helpText = helpText(
            _("Shows how models for Brain Tumor Segmentation (LCKD) are trained, and watches a training run.")
        )
        self.parent.acknowledgementText = acknowledgement()


class LCKDTrainingWidget(ScriptedLoadableModuleWidget):
    """Puts the panel into Slicer."""

    def setup(self) -> None:
        """Build the panel when the module is opened for the first time."""
        from LCKDTrainingLib.Widget import TrainingWidget

        ScriptedLoadableModuleWidget.setup(self)
        self.panel = TrainingWidget()
        self.layout.addWidget(self.panel)
        self.layout.addStretch(1)


class LCKDTrainingTest(ScriptedLoadableModuleTest):
    """Checks of what the module shows, run by ctest and by "Reload and Test"."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_panelShowsARun()

    def test_panelShowsARun(self) -> None:
        """A run folder that is chosen fills the tables of steps and teachers."""
        from LCKDTrainingLib.RunEvents import EVENTS_FILE
        from LCKDTrainingLib.Widget import TrainingWidget

        events = [
            {"event": "step", "iteration": 7, "loss": 0.5, "lr": 0.001, "present": ["flair", "t1c"]},
            {"event": "election", "iteration": 7, "dice": {"t1c": {"ET": 0.75}}, "teachers": {"ET": "t1c"}},
        ]
        with tempfile.TemporaryDirectory() as folder:
            lines = "".join(json.dumps(event) + "\n" for event in events)
            (Path(folder) / EVENTS_FILE).write_text(lines, encoding="utf-8")
            panel = TrainingWidget()
            panel.runFolder.currentPath = folder
        self.assertEqual(panel.stepTable.item(0, 1).text(), "flair+t1c")
        self.assertEqual(panel.teacherTable.item(0, 1).text(), "t1c")
        panel.deleteLater()
        slicer.app.processEvents()

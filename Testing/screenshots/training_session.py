"""A session of the training module without Slicer's desktop: its panel, and real trainings of small phantoms."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import chart_picture
import numpy as np
import session
from panel_session import PanelSession, application, environment
from sheets import Tile
from slice_views import SliceViews

#: The folder of the cases, and where runs are; relative, so that pictures show no path of this computer.
DATA, RUNS = "BraTS-phantoms", "finished"
CASES, SCALE = 8, 0.4
#: The case whose file is cut short, as by a download that broke off.
DAMAGED = ("phantom-0002", "t1c")
#: Slice views by layout name, with orientation and size in pixels: those of a case, and those that compare.
CASE_VIEWS = {"Axial": ("Axial", (440, 198)), "Coronal": ("Coronal", (440, 198))}
COMPARED = dict.fromkeys(("LCKD1", "LCKD2"), ("Axial", (206, 250)))
#: Width of what they show, in mm.
CASE_WIDTH, COMPARED_WIDTH = 130.0, 84.0


class TrainingSession(PanelSession):
    """The panel of the module that trains."""

    def __init__(self) -> None:
        app = application()
        import slicer
        from panel_parts import FakeDialogs, FakeRequirements, make_python_slicer, small_volume

        from LCKDTrainingLib.Parameters import MODULE_NAME, TrainingParameters
        from LCKDTrainingLib.Widget import TrainingWidget

        self.scene = slicer.mrmlScene
        self._views = SliceViews(app._core, CASE_VIEWS | COMPARED, small_volume(self.scene, "empty"))
        # Found there by all that runs in a process of its own.
        program = make_python_slicer(Path(slicer.app.temporaryPath))
        os.environ["PATH"] = os.pathsep.join([str(program.parent), os.environ["PATH"]])
        widget = TrainingWidget(dialogs=FakeDialogs(), requirements=FakeRequirements())
        super().__init__(widget, MODULE_NAME, TrainingParameters, ("data", "run", "watch", "use"))
        self.parameters = widget.panel.parameters

    def check(self) -> None:
        """Choose the cases and press *Check the data*."""
        self.parameters.data = DATA
        self.press(self.ui.checkButton, lambda: self.widget.data.isRunning)

    def choose(self, preset: str, runFolder: str, settings: Mapping[str, str]) -> None:
        """Choose a preset and a run folder, and type settings, those in the table as well as those above it."""
        self.parameters.runFolder, self.parameters.device = runFolder, "cpu"
        selector = self.ui.presetSelector
        selector.setCurrentIndex(selector.findData(preset))
        selector.activated.emit(selector.currentIndex)
        self.wait(lambda: bool(self.widget.run.settings.settings))
        for name, text in settings.items():
            self._type(name, text)

    def _type(self, name: str, text: str) -> None:
        edits = {"iterations": "iterationsEdit", "patch": "patchEdit", "learning_rate": "learningRateEdit"}
        if name in edits:
            edit = getattr(self.ui, edits[name])
            edit.text = text
            edit.editingFinished.emit()
        else:
            self.ui.settingsTable.item(self._row(name), 1).setText(text)

    def _row(self, setting: str) -> int:
        """Where a setting is in the table of all others."""
        from LCKDTrainingLib.SettingsTable import titleOf

        table = self.ui.settingsTable
        return next(row for row in range(table.rowCount) if table.item(row, 0).text() == titleOf(setting))

    def slices(self, names: Iterable[str], width: float) -> list[Tile]:
        """Pictures of slice views that show so many mm, with what stands in their corners."""
        nodes = [self.scene.GetNodeByID(f"vtkMRMLSliceNode{name}") for name in names]
        captions = [node.GetLayoutLabel() or node.GetOrientation() for node in nodes]
        return [Tile(*pair) for pair in zip(self._views.pictures(names, width), captions, strict=True)]

    def chart(self, size: tuple[int, int]) -> np.ndarray:
        """A picture of the chart that is shown."""
        return chart_picture.draw(self.scene.GetFirstNodeByClass("vtkMRMLPlotViewNode").GetPlotChartNode(), size)

    def other_settings(self, find: str, chosen: str) -> np.ndarray:
        """The section of all other settings, of which those are shown that contain some letters, and one is chosen."""
        self.open("run")
        self.ui.settingsSection.collapsed, self.ui.settingsFilterEdit.text = False, find
        self.ui.settingsTable.selectRow(self._row(chosen))
        picture = self._grab(self.ui.settingsSection)
        self.ui.settingsSection.collapsed, self.ui.settingsFilterEdit.text = True, ""
        return picture

    def segmentation_model(self, name: str) -> np.ndarray:
        """Press *Use in LCKD Segmentation*, and the section of that module in which the model is chosen then."""
        import slicer

        opened: list[PanelSession] = []

        def select(_module: str) -> None:
            opened.append(PanelSession(*session.segmentation_panel()))
            slicer.modules.LCKDSegmentationWidget = SimpleNamespace(panel=opened[0].widget)

        with patch.object(slicer.util, "selectModule", select):
            self.ui.useButton.click()
            self.wait(lambda: bool(opened) and opened[0].widget.panel.parameters.model == name)
        try:
            return opened[0].section("model")
        finally:
            opened[0].widget.cleanUp()


def make_cases(folder: Path) -> None:
    """Make labeled phantoms, of which one is damaged, unless they are there."""
    if folder.is_dir():
        return
    options = ["--count", str(CASES), "--scale", str(SCALE), "--separable"]
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        made = Path(unfinished, folder.name)
        command = [sys.executable, "-m", "lckd", "data", "phantom", "-o", str(made), *options]
        subprocess.run(command, check=True, env=environment())
        case, sequence = DAMAGED
        file = made / case / f"{case}-{sequence}.nii.gz"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        made.rename(folder)


@contextmanager
def opened(folder: Path | None) -> Iterator[TrainingSession]:
    """A session that works in a folder, by default one that is gone afterwards, as its processes are."""
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        stack.callback(os.chdir, Path.cwd())
        os.chdir(folder)
        models = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(patch.dict(os.environ, {"LCKD_MODELS": models}))
        make_cases(Path(DATA).absolute())
        made = TrainingSession()
        from LCKDSegmentationLib.WorkerClient import shutdownSharedWorkerClient

        stack.callback(shutdownSharedWorkerClient)
        stack.callback(made.widget.cleanUp)
        yield made

"""A session of the module without Slicer's desktop: its panel with real Qt widgets, real views, the real worker.

The panel is that of the extension, from its ``.ui`` file; views are Slicer's own displayable managers, rendered
offscreen. Around them, `stand_ins` takes the place of the application.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

TESTING = Path(__file__).parents[1]
MODULE = TESTING.parent / "LCKDSegmentation"
sys.path[:0] = map(str, (MODULE, TESTING, TESTING / "slicer_gui", TESTING / "slicer_scene"))

#: Size (width, height) of views, in pixels.
LARGE, SMALL = (440, 420), (440, 318)
#: Width of what slice views show, in mm.
FIELD_OF_VIEW = 150.0
PANEL_WIDTH = 440
PATIENCE = 600.0
#: Slice views by layout name. Those of Slicer's standard layout (Red, …) belong to the stand-in of its layout manager.
SLICES = {name: name for name in ("Axial", "Sagittal", "Coronal")}
COMPARED = {"LCKD1": "Axial", "LCKD2": "Axial"}
#: So long the panel lives before its picture is taken, in seconds.
SETTLING = 0.3


class Session:
    """The sample case in a scene with its views, and the panel.

    Attributes:
        widget: the panel.
        volumes: the volumes of the sample case by sequence.
    """

    def __init__(self) -> None:
        import stand_ins

        app = stand_ins.install()
        _style(app)
        import slicer
        import slicer.i18n  # before real_scene brings its own
        from panel_parts import FakeDialogs, FakeRequirements, real_client
        from real_scene import slice_view, threed_view
        from trame_slicer.views import DirectViewFactory

        from LCKDSegmentationLib.Logic import SegmentationLogic
        from LCKDSegmentationLib.Parameters import MODULE_NAME, SegmentationParameters
        from LCKDSegmentationLib.SampleCase import loadSampleCase
        from LCKDSegmentationLib.Widget import SegmentationWidget

        self.scene = slicer.mrmlScene
        core = app._core
        core.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
        self.volumes = loadSampleCase(self.scene)
        grid = self.volumes["t1c"]
        self._views = {name: slice_view(core, name, kind, LARGE, grid) for name, kind in SLICES.items()}
        self._views |= {name: slice_view(core, name, kind, SMALL, grid) for name, kind in COMPARED.items()}
        self._space = threed_view(core, LARGE)
        self.widget = SegmentationWidget(SegmentationLogic(real_client()), FakeDialogs(), FakeRequirements())
        self.widget.setScene(self.scene)
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetName("LCKDSegmentation")
        node.SetAttribute("ModuleName", MODULE_NAME)
        self.scene.AddNode(node)
        self.widget.setParameters(SegmentationParameters(node))
        self.widget.ui.parameterNodeSelector.setCurrentNode(node)
        self.widget.show()
        self.widget.enter()
        self.wait(lambda: self.ui.deviceSelector.findData("cpu") > 0 and "CPU" in self.ui.deviceLabel.text)

    @property
    def ui(self) -> Any:
        """The widgets of the panel."""
        return self.widget.ui

    def wait(self, isDone: Callable[[], bool]) -> None:
        """Let the application live until a condition holds."""
        import qt

        until = time.monotonic() + PATIENCE
        while not isDone():
            if time.monotonic() > until:
                raise TimeoutError(f"Not done within {PATIENCE:.0f} s")
            qt.QCoreApplication.processEvents(qt.QEventLoop.AllEvents, 50)

    def press(self, button: Any, isRunning: Callable[[], bool]) -> None:
        """Press a button and wait until its work is done."""
        button.click()
        if not isRunning():
            raise RuntimeError(f"{button.text} did nothing: {button.toolTip} {self.ui.messageLabel.text}")
        self.wait(lambda: not isRunning())

    def panel(self, *sections: str) -> np.ndarray:
        """A picture of the panel with these sections open: colors (height, width, 3)."""
        for name in ("sequences", "model", "result", "compare", "batch"):
            getattr(self.ui, f"{name}Section").collapsed = name not in sections
        return self._grab(self.widget)

    def section(self, name: str) -> np.ndarray:
        """A picture of one section of the panel."""
        self.panel(name)
        return self._grab(getattr(self.ui, f"{name}Section"))

    def _grab(self, part: Any) -> np.ndarray:
        """What a part of the panel shows, the panel being as wide as in Slicer and as high as it needs."""
        import qt

        for _again in range(3):
            self.widget.resize(PANEL_WIDTH, max(1, self.widget.layout().heightForWidth(PANEL_WIDTH)))
            settled = time.monotonic() + SETTLING
            self.wait(lambda settled=settled: time.monotonic() > settled)
        image = part.grab().toImage().convertToFormat(qt.QImage.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        return _without_empty_end(rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3))

    def slices(self, names: Iterable[str] = SLICES) -> list[np.ndarray]:
        """Pictures of slice views, zoomed alike."""
        from real_scene import picture

        for name in names:
            node = self.scene.GetNodeByID(f"vtkMRMLSliceNode{name}")
            width, height = self._views[name].render_window().GetSize()
            node.SetFieldOfView(FIELD_OF_VIEW, FIELD_OF_VIEW * height / width, node.GetFieldOfView()[2])
        return [picture(self._views[name]).copy() for name in names]

    def space(self) -> np.ndarray:
        """A picture of the 3-D view."""
        from real_scene import picture

        self._space.reset_view()
        return picture(self._space).copy()


@contextmanager
def opened() -> Iterator[Session]:
    """A session, whose worker and files are gone afterwards."""
    session = Session()
    try:
        yield session
    finally:
        session.widget.cleanUp()


def environment() -> dict[str, str]:
    """The environment in which ``python -m lckd`` works."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(MODULE), os.environ.get("PYTHONPATH", "")])}


def _without_empty_end(picture: np.ndarray) -> np.ndarray:
    """Cut off the rows at the bottom that show nothing."""
    last = np.flatnonzero((picture != picture[-1, 0]).any(axis=(1, 2)))[-1]
    return picture[: last + 8].copy()


def _style(app: Any) -> None:
    """The same look on every computer, with a font that has all letters in use."""
    import qt

    app.setStyle("Fusion")
    app.setPalette(app.style().standardPalette())
    app.setFont(qt.QFont("DejaVu Sans", 9))
    if qt.QFontInfo(app.font()).family() != "DejaVu Sans":
        raise RuntimeError("Install the font DejaVu Sans (Debian: fonts-dejavu-core)")

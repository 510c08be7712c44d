"""A panel without Slicer's desktop: real Qt widgets from its ``.ui`` file, at work and in pictures.

Around it, `stand_ins` takes the place of the application.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TESTING = Path(__file__).parents[1]
MODULES = [TESTING.parent / name for name in ("LCKDSegmentation", "LCKDTraining")]
sys.path[:0] = map(str, (*MODULES, TESTING, TESTING / "slicer_gui", TESTING / "slicer_scene"))

PANEL_WIDTH = 440
PATIENCE = 600.0
#: So long the panel lives before its picture is taken, in seconds.
SETTLING = 0.3


class PanelSession:
    """A panel that is open in its module.

    :param widget: the panel
    :param module: name of the module
    :param parameters: the class of its parameter sets
    :param sections: the names of its sections

    Attributes:
        widget: the panel.
        ui: its widgets.
    """

    def __init__(self, widget: Any, module: str, parameters: type, sections: Sequence[str]) -> None:
        import slicer

        self.widget, self.ui = widget, widget.ui
        self._sections = sections
        widget.setScene(slicer.mrmlScene)
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetName(module)
        node.SetAttribute("ModuleName", module)
        slicer.mrmlScene.AddNode(node)
        widget.setParameters(parameters(node))
        self.ui.parameterNodeSelector.setCurrentNode(node)
        widget.show()
        widget.enter()
        self.wait(lambda: self.ui.deviceSelector.findData("cpu") > 0 and "CPU" in self.ui.deviceLabel.text)

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
        self.open(*sections)
        return self._grab(self.widget)

    def section(self, name: str) -> np.ndarray:
        """A picture of one section of the panel."""
        self.open(name)
        return self._grab(getattr(self.ui, f"{name}Section"))

    def open(self, *sections: str) -> None:
        """Open these sections and close all others."""
        for name in self._sections:
            getattr(self.ui, f"{name}Section").collapsed = name not in sections

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


def application() -> Any:
    """``slicer.app``, which looks the same on every computer, with a font that has all letters in use."""
    import stand_ins

    app = stand_ins.install()
    import qt

    app.setStyle("Fusion")
    app.setPalette(app.style().standardPalette())
    app.setFont(qt.QFont("DejaVu Sans", 9))
    if qt.QFontInfo(app.font()).family() != "DejaVu Sans":
        raise RuntimeError("Install the font DejaVu Sans (Debian: fonts-dejavu-core)")
    return app


def environment() -> dict[str, str]:
    """The environment in which ``python -m lckd`` works."""
    paths = [*map(str, MODULES), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _without_empty_end(picture: np.ndarray) -> np.ndarray:
    """Cut off the rows at the bottom that show nothing."""
    last = np.flatnonzero((picture != picture[-1, 0]).any(axis=(1, 2)))[-1]
    return picture[: last + 8].copy()

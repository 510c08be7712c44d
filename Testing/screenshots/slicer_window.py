"""The picture of Slicer's own window in the README: the module with its result on the sample case.

    Slicer --python-script Testing/screenshots/slicer_window.py

Needs a Slicer in which the extension and the Python packages that it asks for are installed. Slicer ends by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import qt
import slicer

PICTURE = Path(__file__).parents[2] / "Resources" / "Screenshots" / "slicer.png"
WIDTH, HEIGHT, PANEL_WIDTH = 1280, 940, 420
PATIENCE_S = 600.0


def main() -> None:
    """Segment the sample case and write the picture."""
    from SampleData import SampleDataLogic

    from LCKDSegmentationLib.SampleCase import SAMPLE_NAME

    window = slicer.util.mainWindow()
    window.showNormal()
    window.resize(WIDTH, HEIGHT)
    (panel,) = slicer.util.findChildren(window, "PanelDockWidget")
    window.resizeDocks([panel], [PANEL_WIDTH], qt.Qt.Horizontal)
    slicer.util.setPythonConsoleVisible(False)
    for probe in slicer.util.findChildren(panel, "DataProbeCollapsibleWidget"):
        probe.visible = False
    SampleDataLogic().downloadSamples(SAMPLE_NAME)
    slicer.util.selectModule("LCKDSegmentation")
    ui = slicer.modules.LCKDSegmentationWidget.panel.ui
    ui.detectButton.click()
    ui.modelSection.collapsed = True
    ui.segmentButton.click()
    _wait(lambda: ui.volumesTable.visible and ui.show3DBox.enabled)
    ui.show3DBox.setChecked(True)
    for number in range(slicer.app.layoutManager().threeDViewCount):
        view = slicer.app.layoutManager().threeDWidget(number).threeDView()
        view.mrmlViewNode().SetBoxVisible(False)
        view.mrmlViewNode().SetAxisLabelsVisible(False)
        view.resetCamera()
    for _ in range(20):
        slicer.app.processEvents()
        time.sleep(0.1)
    window.grab().save(str(PICTURE))
    _reduce(PICTURE)


def _reduce(picture: Path) -> None:
    """Keep the file small, in fewer colors."""
    from PIL import Image

    with Image.open(picture) as image:
        reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(picture, optimize=True)


def _wait(isDone: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not isDone():
        if time.monotonic() > deadline:
            raise TimeoutError("the segmentation has not come to its end")
        slicer.app.processEvents()
        time.sleep(0.02)


def mainAndExit() -> None:
    """End Slicer whatever happened, with an exit status that tells."""
    try:
        main()
    except BaseException:
        slicer.util.exit(1)
        raise
    slicer.util.exit(0)


# Not before the window is laid out.
qt.QTimer.singleShot(3000, mainAndExit)

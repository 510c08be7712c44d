"""The pictures of the README: the module at work on its sample case, with the embedded model.

    python Testing/screenshots/make_screenshots.py [-o FOLDER] [--only NAME]

Makes ``screenshot`` (panel and views), ``missing`` (the panel when T1c is missing), ``compare`` (subsets compared),
``importance`` (a chart; of the comparison, so after that) and ``demo`` (the picture of ``lckd demo``) as PNG files.
Takes two minutes on two CPU cores. Panel, views, segmentation and numbers are real; Slicer's desktop
around them is not there, which is said in each picture.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import chart_picture
import numpy as np
import session
import sheets
from panel_session import environment
from PIL import Image
from sheets import Tile

ROOT = Path(__file__).parents[2]
NOTE = (
    "Synthetic sample case, embedded model. Drawn without Slicer's window, where details look different."
    " For research use only."
)
#: In the order in which the comparison lists them.
SIDE_BY_SIDE = ("FLAIR, T2", "FLAIR, T1, T1c, T2")


def main() -> None:
    """Write the pictures."""
    pictures = {"screenshot": segmented, "missing": missing, "compare": compared, "importance": charted}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = ROOT / "Resources" / "Screenshots"
    parser.add_argument("-o", "--output", type=Path, default=folder, help="folder of the pictures")
    parser.add_argument("--only", choices=["screenshot", "missing", "compare", "demo"], help="one picture")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.only in (None, "demo"):
        print(demonstrated(options.output), flush=True)
    if options.only == "demo":
        return
    with session.opened() as made:
        # The panel shows what Detect has found in all pictures.
        made.ui.detectButton.click()
        for name in [options.only] if options.only else pictures:
            print(pictures[name](made, options.output), flush=True)


def demonstrated(output: Path) -> Path:
    """The picture that ``lckd demo`` writes, in fewer colors."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "demo")
        subprocess.run([sys.executable, "-m", "lckd", "demo", "-o", str(result)], check=True, env=environment())
        preview = np.asarray(Image.open(result / "preview.png").convert("RGB"))
        return sheets.save(output / "demo.png", preview)


def segmented(made: session.Session, output: Path) -> Path:
    """*Segment* pressed: the panel beside three slice views and the surfaces."""
    made.press(made.ui.segmentButton, lambda: made.widget.segment.isRunning)
    made.ui.show3DBox.checked = True
    panel = made.panel("sequences", "result")
    axial, sagittal, coronal = (Tile(*pair) for pair in zip(made.slices(), session.SLICES, strict=True))
    views = sheets.column(sheets.row(axial, Tile(made.space(), "3-D")), sheets.row(coronal, sagittal))
    return sheets.save(output / "screenshot.png", sheets.row(panel, views), NOTE)


def missing(made: session.Session, output: Path) -> Path:
    """What the panel says when T1c is not in use, with the models and devices there are."""
    made.ui.useT1c.checked = False
    made.ui.useT1.checked = False
    parts = [made.section("sequences"), made.section("model")]
    made.ui.useT1c.checked = made.ui.useT1.checked = True
    return sheets.save(output / "missing.png", sheets.row(*parts), NOTE)


def compared(made: session.Session, output: Path) -> Path:
    """*Compare* pressed, and the results of two subsets side by side."""
    import qt

    made.press(made.ui.compareButton, lambda: made.widget.compare.isRunning)
    table = made.ui.compareTable
    table.clearSelection()
    for title in SIDE_BY_SIDE:
        row = next(row for row in range(table.rowCount) if table.item(row, 0).text() == title)
        table.setRangeSelected(qt.QTableWidgetSelectionRange(row, 0, row, table.columnCount - 1), True)
    table.scrollToBottom()
    made.ui.twoUpButton.click()
    views = [Tile(*pair) for pair in zip(made.slices(session.COMPARED), SIDE_BY_SIDE, strict=True)]
    return sheets.save(output / "compare.png", sheets.row(made.section("compare"), sheets.column(*views)), NOTE)


def charted(made: session.Session, output: Path) -> Path:
    """*Chart of importance* pressed."""
    made.ui.importanceChartButton.click()
    shown = made.scene.GetFirstNodeByClass("vtkMRMLPlotViewNode").GetPlotChartNode()
    return sheets.save(output / "importance.png", chart_picture.draw(shown), NOTE)


if __name__ == "__main__":
    main()

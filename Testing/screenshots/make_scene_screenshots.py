"""Pictures for the README with real slice views: Slicer's own displayable managers, rendered offscreen.

    python Testing/screenshots/make_scene_screenshots.py -o FOLDER

Writes ``scene-tissues.png`` (three slice views and 3-D) and ``scene-compare.png`` (two linked views). The reference
labels of the sample case stand for the result, so that no model and no network is needed; the pictures say so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "LCKDSegmentation"), str(ROOT / "Testing" / "slicer_scene")]

PANEL = (480, 420)
GAP = 6
CAPTION_HEIGHT = 34
SAMPLE = {"t1c": "t1c", "flair": "t2f"}
VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
#: Width of what slice views show, in mm.
FIELD_OF_VIEW = 150.0


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the pictures")
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for path in make_pictures(Path(temporary), output):
            print(path)


def make_pictures(work: Path, output: Path) -> list[Path]:
    """Bring the sample case into a scene, look at it, and save what is seen."""
    import SimpleITK as sitk
    from real_scene import picture, slice_view, start_application, threed_view

    from LCKDSegmentationLib.SceneExport import writeJob
    from LCKDSegmentationLib.SceneImport import importResult
    from LCKDSegmentationLib.SegmentationNodes import showSurface
    from LCKDSegmentationLib.Views import jumpToTumor

    application = start_application()
    inputs = {name: load_volume(application.scene, name, file) for name, file in SAMPLE.items()}
    views = {name: slice_view(application, name, kind, PANEL, inputs["t1c"]) for name, kind in VIEWS.items()}
    space = threed_view(application, PANEL)
    job = writeJob(work / "job", inputs, {"grid": "t1c"}).parent
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(sample_file("seg"))))
    full = importResult(application.scene, write_result(work, labels, ["flair", "t1c"], job), inputs)
    nodes = [application.scene.GetNodeByID(f"vtkMRMLSliceNode{name}") for name in VIEWS]
    jumpToTumor(nodes, full.segmentation)
    zoom(nodes)
    showSurface(full.segmentation)
    space.reset_view()
    panels = [picture(view) for view in (*views.values(), space)]
    captions = [*(f"{kind}, T1c" for kind in VIEWS.values()), "3-D"]
    first = save(output / "scene-tissues.png", panels, captions, columns=2)
    return [first, compare(application, views, inputs, full, output)]


def compare(application: Any, views: dict[str, Any], inputs: dict[str, Any], full: Any, output: Path) -> Path:
    """Show the segmentation on T1c and on FLAIR, in linked views."""
    from real_scene import picture

    from LCKDSegmentationLib.Views import Panel, showPanels

    nodes = [application.scene.GetNodeByID(f"vtkMRMLSliceNode{name}") for name in list(VIEWS)[:2]]
    showPanels(
        application.scene,
        nodes,
        [Panel(inputs["t1c"], full.segmentation, "T1c"), Panel(inputs["flair"], full.segmentation, "FLAIR")],
    )
    panels = [picture(view) for view in list(views.values())[:2]]
    return save(output / "scene-compare.png", panels, ["T1c", "FLAIR, linked"], columns=2)


def sample_file(name: str) -> Path:
    """A file of the sample case."""
    return ROOT / "Resources" / "SampleCase" / f"sample-{name}.nii.gz"


def load_volume(scene: Any, sequence: str, file: str) -> Any:
    """Load a file as Slicer does, through a storage node."""
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"Sample {sequence}")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(sample_file(file)))
    if not storage.ReadData(node):
        raise RuntimeError(f"{sample_file(file)} cannot be read")
    node.CreateDefaultDisplayNodes()
    return node


def write_result(work: Path, labels: np.ndarray, present: list[str], job: Path) -> Path:
    """Write labels as if a run had made them."""
    import SimpleITK as sitk

    folder = work / "results" / "+".join(present)
    folder.mkdir(parents=True)
    image = sitk.GetImageFromArray(on_grid(labels, job / "t1c.nrrd"))
    image.CopyInformation(sitk.ReadImage(str(job / "t1c.nrrd")))
    sitk.WriteImage(image, str(folder / "segmentation.nrrd"))
    report = {
        "grid": "t1c",
        "present": present,
        "imputed": [name for name in ("flair", "t1", "t1c", "t2") if name not in present],
        "model": {"name": "reference labels", "sha256": "none"},
        "warnings": [],
    }
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def on_grid(labels: np.ndarray, like: Path) -> np.ndarray:
    """The labels on the voxels of the exported volume, whose axes Slicer may have turned round when it loaded them."""
    import SimpleITK as sitk

    original = sitk.ReadImage(str(sample_file("seg")))
    moved = sitk.Resample(original, sitk.ReadImage(str(like)), sitk.Transform(), sitk.sitkNearestNeighbor)
    array = sitk.GetArrayFromImage(moved)
    if np.count_nonzero(array) != np.count_nonzero(labels):
        raise RuntimeError("The reference labels do not lie on the voxels of the image")
    return array


def zoom(nodes: list[Any]) -> None:
    """Let slice views show the same width around their center."""
    for node in nodes:
        node.SetFieldOfView(FIELD_OF_VIEW, FIELD_OF_VIEW * PANEL[1] / PANEL[0], node.GetFieldOfView()[2])


def save(path: Path, panels: list[np.ndarray], captions: list[str], columns: int) -> Path:
    """Tile panels with their captions and a last line that says what it is."""
    from PIL import Image, ImageDraw, ImageFont

    from lckd.report import DISCLAIMER

    rows = -(-len(panels) // columns)
    width = columns * PANEL[0] + (columns - 1) * GAP
    height = rows * (PANEL[1] + CAPTION_HEIGHT) + CAPTION_HEIGHT
    sheet = Image.new("RGB", (width, height), (0, 0, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for number, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        left = number % columns * (PANEL[0] + GAP)
        top = number // columns * (PANEL[1] + CAPTION_HEIGHT)
        draw.text((left + 8, top + 6), caption, (235, 235, 235), font)
        sheet.paste(Image.fromarray(panel), (left, top + CAPTION_HEIGHT))
    words = f"Sample case with its reference labels. {DISCLAIMER}"
    draw.text((8, height - CAPTION_HEIGHT + 6), words, (255, 176, 59), font)
    sheet.save(path)
    return path


if __name__ == "__main__":
    main()

"""What is seen: real slice views and a real 3-D view, rendered offscreen, against the label map projected by hand."""

from __future__ import annotations

import numpy as np
import pytest
from real_scene import picture, slice_view, threed_view
from scene_cases import add_volume, oblique, report_of, tumor, values_of, write_result

SIZE = (150, 130)
ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
GRAY = 128


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Three slice views and a 3-D view at the tumor of a result; the image is evenly gray, so that colors are exact."""
    from real_scene import start_application

    from LCKDSegmentationLib.SceneExport import writeJob
    from LCKDSegmentationLib.SceneImport import importResult
    from LCKDSegmentationLib.Views import jumpToTumor

    application = start_application()
    folder = tmp_path_factory.mktemp("shown")
    volume = add_volume(application.scene, array=np.full(tumor().shape, 100, np.int16))
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    views = {name: slice_view(application, name, kind, SIZE, volume) for name, kind in ORIENTATIONS.items()}
    space = threed_view(application, SIZE)
    job = writeJob(folder / "job", {"t1c": volume}).parent
    result = write_result(folder, tumor(), job / "t1c.nrrd", report_of(["t1c"]))
    run = importResult(application.scene, result, {"t1c": volume})
    nodes = [application.scene.GetNodeByID(f"vtkMRMLSliceNode{name}") for name in ORIENTATIONS]
    jumpToTumor(nodes, run.segmentation)
    return application, run.segmentation, views, space


def labels_in(view_node) -> np.ndarray:
    """The label under the center of each pixel (height, width), top row first; -1 outside the volume."""
    width, height = SIZE
    x, y = np.meshgrid(np.arange(width), np.arange(height)[::-1])
    pixels = np.stack([x, y, np.zeros_like(x), np.ones_like(x)]).reshape(4, -1)
    index = np.linalg.inv(oblique()) @ values_of(view_node.GetXYToRAS()) @ pixels
    k, j, i = np.rint(index[2::-1]).astype(int)
    shape = tumor().shape
    inside = (k >= 0) & (k < shape[0]) & (j >= 0) & (j < shape[1]) & (i >= 0) & (i < shape[2])
    found = np.full(k.shape, -1)
    found[inside] = tumor()[k[inside], j[inside], i[inside]]
    return found.reshape(height, width)


def inner(labels: np.ndarray, label: int) -> np.ndarray:
    """Pixels of a label whose neighbors within two pixels have it too: away from the outline."""
    same = labels == label
    for _step in range(2):
        same = same & np.roll(same, 1, 0) & np.roll(same, -1, 0) & np.roll(same, 1, 1) & np.roll(same, -1, 1)
    return same


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_overlay_is_where_the_label_map_is(shown, name):
    """In three orientations of an oblique volume: each tissue in its color at its opacity, nothing elsewhere."""
    from LCKDSegmentationLib.SegmentationNodes import setOpacity
    from LCKDSegmentationLib.Terminology import segmentKind

    application, segmentation, views, _space = shown
    for opacity in (0.4, 0.8):
        setOpacity(segmentation, opacity)
        seen = picture(views[name]).astype(float)
        labels = labels_in(application.scene.GetNodeByID(f"vtkMRMLSliceNode{name}"))
        assert {1, 2, 3} <= set(np.unique(labels))
        for label, tissue in {1: "NCR", 2: "ED", 3: "ET"}.items():
            color = 255 * np.array(segmentKind(tissue).color)
            expected = opacity * color + (1 - opacity) * GRAY
            assert inner(labels, label).sum() > 10, tissue
            assert np.abs(seen[inner(labels, label)] - expected).max() < 6, tissue
        assert np.abs(seen[inner(labels, 0)] - GRAY).max() < 3
        assert seen[inner(labels, -1)].max() == 0


def test_orientations_show_different_planes(shown):
    application, _segmentation, _views, _space = shown
    planes = [labels_in(application.scene.GetNodeByID(f"vtkMRMLSliceNode{name}")) for name in ORIENTATIONS]
    assert not np.array_equal(planes[0], planes[1])
    assert not np.array_equal(planes[1], planes[2])


def test_surface_appears_when_asked_for(shown):
    from LCKDSegmentationLib.SegmentationNodes import showSurface
    from LCKDSegmentationLib.Terminology import segmentKind

    _application, segmentation, _views, space = shown
    without = picture(space).copy()
    showSurface(segmentation)
    segmentation.GetDisplayNode().SetSegmentOpacity3D("ED", 1.0)
    space.reset_view()
    seen = picture(space).astype(float)
    changed = np.abs(seen - without).max(axis=2) > 40
    assert changed.mean() > 0.05
    hue = seen[changed] / np.linalg.norm(seen[changed], axis=1, keepdims=True)
    edema = np.array(segmentKind("ED").color)
    assert np.median(hue @ (edema / np.linalg.norm(edema))) > 0.97
    showSurface(segmentation, False)
    space.reset_view()
    assert np.abs(picture(space).astype(float) - without).max() < 40

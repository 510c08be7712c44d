"""A reference segmentation of the scene as a label map on the grid of a volume."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scene_cases import SHAPE, add_transform, add_volume, oblique, tumor, vtk_matrix

from lckd.errors import InputError

TISSUES = {3: "enhancing tumour", 1: "NCR/NET", 2: "peritumoral edema"}


def segmentation(scene, grid, layers, names):
    """Segments with these names, one layer a label array, of which each label is named."""
    from LCKDSegmentationLib.SegmentationNodes import Segment, setDisplay, setSegments

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    setDisplay(node)
    named = [
        (array, {value: Segment(f"Segment_{value}_{name}", name, (1, 0, 0), "") for value, name in layer.items()})
        for array, layer in zip(layers, names, strict=True)
    ]
    setSegments(node, grid, named, "somebody")
    return node


def exported(node, grid, folder) -> np.ndarray:
    from LCKDSegmentationLib.ReferenceExport import writeReference

    writeReference(node, grid, folder / "reference.nrrd")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "reference.nrrd")))


def test_tissues_are_told_by_their_names(scene, tmp_path):
    grid = add_volume(scene)
    node = segmentation(scene, grid, [tumor()], [TISSUES])
    np.testing.assert_array_equal(exported(node, grid, tmp_path), tumor())


def test_nested_regions_become_tissues(scene, tmp_path):
    grid, labels = add_volume(scene), tumor()
    masks = [(labels == 3), (labels == 3) | (labels == 1), labels > 0]
    node = segmentation(
        scene, grid, [mask.astype(np.uint8) for mask in masks], [{1: "ET"}, {1: "Tumor core"}, {1: "whole tumour (WT)"}]
    )
    np.testing.assert_array_equal(exported(node, grid, tmp_path), labels)


def test_own_result_can_be_the_reference(run, tmp_path):
    for division in ("tissues", "regions"):
        result = run.bring(division=division)
        np.testing.assert_array_equal(exported(result.segmentation, run.volume, tmp_path), tumor())


def test_segments_are_told_by_their_dicom_codes(run, tmp_path):
    node = run.bring().segmentation
    segments = node.GetSegmentation()
    for number, segment_id in enumerate(("ET", "NCR", "ED")):
        segments.GetSegment(segment_id).SetName(f"Segment {number}")
    np.testing.assert_array_equal(exported(node, run.volume, tmp_path), tumor())


def test_reference_under_another_transform_lies_where_it_is_seen(scene, tmp_path):
    """Both moved by the same motion, one by its transform and one in its own matrix: the voxels meet."""
    grid = add_volume(scene)
    node = segmentation(scene, grid, [tumor()], [TISSUES])
    transform = add_transform(scene)
    node.SetAndObserveTransformNodeID(transform.GetID())
    from scene_cases import values_of

    motion = values_of(transform.GetMatrixTransformToParent())
    moved = add_volume(scene, matrix=motion @ oblique())
    np.testing.assert_array_equal(exported(node, moved, tmp_path), tumor())
    assert not np.array_equal(exported(node, grid, tmp_path), tumor())


def label_map(scene, array, matrix=None):
    from LCKDSegmentationLib.VolumeFiles import imageOf

    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    node.SetAndObserveImageData(imageOf(array))
    node.SetIJKToRASMatrix(vtk_matrix(oblique() if matrix is None else matrix))
    return node


def test_label_map_on_other_voxels_is_brought_to_the_grid(scene, tmp_path):
    grid = add_volume(scene)
    shift = np.eye(4)
    shift[:3, 3] = (3, 2, 1)
    node = label_map(scene, tumor()[1:, 2:, 3:], oblique() @ shift)
    np.testing.assert_array_equal(exported(node, grid, tmp_path), tumor())


def test_color_names_say_what_the_values_mean(scene, tmp_path):
    grid = add_volume(scene)
    node = label_map(scene, np.choose(tumor(), [0, 7, 5, 4]).astype(np.uint8))
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode")
    colors.SetTypeToUser()
    colors.SetNumberOfColors(8)
    for value, name in {7: "necrosis", 5: "edema", 4: "Enhancing Tumor"}.items():
        colors.SetColor(value, name, 1, 0, 0, 1)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    np.testing.assert_array_equal(exported(node, grid, tmp_path), tumor())


def test_reference_goes_into_the_job(run, tmp_path):
    import json

    from LCKDSegmentationLib.SceneExport import writeJob

    job = writeJob(tmp_path / "other", run.inputs, reference=run.bring().segmentation)
    assert json.loads(job.read_text())["reference"] == "reference.nrrd"
    written = sitk.ReadImage(str(tmp_path / "other" / "reference.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), tumor())
    grid = sitk.ReadImage(str(tmp_path / "other" / "t1c.nrrd"))
    assert written.GetOrigin() == grid.GetOrigin()
    assert written.GetDirection() == grid.GetDirection()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({3: "ET", 1: "Segment_1", 2: "ED"}, "'Segment_1'"),
        ({1: "WT", 3: "ET"}, "no segment TC"),
        ({1: "TC", 2: "WT"}, "no segment ET"),
        ({}, "no segment"),
    ],
)
def test_segments_that_cannot_be_told_are_refused(scene, tmp_path, names, said):
    grid = add_volume(scene)
    with pytest.raises(InputError, match=said) as refusal:
        exported(segmentation(scene, grid, [tumor()], [names]), grid, tmp_path)
    assert refusal.value.code == "REFERENCE_UNKNOWN"
    assert not list(tmp_path.iterdir())


def test_label_four_is_never_guessed(scene, tmp_path):
    grid = add_volume(scene)
    with pytest.raises(InputError, match="value 4"):
        exported(label_map(scene, np.full(SHAPE, 4, np.uint8)), grid, tmp_path)

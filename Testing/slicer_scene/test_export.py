"""From volumes of the scene to a job folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from real_scene import all_close
from scene_cases import SHAPE, add_transform, add_volume, oblique, values_of, vtk_matrix

from lckd.case import Case
from lckd.errors import InputError, LckdError, OutputError, UsageError


def write(folder: Path, inputs: dict, **options) -> dict:
    from LCKDSegmentationLib.SceneExport import writeJob

    return json.loads(writeJob(folder, inputs, **options).read_text())


def ras_matrix(image: sitk.Image) -> np.ndarray:
    """From voxel indices to RAS, as an image file says."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ matrix


@pytest.mark.parametrize("left_handed", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_volume_lies_in_the_file_where_it_lies_in_the_world(scene, tmp_path, left_handed, moved):
    volume = add_volume(scene, matrix=oblique(left_handed))
    expected = oblique(left_handed)
    if moved:
        outer, inner = add_transform(scene), add_transform(scene)
        inner.SetAndObserveTransformNodeID(outer.GetID())
        volume.SetAndObserveTransformNodeID(inner.GetID())
        one = values_of(outer.GetMatrixTransformToParent())
        expected = one @ one @ expected
    write(tmp_path, {"t1c": volume})
    image = sitk.ReadImage(str(tmp_path / "t1c.nrrd"))
    assert all_close(ras_matrix(image), expected)
    voxels = np.random.default_rng(7).integers(100, 300, SHAPE)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), voxels)
    assert b"encoding: raw" in (tmp_path / "t1c.nrrd").read_bytes()[:1000]


def test_first_voxel_may_have_any_index(scene, tmp_path):
    """As after cropping or padding in place: the index counts on, and voxel and place still belong together."""
    volume = add_volume(scene)
    first = (3, -2, 7)
    extent = [bound for start, length in zip(first, SHAPE[::-1], strict=True) for bound in (start, start + length - 1)]
    volume.GetImageData().SetExtent(*extent)
    write(tmp_path, {"t1c": volume})
    image = sitk.ReadImage(str(tmp_path / "t1c.nrrd"))
    assert all_close(ras_matrix(image)[:, 3], oblique() @ (*first, 1))
    assert all_close(ras_matrix(image)[:3, :3], oblique()[:3, :3])
    voxels = np.random.default_rng(7).integers(100, 300, SHAPE)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), voxels)


def test_image_begins_where_it_is_told():
    from LCKDSegmentationLib.VolumeFiles import firstVoxel, imageOf

    image = imageOf(np.arange(24).reshape(2, 3, 4), (3, -2, 7))
    assert firstVoxel(image) == (3, -2, 7)
    assert image.GetExtent() == (3, 6, -2, 0, 7, 8)
    assert image.GetScalarComponentAsDouble(6, 0, 8, 0) == 23


def test_job_says_what_is_wanted(scene, tmp_path):
    inputs = {"flair": add_volume(scene), "t1": None, "t1c": add_volume(scene)}
    job = write(tmp_path, inputs, settings={"grid": "flair", "device": "cpu", "uncertainty": True})
    assert job == {
        "images": {"flair": "flair.nrrd", "t1c": "t1c.nrrd"},
        "grid": "flair",
        "case": "case",
        "model": None,
        "device": "cpu",
        "threads": None,
        "mirror": False,
        "cleanup": {},
        "probabilities": False,
        "uncertainty": True,
        "reference": None,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flair.nrrd", "job.json", "t1c.nrrd"]


def test_engine_reads_the_job(scene, tmp_path):
    flair = add_volume(scene, array=np.random.default_rng(1).normal(100, 20, SHAPE).astype(np.float32))
    write(tmp_path, {"flair": flair, "t2": add_volume(scene)})
    case = Case.from_files(flair=tmp_path / "flair.nrrd", t2=tmp_path / "t2.nrrd")
    assert [sequence.value for sequence in case.present] == ["flair", "t2"]


def test_nothing_that_names_the_patient_is_written(scene, tmp_path):
    volume = add_volume(scene, "DOE^JANE T1")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.840.99")
    volume.SetAttribute("DICOM.PatientName", "DOE^JANE")
    write(tmp_path, {"t1": volume})
    for path in tmp_path.iterdir():
        assert b"DOE" not in path.read_bytes()
        assert b"1.2.840.99" not in path.read_bytes()
        assert "DOE" not in path.name


def test_voxels_are_not_copied(scene):
    from LCKDSegmentationLib.VolumeFiles import _writable

    image = add_volume(scene).GetImageData()
    assert _writable(image).GetPointData().GetScalars() is image.GetPointData().GetScalars()


def test_voxel_type_unknown_to_nrrd_becomes_float(scene, tmp_path):
    array = np.arange(np.prod(SHAPE), dtype=np.int64).reshape(SHAPE)
    write(tmp_path, {"t1": add_volume(scene, array=array)})
    image = sitk.ReadImage(str(tmp_path / "t1.nrrd"))
    assert image.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)


def bent(scene):
    import vtk

    spline = vtk.vtkThinPlateSplineTransform()
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for number in range(5):
        points.InsertNextPoint(number, number**2, number**3)
        moved.InsertNextPoint(number + 1, number**2, 2 * number**3)
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(moved)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(spline)
    return under(scene, transform)


def under(scene, transform):
    volume = add_volume(scene)
    volume.SetAndObserveTransformNodeID(transform.GetID())
    return volume


def sheared(scene):
    values = np.eye(4)
    values[0, 1] = 0.1
    return under(scene, add_transform(scene, values))


def empty(scene):
    return scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")


def label_map(scene):
    from LCKDSegmentationLib.VolumeFiles import imageOf

    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    node.SetAndObserveImageData(imageOf(np.ones(SHAPE, np.uint8)))
    return node


def colored(scene):
    import vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*SHAPE)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    node.SetAndObserveImageData(image)
    return node


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (bent, "NONLINEAR_TRANSFORM"),
        (sheared, "SHEARED"),
        (empty, "EMPTY_VOLUME"),
        (label_map, "LABELS_AS_IMAGE"),
        (colored, "NOT_3D"),
    ],
)
def test_unfit_volume_is_refused_before_anything_is_written(scene, tmp_path, make, code):
    with pytest.raises(InputError) as refusal:
        write(tmp_path / "job", {"flair": add_volume(scene), "t1c": make(scene)})
    assert refusal.value.code == code
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("inputs", "settings", "kind", "code"),
    [
        ({}, {}, InputError, "NO_SEQUENCE"),
        ({"flair": None}, {}, InputError, "NO_SEQUENCE"),
        ({"flair": 0, "t2": 0}, {}, InputError, "SAME_IMAGE"),
        ({"adc": 0}, {}, UsageError, "UNKNOWN_SEQUENCE"),
        ({"flair": 0}, {"grid": "t1"}, InputError, "SEQUENCE_ABSENT"),
        ({"flair": 0}, {"colour": "red"}, UsageError, "UNKNOWN_SETTING"),
    ],
)
def test_unfit_request_is_refused_before_anything_is_written(scene, tmp_path, inputs, settings, kind, code):
    volume = add_volume(scene)
    chosen = {sequence: None if one is None else volume for sequence, one in inputs.items()}
    with pytest.raises(LckdError) as refusal:
        write(tmp_path / "job", chosen, settings=settings)
    assert isinstance(refusal.value, kind)
    assert refusal.value.code == code
    assert not (tmp_path / "job").exists()


def test_folder_that_cannot_be_written_to_is_said(scene, tmp_path):
    (tmp_path / "job").write_text("a file, no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "job", {"flair": add_volume(scene)})


def test_grid_volume_is_the_first_of_t1c_flair_t2_t1(scene):
    from LCKDSegmentationLib.SceneExport import gridVolume

    volumes = {name: add_volume(scene, name) for name in ("flair", "t1", "t1c", "t2")}
    order = []
    while volumes:
        order.append(gridVolume(volumes).GetName())
        del volumes[order[-1]]
    assert order == ["t1c", "flair", "t2", "t1"]


def test_matrix_helpers_agree():
    np.testing.assert_array_equal(values_of(vtk_matrix(oblique())), oblique())

"""Small volumes in a scene, and results for them as the worker writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

#: Size (k, j, i) of everything made here.
SHAPE = (24, 30, 36)


def oblique(left_handed: bool = False) -> np.ndarray:
    """A 4×4 matrix from voxel indices to RAS: turned about all axes, spacing 0.9 × 1.1 × 2.5 mm."""
    a, b, c = 0.3, -0.2, 0.15
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = x @ y @ z * np.array([0.9, 1.1, -2.5 if left_handed else 2.5])
    matrix[:3, 3] = (12.3, -45.6, 7.8)
    return matrix


def vtk_matrix(values: np.ndarray):
    """A NumPy matrix as VTK has it."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(values.ravel().tolist())
    return matrix


def values_of(matrix) -> np.ndarray:
    """A matrix of VTK as NumPy has it."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def add_volume(scene, name: str = "5: T1 POST", array: np.ndarray | None = None, matrix: np.ndarray | None = None):
    """A scalar volume in the scene; default: noise on the oblique grid."""
    from LCKDSegmentationLib.VolumeFiles import imageOf

    if array is None:
        array = np.random.default_rng(7).integers(100, 300, SHAPE).astype(np.int16)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    volume.SetAndObserveImageData(imageOf(array))
    volume.SetIJKToRASMatrix(vtk_matrix(oblique() if matrix is None else matrix))
    volume.CreateDefaultDisplayNodes()
    return volume


def add_transform(scene, values: np.ndarray | None = None):
    """A linear transform in the scene: a rotation and a shift."""
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    if values is None:
        values = np.eye(4)
        values[:3, :3] = oblique()[:3, :3] / np.array([0.9, 1.1, 2.5])
        values[:3, 3] = (5, -6, 7)
    transform.SetMatrixTransformToParent(vtk_matrix(values))
    return transform


def tumor() -> np.ndarray:
    """Labels (1 NCR/NET, 2 ED, 3 ET) of boxes within each other, none of them in the middle of the volume."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:19, 6:22, 8:30] = 2
    labels[6:16, 9:20, 12:25] = 3
    labels[8:13, 11:16, 14:19] = 1
    return labels


def report_of(present: Iterable[str] = ("flair", "t1c"), grid: str = "t1c") -> dict:
    """A report as the worker writes it."""
    present = list(present)
    return {
        "program": "lckd 0.1.0",
        "case": "case",
        "grid": grid,
        "model": {"name": "small", "sha256": "ab" * 32},
        "device": "CPU",
        "present": present,
        "imputed": [name for name in ("flair", "t1", "t1c", "t2") if name not in present],
        "subset": "+".join(present),
        "expected_dice": {"ET": 0.7, "TC": 0.75, "WT": 0.85},
        "preprocessing": ["cropped to the brain"],
        "postprocessing": [],
        "warnings": ["Without T1, T2: the missing features were imputed from those present."],
    }


def write_result(
    folder: Path,
    labels: np.ndarray,
    like: Path,
    report: dict | None = None,
    maps: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write ``results/<subset>`` as the worker names its files, with the geometry of the image file `like`."""
    from lckd.images import ImageFile, read_image, write_image

    report = report or report_of()
    image = read_image(ImageFile(like))
    target = folder / "results" / report["subset"]
    target.mkdir(parents=True)
    for name, array in {"segmentation": labels, **(maps or {})}.items():
        written = sitk.GetImageFromArray(array)
        written.CopyInformation(image)
        write_image(written, target / f"{name.replace('-', '_')}.nrrd", ImageFile(like))
    (target / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return target


def segment_voxels(segmentation, grid, segment_id: str) -> np.ndarray:
    """Which voxels (k, j, i) of a volume are in a segment, as Slicer itself says."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image, ids = slicer.vtkOrientedImageData(), vtk.vtkStringArray()
    ids.InsertNextValue(segment_id)
    slicer.vtkSlicerSegmentationsModuleLogic.GenerateMergedLabelmapInReferenceGeometry(
        segmentation, grid, ids, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, image
    )
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]) > 0

"""Volumes of the scene as files and back: uncompressed NRRD, with the geometry in the world and without attributes.

MRML's physical space is RAS in millimeters. Matrices from voxel indices to RAS are 4×4; voxel indices are (i, j, k),
arrays are (k, j, i). No node is added to a scene here.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import InputError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What the NRRD writer knows; voxels of another type are converted to float.
_WRITABLE_TYPES = (
    *(vtk.VTK_CHAR, vtk.VTK_UNSIGNED_CHAR, vtk.VTK_SHORT, vtk.VTK_UNSIGNED_SHORT),
    *(vtk.VTK_INT, vtk.VTK_UNSIGNED_INT, vtk.VTK_FLOAT, vtk.VTK_DOUBLE),
)
#: Cosine of the angle between two axes from which on a grid counts as sheared.
_SHEAR_TOLERANCE = 1e-4


def voxelMl(volume: slicer.vtkMRMLVolumeNode) -> float:
    """Return the volume of a voxel in the world, in milliliters.

    :raises InputError: as `ijkToWorld`
    """
    return abs(ijkToWorld(volume).Determinant()) / 1000.0


def ijkToWorld(volume: slicer.vtkMRMLVolumeNode) -> vtk.vtkMatrix4x4:
    """Return the matrix from voxel indices to world RAS, with the linear transforms above the volume applied.

    :raises InputError: a transform above is not linear, or leaves the axes at other than right angles
    """
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    transform = volume.GetParentTransformNode()
    if transform is None:
        return matrix
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            "NONLINEAR_TRANSFORM",
            _("The volume {name} lies under a transform that bends it.").format(name=volume.GetName()),
            _("Harden the transform on the volume, or take the volume out of it."),
        )
    toWorld = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(toWorld)
    world = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Multiply4x4(toWorld, matrix, world)
    if _isSheared(world):
        raise InputError(
            "SHEARED",
            _("The transform above the volume {name} leaves its voxel axes at other than right angles.").format(
                name=volume.GetName()
            ),
            _("Use a transform that only moves and rotates, or resample the volume first."),
        )
    return world


def writeVolume(image: vtk.vtkImageData, ijkToRas: vtk.vtkMatrix4x4, path: Path) -> None:
    """Write voxels (i, j, k) with a geometry as NRRD, whole or not at all; no attribute of a node goes along.

    The writer takes the voxels from where they lie, without a copy.

    :param image: its first voxel may have any index; the file begins with it, at its place
    :param ijkToRas: from the indices of the image
    :raises OutputError: the folder cannot be written to, or the disk is full
    """
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetAndObserveImageData(_writable(image))
    node.SetIJKToRASMatrix(_countedFromZero(ijkToRas, firstVoxel(image)))
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetUseCompression(False)
    with writing(path) as temporary:
        storage.SetFileName(str(temporary))
        if not storage.WriteData(node):
            raise OSError(f"{temporary} was not written")


def writeJson(content: dict[str, Any], path: Path) -> None:
    """Write a JSON file, whole or not at all.

    :raises OutputError: the folder cannot be written to, or the disk is full
    """
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def readVolume(path: Path) -> tuple[NDArray[Any], vtk.vtkMatrix4x4]:
    """Read a scalar NRRD file: voxels (k, j, i) in the order of the file, and the matrix from (i, j, k) to RAS.

    :raises InputError: the file is not there or cannot be read
    """
    from vtk.util.numpy_support import vtk_to_numpy

    node = slicer.vtkMRMLScalarVolumeNode()
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(path))
    image = node.GetImageData() if path.is_file() and storage.ReadData(node) else None
    if image is None or image.GetNumberOfPoints() == 0:
        raise InputError(
            "RESULT_UNREADABLE",
            _("The result file {name} is missing or damaged.").format(name=path.name),
            _("Run the segmentation again."),
        )
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return array, matrix


def firstVoxel(image: vtk.vtkImageData) -> tuple[int, int, int]:
    """Return the index (i, j, k) of the first voxel of an image: other than 0 where one was cropped in place."""
    return image.GetExtent()[::2]


def imageOf(array: NDArray[Any], start: tuple[int, int, int] = (0, 0, 0)) -> vtk.vtkImageData:
    """Return voxels (k, j, i) as an image whose first voxel has the index `start` (i, j, k); they are copied once."""
    image = vtk.vtkImageData()
    fillImage(image, array, start)
    return image


def fillImage(image: vtk.vtkImageData, array: NDArray[Any], start: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Put voxels (k, j, i) into an image whose first voxel has the index `start` (i, j, k)."""
    import numpy as np
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    stop = [first + length - 1 for first, length in zip(start, array.shape[::-1], strict=True)]
    image.SetExtent(start[0], stop[0], start[1], stop[1], start[2], stop[2])
    # Slicer's exporter of DICOM SEG looks for the name that AllocateScalars gives the voxels.
    image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
    np.copyto(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(array.shape), array)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Return a temporary name beside `path` that takes its place when the block ends well, else vanishes.

    :raises OutputError: NOT_WRITABLE
    """
    temporary = path.with_name(f".writing-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            "NOT_WRITABLE",
            _("{name} cannot be written in {folder}.").format(name=path.name, folder=path.parent),
            _("Check that the folder may be written to and that the disk is not full."),
        ) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def _writable(image: vtk.vtkImageData) -> vtk.vtkImageData:
    """The voxels without the geometry of an oriented image, which volume nodes keep apart; nothing is copied."""
    if image.GetScalarType() in _WRITABLE_TYPES:
        plain = vtk.vtkImageData()
        plain.ShallowCopy(image)
        plain.SetOrigin(0, 0, 0)
        plain.SetSpacing(1, 1, 1)
        plain.SetDirectionMatrix(1, 0, 0, 0, 1, 0, 0, 0, 1)
        return plain
    cast = vtk.vtkImageCast()
    cast.SetInputData(image)
    cast.SetOutputScalarTypeToFloat()
    cast.Update()
    return cast.GetOutput()


def _countedFromZero(ijkToRas: vtk.vtkMatrix4x4, first: tuple[int, int, int]) -> vtk.vtkMatrix4x4:
    """The matrix for indices that begin with 0 at the first voxel, as those of a file do."""
    moved = vtk.vtkMatrix4x4()
    moved.DeepCopy(ijkToRas)
    for row, element in enumerate(ijkToRas.MultiplyPoint((*first, 1))[:3]):
        moved.SetElement(row, 3, element)
    return moved


def _isSheared(matrix: vtk.vtkMatrix4x4) -> bool:
    columns = [[matrix.GetElement(row, column) for row in range(3)] for column in range(3)]
    for axis in columns:
        vtk.vtkMath.Normalize(axis)
    pairs = ((0, 1), (0, 2), (1, 2))
    return any(abs(vtk.vtkMath.Dot(columns[a], columns[b])) > _SHEAR_TOLERANCE for a, b in pairs)

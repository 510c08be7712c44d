"""The segments of a result: tissues side by side or regions one in the other, and whether they are still as made."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from lckd.errors import InputError

from .OwnedNodes import TABLE_ROLE
from .ReferenceExport import tissueLabels
from .RunReport import fillVolumesTable, volumesInMl
from .SegmentationNodes import setSegments, tumorSegment
from .Terminology import REGIONS as REGION_IDS
from .Terminology import TISSUES as TISSUE_IDS
from .Terminology import labelsOf
from .VolumeFiles import voxelMl

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How the segmentation is divided: tissues ET, NCR/NET, ED side by side, or regions ET, TC, WT one in the other.
TISSUES, REGIONS = "tissues", "regions"
_SEGMENT_IDS = {TISSUES: set(TISSUE_IDS), REGIONS: set(REGION_IDS)}
#: Attribute with the digest of the segments as they were made.
_STATE = "LCKD.Voxels"
#: Attribute with the digest of the segments as they were counted after a change by hand.
_COUNTED = "LCKD.CountedVoxels"


def divide(
    node: slicer.vtkMRMLSegmentationNode,
    grid: slicer.vtkMRMLScalarVolumeNode,
    labels: NDArray[Any],
    division: str,
    algorithm: str,
) -> None:
    """Replace the segments of a node by those of a result.

    :param grid: the volume on whose voxels they lie
    :param labels: axes (k, j, i), values 1 NCR/NET, 2 ED, 3 ET
    :param division: `TISSUES` or `REGIONS`
    :param algorithm: who made them, for DICOM
    """
    import numpy as np

    if division == TISSUES:
        layers = [(labels, {labelsOf(tissue)[0]: tumorSegment(tissue) for tissue in TISSUE_IDS})]
    else:
        layers = [
            (np.isin(labels, labelsOf(region)).astype(np.uint8), {1: tumorSegment(region)}) for region in REGION_IDS
        ]
    setSegments(node, grid, layers, algorithm)
    node.SetAttribute(_STATE, stateOf(node))
    node.RemoveAttribute(_COUNTED)


def divideAnew(node: slicer.vtkMRMLSegmentationNode, division: str) -> None:
    """Divide a segmentation as it is now, with the user's corrections, into tissues or regions.

    :raises InputError: its segments are no longer those of a result, or its volume is gone; nothing is changed
    """
    from vtk.util.numpy_support import vtk_to_numpy

    present = divisionOf(node)
    if present == division:
        return
    grid = referenceVolume(node)
    if present is None or grid is None:
        raise InputError(
            "NOT_DIVIDED",
            _("The segments or the volume of this segmentation are no longer those of a result."),
            _("It stays as it is; the next result will be divided as chosen."),
        )
    image, wasUnchanged = tissueLabels(node, grid), isUnchanged(node)
    labels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(grid.GetImageData().GetDimensions()[::-1])
    divide(node, grid, labels, division, algorithmOf(node.GetAttribute("LCKD.Model") or ""))
    if not wasUnchanged:
        node.RemoveAttribute(_STATE)


def divisionOf(node: slicer.vtkMRMLSegmentationNode) -> str | None:
    """Return how a segmentation is divided; None if its segments are not those of a result."""
    segmentation = node.GetSegmentation()
    ids = {segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())}
    return next((division for division, wanted in _SEGMENT_IDS.items() if ids == wanted), None)


def isUnchanged(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Return whether nobody has changed the segments since they were made."""
    return node.GetAttribute(_STATE) == stateOf(node)


def countAnew(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Bring the table of volumes up to date with segments that were changed by hand.

    :return: whether the table holds the volumes of the segments as they are now
    """
    from vtk.util.numpy_support import vtk_to_numpy

    state, grid = stateOf(node), referenceVolume(node)
    if state == (node.GetAttribute(_COUNTED) or node.GetAttribute(_STATE)):
        return True
    table = node.GetNodeReference(TABLE_ROLE)
    if grid is None or table is None:
        return False
    try:
        image = tissueLabels(node, grid)
        labels = vtk_to_numpy(image.GetPointData().GetScalars())
        fillVolumesTable(table, volumesInMl(labels, voxelMl(grid)))
    except InputError:
        return False
    node.SetAttribute("LCKD.Empty", "0" if labels.any() else "1")
    node.SetAttribute(_COUNTED, state)
    return True


def referenceVolume(node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Return the volume on whose voxels a segmentation lies; None if it is no longer in the scene."""
    return node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())


def algorithmOf(model: str) -> str:
    """Return who made a segmentation, for DICOM."""
    return f"LCKD {model}"


def stateOf(node: slicer.vtkMRMLSegmentationNode) -> str:
    """Return a digest of the segments and the shape of each; what is made of them for display does not change it."""
    from vtk.util.numpy_support import vtk_to_numpy

    segmentation, digest = node.GetSegmentation(), hashlib.sha256()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        digest.update(segmentation.GetNthSegmentID(index).encode())
        image = segment.GetRepresentation(name)
        scalars = image.GetPointData().GetScalars() if image is not None else None
        if scalars is not None and scalars.GetNumberOfTuples():
            mask = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]) == segment.GetLabelValue()
            digest.update(_shapeOf(mask))
    return digest.hexdigest()


def _shapeOf(mask: NDArray[Any]) -> bytes:
    """A mask without what is empty around it, as bytes."""
    import numpy as np

    if not mask.any():
        return b""
    extents = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    part = mask[tuple(slice(int(along[0]), int(along[-1]) + 1) for along in extents)]
    return repr(part.shape).encode() + np.packbits(part).tobytes()

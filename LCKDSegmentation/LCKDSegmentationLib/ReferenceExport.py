"""From a reference segmentation of the scene to a label map (1 NCR/NET, 2 ED, 3 ET) on the voxels of a volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import InputError

from .Terminology import recognizeName, recognizeSegment
from .VolumeFiles import ijkToWorld, writeVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Painted in this order, outer before inner, tissues and nested regions both end as the same label map.
_LABEL_OF_SEGMENT = {"WT": 2, "ED": 2, "TC": 1, "NCR": 1, "ET": 3}
_NESTED = {"TC", "WT"}
_VALUES = {1: "NCR", 2: "ED", 3: "ET"}


def writeReference(
    node: slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLLabelMapVolumeNode,
    grid: slicer.vtkMRMLScalarVolumeNode,
    path: Path,
) -> None:
    """Write a reference segmentation as NRRD label map (1 NCR/NET, 2 ED, 3 ET) with the geometry of `grid`.

    :raises InputError: it is not said, or cannot be told, which of its segments is which
    :raises OutputError: the folder cannot be written to
    """
    matrix = ijkToWorld(grid)
    image = tissueLabels(node, grid) if node.IsA("vtkMRMLSegmentationNode") else _ofLabelMap(node, grid)
    writeVolume(image, matrix, path)


def tissueLabels(
    node: slicer.vtkMRMLSegmentationNode, grid: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkOrientedImageData:
    """Return the label map (1 NCR/NET, 2 ED, 3 ET) on all voxels of `grid` of a segmentation's tissues or regions.

    :raises InputError: it is not said, or cannot be told, which of its segments is which
    """
    segmentIDs, labels = vtk.vtkStringArray(), vtk.vtkIntArray()
    kinds = _kindsOfSegments(node)
    for kind, label in _LABEL_OF_SEGMENT.items():
        for segmentID in (one for one, found in kinds.items() if found == kind):
            segmentIDs.InsertNextValue(segmentID)
            labels.InsertNextValue(label)
    if not node.CreateBinaryLabelmapRepresentation():
        raise _unknown(_("The reference segmentation cannot be made a label map."))
    image = slicer.vtkOrientedImageData()
    slicer.vtkSlicerSegmentationsModuleLogic.GenerateMergedLabelmapInReferenceGeometry(
        node, grid, segmentIDs, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, image, labels
    )
    return image


def _kindsOfSegments(node: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """Which of ET, NCR, ED, TC, WT each segment is, by segment ID."""
    segmentation = node.GetSegmentation()
    kinds = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segmentID = segmentation.GetNthSegmentID(index)
        segment = segmentation.GetSegment(segmentID)
        kind = recognizeSegment(segmentID, segment)
        if kind is None:
            words = _("The segment '{name}' of the reference is none of ET, NCR, ED, TC, WT.")
            raise _unknown(words.format(name=segment.GetName()))
        kinds[segmentID] = kind
    found = set(kinds.values())
    if not found:
        raise _unknown(_("The reference segmentation has no segment."))
    missing = sorted((_NESTED | {"ET"}) - found)
    if found & _NESTED and missing:
        words = _("The reference has nested regions, but no segment {name}.")
        raise _unknown(words.format(name=missing[0]))
    return kinds


def _ofLabelMap(node: slicer.vtkMRMLLabelMapVolumeNode, grid: slicer.vtkMRMLScalarVolumeNode) -> vtk.vtkImageData:
    """Bring a label map to the voxels of `grid`, nearest voxel, and its values to 1 NCR/NET, 2 ED, 3 ET."""
    from vtk.util.numpy_support import vtk_to_numpy

    if node.GetImageData() is None or node.GetImageData().GetNumberOfPoints() == 0:
        raise _unknown(_("The reference label map has no voxels."))
    own, target, moved = (slicer.vtkOrientedImageData() for _each in range(3))
    own.ShallowCopy(node.GetImageData())
    own.SetGeometryFromImageToWorldMatrix(ijkToWorld(node))
    target.SetExtent(grid.GetImageData().GetExtent())
    target.SetGeometryFromImageToWorldMatrix(ijkToWorld(grid))
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(own, target, moved)
    array = vtk_to_numpy(moved.GetPointData().GetScalars())
    _renumber(array, _tissueValues(node, array))
    return moved


def _tissueValues(node: slicer.vtkMRMLLabelMapVolumeNode, array: NDArray[Any]) -> dict[int, str]:
    """What the values mean: by the names of the color table if it knows all of them, else as in BraTS 2023."""
    import numpy as np

    values = [int(value) for value in np.unique(array) if value]
    display = node.GetDisplayNode()
    colors = display.GetColorNode() if display else None
    named = {value: recognizeName(colors.GetColorName(value) or "") if colors else None for value in values}
    if values and all(kind in _VALUES.values() for kind in named.values()):
        return {value: kind for value, kind in named.items() if kind}
    unknown = [value for value in values if value not in _VALUES]
    if unknown:
        words = _("The reference label map has the value {value}, whose meaning is not known.")
        raise _unknown(words.format(value=unknown[0]))
    return {value: _VALUES[value] for value in values}


def _renumber(array: NDArray[Any], tissues: dict[int, str]) -> None:
    original = array.copy()
    for value, tissue in tissues.items():
        array[original == value] = _LABEL_OF_SEGMENT[tissue]


def _unknown(message: str) -> InputError:
    return InputError(
        "REFERENCE_UNKNOWN",
        message,
        _("Name the segments ET, NCR and ED (or ET, TC and WT) and delete all others."),
    )

"""Segmentation nodes from label arrays, on the voxels of a volume of the scene.

The geometry is that of the volume node itself, to the last bit, and the segmentation lies under the same transform: the
segments stay on the patient's voxels, however those were moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import InputError

from .Terminology import segmentKind, segmentName
from .VolumeFiles import fillImage, firstVoxel

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Of 2-D fill, so that the image stays visible below.
FILL_OPACITY = 0.4
#: The characters that DICOM allows in the name of an algorithm.
_LONGEST_ALGORITHM = 64
#: What a display node keeps of each segment.
_LOOKS = (
    *("Visibility", "Visibility3D", "Visibility2DFill", "Visibility2DOutline"),
    *("Opacity3D", "Opacity2DFill", "Opacity2DOutline"),
)
#: Of surfaces that enclose others.
_SURFACE_OPACITY = {"ED": 0.3, "WT": 0.3, "TC": 0.5}


@dataclass(frozen=True)
class Segment:
    """One segment to be: its ID, name, RGB color in 0..1, and serialized terminology entry.

    The name becomes the label in DICOM SEG: up to 64 characters, ASCII only.
    """

    id: str
    name: str
    color: tuple[float, float, float]
    entry: str


def tumorSegment(segmentID: str) -> Segment:
    """Return the segment ET, NCR, ED, TC or WT with its conventional name, color and code."""
    kind = segmentKind(segmentID)
    return Segment(segmentID, segmentName(segmentID), kind.color, kind.entry)


def checkOnGrid(array: NDArray[Any], grid: slicer.vtkMRMLScalarVolumeNode, what: str) -> None:
    """Refuse an array (k, j, i) that is not on the voxels of a volume.

    :raises InputError: it has another size
    """
    image = grid.GetImageData()
    size = image.GetDimensions() if image else (0, 0, 0)
    if array.shape != tuple(size)[::-1]:
        raise InputError(
            "RESULT_ELSEWHERE",
            _("The {file} does not have the size of the volume {name}.").format(file=what, name=grid.GetName()),
            _("Run the segmentation again with the volumes that are in the scene now."),
        )


def setSegments(
    node: slicer.vtkMRMLSegmentationNode,
    grid: slicer.vtkMRMLScalarVolumeNode,
    layers: list[tuple[NDArray[Any], Mapping[int, Segment]]],
    algorithm: str,
) -> None:
    """Replace all segments of a node.

    :param node: a segmentation node in a scene
    :param grid: the volume on whose voxels they lie; it becomes the reference geometry
    :param layers: label arrays (k, j, i), each with what its values mean; segments of one layer do not overlap
    :param algorithm: who made them, for DICOM
    """
    modifying = node.StartModify()
    segmentation = node.GetSegmentation()
    looks = _looksOf(node)
    segmentation.RemoveAllSegments()
    node.SetAndObserveTransformNodeID(grid.GetTransformNodeID())
    node.SetSourceRepresentationToBinaryLabelmap()
    node.SetReferenceImageGeometryParameterFromVolumeNode(grid)
    matrix = vtk.vtkMatrix4x4()
    grid.GetIJKToRASMatrix(matrix)
    first = firstVoxel(grid.GetImageData())
    for array, segments in layers:
        _addLayer(segmentation, array, (matrix, first), segments, algorithm)
    node.EndModify(modifying)
    _restoreLooks(node, looks)
    display = node.GetDisplayNode()
    if display and display.GetVisibility3D():
        node.CreateClosedSurfaceRepresentation()


def setDisplay(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Give a new segmentation node its display: filled and outlined in slices, nothing in 3-D until asked for."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisibility3D(False)
    display.SetOpacity2DFill(FILL_OPACITY)
    display.SetOpacity2DOutline(1.0)


def setOpacity(node: slicer.vtkMRMLSegmentationNode, opacity: float) -> None:
    """Set how much the filled segments hide the image in slices, 0 to 1."""
    node.GetDisplayNode().SetOpacity2DFill(opacity)


def showSurface(node: slicer.vtkMRMLSegmentationNode, shown: bool = True) -> None:
    """Show or hide the segments as surfaces in 3-D; the surfaces are made when they are first shown."""
    display = node.GetDisplayNode()
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    if shown and not node.GetSegmentation().ContainsRepresentation(surface):
        node.CreateClosedSurfaceRepresentation()
        display.SetPreferredDisplayRepresentationName3D(surface)
    display.SetVisibility3D(shown)


def _looksOf(node: slicer.vtkMRMLSegmentationNode) -> dict[str, dict[str, Any]]:
    """How each segment is shown, by its ID; the user may have changed it."""
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    looks: dict[str, dict[str, Any]] = {}
    for index in range(segmentation.GetNumberOfSegments() if display is not None else 0):
        segmentID = segmentation.GetNthSegmentID(index)
        looks[segmentID] = {name: getattr(display, f"GetSegment{name}")(segmentID) for name in _LOOKS}
        looks[segmentID]["Color"] = segmentation.GetNthSegment(index).GetColor()
    return looks


def _restoreLooks(node: slicer.vtkMRMLSegmentationNode, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Show segments as those of the same ID before; of new ones, those that enclose others are translucent in 3-D."""
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    for index in range(segmentation.GetNumberOfSegments() if display is not None else 0):
        segmentID = segmentation.GetNthSegmentID(index)
        look = dict(looks.get(segmentID, {"Opacity3D": _SURFACE_OPACITY.get(segmentID, 1.0)}))
        color = look.pop("Color", None)
        if color is not None:
            segmentation.GetNthSegment(index).SetColor(*color)
        for name, value in look.items():
            getattr(display, f"SetSegment{name}")(segmentID, value)


def _addLayer(
    segmentation: slicer.vtkSegmentation,
    array: NDArray[Any],
    place: tuple[vtk.vtkMatrix4x4, tuple[int, int, int]],
    segments: Mapping[int, Segment],
    algorithm: str,
) -> None:
    """Add segments that share one label map; an empty one gets its own, by which Slicer knows that it is empty.

    :param place: the matrix from (i, j, k) to RAS, and the index of the array's first voxel
    """
    import numpy as np

    shared = _labelMap(array, *place)
    present = set(np.unique(array).tolist())
    for value, wanted in segments.items():
        segment = slicer.vtkSegment()
        segment.SetName(wanted.name)
        # Else Slicer replaces the name when the user looks for another code.
        segment.SetNameAutoGenerated(False)
        segment.SetColor(*wanted.color)
        segment.SetLabelValue(value)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), wanted.entry)
        segment.SetTag("DICOM.SegmentAlgorithmType", "AUTOMATIC")
        segment.SetTag("DICOM.SegmentAlgorithmName", algorithm[:_LONGEST_ALGORITHM])
        image = shared if value in present else _labelMap(array[:0, :0, :0], *place)
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segment.AddRepresentation(name, image)
        segmentation.AddSegment(segment, wanted.id)


def _labelMap(
    array: NDArray[Any], ijkToRas: vtk.vtkMatrix4x4, first: tuple[int, int, int]
) -> slicer.vtkOrientedImageData:
    """The part of a label array (k, j, i) that is not 0, at its place."""
    import numpy as np

    image = slicer.vtkOrientedImageData()
    image.SetGeometryFromImageToWorldMatrix(ijkToRas)
    if array.any():
        extents = [np.flatnonzero(array.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        box = tuple(slice(int(along[0]), int(along[-1]) + 1) for along in extents)
        start = tuple(part.start + index for part, index in zip(reversed(box), first, strict=True))
        fillImage(image, np.ascontiguousarray(array[box], dtype=np.uint8), start)
    else:
        # As an empty segment of Slicer's own: other types are refused when surfaces are made. Without the name that
        # AllocateScalars gives the voxels, Slicer's exporter of DICOM SEG knows that it is empty.
        image.SetExtent(0, -1, 0, -1, 0, -1)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.GetPointData().GetScalars().SetName("")
    return image

"""From the folder of a result to nodes of the scene: segmentation, volumes, report, probabilities, uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import InputError
from lckd.sequences import Sequence

from .RunReport import attributesOf, fillVolumesTable, readReport, reportText, subsetTitle, volumesInMl
from .SceneTree import placeBelow, placeBeside, subjectHierarchy
from .SegmentationNodes import checkOnGrid, setDisplay
from .TumorSegments import TISSUES, algorithmOf, divide
from .VolumeFiles import ijkToWorld, imageOf, readVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Below this, a probability or an uncertainty is not drawn over the image.
_DRAWN_FROM = 0.05
#: Node references from the segmentation to what belongs to it.
TABLE_ROLE, TEXT_ROLE, VOLUME_ROLE = "LCKD.volumes", "LCKD.report", "LCKD.map"


@dataclass(frozen=True)
class ResultFiles:
    """A result as read from its folder, checked, before anything is changed in a scene.

    `labels` has the axes (k, j, i) and the values 1 NCR/NET, 2 ED, 3 ET; `maps` holds probability and uncertainty
    arrays by name (``probability-ET``, …, ``uncertainty``).
    """

    report: dict[str, Any]
    labels: NDArray[Any]
    maps: dict[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedRun:
    """The nodes of a run. `item` is the one item of the subject hierarchy whose deletion undoes it all."""

    segmentation: slicer.vtkMRMLSegmentationNode
    volumes: slicer.vtkMRMLTableNode
    report: slicer.vtkMRMLTextNode
    maps: dict[str, slicer.vtkMRMLScalarVolumeNode]
    item: int
    isEmpty: bool


def importResult(
    scene: slicer.vtkMRMLScene,
    folder: Path,
    inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode | None],
    division: str = TISSUES,
    replaced: slicer.vtkMRMLSegmentationNode | None = None,
) -> ImportedRun:
    """Bring a result into the scene, beside the volume on whose voxels it lies.

    :param folder: holds ``segmentation.nrrd``, ``report.json`` and, where asked for, probabilities and uncertainty
    :param inputs: the volumes the job was made from, by sequence
    :param division: `TumorSegments.TISSUES` or `TumorSegments.REGIONS`
    :param replaced: the segmentation of a former run to be replaced (it keeps its node ID and the way it is shown);
        None: the result is added
    :raises InputError: the result is missing or damaged, or does not belong to these volumes; the scene is unchanged
    """
    report = readReport(folder / "report.json")
    grid = inputs.get(report["grid"])
    if grid is None or grid.GetScene() is not scene:
        raise _elsewhere(report["grid"])
    result = _readResult(folder, report, grid)
    volumes = volumesInMl(result.labels, _voxelMl(grid))
    node = replaced or _newSegmentation(scene, report)
    _fillSegmentation(node, grid, result, division)
    item = placeBeside(node, grid)
    table, text, maps = _addDetails(node, grid, result, volumes)
    return ImportedRun(node, table, text, maps, item, isEmpty=not result.labels.any())


def followRemoval(scene: slicer.vtkMRMLScene) -> int:
    """From now on, what belongs to a segmentation goes when the segmentation goes, in whatever way.

    Without it, that holds only where the segmentation is deleted in the subject hierarchy.

    :return: the tag for ``scene.RemoveObserver``
    """

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def remove(scene: slicer.vtkMRMLScene, _event: int, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLSegmentationNode") and not scene.IsClosing():
            removeDetails(node)

    return scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, remove)


def removeDetails(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Remove what belongs to a segmentation: table, report, probabilities, uncertainty."""
    scene = segmentation.GetScene()
    tree = subjectHierarchy(scene)
    for role in (TABLE_ROLE, TEXT_ROLE, VOLUME_ROLE):
        count = segmentation.GetNumberOfNodeReferences(role)
        for node in [segmentation.GetNthNodeReference(role, index) for index in range(count)]:
            item = tree.GetItemByDataNode(node) if node else 0
            if item:
                tree.RemoveItem(item)
            elif node:
                scene.RemoveNode(node)


def _readResult(folder: Path, report: dict[str, Any], grid: slicer.vtkMRMLScalarVolumeNode) -> ResultFiles:
    labels, _matrix = readVolume(folder / "segmentation.nrrd")
    checkOnGrid(labels, grid, _("result"))
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 3:
        raise InputError(
            "RESULT_UNREADABLE", _("The result holds labels that are not known."), _("Run the segmentation again.")
        )
    maps = {}
    for path in sorted({*folder.glob("probability_*.nrrd"), *folder.glob("uncertainty.nrrd")}):
        name = path.stem.replace("_", "-")
        maps[name], _matrix = readVolume(path)
        checkOnGrid(maps[name], grid, name)
    return ResultFiles(report, labels, maps)


def _newSegmentation(scene: slicer.vtkMRMLScene, report: dict[str, Any]) -> slicer.vtkMRMLSegmentationNode:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(_segmentationName(report)))
    setDisplay(node)
    return node


def _segmentationName(report: dict[str, Any]) -> str:
    """The name says from what it was made; it becomes the series description in DICOM, and is ASCII therefore."""
    return f"Brain tumor from {subsetTitle(report)}"


def _fillSegmentation(
    node: slicer.vtkMRMLSegmentationNode, grid: slicer.vtkMRMLScalarVolumeNode, result: ResultFiles, division: str
) -> None:
    if node.GetAttribute("LCKD.Subset") not in (None, "+".join(result.report["present"])):
        node.SetName(node.GetScene().GenerateUniqueName(_segmentationName(result.report)))
    divide(node, grid, result.labels, division, algorithmOf(result.report["model"]["name"]))
    for name, value in attributesOf(result.report).items():
        node.SetAttribute(name, value)
    node.SetAttribute("LCKD.Empty", "0" if result.labels.any() else "1")


def _addDetails(
    node: slicer.vtkMRMLSegmentationNode,
    grid: slicer.vtkMRMLScalarVolumeNode,
    result: ResultFiles,
    volumes: dict[str, float],
) -> tuple[slicer.vtkMRMLTableNode, slicer.vtkMRMLTextNode, dict[str, slicer.vtkMRMLScalarVolumeNode]]:
    """Make what belongs to the segmentation anew; what a former run had made is removed."""
    removeDetails(node)
    scene, title = node.GetScene(), subsetTitle(result.report)
    table = scene.AddNewNodeByClass(
        "vtkMRMLTableNode", scene.GenerateUniqueName(_("Tumor volumes from {sequences}").format(sequences=title))
    )
    fillVolumesTable(table, volumes)
    text = scene.AddNewNodeByClass(
        "vtkMRMLTextNode", scene.GenerateUniqueName(_("Report on {sequences}").format(sequences=title))
    )
    text.SetText(reportText(result.report, volumes))
    maps = {name: _addMap(scene, grid, name, array, title) for name, array in result.maps.items()}
    for role in (TABLE_ROLE, TEXT_ROLE, VOLUME_ROLE):
        node.RemoveNodeReferenceIDs(role)
    node.SetNodeReferenceID(TABLE_ROLE, table.GetID())
    node.SetNodeReferenceID(TEXT_ROLE, text.GetID())
    for volume in maps.values():
        node.AddNodeReferenceID(VOLUME_ROLE, volume.GetID())
    for detail in (table, text, *maps.values()):
        placeBelow(detail, node)
    return table, text, maps


def _addMap(
    scene: slicer.vtkMRMLScene,
    grid: slicer.vtkMRMLScalarVolumeNode,
    name: str,
    array: NDArray[Any],
    title: str,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a map of values 0 to 1 on the voxels of `grid`, colored so that it can lie over the image."""
    words = (
        _("Uncertainty from {sequences}") if name == "uncertainty" else _("Probability of {region} from {sequences}")
    )
    shown = words.format(region=name.split("-")[-1], sequences=title)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(shown))
    matrix = vtk.vtkMatrix4x4()
    grid.GetIJKToRASMatrix(matrix)
    volume.SetAndObserveTransformNodeID(grid.GetTransformNodeID())
    volume.SetIJKToRASMatrix(matrix)
    volume.SetAndObserveImageData(imageOf(array))
    volume.SetAttribute("LCKD.Map", name)
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeIron")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetAutoThreshold(False)
    display.SetThreshold(_DRAWN_FROM, 1.0)
    display.SetApplyThreshold(True)
    return volume


def _voxelMl(grid: slicer.vtkMRMLScalarVolumeNode) -> float:
    """The volume of a voxel in the world, in milliliters."""
    return abs(ijkToWorld(grid).Determinant()) / 1000.0


def _elsewhere(sequence: str) -> InputError:
    return InputError(
        "RESULT_ELSEWHERE",
        _("The result lies on the voxels of {sequence}, whose volume was deleted or is no longer chosen.").format(
            sequence=Sequence(sequence).title
        ),
        _("Choose a volume for it again, and run the segmentation again."),
    )

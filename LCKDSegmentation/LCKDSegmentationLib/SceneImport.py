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

from .OwnedNodes import TABLE_ROLE, TEXT_ROLE, VOLUME_ROLE, own, ownedNodes, removeOwned
from .RunReport import attributesOf, fillVolumesTable, readReport, reportText, subsetTitle, volumesInMl
from .SceneTree import itemOf, placeBefore, placeBeside
from .SegmentationNodes import checkOnGrid, setDisplay
from .TumorSegments import TISSUES, algorithmOf, divide
from .VolumeFiles import firstVoxel, imageOf, readVolume, voxelMl

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Below this, a probability or an uncertainty is not drawn over the image.
_DRAWN_FROM = 0.05


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
    withMaps: bool = True,
) -> ImportedRun:
    """Bring a result into the scene, beside the volume on whose voxels it lies.

    :param folder: holds ``segmentation.nrrd``, ``report.json`` and, where asked for, probabilities and uncertainty
    :param inputs: the volumes the job was made from, by sequence
    :param division: `TumorSegments.TISSUES` or `TumorSegments.REGIONS`
    :param replaced: the segmentation of a former run to be replaced (it keeps its node ID, its place, a name that the
        user gave it, and the way it is shown); None: the result is added
    :param withMaps: also bring in probabilities and uncertainty, where the folder has them
    :raises InputError: the result is missing or damaged, or does not belong to these volumes; the scene is unchanged
    """
    report = readReport(folder / "report.json")
    grid = inputs.get(report["grid"])
    if grid is None or grid.GetScene() is not scene:
        raise _elsewhere(report["grid"])
    result = _readResult(folder, report, grid, withMaps)
    node = replaced or _newSegmentation(scene, report, grid)
    try:
        _fillSegmentation(node, grid, result, division)
        table, text, maps = _fillDetails(node, grid, result, volumesInMl(result.labels, voxelMl(grid)))
    except BaseException:
        if replaced is None:
            removeOwned(node)
            scene.RemoveNode(node)
        raise
    return ImportedRun(node, table, text, maps, itemOf(node), isEmpty=not result.labels.any())


def _readResult(
    folder: Path, report: dict[str, Any], grid: slicer.vtkMRMLScalarVolumeNode, withMaps: bool
) -> ResultFiles:
    labels, _matrix = readVolume(folder / "segmentation.nrrd")
    checkOnGrid(labels, grid, _("result"))
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 3:
        raise InputError(
            "RESULT_UNREADABLE", _("The result holds labels that are not known."), _("Run the segmentation again.")
        )
    maps = {}
    for path in sorted({*folder.glob("probability_*.nrrd"), *folder.glob("uncertainty.nrrd")} if withMaps else ()):
        name = path.stem.replace("_", "-")
        maps[name], _matrix = readVolume(path)
        checkOnGrid(maps[name], grid, name)
    return ResultFiles(report, labels, maps)


def _newSegmentation(
    scene: slicer.vtkMRMLScene, report: dict[str, Any], grid: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    _giveName(node, report)
    setDisplay(node)
    placeBeside(node, grid)
    return node


def _giveName(node: slicer.vtkMRMLSegmentationNode, report: dict[str, Any]) -> None:
    """Name a segmentation after its sequences; a name that the user gave stays."""
    wanted, given = _segmentationName(report), node.GetAttribute("LCKD.Name")
    if given is None or (node.GetName() == given and not given.startswith(wanted)):
        node.SetName(node.GetScene().GenerateUniqueName(wanted))
        node.SetAttribute("LCKD.Name", node.GetName())


def _segmentationName(report: dict[str, Any]) -> str:
    """The name says from what it was made; it becomes the series description in DICOM, and is ASCII therefore."""
    return f"Brain tumor from {subsetTitle(report)}"


def _fillSegmentation(
    node: slicer.vtkMRMLSegmentationNode, grid: slicer.vtkMRMLScalarVolumeNode, result: ResultFiles, division: str
) -> None:
    _giveName(node, result.report)
    divide(node, grid, result.labels, division, algorithmOf(result.report["model"]["name"]))
    for name, value in attributesOf(result.report).items():
        node.SetAttribute(name, value)
    node.SetAttribute("LCKD.Empty", "0" if result.labels.any() else "1")


def _fillDetails(
    node: slicer.vtkMRMLSegmentationNode,
    grid: slicer.vtkMRMLScalarVolumeNode,
    result: ResultFiles,
    volumes: dict[str, float],
) -> tuple[slicer.vtkMRMLTableNode, slicer.vtkMRMLTextNode, dict[str, slicer.vtkMRMLScalarVolumeNode]]:
    """Fill table, report and maps of a segmentation; those of a former run take the new content."""
    title = subsetTitle(result.report)
    table = _detail(node, TABLE_ROLE, "vtkMRMLTableNode", _("Tumor volumes from {sequences}").format(sequences=title))
    fillVolumesTable(table, volumes)
    text = _detail(node, TEXT_ROLE, "vtkMRMLTextNode", _("Report on {sequences}").format(sequences=title))
    text.SetText(reportText(result.report, volumes))
    former = {volume.GetAttribute("LCKD.Map"): volume for volume in ownedNodes(node, VOLUME_ROLE)}
    for name in set(former) - set(result.maps):
        node.GetScene().RemoveNode(former.pop(name))
    maps = {}
    for name, array in result.maps.items():
        maps[name] = former.get(name) or _newMap(node, name)
        maps[name].SetName(node.GetScene().GenerateUniqueName(_mapTitle(name, title)))
        _fillMap(maps[name], grid, array)
    return table, text, maps


def _detail(owner: slicer.vtkMRMLSegmentationNode, role: str, className: str, name: str) -> slicer.vtkMRMLNode:
    """The one node of a role, made where there is none, with the name of now."""
    found = ownedNodes(owner, role)
    node = found[0] if found else owner.GetScene().AddNewNodeByClass(className)
    if not (node.GetName() or "").startswith(name):
        node.SetName(owner.GetScene().GenerateUniqueName(name))
    own(owner, node, role)
    if not found:
        placeBefore(node, owner)
    return node


def _mapTitle(name: str, title: str) -> str:
    words = (
        _("Uncertainty from {sequences}") if name == "uncertainty" else _("Probability of {region} from {sequences}")
    )
    return words.format(region=name.split("-")[-1], sequences=title)


def _newMap(owner: slicer.vtkMRMLSegmentationNode, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume for values 0 to 1, colored so that it can lie over the image."""
    volume = owner.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    volume.SetAttribute("LCKD.Map", name)
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeIron")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetAutoThreshold(False)
    display.SetThreshold(_DRAWN_FROM, 1.0)
    display.SetApplyThreshold(True)
    own(owner, volume, VOLUME_ROLE)
    placeBefore(volume, owner)
    return volume


def _fillMap(volume: slicer.vtkMRMLScalarVolumeNode, grid: slicer.vtkMRMLScalarVolumeNode, array: NDArray[Any]) -> None:
    """Put values onto the voxels of `grid`."""
    matrix = vtk.vtkMatrix4x4()
    grid.GetIJKToRASMatrix(matrix)
    volume.SetAndObserveTransformNodeID(grid.GetTransformNodeID())
    volume.SetIJKToRASMatrix(matrix)
    volume.SetAndObserveImageData(imageOf(array, firstVoxel(grid.GetImageData())))


def _elsewhere(sequence: str) -> InputError:
    return InputError(
        "RESULT_ELSEWHERE",
        _("The result lies on the voxels of {sequence}, whose volume was deleted or is no longer chosen.").format(
            sequence=Sequence(sequence).title
        ),
        _("Choose a volume for it again, and run the segmentation again."),
    )

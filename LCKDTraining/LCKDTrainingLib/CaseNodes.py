"""A case of the data as nodes of the scene: its volumes, and its label as a segmentation, in a folder of their own.

Slicer itself reads the files that hold one volume. Of a 4-D file it would read the first volume alone, whichever is
wanted, so the engine reads those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import InputError
from lckd.sequences import Sequence
from LCKDSegmentationLib.SceneExport import gridVolume
from LCKDSegmentationLib.SceneTree import placeBeside, placeInFolder, subjectHierarchy
from LCKDSegmentationLib.SegmentationNodes import setDisplay
from LCKDSegmentationLib.TumorSegments import TISSUES, divide
from LCKDSegmentationLib.VolumeFiles import imageOf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lckd.geometry import Grid
    from lckd.images import ImageFile

#: Attribute of the segmentation that was made of a label file: that file.
LABEL_ATTRIBUTE = "LCKD.LabelFile"
#: Attribute of a volume that was taken from a 4-D file: the file, and which volume of it.
_IMAGE_ATTRIBUTE = "LCKD.ImageFile"
_RAS_OF_LPS = (-1.0, -1.0, 1.0)


@dataclass(frozen=True)
class CaseNodes:
    """The nodes of a case. `label` is None if the case has none."""

    name: str
    volumes: dict[str, slicer.vtkMRMLScalarVolumeNode]
    label: slicer.vtkMRMLSegmentationNode | None

    @property
    def grid(self) -> slicer.vtkMRMLScalarVolumeNode:
        """The volume on whose voxels a result lies."""
        return gridVolume(self.volumes)


def readCase(scene: slicer.vtkMRMLScene, facts: Mapping[str, Any], sequences: Iterable[str] | None = None) -> CaseNodes:
    """Bring a case into a scene; what of it is there already is used again.

    :param scene: that of the application
    :param facts: what ``lckd data check`` says of it: ``case``, ``files``, ``components``, ``labels``, ``convention``
    :param sequences: those that are wanted; None: all
    :raises InputError: a file is missing or damaged, or does not hold the volumes that it should; nothing is added then
    """
    name, sources = str(facts["case"]), _sourcesOf(facts)
    wanted = list(sources) if sequences is None else list(sequences)
    known = {sequence: node for sequence in wanted if (node := _volumeOf(scene, sources[sequence])) is not None}
    labelFile = Path(facts["labels"]) if facts["labels"] else None
    label = labelOf(scene, labelFile) if labelFile is not None else None
    added: list[slicer.vtkMRMLNode] = []
    try:
        missing = {sequence: sources[sequence] for sequence in wanted if sequence not in known}
        made = {}
        for sequence, volume in _readImages(scene, name, missing):
            made[sequence] = volume
            added.append(volume)
        volumes = {sequence: known.get(sequence) or made[sequence] for sequence in wanted}
        if labelFile is not None and label is None:
            label = _addLabel(scene, name, labelFile, facts.get("convention"))
            added.append(label)
    except BaseException:
        for node in added:
            scene.RemoveNode(node)
        raise
    case = CaseNodes(name, volumes, label)
    _place(added, next(iter(known.values()), label if label not in added else None), name)
    if label is not None:
        label.SetReferenceImageGeometryParameterFromVolumeNode(case.grid)
    return case


def labelOf(scene: slicer.vtkMRMLScene, file: Path) -> slicer.vtkMRMLSegmentationNode | None:
    """Return the segmentation that was made of a label file; None if it is not in the scene."""
    return next((node for node in labels(scene) if node.GetAttribute(LABEL_ATTRIBUTE) == str(file)), None)


def labels(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSegmentationNode]:
    """Return the segmentations that were made of label files."""
    nodes = _nodesOf(scene, "vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetAttribute(LABEL_ATTRIBUTE)]


def _sourcesOf(facts: Mapping[str, Any]) -> dict[str, ImageFile]:
    from lckd.images import ImageFile

    components = facts.get("components", {})
    sources = {sequence: ImageFile(Path(path), components.get(sequence)) for sequence, path in facts["files"].items()}
    if len(set(sources.values())) < len(sources):
        reason = _("it is named for several sequences, or holds several volumes in one")
        raise _unreadable(next(iter(sources.values())).path, reason)
    return sources


def _volumeOf(scene: slicer.vtkMRMLScene, source: ImageFile) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume that was read from a file."""
    nodes = [n for n in _nodesOf(scene, "vtkMRMLScalarVolumeNode") if not n.IsA("vtkMRMLLabelMapVolumeNode")]
    if source.component is not None:
        return next((node for node in nodes if node.GetAttribute(_IMAGE_ATTRIBUTE) == str(source)), None)
    stored = ((node, node.GetStorageNode()) for node in nodes)
    return next(
        (n for n, storage in stored if storage is not None and Path(storage.GetFileName() or "") == source.path), None
    )


def _readImages(
    scene: slicer.vtkMRMLScene, case: str, sources: Mapping[str, ImageFile]
) -> Iterator[tuple[str, slicer.vtkMRMLScalarVolumeNode]]:
    """Read volumes into the scene, each with its sequence; a file that holds several is read once."""
    import SimpleITK as sitk

    from lckd.geometry import Grid
    from lckd.images import read_images

    images = read_images({sequence: source for sequence, source in sources.items() if source.component is not None})
    for sequence, source in sources.items():
        title = f"{case} {Sequence(sequence).title}"
        if sequence in images:
            image = images[sequence]
            volume = scene.AddNode(_asVolume(sitk.GetArrayViewFromImage(image), Grid.of(image)))
            volume.SetName(scene.GenerateUniqueName(title))
            volume.SetAttribute(_IMAGE_ATTRIBUTE, str(source))
            volume.CreateDefaultDisplayNodes()
        else:
            volume = _readFile(title, source.path)
        yield sequence, volume


def _readFile(title: str, file: Path) -> slicer.vtkMRMLScalarVolumeNode:
    """Read a volume as Slicer does, so that it is saved with the scene as the file that it is."""
    logic = slicer.modules.volumes.logic()
    options = logic.SingleFile | logic.AutoWindowLevel
    volume = logic.AddArchetypeVolume(str(file), title, options) if file.is_file() else None
    if volume is None:
        raise _unreadable(file, _("it is missing or damaged"))
    return volume


def _addLabel(
    scene: slicer.vtkMRMLScene, case: str, file: Path, convention: str | None
) -> slicer.vtkMRMLSegmentationNode:
    """A label file as a segmentation, with the colors and codes of results."""
    from lckd.labels import LabelConvention, convention_of, labels_from_regions, regions_from_labels
    from lckd.reference import read_labels

    array, grid = read_labels(file)
    known = convention_of(array, LabelConvention(convention) if convention else None)
    tissues = labels_from_regions(regions_from_labels(array, known))
    # ASCII, since Slicer's exporter to DICOM takes no other letters.
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(f"{case} label"))
    setDisplay(node)
    divide(node, _asVolume(tissues, grid), tissues, TISSUES, "")
    for index in range(node.GetSegmentation().GetNumberOfSegments()):
        segment = node.GetSegmentation().GetNthSegment(index)
        segment.SetTag("DICOM.SegmentAlgorithmType", "MANUAL")
        segment.RemoveTag("DICOM.SegmentAlgorithmName")
    node.SetAttribute(LABEL_ATTRIBUTE, str(file))
    return node


def _asVolume(array: NDArray[Any], grid: Grid) -> slicer.vtkMRMLScalarVolumeNode:
    """Voxels (k, j, i) with their geometry, outside of any scene."""
    volume, matrix = slicer.vtkMRMLScalarVolumeNode(), vtk.vtkMatrix4x4()
    for row, sign in enumerate(_RAS_OF_LPS):
        for column in range(3):
            matrix.SetElement(row, column, sign * float(grid.matrix[row, column]))
        matrix.SetElement(row, 3, sign * grid.origin[row])
    volume.SetAndObserveImageData(imageOf(array))
    volume.SetIJKToRASMatrix(matrix)
    return volume


def _place(added: list[slicer.vtkMRMLNode], known: slicer.vtkMRMLNode | None, name: str) -> None:
    """Put what is new beside what was there, or else into a new folder."""
    if known is not None:
        for node in added:
            placeBeside(node, known)
    elif added:
        scene = added[0].GetScene()
        placeInFolder(added, subjectHierarchy(scene).GetSceneItemID(), name)


def _nodesOf(scene: slicer.vtkMRMLScene, className: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, className) for index in range(scene.GetNumberOfNodesByClass(className))]


def _unreadable(file: Path, reason: str) -> InputError:
    return InputError(
        "CASE_UNREADABLE",
        _("{file} cannot be shown: {reason}.").format(file=file.name, reason=reason),
        _("Check the data again, or load the file with Slicer's own dialog."),
    )

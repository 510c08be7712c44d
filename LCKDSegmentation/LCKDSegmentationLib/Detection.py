"""Which volume of the scene is which sequence, by the rules of ``lckd.identify``.

What speaks: the DICOM header of a volume that came from the DICOM database, its series description, its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import slicer

from lckd.identify import Assignment, Evidence, assign, evidence_from_tags
from lckd.sequences import Sequence

#: Names of the volume attribute that DICOM import sets: the instances, slice by slice, joined by spaces.
INSTANCES = "DICOM.instanceUIDs"
#: Gives the value of a tag (``gggg,eeee``) of an instance, as ``slicer.dicomDatabase.instanceValue``.
InstanceValue = Callable[[str, str], str]


@dataclass(frozen=True)
class Detection:
    """Which volume is which sequence, with a reason for each sequence that has an answer or several candidates.

    `found` and `reasons` are by ``flair``, ``t1``, ``t1c``, ``t2``; what the user had chosen is not in `found`.
    `unused` says of each volume that was not assigned what it seems to be.
    """

    found: dict[str, slicer.vtkMRMLScalarVolumeNode]
    reasons: dict[str, str]
    unused: dict[str, str]


def detectSequences(
    volumes: Iterable[slicer.vtkMRMLScalarVolumeNode],
    chosen: Mapping[str, slicer.vtkMRMLScalarVolumeNode],
    instanceValue: InstanceValue | None = None,
) -> Detection:
    """Assign volumes to the sequences that have none yet; no volume twice, and the user's choice stays.

    :param volumes: the candidates, of one patient
    :param chosen: what the user has chosen already, by sequence
    :param instanceValue: reads the DICOM database; None: only names speak
    """
    candidates = list(volumes)
    candidates += [volume for volume in chosen.values() if volume not in candidates]
    fixed = {Sequence(sequence): candidates.index(volume) for sequence, volume in chosen.items()}
    assignment = assign([evidenceOf(volume, instanceValue) for volume in candidates], fixed)
    found = {
        sequence.value: candidates[index] for sequence, index in assignment.chosen.items() if sequence not in fixed
    }
    reasons = {sequence.value: reason for sequence, reason in assignment.reasons.items() if sequence not in fixed}
    return Detection(found, reasons, _unused(candidates, assignment))


def evidenceOf(volume: slicer.vtkMRMLScalarVolumeNode, instanceValue: InstanceValue | None = None) -> Evidence:
    """Return what is known of a volume. A slice in the middle speaks for its series."""
    name = volume.GetName() or ""
    instances = (volume.GetAttribute(INSTANCES) or "").split()
    if instanceValue is None or not instances:
        return _withSpacing(Evidence(name=name), volume)
    instance = instances[len(instances) // 2]
    return evidence_from_tags(lambda tag: instanceValue(instance, tag), name)


def sceneVolumes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Return the volumes that can be a sequence: not label maps, not vectors, not maps of our own, not hidden ones."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode") for index in range(count)]
    return [
        node
        for node in nodes
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and node.GetAttribute("LCKD.Map") is None
    ]


def databaseReader() -> InstanceValue | None:
    """Return how to read the DICOM database of the application; None where there is none or it is closed."""
    database = getattr(slicer, "dicomDatabase", None)
    return database.instanceValue if database is not None and database.isOpen else None


def _withSpacing(evidence: Evidence, volume: slicer.vtkMRMLScalarVolumeNode) -> Evidence:
    """The distance of the slices tells a 3-D acquisition from a thick one where there is no header."""
    return replace(evidence, slice_distance_mm=max(volume.GetSpacing()))


def _unused(candidates: list[slicer.vtkMRMLScalarVolumeNode], assignment: Assignment) -> dict[str, str]:
    used = set(assignment.chosen.values())
    return {
        volume.GetName(): f"{found.answer or '?'}: {found.reason}"
        for index, (volume, found) in enumerate(zip(candidates, assignment.identifications, strict=True))
        if index not in used
    }

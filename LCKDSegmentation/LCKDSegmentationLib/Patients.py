"""Of which patient a volume is: by the subject hierarchy, else by its name where that is one as data sets write it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import slicer

from lckd.sequences import sequence_of_file_name

from .SceneTree import itemOf, subjectHierarchy

#: A case as data sets name it, before the sequence: ``BraTS2021_00002`` of ``BraTS2021_00002_flair``.
_CASE = re.compile(r"(.*\d.*?)[^A-Za-z0-9]+[A-Za-z0-9]+")


@dataclass(frozen=True)
class Patient:
    """`key`: the item of the subject hierarchy, or the case by its name; `name`: for the user."""

    key: int | str
    name: str


Patients = Mapping[slicer.vtkMRMLScalarVolumeNode, "Patient | None"]


def patientsOf(volumes: Iterable[slicer.vtkMRMLScalarVolumeNode]) -> Patients:
    """Return the patient of each volume; None where that is not known.

    Names speak only where no volume lies under a patient, and where at least two volumes have the same case: else what
    differs may as well be the number of a series.
    """
    volumes = list(volumes)
    inTree = {volume: _inTree(volume) for volume in volumes}
    if any(inTree.values()):
        return inTree
    byName = {volume: _byName(volume.GetName() or "") for volume in volumes}
    counts = Counter(patient for patient in byName.values() if patient is not None)
    return byName if max(counts.values(), default=0) >= 2 else dict.fromkeys(volumes)


def volumesOfOnePatient(
    volumes: list[slicer.vtkMRMLScalarVolumeNode], chosen: Mapping[str, slicer.vtkMRMLScalarVolumeNode]
) -> tuple[list[slicer.vtkMRMLScalarVolumeNode], str]:
    """Return the volumes of the patient of those chosen, else of the patient with the most volumes.

    The second value is the name of that patient if others were left out, else empty.
    """
    patients = patientsOf(dict.fromkeys([*volumes, *chosen.values()]))
    isByName = any(patient is not None and isinstance(patient.key, str) for patient in patients.values())
    # By name, what names no case may be of any patient; beside patients of the hierarchy, it is of none of them.
    unsure = {volume for volume in volumes if isByName and patients[volume] is None}
    counts = Counter(patients[volume] for volume in volumes if volume not in unsure)
    first = [patients[volume] for volume in chosen.values() if not isByName or patients[volume] is not None][:1]
    if len(counts) < 2:
        return volumes, ""
    wanted = first[0] if first else counts.most_common(1)[0][0]
    kept = [volume for volume in volumes if volume in unsure or patients[volume] == wanted]
    return kept, wanted.name if wanted is not None else ""


def differentPatients(
    used: Iterable[slicer.vtkMRMLScalarVolumeNode], volumes: Iterable[slicer.vtkMRMLScalarVolumeNode]
) -> list[str]:
    """Return the names of the patients of the volumes in use, if these are several.

    :param volumes: all volumes of the scene, by whose names one knows whether names speak
    """
    used = list(used)
    patients = patientsOf(dict.fromkeys([*volumes, *used]))
    found = dict.fromkeys(patients[volume] for volume in used)
    names = [patient.name for patient in found if patient is not None]
    return names if len(names) >= 2 else []


def _inTree(volume: slicer.vtkMRMLScalarVolumeNode) -> Patient | None:
    """The patient under which a volume lies in the subject hierarchy."""
    tree = subjectHierarchy(volume.GetScene())
    item = tree.GetItemAncestorAtLevel(itemOf(volume), slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient())
    return Patient(item, tree.GetItemName(item)) if item else None


def _byName(name: str) -> Patient | None:
    """The case that a name says before the sequence."""
    found = _CASE.fullmatch(name) if sequence_of_file_name(name) is not None else None
    return Patient(found[1], found[1]) if found else None

"""From volumes of the scene to a job folder that the worker reads.

A job folder names no patient: its files are called after the sequences, and node names and attributes stay behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import InputError, UsageError
from lckd.sequences import REFERENCE_PREFERENCE, Sequence

from .ReferenceExport import writeReference
from .VolumeFiles import ijkToWorld, writeJson, writeVolume

JOB_FILE = "job.json"

#: Everything that a job says beside its images, as it is where nothing else is wanted.
DEFAULT_SETTINGS: dict[str, Any] = {
    "grid": None,
    "case": "case",
    "model": None,
    "device": "auto",
    "threads": None,
    "mirror": False,
    "cleanup": {},
    "probabilities": False,
    "uncertainty": False,
    "reference": None,
}


def writeJob(
    folder: Path,
    inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode | None],
    settings: Mapping[str, Any] | None = None,
    reference: slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLLabelMapVolumeNode | None = None,
) -> Path:
    """Write the volumes and what is wanted of them, all checked before anything is written.

    :param folder: the job folder, made if it is not there
    :param inputs: a volume for each of ``flair``, ``t1``, ``t1c``, ``t2``; None where there is none
    :param settings: what differs from `DEFAULT_SETTINGS`
    :param reference: a reference segmentation, written as label map on the voxels of the grid volume
    :return: the file ``job.json``, written last
    :raises InputError: there is no volume, or one cannot be a sequence of an MRI examination
    :raises UsageError: there is no such sequence or setting
    :raises OutputError: the folder cannot be written to
    """
    volumes = presentVolumes(inputs)
    job = DEFAULT_SETTINGS | dict(settings or {})
    unknown = sorted(set(job) - set(DEFAULT_SETTINGS))
    if unknown:
        known = ", ".join(DEFAULT_SETTINGS)
        raise UsageError("UNKNOWN_SETTING", f"'{unknown[0]}' is not a setting of a job.", f"Use {known}.")
    matrices = {sequence: _checkedMatrix(sequence, volume) for sequence, volume in volumes.items()}
    grid = gridVolume(volumes, job["grid"])
    names = {sequence: f"{sequence}.nrrd" for sequence in volumes}
    for sequence, volume in volumes.items():
        writeVolume(volume.GetImageData(), matrices[sequence], folder / names[sequence])
    if reference is not None:
        writeReference(reference, grid, folder / "reference.nrrd")
        job["reference"] = "reference.nrrd"
    writeJson({"images": names, **job}, folder / JOB_FILE)
    return folder / JOB_FILE


def presentVolumes(
    inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode | None],
) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """Return the volumes that are there, in the order of the sequences.

    :raises InputError: there is none, or one stands for two sequences
    :raises UsageError: there is no such sequence
    """
    known = [sequence.value for sequence in Sequence]
    unknown = sorted(set(inputs) - set(known))
    if unknown:
        raise UsageError("UNKNOWN_SEQUENCE", f"'{unknown[0]}' is not a sequence.", f"Use {', '.join(known)}.")
    volumes = {sequence: inputs[sequence] for sequence in known if inputs.get(sequence) is not None}
    if not volumes:
        raise InputError("NO_SEQUENCE", _("No image was given."), _("Give at least one of FLAIR, T1, T1c, T2."))
    seen: dict[str, str] = {}
    for sequence, volume in volumes.items():
        first = seen.setdefault(volume.GetID() or str(id(volume)), sequence)
        if first != sequence:
            raise InputError(
                "SAME_IMAGE",
                _("The same image is given as {first} and as {second}.").format(
                    first=Sequence(first).title, second=Sequence(sequence).title
                ),
                _("Give each image once; a missing sequence is simply left out."),
            )
    return volumes


def gridVolume(
    volumes: Mapping[str, slicer.vtkMRMLScalarVolumeNode], wanted: str | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """Return the volume on whose voxels the result lies: the one wanted, or the first of T1c, FLAIR, T2, T1.

    :raises InputError: the wanted one is not there
    """
    if wanted is None:
        return next(volumes[sequence.value] for sequence in REFERENCE_PREFERENCE if sequence.value in volumes)
    if wanted not in volumes:
        raise InputError(
            "SEQUENCE_ABSENT",
            _("The result cannot lie on {sequence}, which is not among the images.").format(sequence=wanted),
            _("Choose one of the images that are there."),
        )
    return volumes[wanted]


def _checkedMatrix(sequence: str, volume: slicer.vtkMRMLScalarVolumeNode) -> vtk.vtkMatrix4x4:
    """The geometry of a volume in the world, after checking that it can be an MRI volume."""
    title = Sequence(sequence).title
    image = volume.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        message = _("The volume chosen as {sequence} has no voxels.").format(sequence=title)
        raise InputError("EMPTY_VOLUME", message, _("Choose another volume."))
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            "LABELS_AS_IMAGE",
            _("The volume chosen as {sequence} is a segmentation, not an MRI image.").format(sequence=title),
            _("Choose the image; a segmentation is given as the reference."),
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(
            "NOT_3D",
            _("The volume chosen as {sequence} has several values for each voxel, as color images have.").format(
                sequence=title
            ),
            _("Choose a volume with one gray value for each voxel."),
        )
    return ijkToWorld(volume)

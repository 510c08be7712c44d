"""What the engine says, in the words of the panel: no files of the job folder, no commands of a shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from lckd.sequences import Sequence

if TYPE_CHECKING:
    from lckd.errors import LckdError


def volumeNames(inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode]) -> dict[str, str]:
    """Return what volumes are called, by the files that they were written to (`SceneExport.writeJob`)."""
    words = _("{volume} ({sequence})")
    return {
        f"{sequence}.nrrd": words.format(volume=volume.GetName(), sequence=Sequence(sequence).title)
        for sequence, volume in inputs.items()
    }


def withNames(text: str, names: Mapping[str, str]) -> str:
    """Say what the user has chosen instead of the files of a job folder."""
    for file, name in names.items():
        text = text.replace(file, name)
    return text


def inPanelWords(error: LckdError, names: Mapping[str, str] | None = None) -> LckdError:
    """Return an error that says the same to somebody who sees the panel only.

    :param names: what the files of the job folder are called for the user
    """
    action = _actions().get(error.code, error.action)
    message, action = (withNames(text, names or {}) for text in (error.message, action))
    told = type(error)(error.code, message, action)
    # An error of the worker carries the exit status of its kind, not the kind.
    told.exit_status = error.exit_status
    return told


def _actions() -> dict[str, str]:
    """What to do, where the engine names an option or a command, by code."""
    return {
        "LABELS_AS_IMAGE": _("Choose the image; a segmentation is given as the reference."),
        "MODEL_NAME_TAKEN": _("Delete that one first, or rename the new one."),
    }

"""What the engine says, in the words of the panel: no files of the job folder, no commands of a shell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from lckd.sequences import Sequence

if TYPE_CHECKING:
    from lckd.errors import LckdError


def inPanelWords(error: LckdError, inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode] | None = None) -> LckdError:
    """Return an error that says the same to somebody who sees the panel only.

    :param inputs: the volumes that were written into the job folder, by sequence
    """
    action = _actions().get(error.code, error.action)
    message, action = (withVolumeNames(text, inputs or {}) for text in (error.message, action))
    told = type(error)(error.code, message, action)
    # An error of the worker carries the exit status of its kind, not the kind.
    told.exit_status = error.exit_status
    return told


def withVolumeNames(text: str, inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode]) -> str:
    """Name volumes instead of the files that they were written to (`SceneExport.writeJob`)."""
    for sequence, volume in inputs.items():
        name = _("{volume} ({sequence})").format(volume=volume.GetName(), sequence=Sequence(sequence).title)
        text = text.replace(f"{sequence}.nrrd", name)
    return text


def _actions() -> dict[str, str]:
    """What to do, where the engine names an option or a command, by code."""
    return {
        "LABELS_AS_IMAGE": _("Choose the image; a segmentation is given as the reference."),
        "MODEL_NAME_TAKEN": _("Delete that one first, or rename the new one."),
    }

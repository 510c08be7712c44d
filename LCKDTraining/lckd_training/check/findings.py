"""What a check of data finds: faults and notes, each with the file and what to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lckd.errors import InputError

from ..data.cases import LABEL_REMEDIES

#: What to do about a refusal in a data set, where files are not named on the command line one by one.
_REMEDIES: Mapping[str, str] = {
    **{code: f"{action} For this check alone, give --reference-labels." for code, action in LABEL_REMEDIES.items()},
    "SEQUENCE_TWICE": "Leave one of them there, give each case a folder of its own, or list the files in a CSV.",
    "REFERENCE_TWICE": "Leave one of them there, or list the files in a CSV.",
    "NOT_3D": "Give one 3-D file for each sequence.",
    "NOT_4D": "Give a file with the four volumes FLAIR, T1, T1c, T2, or a folder of 3-D files.",
    "LABELS_AS_IMAGE": "Put the image there; a segmentation is told by its name, which ends in seg.",
    "NOT_LABELS": "Put a label map there, not an image or a probability map.",
}
#: The same where the file is a segmentation.
_REMEDIES_OF_LABELS: Mapping[str, str] = {"NOT_3D": "Give the segmentation as one 3-D label map."}


@dataclass(frozen=True)
class Finding:
    """A fault, which makes a case unusable, or a note.

    Attributes:
        is_fault: whether it is a fault.
        code: stable identifier, such as ``"LABELS_UNKNOWN"``.
        message: one sentence.
        action: what to do about it.
        file: the file it lies in, below the folder that was checked; empty if it is of the case as a whole.
    """

    is_fault: bool
    code: str
    message: str
    action: str
    file: str = ""

    def concerns(self, path: Path, root: Path) -> bool:
        """Whether it lies in that file."""
        return self.file == shown(path, root)

    def told(self, case: str) -> str:
        """What to say of the case in the folder of that name: the message and what to do. A file in its folder goes
        without it."""
        parts = Path(self.file).parts
        file = str(Path(*parts[parts.index(case) + 1 :])) if case in parts else self.file
        return f"{naming_file(self.message, '' if file == '.' else file)} {self.action}"

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        kind = "fault" if self.is_fault else "note"
        return {"kind": kind, "code": self.code, "file": self.file, "message": self.message, "action": self.action}


def naming_file(message: str, file: str) -> str:
    """A message with the file that it is about, once: where the message names it, it does so with its folder."""
    name = Path(file).name
    if not name or file in message:
        return message
    return message.replace(name, file, 1) if name in message else f"{file}: {message}"


def fault(code: str, message: str, action: str, file: str = "") -> Finding:
    """Something that makes the case unusable."""
    return Finding(True, code, message, action, file)


def note(code: str, message: str, action: str, file: str = "") -> Finding:
    """Something to know."""
    return Finding(False, code, message, action, file)


def refusal(error: InputError, file: Path | None, root: Path, of_labels: bool = False) -> Finding:
    """What an error of the engine says, as a fault of a file below `root`, which may be a segmentation."""
    remedies = {**_REMEDIES, **_REMEDIES_OF_LABELS} if of_labels else _REMEDIES
    action = remedies.get(error.code, error.action)
    return fault(error.code, error.message, action, shown(file, root) if file is not None else "")


def shown(path: Path, root: Path) -> str:
    """A file as it is shown: relative to the folder that was checked, or to that of the table."""
    folder = root if root.is_dir() else root.parent
    return os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path)

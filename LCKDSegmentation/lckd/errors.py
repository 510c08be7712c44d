"""Errors a user can meet: a stable code, one plain sentence, one action, and the exit status of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class LckdError(Exception):
    """An expected failure.

    Args:
        code: stable upper-case identifier, e.g. ``"NO_SEQUENCE"``.
        message: one sentence that a clinician understands.
        action: one thing to do about it.
    """

    exit_status = 1

    def __init__(self, code: str, message: str, action: str) -> None:
        super().__init__(f"{message} {action}")
        self.code = code
        self.message = message
        self.action = action

    def __reduce__(self) -> tuple[Any, ...]:
        """What it is made of again in another process."""
        return type(self), (self.code, self.message, self.action)

    def as_event(self) -> dict[str, str]:
        """The error as the JSON event of DESIGN: ``{"event": "error", "code", "message", "action"}``."""
        return {"event": "error", "code": self.code, "message": self.message, "action": self.action}


class UsageError(LckdError):
    """The command line asks for something that does not exist or does not go together."""

    exit_status = 2


class InputError(LckdError):
    """The images or labels are refused."""

    exit_status = 3


class ModelError(LckdError):
    """The model is refused."""

    exit_status = 4


class OutputError(LckdError):
    """The result cannot be written."""

    exit_status = 5


class OutOfMemoryError(LckdError):
    """The case does not fit into the memory of any allowed device."""

    exit_status = 6


class BatchError(LckdError):
    """Some cases of a batch failed; the others are done."""

    exit_status = 7


class CancelledError(LckdError):
    """The user interrupted the run."""

    exit_status = 130

    def __init__(self, action: str = "Start it again to redo it.") -> None:
        super().__init__("CANCELLED", "The run was interrupted before it was finished.", action)

    def __reduce__(self) -> tuple[Any, ...]:
        """What it is made of again in another process."""
        return type(self), (self.action,)


def not_enough_memory() -> OutOfMemoryError:
    """The error for a computer whose memory ran out."""
    action = "Close other programs, or use a computer with more memory."
    return OutOfMemoryError("OUT_OF_MEMORY", "There is not enough memory.", action)


def check_path_encoding(path: Path, kind: type[InputError] | type[OutputError]) -> None:
    """Refuse a path that is not UTF-8: ITK would end the whole process.

    Raises:
        LckdError: PATH_ENCODING, of that kind.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
        raise kind("PATH_ENCODING", f"The path {shown} is not written in UTF-8.", "Rename it.") from error

"""SHA-256 of every file of a model, kept in ``SHA256SUMS`` as ``sha256sum`` writes and checks it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from ..errors import ModelError

SUMS_FILE = "SHA256SUMS"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` for all files below `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS_FILE)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8", newline="\n")


def read_sums(folder: Path) -> dict[str, str]:
    """Relative POSIX path to expected SHA-256.

    Raises:
        ModelError: the file is missing, malformed, or names a path outside the folder.
    """
    try:
        text = (folder / SUMS_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise missing_file(SUMS_FILE) from error
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line)
        if match is None or not is_inside(match[2]):
            raise ModelError(
                "MODEL_DAMAGED", f"The list of checksums of the model ({SUMS_FILE}) is damaged.", ADD_AGAIN
            )
        sums[match[2]] = match[1].lower()
    return sums


def verify_sums(folder: Path, required: tuple[str, ...]) -> dict[str, str]:
    """Check every listed file; the required ones must be listed. Returns what `read_sums` returns.

    Raises:
        ModelError: a file is missing, or was changed.
    """
    sums = read_sums(folder)
    for name in (*required, *sums):
        if name not in sums or not (folder / name).is_file():
            raise missing_file(name)
    for name, expected in sums.items():
        if sha256_of(folder / name) != expected:
            raise ModelError(
                "MODEL_HASH", f"The file {name} of the model was changed or damaged since it was made.", ADD_AGAIN
            )
    return sums


def is_inside(name: str) -> bool:
    """Whether a relative POSIX path stays below its root on every platform."""
    path = PurePosixPath(name)
    return not (
        path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name or not path.parts
    )


def missing_file(name: str) -> ModelError:
    """The error for a model without one of its files."""
    return ModelError("MODEL_FILE_MISSING", f"The model has no file {name}.", ADD_AGAIN)


ADD_AGAIN = "Get the model again from its source."

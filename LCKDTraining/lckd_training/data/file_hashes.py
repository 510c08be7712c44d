"""SHA-256 of the content of files, remembered by path, size and times of change."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lckd.errors import InputError
from lckd.images import writing

#: A file that was read sooner than this after it changed may change again without a new time of change.
_SETTLED_NS = 2 * 10**9


@dataclass(frozen=True)
class FileHash:
    """The SHA-256 of a file as it was at a time.

    Attributes:
        size: in bytes.
        changed: when its content was last changed, in ns. A file that takes the place of another brings its own time,
            which may be the same, as after unpacking.
        placed: when it was last changed, moved or linked, in ns.
        sha256: of its content.
    """

    size: int
    changed: int
    placed: int
    sha256: str

    @property
    def stamp(self) -> tuple[int, int, int]:
        """By which it is told, without reading the file, whether this is still its hash."""
        return self.size, self.changed, self.placed


def hash_file(path: Path) -> FileHash:
    """Read a file and hash it.

    Raises:
        InputError: it is gone or cannot be read.
    """
    stamp = _stamp(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path) from error
    return FileHash(*stamp, digest.hexdigest())


def known_hash(path: Path, hashes: Mapping[str, FileHash]) -> FileHash | None:
    """The remembered hash of a file if it has not changed since, from its size and times of change.

    Raises:
        InputError: it is gone or cannot be read.
    """
    remembered, stamp = hashes.get(str(path)), _stamp(path)
    return remembered if remembered and remembered.stamp == stamp else None


def read_hashes(path: Path) -> dict[str, FileHash]:
    """Hashes by path; none if they cannot be read, since they can be found out again."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: FileHash(int(size), int(changed), int(placed), str(digest))
            for name, (size, changed, placed, digest) in told.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def add_hashes(path: Path, fresh: Mapping[str, FileHash]) -> None:
    """Add to the hashes in a file, to which another process may have added meanwhile.

    Raises:
        OutputError: the file cannot be written, or the disk is full.
    """
    settled = {name: one for name, one in fresh.items() if time.time_ns() - one.changed > _SETTLED_NS}
    with writing(path) as temporary:
        every = {name: (*one.stamp, one.sha256) for name, one in (read_hashes(path) | settled).items()}
        temporary.write_text(json.dumps(every), encoding="utf-8")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path) from error
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unreadable(path: Path) -> InputError:
    return InputError("FILE_NOT_FOUND", f"{path} does not exist, or cannot be read.", "Check the path.")

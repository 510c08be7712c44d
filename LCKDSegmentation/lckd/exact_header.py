"""Geometry to the last bit: reading and writing an oblique image rounds what its header says, so that is copied."""

from __future__ import annotations

import gzip
import itertools
import re
import struct
from pathlib import Path

from .nifti import open_nifti

_NIFTI = (".nii", ".nii.gz")
#: Offset and kind of the geometry in a NIfTI-1 header: qfac and spacing; units; codes, quaternion, offset, matrix.
_NIFTI_FIELDS = ((76, "4f"), (123, "b"), (252, "2h18f"))
_NIFTI_HEADER_SIZE = 348
_NRRD_FIELD = re.compile(rb"^(space|space directions|space origin): .*$", re.MULTILINE)


def copy_geometry(like: Path, path: Path) -> None:
    """Give the header of `path`, just written, the geometry exactly as it stands in `like`; only for NIfTI and NRRD.

    Both must have the same geometry but for rounding.

    Raises:
        OSError: a file cannot be read or written.
    """
    if like.name.lower().endswith(_NIFTI) and path.name.lower().endswith(_NIFTI):
        _copy_nifti(like, path)
    elif like.name.lower().endswith((".nrrd", ".nhdr")) and path.name.lower().endswith(".nrrd"):
        _copy_nrrd(like, path)


def _copy_nifti(like: Path, path: Path) -> None:
    with open_nifti(like) as file:
        theirs = file.read(_NIFTI_HEADER_SIZE)
    with open_nifti(path) as file:
        ours = bytearray(file.read())
    orders = [order for order in "<>" if struct.unpack_from(f"{order}i", theirs)[0] == _NIFTI_HEADER_SIZE]
    written = bytes(ours[:_NIFTI_HEADER_SIZE])
    if not orders or struct.unpack_from("<i", ours)[0] != _NIFTI_HEADER_SIZE:
        return  # An Analyze header, or a machine of the other byte order.
    for offset, kind in _NIFTI_FIELDS:
        struct.pack_into(f"<{kind}", ours, offset, *struct.unpack_from(orders[0] + kind, theirs, offset))
    if ours[:_NIFTI_HEADER_SIZE] != written:
        path.write_bytes(gzip.compress(ours, 1) if path.name.lower().endswith(".gz") else ours)


def _copy_nrrd(like: Path, path: Path) -> None:
    theirs = {match[1]: match[0] for match in _NRRD_FIELD.finditer(_nrrd_header(like))}
    header, content = _nrrd_header(path), path.read_bytes()
    if len(theirs) == 3 and theirs[b"space directions"].count(b"(") == 3 and b"none" not in theirs[b"space directions"]:
        path.write_bytes(_NRRD_FIELD.sub(lambda match: theirs[match[1]], header) + content[len(header) :])


def _nrrd_header(path: Path) -> bytes:
    """Everything before the first empty line."""
    with open(path, "rb") as file:
        lines = list(itertools.takewhile(lambda line: bool(line.strip()), file))
    return b"".join(lines).rstrip(b"\r\n")

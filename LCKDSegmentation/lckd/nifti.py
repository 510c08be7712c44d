"""What ITK's NIfTI reader lets pass: data that is cut short (it leaves the rest empty) and NaN (it makes it 0)."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from .errors import InputError

_FLOAT_BYTES = {"16": 4, "64": 8}
_HEADER_SIZE, _HEADER_SIZE_2 = 348, 540
_CHUNK = 1 << 22
_GZIP = b"\x1f\x8b"


def check_nifti_data(path: Path, header: Mapping[str, str], voxels: int) -> bool:
    """Read a NIfTI file through once, without keeping it; whether all that its header promises is there.

    Args:
        path: ``.nii``, gzipped or not.
        header: its fields by name, as text.
        voxels: how many it has, all volumes together.

    Raises:
        InputError: NOT_FINITE, a value is NaN or infinite.
    """
    promised = voxels * int(header["bitpix"]) // 8
    try:
        with open_nifti(path) as file:
            order = "<" if int.from_bytes(file.peek(4)[:4], "little") == _HEADER_SIZE else ">"
            file.read(int(float(header["vox_offset"])))
            floats = _FLOAT_BYTES.get(header["datatype"])
            kind = np.dtype(f"{order}f{floats}") if floats else None
            while promised > 0 and (chunk := file.read(min(_CHUNK, promised))):
                promised -= len(chunk)
                whole = len(chunk) - len(chunk) % (floats or 1)
                if kind is not None and not np.isfinite(np.frombuffer(chunk[:whole], kind)).all():
                    raise not_finite(path.name)
            file.read(1)  # Past the end of the data, so that gzip compares its checksum.
    except (OSError, EOFError, zlib.error):
        return False
    return promised == 0


def has_full_length(path: Path, header: Mapping[str, str], voxels: int) -> bool:
    """Whether a NIfTI file holds all that its header promises, told without unpacking it where that is possible.

    The length before packing stands in the last four bytes of a gzip file (RFC 1952). If it is not as promised, which
    need not be a fault, the file is read through.

    Args:
        path: ``.nii``, gzipped or not.
        header: its fields by name, as text.
        voxels: how many it has, all volumes together.

    Raises:
        InputError: NOT_FINITE, as `check_nifti_data`.
    """
    promised = int(float(header["vox_offset"])) + voxels * int(header["bitpix"]) // 8
    try:
        with open(path, "rb") as file:
            if file.read(2) != _GZIP:
                return path.stat().st_size >= promised
            file.seek(-4, os.SEEK_END)
            noted = int.from_bytes(file.read(4), "little")
    except OSError:
        return False
    return noted == promised % 2**32 or check_nifti_data(path, header, voxels)


def is_nifti2(path: Path) -> bool:
    """Whether the file is NIfTI-2, which ITK does not read."""
    try:
        with open_nifti(path) as file:
            size = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return _HEADER_SIZE_2 in (int.from_bytes(size, "little"), int.from_bytes(size, "big"))


def not_finite(name: str) -> InputError:
    """The refusal of NaN and infinity."""
    return InputError("NOT_FINITE", f"{name} contains values that are not numbers.", "Export the image again.")


def open_nifti(path: Path) -> io.BufferedReader:
    """The file, unpacked if it is packed, whatever the name says."""
    with open(path, "rb") as file:
        packed = file.read(2) == _GZIP
    return io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb"))) if packed else open(path, "rb")

"""Models from elsewhere: unpacking a zip that may be hostile, downloading with a known hash."""

from __future__ import annotations

import http.client
import re
import shutil
import stat
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ..errors import ModelError
from .checksums import ADD_AGAIN, is_inside, sha256_of

MAX_FILES = 1000
MAX_BYTES = 4 << 30
_BLOCK = 1 << 20
#: How long a server may say nothing.
TIMEOUT_SECONDS = 60

#: Opens a URL; a context manager with ``read(size)``, ``geturl()`` and ``headers``.
Opener = Callable[[str], Any]
#: Receives the bytes received so far and the total, None where the server does not say.
DownloadProgress = Callable[[int, "int | None"], None]


def unpack(archive: Path, folder: Path) -> None:
    """Extract a zip into an existing empty folder.

    Raises:
        ModelError: it is no zip, is damaged or packed in a rare way, has an entry that would land outside `folder` or
            is no plain file, or would unpack to more than 1000 files or 4 GiB.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _check_entries(entries)
            for entry in entries:
                if not entry.is_dir():
                    _extract(opened, entry, folder / entry.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise ModelError("MODEL_ARCHIVE", f"{archive.name} is no zip archive, or damaged.", ADD_AGAIN) from error


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    files = {PurePosixPath(entry.filename) for entry in entries if not entry.is_dir()}
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile("packed in a way that models are not")
        if not files.isdisjoint(PurePosixPath(entry.filename).parents):
            raise zipfile.BadZipFile("a file has files in it")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_inside(entry.filename) or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ModelError(
                "MODEL_ARCHIVE_UNSAFE",
                f"The archive has an entry that would be written outside its folder ({entry.filename[:80]!r}).",
                "Do not use this archive; get the model from a source that you trust.",
            )
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ModelError(
            "MODEL_ARCHIVE_SIZE",
            f"The archive would unpack to more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB, as no model does.",
            "Do not use this archive; get the model from a source that you trust.",
        )


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """Write one file. zipfile stops at the size that the entry declares, which `_check_entries` has bounded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, _BLOCK)


def download(
    url: str, sha256: str | None, target: Path, opener: Opener | None = None, progress: DownloadProgress | None = None
) -> None:
    """Download `url` into `target`: first beside it as ``.part``, renamed when its hash is right.

    Raises:
        ModelError: the address is not https, no hash or a malformed one was given, the download failed, or its hash
            is not the given one.
    """
    if not _is_https(url):
        raise ModelError("MODEL_URL", "Models are downloaded from https addresses only.", "Give an https address.")
    if re.fullmatch(r"[0-9a-fA-F]{64}", sha256 or "") is None:
        raise ModelError(
            "MODEL_URL_HASH", "A model from an address needs its SHA-256, 64 hexadecimal digits.", "Give it (--sha256)."
        )
    assert sha256 is not None
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as sink:
            received = 0
            for block, total in _blocks(url, opener or _open):
                received += len(block)
                if received > MAX_BYTES:
                    message = f"The file is larger than {MAX_BYTES >> 30} GiB."
                    raise ModelError("MODEL_ARCHIVE_SIZE", message, "Check the address.")
                sink.write(block)
                if progress is not None:
                    progress(received, total)
        check_hash(part, sha256)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def check_hash(path: Path, sha256: str) -> None:
    """Compare a file with the SHA-256 that its user gave.

    Raises:
        ModelError: they differ.
    """
    if sha256_of(path) != sha256.lower():
        raise ModelError(
            "MODEL_HASH",
            "The file is not the one that the given SHA-256 stands for.",
            "Check address and SHA-256; if both are right, do not use the file.",
        )


def _is_https(url: str) -> bool:
    try:
        return urlsplit(url).scheme == "https"
    except ValueError:
        return False


def _open(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS)


def _blocks(url: str, opener: Opener) -> Iterator[tuple[bytes, int | None]]:
    """What the server sends, piece by piece, each with the size of all that it announced."""
    try:
        with opener(url) as response:
            if not _is_https(response.geturl()):
                raise ModelError("MODEL_URL", "The address leads to one that is not https.", "Give another address.")
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            while block := response.read(_BLOCK):
                yield block, total
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ModelError(
            "MODEL_DOWNLOAD", f"The model could not be downloaded ({error}).", "Check the address and the network."
        ) from error

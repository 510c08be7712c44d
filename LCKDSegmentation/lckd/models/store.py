"""Where models are kept: those that come with the program, and the user's own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import resources
from ..errors import ModelError, OutputError
from ..locking import hold
from .archive import DownloadProgress, Opener, check_hash, download, unpack
from .card import ModelCard
from .checksums import SUMS_FILE, verify_sums

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
WEIGHTS = "models/model.pt"
REQUIRED = (METADATA, INFERENCE, WEIGHTS)

#: How the folder begins in which a model is made ready, and the file in it that says whether somebody still does.
_SCRATCH = ".add-"
_HELD = "held"

#: The model that is used where none is named.
DEFAULT_MODEL = "small"


@dataclass(frozen=True)
class ModelEntry:
    """One model in a list.

    Attributes:
        name: what it is called by; the name of its folder.
        path: its folder.
        embedded: whether it came with the program.
        card: its card; None where it cannot be read.
        problem: why it cannot be read.
    """

    name: str
    path: Path
    embedded: bool
    card: ModelCard | None
    problem: ModelError | None = None

    def as_dict(self) -> dict[str, Any]:
        """What a program that shows the list needs: plain values, with the measured Dice by subset and region."""
        card = self.card
        return {
            "name": self.name,
            "path": str(self.path),
            "embedded": self.embedded,
            "size": card.size if card else None,
            "description": card.description if card else None,
            "license": card.license if card else None,
            "dice": card.dice if card else None,
            "dice_basis": card.dice_basis if card else None,
            "problem": str(self.problem) if self.problem else None,
        }


def user_models_dir() -> Path:
    """The user's models: ``LCKD_MODELS`` where it is set, else the place for data of the platform."""
    chosen = os.environ.get("LCKD_MODELS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        # Relative values are to be ignored (XDG Base Directory Specification).
        configured = Path(os.environ.get("XDG_DATA_HOME", ""))
        base = configured if configured.is_absolute() else Path.home() / ".local" / "share"
    return base / "lckd" / "models"


def list_models() -> list[ModelEntry]:
    """The embedded models, then the user's, each by name. One that cannot be read is listed with its problem."""
    entries: dict[str, ModelEntry] = {}
    for root, embedded in ((resources.find(resources.MODELS), True), (user_models_dir(), False)):
        for path in _model_folders(root):
            entries.setdefault(path.name, _entry(path, embedded))
    return list(entries.values())


def find_model(reference: str | Path | None = None) -> Path:
    """The folder of a model.

    Args:
        reference: the name of a listed model or a model's folder; None: the embedded model. A text may be either; a
            `Path` that is a model's folder is never taken for a name.

    Raises:
        ModelError: there is none, or a text is the name of one model and the folder of another.
    """
    wanted = DEFAULT_MODEL if reference is None else reference
    path = Path(wanted).expanduser()
    is_model = reference is not None and (path / METADATA).is_file()
    if is_model and isinstance(reference, Path):
        return path
    entries = list_models()
    listed = next((entry.path for entry in entries if entry.name == str(wanted)), None)
    if is_model and listed is not None and not path.samefile(listed):
        message = f"'{wanted}' is the name of a model and also a folder with another model."
        raise ModelError("MODEL_AMBIGUOUS", message, f"Write {os.path.join(os.curdir, wanted)} for the folder.")
    if listed is not None or is_model:
        return listed or path
    known = ", ".join(entry.name for entry in entries) or "none"
    action = "Choose one of these, or the folder of a model."
    if path.is_file():
        action = "Add the archive first: lckd models add."
    raise ModelError("MODEL_NOT_FOUND", f"There is no model '{wanted}' (there are: {known}).", action)


def add_model(
    source: str | Path,
    sha256: str | None = None,
    opener: Opener | None = None,
    progress: DownloadProgress | None = None,
) -> ModelEntry:
    """Copy a model into the user's folder under the name on its card, after all checks.

    Args:
        source: a model's folder, a zip of one, or the https address of such a zip.
        sha256: of the zip; needed for an address.
        opener: opens the address; `urllib.request.urlopen` by default.
        progress: called during a download.

    Raises:
        ModelError: the model is refused, or its name is taken.
        OutputError: the user's folder cannot be written.
    """
    from .bundle import verify_model

    root = user_models_dir()
    remove_unfinished()
    with _writing(root), _scratch(_made(root)) as scratch:
        folder = _fetch(source, scratch, sha256, opener, progress)
        name = ModelCard.read(folder / METADATA).name
        _refuse_taken(name)
        staged = scratch / "checked"
        for file in (SUMS_FILE, *verify_sums(folder, REQUIRED)):
            (staged / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, staged / file)
        verify_model(staged)
        staged.rename(root / name)
    return _entry(root / name, embedded=False)


def remove_model(name: str) -> None:
    """Delete one of the user's models.

    Raises:
        ModelError: there is no such model, or it came with the program.
        OutputError: it cannot be deleted.
    """
    entry = next((entry for entry in list_models() if entry.name == name), None)
    if entry is None:
        raise ModelError("MODEL_NOT_FOUND", f"There is no model '{name}'.", "See the list: lckd models list.")
    if entry.embedded:
        raise ModelError("MODEL_EMBEDDED", f"The model {name} is part of the program.", "Remove only added models.")
    with _writing(entry.path.parent):
        if entry.path.is_symlink():
            entry.path.unlink()
            return
        with tempfile.TemporaryDirectory(dir=entry.path.parent, prefix=".remove-") as scratch:
            entry.path.rename(Path(scratch) / name)


def remove_unfinished() -> None:
    """Delete what processes have left that were killed while they added a model; those that still do keep theirs."""
    for folder in user_models_dir().glob(f"{_SCRATCH}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _model_folders(root: Path | None) -> list[Path]:
    if root is None or not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if not path.name.startswith(".") and (path / METADATA).is_file())


def _entry(path: Path, embedded: bool) -> ModelEntry:
    try:
        return ModelEntry(path.name, path, embedded, ModelCard.read(path / METADATA))
    except ModelError as problem:
        return ModelEntry(path.name, path, embedded, None, problem)


def _fetch(
    source: str | Path, scratch: Path, sha256: str | None, opener: Opener | None, progress: DownloadProgress | None
) -> Path:
    """The folder of the model that `source` stands for, unpacked below `scratch` where it is a zip."""
    archive = Path(source)
    if "://" in str(source):
        archive = scratch / "model.zip"
        download(str(source), sha256, archive, opener, progress)
    elif archive.is_dir():
        return archive
    elif not archive.is_file():
        raise ModelError("MODEL_NOT_FOUND", f"There is no file or folder '{source}'.", "Check the path.")
    elif sha256 is not None:
        check_hash(archive, sha256)
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    unpack(archive, unpacked)
    inner = [path for path in unpacked.iterdir() if path.is_dir() and (path / METADATA).is_file()]
    return inner[0] if len(inner) == 1 and not (unpacked / METADATA).is_file() else unpacked


def _refuse_taken(name: str) -> None:
    if any(entry.name == name for entry in list_models()) or (user_models_dir() / name).exists():
        raise ModelError(
            "MODEL_NAME_TAKEN",
            f"There is already a model called {name}.",
            f"Remove it first (lckd models remove {name}), or rename the new one.",
        )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A folder for a model that is being added, held by this process until it ends, however it ends."""
    with (
        tempfile.TemporaryDirectory(dir=root, prefix=_SCRATCH) as folder,
        (Path(folder) / _HELD).open("w") as file,
    ):
        # Where there are no locks, nothing is ever taken for abandoned.
        with suppress(OSError):
            hold(file)
        yield Path(folder)


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / _HELD).open("r+") as file:
            return hold(file)
    except OSError:
        return False


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to write into an error that a user understands."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            "NOT_WRITABLE",
            f"The models cannot be changed in {folder} ({error.strerror or error}).",
            "Check that the folder may be written to and that the disk is not full, or set LCKD_MODELS.",
        ) from error

"""Prepared cases, kept memory-mapped on disk: built once, in parallel, and again when files or program change.

A cache holds a folder for each case, whose name ends in a hash of everything that its arrays depend on and one of the
recipe (program and settings) by which they were made, and ``hashes.json``, by which the files of a case need not be
read again to tell that they are the same. What another recipe made is of no use to this program; `using` removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import IO, Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lckd import case as reading
from lckd import geometry, images, labels, reference
from lckd import prepare as preparation
from lckd.case import Case
from lckd.discovery import CaseFiles
from lckd.errors import InputError, OutOfMemoryError, OutputError
from lckd.images import not_writable
from lckd.labels import REGIONS
from lckd.locking import hold
from lckd.sequences import SEQUENCES, Sequence, Subset, subset_of

from . import cases
from .cases import TrainingCase, naming, read_regions
from .file_hashes import FileHash, add_hashes, hash_file, known_hash, read_hashes

TUMOR_VOXELS = 3000
#: What the arrays of a case depend on beside its files.
_PROGRAM = (preparation, reading, images, geometry, labels, reference, cases, sys.modules[__name__])
_HASHES = "hashes.json"
#: Temporary folders: of a case that is being built, and of what is being removed.
_BUILDING = ".building-"
#: Held by who looks into what a cache holds and who uses it; and by each process as long as it uses the cache.
_LOOKING, _IN_USE = ".looking", ".in-use-"
#: Folder of a case; names of cases have no @ there.
_CASE_FOLDER = re.compile(r".+-[0-9a-f]{32}@(?P<recipe>[0-9a-f]{12})")
_ARRAYS = {f"{name}.npy" for name in (*(sequence.value for sequence in SEQUENCES), "regions", "tumor")}
#: What is left of a build after so long belongs to a process that was killed.
_ABANDONED_S = 24 * 3600

_Prepared = tuple["MappedCase", dict[str, FileHash]]


class MappedImages(Mapping[Sequence, NDArray[np.float16]]):
    """The images of a cached case, each mapped anew whenever it is asked for."""

    def __init__(self, folder: Path, present: Subset) -> None:
        self._folder, self._present = folder, present

    def __getitem__(self, sequence: Sequence) -> NDArray[np.float16]:
        if sequence not in self._present:
            raise KeyError(sequence)
        return _map(self._folder / f"{sequence.value}.npy")

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._present)

    def __len__(self) -> int:
        return len(self._present)


class MappedCase(TrainingCase):
    """A case of the cache. It holds no open file, however many cases there are, and is sent to other processes as the
    path of its folder.

    Raises:
        InputError: an array is gone or damaged (on access).
    """

    images: MappedImages
    folder: Path

    def __init__(self, name: str, folder: Path, present: Subset, fingerprint: str) -> None:
        images = MappedImages(folder, present)
        for key, value in (("name", name), ("images", images), ("folder", folder), ("fingerprint", fingerprint)):
            object.__setattr__(self, key, value)

    @property
    def regions(self) -> NDArray[np.bool_]:
        return _map(self.folder / "regions.npy")

    @property
    def tumor(self) -> NDArray[np.int32]:
        return _map(self.folder / "tumor.npy")


def prepare_cases(
    files: Iterable[CaseFiles],
    folder: Path,
    workers: int = 1,
    progress: Callable[[float, str], None] = lambda fraction, name: None,
) -> list[TrainingCase]:
    """The cases, prepared as for inference, from the cache; what is not there yet is built.

    Args:
        files: cases; those without a segmentation show no region.
        folder: the cache; several processes may use it at once.
        workers: cases that are prepared at a time, each in a process of its own; 1: in this process.
        progress: told the fraction done of what there is to do and the case that was just done.

    Returns:
        One for each of `files`, in their order.

    Raises:
        InputError: a file is gone, damaged or refused, in the cache too.
        OutputError: the cache cannot be written to, or the disk is full.
        OutOfMemoryError: a process that prepared cases was killed.
    """
    every, folder = list(files), folder.absolute()
    _make(folder)
    hashes, recipe = read_hashes(folder / _HASHES), _recipe()
    ready = [_find(case, folder, recipe, hashes) for case in every]
    missing = [number for number, case in enumerate(ready) if case is None]
    built: dict[int, MappedCase] = {}
    fresh: dict[str, FileHash] = {}
    try:
        for task, (case, read) in _run([(every[number], folder, recipe) for number in missing], workers):
            built[missing[task]] = case
            fresh |= read
            progress(len(built) / len(missing), case.name)
    finally:
        if fresh:
            # They only spare the next run the reading of the files, and the cache may be one that may only be read.
            with contextlib.suppress(OutputError):
                add_hashes(folder / _HASHES, fresh)
    return [case or built[number] for number, case in enumerate(ready)]


@contextlib.contextmanager
def using(folder: Path) -> Iterator[None]:
    """Use a cache within the block; what other versions of the program, or other settings, left in it is removed first.

    It is as large as the data, and this program cannot use it. It stays as long as another process uses the cache, of
    whatever version, and where the file system has no locks. Nothing else in the folder is touched: only folders of
    cases that hold nothing but arrays of the cache are removed.

    Raises:
        OutputError: the folder cannot be made.
    """
    folder = folder.absolute()
    _make(folder)
    registration = None
    # No locks, or a cache that may only be read.
    with contextlib.suppress(OSError):
        registration = _enter(folder)
    try:
        yield
    finally:
        if registration is not None:
            registration.close()
            Path(registration.name).unlink(missing_ok=True)


def _enter(folder: Path) -> IO[str]:
    """The file that this process holds as long as it uses the cache.

    Outdated cases are moved away while nobody else enters, which takes no time, and are deleted afterwards.
    """
    trash = tempfile.TemporaryDirectory(prefix=_BUILDING, dir=folder, ignore_cleanup_errors=True)
    with trash as name, (folder / _LOOKING).open("a") as looking:
        while not hold(looking):
            time.sleep(0.05)
        others = _is_in_use(folder)
        registration = tempfile.NamedTemporaryFile("w", prefix=_IN_USE, dir=folder, delete=False)  # noqa: SIM115
        hold(registration)
        # What cannot be moved stays.
        with contextlib.suppress(OSError):
            for case in [] if others else _outdated(folder, _recipe()):
                case.rename(Path(name) / case.name)
        return registration


def _is_in_use(folder: Path) -> bool:
    """Whether a process uses the cache. What killed ones left is removed."""
    for path in folder.glob(f"{_IN_USE}*"):
        with contextlib.suppress(FileNotFoundError):
            with path.open("r+") as file:
                if not hold(file):
                    return True
            path.unlink()
    return False


def _outdated(folder: Path, recipe: str) -> list[Path]:
    """Cases that were made by another recipe."""
    found = []
    for path in folder.iterdir():
        match = _CASE_FOLDER.fullmatch(path.name)
        if match is not None and not recipe.startswith(match["recipe"]) and path.is_dir() and not path.is_symlink():
            found += [path] if {file.name for file in path.iterdir()} <= _ARRAYS else []
    return found


def _make(folder: Path) -> None:
    """Make the cache's folder, without what killed processes left in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder) from error
    for left in folder.glob(f"{_BUILDING}*"):
        with contextlib.suppress(FileNotFoundError):  # Its process is alive and has just finished.
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)


def _run(tasks: list[tuple[CaseFiles, Path, str]], workers: int) -> Iterator[tuple[int, _Prepared]]:
    """Number and outcome of each task, as they are done."""
    if min(workers, len(tasks)) <= 1:
        yield from ((number, _prepare(*task)) for number, task in enumerate(tasks))
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _start_worker)
    try:
        futures = {pool.submit(_prepare, *task): number for number, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        message = "A process that prepared cases was ended from outside, most often for lack of memory."
        action = "Prepare fewer cases at a time; what is done is kept."
        raise OutOfMemoryError("PREPARATION_LOST", message, action) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """One thread, no interest in Ctrl-C, which is the first process's business, and no life after that one's death."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(case: CaseFiles, folder: Path, recipe: str) -> _Prepared:
    """The case from the cache, where it is built if it is not there, and the hashes of its files."""
    with naming(case.name):
        hashes = {str(path): hash_file(path) for path in _paths(case)}
        target, fingerprint = _place(case, folder, recipe, hashes)
        if not target.exists():
            _build(case, target)
        return _open(case, target, fingerprint), hashes


def _find(case: CaseFiles, folder: Path, recipe: str, hashes: Mapping[str, FileHash]) -> MappedCase | None:
    """The case if it is in the cache, and its files are known to be those it was built from."""
    with naming(case.name):
        known = {str(path): found for path in _paths(case) if (found := known_hash(path, hashes)) is not None}
        if not all(str(path) in known for path in _paths(case)):
            return None
        target, fingerprint = _place(case, folder, recipe, known)
        return _open(case, target, fingerprint) if target.exists() else None


def _open(case: CaseFiles, folder: Path, fingerprint: str) -> MappedCase:
    """Look at every array once, so that a damaged one is found now and not in the middle of a training."""
    found = MappedCase(case.name, folder, subset_of(case.images), fingerprint)
    shapes = {image.shape for image in found.images.values()} | {found.regions.shape[1:]}
    if len(shapes) != 1 or found.tumor.ndim != 2:
        raise _damaged(folder / "regions.npy")
    return found


def _map(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    message = f"{path} is gone or damaged."
    return InputError("CACHE_DAMAGED", message, "Delete the folder that it is in; the case is then prepared anew.")


def _build(case: CaseFiles, target: Path) -> None:
    """Prepare a case in a folder beside, which then takes its place: there is never half a case."""
    prepared = preparation.prepare(Case.from_found(case))
    shape = next(iter(prepared.arrays.values())).shape
    regions = np.zeros((len(REGIONS), *shape), bool) if case.labels is None else read_regions(case, prepared.grid)
    arrays: dict[str, NDArray[Any]] = {s.value: array.astype(np.float16) for s, array in prepared.arrays.items()}
    arrays |= {"regions": regions, "tumor": _tumor_voxels(regions)}
    try:
        with tempfile.TemporaryDirectory(prefix=_BUILDING, dir=target.parent) as name:
            stage = Path(name) / "case"
            stage.mkdir()
            for key, array in arrays.items():
                np.save(stage / f"{key}.npy", array)
            _take_place(stage, target)
    except OSError as error:
        raise not_writable(target) from error


def _take_place(stage: Path, target: Path) -> None:
    try:
        stage.rename(target)
    except OSError:
        # Another process has built the same case meanwhile; one is as good as the other.
        if not target.exists():
            raise


def _tumor_voxels(regions: NDArray[np.bool_]) -> NDArray[np.int32]:
    """As many voxels of each region, drawn evenly; the smaller regions thereby count more."""
    rng = np.random.default_rng(0)
    chosen = []
    for region in regions:
        flat = np.flatnonzero(region)
        if flat.size:
            chosen.append(rng.choice(flat, size=TUMOR_VOXELS, replace=flat.size < TUMOR_VOXELS))
    flat = np.concatenate(chosen) if chosen else np.array([], dtype=int)
    return np.stack(np.unravel_index(flat, regions.shape[1:]), axis=1).astype(np.int32)


def _place(case: CaseFiles, folder: Path, recipe: str, hashes: Mapping[str, FileHash]) -> tuple[Path, str]:
    """The case's folder in the cache, and the hash of its content."""
    roles = [(s.value, image.component, hashes[str(image.path)].sha256) for s, image in sorted(case.images.items())]
    if case.labels is not None:
        roles.append(("labels", None, hashes[str(case.labels)].sha256))
    content = _digest(roles)
    key = _digest([content, recipe, case.convention.value if case.convention else None])
    name = re.sub("[^A-Za-z0-9._-]", "_", case.name)[:80]
    return folder / f"{name}-{key[:32]}@{recipe[:12]}", content


def _recipe() -> str:
    """Hash of the settings and of the program that prepares cases."""
    settings = [preparation.SPACING_MM, preparation.MARGIN_MM, preparation.CLIP_PERCENTILES, TUMOR_VOXELS]
    return _digest([settings, [hashlib.sha256(Path(str(m.__file__)).read_bytes()).hexdigest() for m in _PROGRAM]])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _paths(case: CaseFiles) -> list[Path]:
    return [image.path for image in case.images.values()] + ([case.labels] if case.labels is not None else [])

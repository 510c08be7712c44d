"""Training cases: found, prepared exactly as for inference, and kept memory-mapped on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lckd import geometry, labels
from lckd import prepare as preparation
from lckd.case import Case
from lckd.discovery import CaseFiles
from lckd.errors import InputError
from lckd.geometry import Grid, resample
from lckd.labels import convention_of, regions_from_labels
from lckd.reference import read_labels
from lckd.sequences import Sequence, Subset, subset_of

from .datasets import find_dataset

_PREPARING = (preparation, geometry, labels)


@dataclass(frozen=True)
class TrainingCase:
    """A labeled case on the canonical grid.

    Attributes:
        name: name of the case.
        images: float16 (D, H, W) for each present sequence, z-scored in the brain, 0 outside.
        regions: bool (3, D, H, W) in the order ET, TC, WT.
        tumor: indices (n, 3) of tumor voxels from which patch centers are drawn, ET and core as likely as edema.
    """

    name: str
    images: Mapping[Sequence, NDArray[np.float16]]
    regions: NDArray[np.bool_]
    tumor: NDArray[np.int32]

    @property
    def present(self) -> Subset:
        """The sequences at hand."""
        return subset_of(self.images)


def find_labeled(root: Path) -> list[CaseFiles]:
    """The cases of a data set (`find_dataset`) that have a segmentation.

    Raises:
        InputError: there is none, one is refused, or two share a name.
    """
    cases = [files for files in (case.known_files() for case in find_dataset(root)) if files.labels is not None]
    if not cases:
        raise InputError("NO_LABELS", f"No case below {root} has a segmentation.", "Give a folder of labeled cases.")
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError("CASE_TWICE", f"Two cases are called {twice[0]}.", "Rename one of the folders.")
    return cases


def load_cases(
    files: Iterable[CaseFiles], cache: Path, announce: Callable[[str], None] = lambda _: None
) -> list[TrainingCase]:
    """Prepare the cases, or map them from the cache, where each is built once and kept by content and settings."""
    loaded = []
    for case in files:
        folder = cache / f"{case.name}-{_fingerprint(case)}"
        if not (folder / "complete").exists():
            announce(f"preparing {case.name}")
            _build(case, folder)
        loaded.append(_map(case.name, folder))
    return loaded


def _fingerprint(case: CaseFiles) -> str:
    """Changes when a file or the program that prepares it changes."""
    program = [hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest() for module in _PREPARING]
    files = [file.path for file in case.images.values()] + ([case.labels] if case.labels else [])
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps([program, stamps, sorted(case.images)]).encode()).hexdigest()[:16]


def _build(files: CaseFiles, folder: Path) -> None:
    case = Case.from_found(files)
    prepared = preparation.prepare(case)
    regions = read_regions(files, prepared.grid)
    folder.mkdir(parents=True, exist_ok=True)
    for sequence, array in prepared.arrays.items():
        np.save(folder / f"{sequence.value}.npy", array.astype(np.float16))
    np.save(folder / "regions.npy", regions)
    np.save(folder / "tumor.npy", _tumor_voxels(regions))
    (folder / "complete").touch()


def read_regions(files: CaseFiles, grid: Grid) -> NDArray[np.bool_]:
    """The reference segmentation on a grid, as region masks (3, D, H, W) in the order ET, TC, WT.

    Raises:
        InputError: the case has none, or its labels are unknown or ambiguous.
    """
    if files.labels is None:
        raise InputError("NO_LABELS", f"{files.name} has no segmentation.", "Add one or leave the case out.")
    labels, own = read_labels(files.labels)
    moved = resample(labels, own, grid, "nearest")
    return regions_from_labels(moved, convention_of(labels, files.convention))


def _tumor_voxels(regions: NDArray[np.bool_], count: int = 3000) -> NDArray[np.int32]:
    """Up to `count` voxels of each region, drawn evenly; the smaller regions thereby count more."""
    rng = np.random.default_rng(0)
    chosen = []
    for region in regions:
        flat = np.flatnonzero(region)
        if flat.size:
            chosen.append(rng.choice(flat, size=count, replace=flat.size < count))
    flat = np.concatenate(chosen) if chosen else np.array([], dtype=int)
    return np.stack(np.unravel_index(flat, regions.shape[1:]), axis=1).astype(np.int32)


def _map(name: str, folder: Path) -> TrainingCase:
    paths = {sequence: folder / f"{sequence.value}.npy" for sequence in Sequence}
    images = {sequence: np.load(path, mmap_mode="r") for sequence, path in paths.items() if path.exists()}
    regions = np.load(folder / "regions.npy", mmap_mode="r")
    return TrainingCase(name, images, regions, np.load(folder / "tumor.npy"))

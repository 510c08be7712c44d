"""Training cases: which there are, what is known of them, and what they hold."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lckd.discovery import CaseFiles
from lckd.errors import InputError
from lckd.geometry import Grid, resample
from lckd.labels import Tissue, convention_of, regions_from_labels
from lckd.reference import read_labels
from lckd.sequences import Sequence, Subset, subset_of

from .datasets import DatasetCase, find_dataset
from .split import CaseFacts, Split

_TABLE = "list the cases in a CSV file with the column convention"
#: What to do about labels without a clear meaning: training asks nobody, and has no option to say it.
LABEL_REMEDIES: Mapping[str, str] = {
    "LABELS_AMBIGUOUS": f"Say which: {_TABLE}.",
    "LABELS_UNKNOWN": f"Give a segmentation with these labels, or {_TABLE}.",
}


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A case on the canonical grid.

    Attributes:
        name: name of the case.
        images: float16 (D, H, W) for each present sequence, z-scored in the brain, 0 outside.
        regions: bool (3, D, H, W) in the order ET, TC, WT; nothing where the case has no segmentation.
        tumor: indices (n, 3) of tumor voxels from which patch centers are drawn, ET and core as likely as edema.
        fingerprint: SHA-256 of the content of its files; empty if it does not come from files.
    """

    name: str
    images: Mapping[Sequence, NDArray[np.float16]]
    regions: NDArray[np.bool_]
    tumor: NDArray[np.int32]
    fingerprint: str = ""

    @property
    def present(self) -> Subset:
        """The sequences at hand."""
        return subset_of(self.images)


def find_labeled(root: Path, exclude: Container[str] = ()) -> list[CaseFiles]:
    """The cases of a data set (`find_dataset`) that have a segmentation.

    Args:
        root: folder of cases, or a CSV file that lists them.
        exclude: names of cases that are not looked at.

    Raises:
        InputError: there is none, one is refused, or two share a name.
    """
    wanted = [case for case in find_dataset(root) if case.name not in exclude]
    cases = [files for files in (case.known_files() for case in wanted) if files.labels is not None]
    if not cases:
        raise InputError("NO_LABELS", f"No case below {root} has a segmentation.", "Give a folder of labeled cases.")
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError("CASE_TWICE", f"Two cases are called {twice[0]}.", "Rename one of the folders.")
    return cases


def find_unlabeled(root: Path, split: Split, exclude: Container[str] = ()) -> list[CaseFiles]:
    """The cases of a data set that have no segmentation, but for those of patients who elect or test.

    Args:
        root: folder of cases, or a CSV file that lists them.
        split: who is for what.
        exclude: names of cases that are not looked at.

    Raises:
        InputError: one is refused.
    """
    wanted = [case for case in find_dataset(root) if case.name not in exclude]
    held_out = {case.patient for case in wanted if case.name in {*split.election, *split.test}}
    every = [case.known_files() for case in wanted if case.patient not in held_out]
    return [files for files in every if files.labels is None]


def read_facts(
    cases: Iterable[DatasetCase], progress: Callable[[float, str], None] = lambda fraction, name: None
) -> list[CaseFacts]:
    """What a split goes by, of every case; segmentations are read to see whether they show enhancing tumor.

    Args:
        cases: from `datasets.find_dataset`.
        progress: told the fraction done and the case that was read.

    Raises:
        InputError: the files of a case cannot be told, or its segmentation is refused.
    """
    every, facts = list(cases), []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for case, enhances in zip(every, pool.map(_enhances, every), strict=True):
            labeled = case.known_files().labels is not None
            facts.append(CaseFacts(case.name, case.patient, case.site, case.grade, enhances, labeled))
            progress(len(facts) / len(every), case.name)
    finally:
        pool.shutdown(cancel_futures=True)
    return facts


def _enhances(case: DatasetCase) -> bool | None:
    """Whether the segmentation shows enhancing tumor; None without one."""
    files = case.known_files()
    if files.labels is None:
        return None
    with naming(case.name):
        labels, _ = read_labels(files.labels)
        values = convention_of(labels, files.convention).values
    return any(bool((labels == value).any()) for value, tissue in values.items() if tissue is Tissue.ET)


@contextlib.contextmanager
def naming(case: str) -> Iterator[None]:
    """Refusals say of which of many cases they speak, and what to do about it in training."""
    try:
        yield
    except InputError as error:
        action = LABEL_REMEDIES.get(error.code, error.action)
        raise InputError(error.code, f"{case}: {error.message}", action) from error


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

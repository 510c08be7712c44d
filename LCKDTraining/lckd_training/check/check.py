"""Is a data set fit for training and evaluation? Each case's files, geometry and labels, before anything is started."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lckd.case import Case, check_distinct
from lckd.discovery import CaseFiles
from lckd.errors import InputError
from lckd.geometry import Grid
from lckd.images import ImageFile, check_intensities, check_slices, read_grid, read_image
from lckd.labels import LabelConvention
from lckd.memory import physical_bytes
from lckd.prepare import prepare
from lckd.sequences import REFERENCE_PREFERENCE, Sequence, Subset, missing_from, subset_of

from ..data.datasets import DatasetCase
from .findings import Finding, note, refusal
from .geometry import check_grids
from .labels import LabelCheck, check_labels
from .twins import with_twins

if TYPE_CHECKING:
    import SimpleITK as sitk

#: Memory that preparing a case of BraTS takes, with room to spare.
_BYTES_PER_DEEP_CASE = 3 * 1024**3


@dataclass(frozen=True)
class CaseCheck:
    """What was found of one case.

    Attributes:
        case: as the data set has it.
        grids: where the voxels of each sequence lie that could be looked at.
        labels: what the segmentation holds; None if there is none, or it is refused.
        findings: faults, which make the case unusable, and notes.
        traces: what only cases of the same scan share: files, hashes of images (if they were read) and of the tumor.
    """

    case: DatasetCase
    grids: dict[Sequence, Grid]
    labels: LabelCheck | None
    findings: list[Finding]
    traces: frozenset[str] = frozenset()

    @property
    def usable(self) -> bool:
        """Whether it can be trained on, or evaluated, as it is."""
        return not self.faults

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_fault]

    @property
    def present(self) -> Subset:
        """The sequences of which there is a file."""
        return subset_of(self.case.files.images) if self.case.files is not None else ()

    @property
    def grid(self) -> Grid | None:
        """The grid of the sequence on which results will lie."""
        return next((self.grids[sequence] for sequence in REFERENCE_PREFERENCE if sequence in self.grids), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON. The patient is left out: the column may hold a name."""
        files, grid = self.case.files, self.grid
        return {
            "case": self.case.name,
            "site": self.case.site,
            "grade": self.case.grade,
            "usable": self.usable,
            "present": [sequence.value for sequence in self.present],
            "missing": [sequence.value for sequence in missing_from(self.present)],
            "files": {s.value: str(file.path) for s, file in files.images.items()} if files is not None else {},
            "components": {s.value: file.component for s, file in files.images.items()} if files is not None else {},
            "labels": str(files.labels) if files is not None and files.labels is not None else None,
            "convention": self.labels.convention.value if self.labels is not None else None,
            "volumes_ml": {r.value: ml for r, ml in self.labels.volumes_ml.items()} if self.labels is not None else {},
            "size": list(grid.size) if grid is not None else None,
            "spacing_mm": [round(length, 4) for length in grid.spacing] if grid is not None else None,
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass
class _Looked:
    """What has been seen of a case so far."""

    root: Path
    grids: dict[Sequence, Grid] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    traces: set[str] = field(default_factory=set)

    def refuse(self, error: InputError, file: Path | None = None, of_labels: bool = False) -> None:
        """Note a refusal, once for each file."""
        found = refusal(error, file, self.root, of_labels)
        if found not in self.findings:
            self.findings.append(found)


def check_cases(
    cases: list[DatasetCase],
    root: Path,
    convention: LabelConvention | None = None,
    deep: bool = False,
    workers: int | None = None,
    tell: Callable[[float], None] = lambda fraction: None,
) -> list[CaseCheck]:
    """Check the cases of a data set, several at a time, in their order.

    Args:
        cases: from `datasets.find_dataset`.
        root: the folder that was searched, or the table; files are named relative to it.
        convention: what the numbers of all labels mean; None: what the names of the cases say, or the values.
        deep: also read all voxels of the images and prepare them as for training. Without it the images' headers and
            the labels' voxels are read.
        workers: cases at a time; None: as processors and memory allow.
        tell: told the fraction done.
    """
    found: dict[int, CaseCheck] = {}
    pool = ThreadPoolExecutor(workers or _workers(deep))
    try:
        futures = {pool.submit(check_case, case, root, convention, deep): i for i, case in enumerate(cases)}
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            tell(len(found) / len(cases))
    finally:
        pool.shutdown(cancel_futures=True)
    return with_twins([found[i] for i in range(len(cases))], root)


def _workers(deep: bool) -> int:
    processors = os.cpu_count() or 1
    memory = physical_bytes()
    return processors if not deep or memory is None else max(1, min(processors, memory // _BYTES_PER_DEEP_CASE))


def check_case(
    case: DatasetCase, root: Path, convention: LabelConvention | None = None, deep: bool = False
) -> CaseCheck:
    """Check one case; see `check_cases`."""
    looked = _Looked(root)
    if case.files is None:
        if case.problem is not None:
            looked.refuse(case.problem, case.path)
        return CaseCheck(case, {}, None, looked.findings)
    _look_at_headers(case.files, looked)
    looked.findings += check_grids(looked.grids, case.files, root)
    if deep:
        _look_at_voxels(case.files, looked)
    if case.problem is not None and convention is None:
        looked.refuse(case.problem, case.files.labels)
        labels = None
    else:
        labels = _look_at_labels(case.files, looked, convention)
    return CaseCheck(case, looked.grids, labels, looked.findings, frozenset(looked.traces))


def _look_at_headers(files: CaseFiles, looked: _Looked) -> None:
    for sequence, file in files.images.items():
        try:
            grid = read_grid(file)
            check_slices(grid.size, file.path.name)
            looked.grids[sequence] = grid
            looked.traces.add(f"{file.path.resolve()}[{file.component}]")
        except InputError as error:
            looked.refuse(error, file.path)
    try:
        check_distinct(files.images)
    except InputError as error:
        looked.refuse(error, _file_named(error, files))


def _look_at_voxels(files: CaseFiles, looked: _Looked) -> None:
    """Prepare the case as for training; if that is refused, see in which files the reason lies."""
    if not looked.findings or all(not finding.is_fault for finding in looked.findings):
        try:
            case = Case.from_found(files)
            doubts = prepare(case).warnings
            looked.findings += [note("DOUBT", doubt, "Look at the images.") for doubt in doubts]
            looked.traces.update(map(_digest, case.images.values()))
            return
        except InputError as error:
            refused = error
    else:
        refused = None
    before = len(looked.findings)
    for file in files.images.values():
        _look_at_image(file, looked)
    if refused is not None and len(looked.findings) == before:
        looked.refuse(refused, _file_named(refused, files))


def _file_named(error: InputError, files: CaseFiles) -> Path | None:
    """The file of the sequence, or of the last one, that a refusal of the case as a whole speaks of."""
    named = [image.path for s, image in files.images.items() if re.search(rf"\b{s.title}\b", error.message)]
    return named[-1] if named else None


def _digest(image: sitk.Image) -> str:
    """Hash of an image's voxels, whatever kind of number they are stored as."""
    import SimpleITK as sitk

    array = sitk.GetArrayViewFromImage(image)
    return hashlib.sha256(str(array.shape).encode() + array.astype(np.float32).tobytes()).hexdigest()


def _look_at_image(file: ImageFile, looked: _Looked) -> None:
    import SimpleITK as sitk

    if any(finding.is_fault and finding.concerns(file.path, looked.root) for finding in looked.findings):
        return
    try:
        check_intensities(sitk.GetArrayFromImage(read_image(file)), file.path.name)
    except InputError as error:
        looked.refuse(error, file.path)


def _look_at_labels(files: CaseFiles, looked: _Looked, convention: LabelConvention | None) -> LabelCheck | None:
    if files.labels is None:
        return None
    try:
        labels = check_labels(files.labels, looked.grids, convention or files.convention, looked.root)
    except InputError as error:
        looked.refuse(error, files.labels, of_labels=True)
        return None
    looked.findings += labels.findings
    looked.traces |= {labels.digest} if labels.digest is not None else set()
    return labels

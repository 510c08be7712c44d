"""Data sets: their cases, found by folder layout or listed in a table, and what is known of each patient.

A folder may be put together of links to cases and data sets that lie elsewhere; each is one case, however often it is
reached (`lckd.discovery.folders_below`). A case that cannot be used does not hide the others: it is listed with the
reason.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lckd.discovery import CaseFiles, case_name, case_paths, find_case, folders_below, places_of
from lckd.errors import InputError
from lckd.images import is_image_name

from .case_table import TableRow, read_case_table

#: Names that give away the patient, of whom there may be several scans, and the site.
_PATIENTS = (
    re.compile(r"^(?P<patient>brats1[789]_(?P<site>[a-z0-9]+)_[a-z0-9]+)_\d+$", re.IGNORECASE),
    re.compile(r"^(?P<patient>brats-[a-z]+-\d+)-\d+$", re.IGNORECASE),
    re.compile(r"^(?P<patient>(?P<site>upenn)-gbm-\d+)_\d+$", re.IGNORECASE),
    re.compile(r"^(?P<patient>(?P<site>ucsf)-pdgm-\d+)(_fu\d+d)?(_nifti)?$", re.IGNORECASE),
)
_GRADES = ("HGG", "LGG")
#: BraTS 2019 and 2020 list the grade of each case, and its names in the years before, in such a file.
_NAME_MAPPING = "name_mapping*.csv"
#: Folders of the public data sets that hold the images of many cases, or segmentations alone.
_NO_CASES = ("imagestr", "imagests", "labelstr", "labelsts", "images_segm", "automated_segm")


@dataclass(frozen=True)
class DatasetCase:
    """One case of a data set.

    Attributes:
        name: name of the case.
        path: its folder, its 4-D file, or the table that lists it.
        files: its files, not yet read; None if they cannot be told.
        problem: why not.
        patient: whose scan it is; the name of the case where nothing is known.
        site: where it was made, if known.
        grade: of the tumor (such as HGG, LGG), if known.
    """

    name: str
    path: Path
    files: CaseFiles | None
    problem: InputError | None
    patient: str
    site: str | None = None
    grade: str | None = None

    def known_files(self) -> CaseFiles:
        """Its files.

        Raises:
            InputError: they cannot be told; the message begins with the name of the case.
        """
        if self.files is not None:
            return self.files
        problem = self.problem or InputError("NO_SEQUENCE", "There is no image.", "Leave the case out.")
        raise InputError(problem.code, f"{self.name}: {problem.message}", problem.action) from problem


@dataclass(frozen=True)
class _Known:
    """What a data set's own list says of a case."""

    grade: str | None
    site: str | None


def find_dataset(root: Path) -> list[DatasetCase]:
    """The cases below a folder (`lckd.discovery`), or those that a CSV file lists (`case_table`).

    Raises:
        InputError: there is none, or the table is refused.
    """
    if root.suffix.lower() == ".csv" and not root.is_dir():
        return [_of_row(row, root) for row in read_case_table(root)]
    paths = case_paths(root)
    known = _read_mappings({root, *(place.parent for path in paths for place in places_of(path))})
    return [_of_path(path, known) for path in paths]


def folders_without_sequences(root: Path, cases: list[DatasetCase]) -> list[Path]:
    """Folders below `root` that hold images, none of which is a sequence by its name; results of ours are left out."""
    taken = {case.path for case in cases}
    folders = [folder for folder in folders_below(root) if folder not in taken]
    return [folder for folder in folders if _holds_images(folder)]


def _holds_images(folder: Path) -> bool:
    """Whether a folder holds images that could be of a case, and that are not results."""
    if any(place.name.lower() in _NO_CASES for place in places_of(folder)):
        return False
    names = [file.name for file in folder.iterdir() if not file.is_dir()]
    images = any(is_image_name(folder / name) for name in names if not name.startswith("."))
    return images and not any(name.endswith("report.json") for name in names)


def _of_path(path: Path, known: Mapping[str, _Known]) -> DatasetCase:
    files, problem = None, None
    try:
        files = find_case(path)
    except InputError as error:
        problem = error
    name, places = case_name(path), places_of(path)
    patient, site = next(filter(None, (_patient_and_site(case_name(place)) for place in places)), (name, None))
    listed = next((known[case_name(place)] for place in places if case_name(place) in known), _Known(None, None))
    above = [part.upper() for place in places for part in reversed(place.parts[:-1])]
    grade = next((part for part in above if part in _GRADES), None) or listed.grade
    return DatasetCase(name, path, files, problem, patient, site or listed.site, grade)


def _of_row(row: TableRow, table: Path) -> DatasetCase:
    patient, site = _patient_and_site(row.name) or (row.name, None)
    return DatasetCase(row.name, table, row.files, row.problem, row.patient or patient, row.site or site, row.grade)


def _patient_and_site(name: str) -> tuple[str, str | None] | None:
    """What the name of a case gives away of the patient; None if nothing."""
    match = next((match for pattern in _PATIENTS if (match := pattern.match(name))), None)
    if match is None:
        return None
    site = match.groupdict().get("site")
    return match["patient"], site.upper() if site else None


def _read_mappings(folders: set[Path]) -> dict[str, _Known]:
    """What the lists of BraTS 2019 and 2020 in these folders say, by every name that a case has had."""
    known: dict[str, _Known] = {}
    for file in sorted(file for folder in folders if folder.is_dir() for file in folder.glob(_NAME_MAPPING)):
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            for row in csv.DictReader(lines):
                names = [value for key, value in row.items() if key and key.endswith("_subject_ID") and value]
                sites = [told[1] for told in map(_patient_and_site, names) if told is not None and told[1]]
                grade = row.get("Grade") or None
                known |= {name: _Known(grade, sites[-1] if sites else None) for name in names}
    return known

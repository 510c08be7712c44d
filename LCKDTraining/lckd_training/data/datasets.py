"""Data sets: their cases, found by folder layout or listed in a table, and what is known of each patient.

A folder may be put together of links to cases and data sets that lie elsewhere; each is one case, however often it is
reached (`lckd.discovery.folders_below`). A case that cannot be used does not hide the others: it is listed with the
reason.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lckd.discovery import CaseFiles, case_name, case_paths, find_case, folders_below, places_of
from lckd.errors import InputError
from lckd.images import is_image_name

from .case_table import TableRow, read_case_table

#: Names that give away the patient, of whom there may be several scans, and the site.
_PATIENTS = (
    re.compile(r"^(?P<patient>brats1[789]_(?P<person>(?P<site>[a-z0-9]+)_[a-z0-9]+))_\d+$", re.IGNORECASE),
    re.compile(r"^(?P<patient>brats-[a-z]+-\d+)-\d+$", re.IGNORECASE),
    re.compile(r"^(?P<patient>(?P<site>upenn)-gbm-\d+)_\d+$", re.IGNORECASE),
    re.compile(r"^(?P<patient>(?P<site>ucsf)-pdgm-\d+)(_fu\d+d)?(_nifti)?$", re.IGNORECASE),
)
_GRADES = ("HGG", "LGG")
#: BraTS 2019 and 2020 list the grade of each case, and its names in the years before, in such a file.
_NAME_MAPPING = "name_mapping*.csv"
_NO_NAME = "NA"
#: Data whose labels changed their meaning under the same names. Read by their values, they could be taken for others.
_CHANGED_LABELS = re.compile(r"^brats-peds?-", re.IGNORECASE)
#: Folders of the public data sets that hold the images of many cases, or segmentations alone.
_NO_CASES = ("imagestr", "imagests", "labelstr", "labelsts", "images_segm", "automated_segm")


@dataclass(frozen=True)
class DatasetCase:
    """One case of a data set.

    Attributes:
        name: name of the case.
        path: its folder, its 4-D file, or the table that lists it.
        files: its files, not yet read; None if they cannot be told.
        problem: why it cannot be used, if that is known without reading them.
        patient: whose scan it is; the name of the case where nothing is known. BraTS 2017 to 2020 have the same
            patients under other names: where they lie together, the first of these names.
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
            InputError: it cannot be used; the message begins with the name of the case.
        """
        if self.files is not None and self.problem is None:
            return self.files
        problem = self.problem or InputError("NO_SEQUENCE", "There is no image.", "Leave the case out.")
        raise InputError(problem.code, f"{self.name}: {problem.message}", problem.action) from problem


@dataclass(frozen=True)
class _Known:
    """What a data set's own list says of a case, and the names that the case has had."""

    grade: str | None
    site: str | None
    names: tuple[str, ...] = ()


def find_dataset(root: Path) -> list[DatasetCase]:
    """The cases below a folder (`lckd.discovery`), or those that a CSV file lists (`case_table`).

    Raises:
        InputError: there is none, it is a file of another kind, or the table is refused.
    """
    if root.suffix.lower() == ".csv" and not root.is_dir():
        return _united(_of_row(row, root) for row in read_case_table(root))
    if root.is_file():
        message = f"{root.name} is neither a folder nor a CSV file."
        raise InputError("NOT_A_DATASET", message, "Give a folder of cases, or a CSV file that lists them.")
    paths = case_paths(root)
    known = _read_mappings({root, *(place.parent for path in paths for place in places_of(path))})
    return _united(_of_path(path, known) for path in paths)


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


#: A case, and all names by which its patient may be known.
_Named = tuple[DatasetCase, set[str]]


def _of_path(path: Path, known: Mapping[str, _Known]) -> _Named:
    files, problem = None, None
    try:
        files = find_case(path)
    except InputError as error:
        problem = error
    name, places = case_name(path), places_of(path)
    names = [case_name(place) for place in places]
    patient, site = next(filter(None, map(_patient_and_site, names)), (name, None))
    listed = next((known[one] for one in names if one in known), _Known(None, None))
    above = [part.upper() for place in places for part in reversed(place.parts[:-1])]
    grade = next((part for part in above if part in _GRADES), None) or listed.grade
    case = _checked(DatasetCase(name, path, files, problem, patient, site or listed.site, grade))
    return case, {patient, *map(_person, (*names, *listed.names))}


def _of_row(row: TableRow, table: Path) -> _Named:
    patient, site = _patient_and_site(row.name) or (row.name, None)
    patient, names = (row.patient, {row.patient}) if row.patient else (patient, {patient, _person(row.name)})
    case = DatasetCase(row.name, table, row.files, row.problem, patient, row.site or site, row.grade)
    return _checked(case), names


def _checked(case: DatasetCase) -> DatasetCase:
    """The case, with a problem if nobody can tell what its labels mean."""
    files = case.files
    if files is None or files.labels is None or files.convention is not None:
        return case
    if not any(_CHANGED_LABELS.search(name) for name in (case.name, files.labels.name)):
        return case
    message = (
        "Under the same names, the labels of BraTS-PED are 1 NCR, 2 ED, 3 ET in 2023, and since then 1 ET, "
        "2 non-enhancing tumor, 3 cyst, 4 ED."
    )
    action = "List the cases in a CSV with brats2023 in the column convention; renumber labels of later years first."
    return dataclasses.replace(case, problem=InputError("LABELS_CHANGED", message, action))


def _united(cases: Iterable[_Named]) -> list[DatasetCase]:
    """The cases, where those that share a name of their patients have the patient of the first."""
    first: dict[str, str] = {}
    united = []
    for case, names in cases:
        patient = next((first[name] for name in sorted(names) if name in first), case.patient)
        first |= {name: patient for name in names if name not in first}
        united.append(dataclasses.replace(case, patient=patient))
    return united


def _patient_and_site(name: str) -> tuple[str, str | None] | None:
    """What the name of a case gives away of the patient; None if nothing."""
    match = next((match for pattern in _PATIENTS if (match := pattern.match(name))), None)
    if match is None:
        return None
    site = match.groupdict().get("site")
    return match["patient"], site.upper() if site else None


def _person(name: str) -> str:
    """The name of a case without what changes with the year of BraTS 2017 to 2019, or else as it is."""
    match = _PATIENTS[0].match(name)
    return match["person"].upper() if match is not None else name


def _read_mappings(folders: set[Path]) -> dict[str, _Known]:
    """What the lists of BraTS 2019 and 2020 in these folders say, by every name that a case has had."""
    known: dict[str, _Known] = {}
    for file in sorted(file for folder in folders if folder.is_dir() for file in folder.glob(_NAME_MAPPING)):
        for row in _rows(file):
            cells = [value for key, value in row.items() if key and key.endswith("_subject_ID")]
            names = tuple(name for name in cells if name and name != _NO_NAME)
            sites = [told[1] for told in map(_patient_and_site, names) if told is not None and told[1]]
            one = _Known(row.get("Grade") or None, sites[-1] if sites else None, names)
            known |= dict.fromkeys(names, one)
    return known


def _rows(file: Path) -> list[dict[str, str]]:
    """The rows of a list; none if it cannot be read, since the cases can be used without it."""
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            return list(csv.DictReader(lines))
    except (OSError, csv.Error):
        return []

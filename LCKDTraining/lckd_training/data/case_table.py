"""Cases listed in a CSV file, for data in folders of any other layout.

The first line names the columns, in any order: ``case`` and at least one of ``flair``, ``t1``, ``t1c``, ``t2``; then,
as wanted, ``label``, ``convention`` (what the numbers of the labels mean: brats2023, brats2021, brats2024, msd),
``patient``, ``site``, ``grade``. Other columns are ignored. Files are named relative to the table's folder, with / or
\\ between folders. A cell is left empty for a sequence or a fact that the case does not have.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from lckd.discovery import CaseFiles, known_convention
from lckd.errors import InputError
from lckd.images import ImageFile
from lckd.labels import LabelConvention
from lckd.sequences import SEQUENCES, Sequence, sequence_of_file_name

_DELIMITERS = ",;\t"
#: Other titles of the column label.
_LABEL_TITLES = ("seg", "segmentation", "labels")
_EXAMPLE = "Give it a first line such as case,flair,t1,t1c,t2,label and one line for each case."
_CONVENTIONS = ", ".join(convention.value for convention in LabelConvention)


@dataclass(frozen=True)
class TableRow:
    """One case of a table: its files, or why they cannot be told."""

    name: str
    files: CaseFiles | None
    problem: InputError | None
    patient: str | None
    site: str | None
    grade: str | None


def read_case_table(path: Path) -> list[TableRow]:
    """The cases of a table, in its order; the files they name are not looked at.

    Raises:
        InputError: the table cannot be read, lacks a column, has one twice, or lists no case.
    """
    (_, header), *lines = _read_lines(path) or [(1, [])]
    columns = _columns(path, header)
    if not lines:
        raise InputError("NO_CASE", f"{path.name} lists no case.", _EXAMPLE)
    return [_row(path, number, columns, cells, len(header)) for number, cells in lines]


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """The cells of each line that is not empty, and the number of the line in the file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("BAD_TABLE", f"{path.name} is not written in UTF-8.", "Save it as CSV UTF-8.") from error
    except OSError as error:
        message = f"{path} does not exist, or cannot be read."
        raise InputError("FILE_NOT_FOUND", message, "Check the path.") from error
    if any("\0" in line for line in lines):
        raise InputError("BAD_TABLE", f"{path.name} is not a text file.", "Save it as CSV UTF-8.")
    delimiter = max(_DELIMITERS, key=lines[0].count) if lines else ","
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        stripped = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        message = f"{path.name} has a quotation mark too many or too few, by line {reader.line_num}."
        raise InputError("BAD_TABLE", message, "Put a cell in quotation marks as a whole, or not at all.") from error
    return [(number, cells) for number, cells in stripped if any(cells)]


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Where each known column is. Sequences go by all the names that files have for them, such as t1ce."""
    columns: dict[str, int] = {}
    for index, title in enumerate(header):
        lowered = title.strip().lower()
        sequence = sequence_of_file_name(lowered)
        name = sequence.value if sequence is not None else "label" if lowered in _LABEL_TITLES else lowered
        if name in columns:
            raise InputError("BAD_TABLE", f"{path.name} has two columns for {name}.", "Leave one of them.")
        if name:
            columns[name] = index
    if "case" not in columns or not any(sequence.value in columns for sequence in SEQUENCES):
        lacking = "column 'case'" if "case" not in columns else "column of a sequence"
        raise InputError("BAD_TABLE", f"{path.name} has no {lacking}.", _EXAMPLE)
    return columns


def _row(path: Path, number: int, columns: dict[str, int], cells: list[str], width: int) -> TableRow:
    row = {name: cells[index] for name, index in columns.items() if index < len(cells)}
    name = row.get("case") or f"line {number}"
    images = {s: ImageFile(_file(path, row[s.value])) for s in SEQUENCES if row.get(s.value)}
    facts = (row.get("patient") or None, row.get("site") or None, row.get("grade") or None)
    problem = _too_long(number) if any(cells[width:]) else _problem(row, images)
    if problem is not None:
        return TableRow(name, None, problem, *facts)
    labels = _file(path, row["label"]) if row.get("label") else None
    convention = LabelConvention(row["convention"].lower()) if row.get("convention") else known_convention(name)
    return TableRow(name, CaseFiles(name, images, labels, convention), None, *facts)


def _file(table: Path, cell: str) -> Path:
    """A file that a cell names. Tables that were written on Windows have \\ between folders."""
    return table.parent / cell.replace("\\", "/")


def _too_long(number: int) -> InputError:
    message = f"Line {number} has more cells than the first line."
    return InputError("BAD_LINE", message, "Put what holds a comma into quotation marks.")


def _problem(row: dict[str, str], images: dict[Sequence, ImageFile]) -> InputError | None:
    if not row.get("case"):
        return InputError("NO_CASE_NAME", "The case has no name.", "Fill in the column case.")
    if not images:
        return InputError("NO_SEQUENCE", "The table names no image of the case.", "Fill in one, or delete the line.")
    convention = row.get("convention", "")
    if convention and convention.lower() not in _CONVENTIONS.split(", "):
        message = f"'{convention}' in the column convention is not known."
        return InputError("BAD_CONVENTION", message, f"Write one of {_CONVENTIONS}, or nothing.")
    return None

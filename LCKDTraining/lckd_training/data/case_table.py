"""Cases listed in a CSV file, for data in folders of any other layout.

The first line names the columns, in any order: ``case`` and at least one of ``flair``, ``t1``, ``t1c``, ``t2``; then,
as wanted, ``label``, ``convention`` (what the numbers of the labels mean: brats2023, brats2021, brats2024, msd),
``patient``, ``site``, ``grade``. Other columns are ignored. Files are named relative to the table's folder. A cell is
left empty for a sequence or a fact that the case does not have.
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
    lines = _read_lines(path)
    delimiter = max(_DELIMITERS, key=lines[0].count) if lines else ","
    header, *rows = list(csv.reader(lines, delimiter=delimiter)) or [[]]
    columns = _columns(path, header)
    cells = [{name: row[i].strip() for name, i in columns.items() if i < len(row)} for row in rows if any(row)]
    if not cells:
        raise InputError("NO_CASE", f"{path.name} lists no case.", _EXAMPLE)
    return [_row(path, number, row) for number, row in enumerate(cells, 1)]


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("BAD_TABLE", f"{path.name} is not written in UTF-8.", "Save it as CSV UTF-8.") from error
    except OSError as error:
        message = f"{path} does not exist, or cannot be read."
        raise InputError("FILE_NOT_FOUND", message, "Check the path.") from error


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Where each known column is. Sequences go by all the names that files have for them, such as t1ce."""
    columns: dict[str, int] = {}
    for index, title in enumerate(header):
        lowered = title.strip().lower()
        sequence = sequence_of_file_name(lowered)
        name = sequence.value if sequence is not None else lowered
        if name in columns:
            raise InputError("BAD_TABLE", f"{path.name} has two columns for {name}.", "Leave one of them.")
        if name:
            columns[name] = index
    if "case" not in columns or not any(sequence.value in columns for sequence in SEQUENCES):
        lacking = "column 'case'" if "case" not in columns else "column of a sequence"
        raise InputError("BAD_TABLE", f"{path.name} has no {lacking}.", _EXAMPLE)
    return columns


def _row(path: Path, number: int, row: dict[str, str]) -> TableRow:
    name = row.get("case") or f"line {number}"
    images = {s: ImageFile(path.parent / row[s.value]) for s in SEQUENCES if row.get(s.value)}
    facts = (row.get("patient") or None, row.get("site") or None, row.get("grade") or None)
    problem = _problem(row, images)
    if problem is not None:
        return TableRow(name, None, problem, *facts)
    labels = path.parent / row["label"] if row.get("label") else None
    convention = LabelConvention(row["convention"].lower()) if row.get("convention") else known_convention(name)
    return TableRow(name, CaseFiles(name, images, labels, convention), None, *facts)


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

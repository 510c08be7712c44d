"""Scores of a model on labeled cases, for every subset of the sequences that each case has: measured, written, read.

``cases.csv`` and ``summary.csv`` are for programs, ``summary.md``, ``summary.tex``, ``summary.png`` and ``panel.png``
for people; ``evaluation.json`` says which model it was, how that was trained, which cases were left out and why, and
what the numbers mean where a mask is empty.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from lckd.case import Case
from lckd.comparison import Comparison, SubsetRow
from lckd.discovery import CaseFiles
from lckd.engine import Engine
from lckd.errors import CancelledError, InputError
from lckd.geometry import Grid
from lckd.heatmap import write_heatmap
from lckd.images import writing
from lckd.labels import REGIONS, Region
from lckd.output import check_writable
from lckd.reference import Reference, read_reference
from lckd.report import DISCLAIMER
from lckd.sequences import SEQUENCES, Subset, parse_subset, subset_title

from . import scores, tables
from .case_choice import LeftOut
from .qualitative import median_case, shown_subsets, write_panel
from .scores import MeanScore, Score, mean_scores, score_result
from .tables import Row, Table

#: Mean Dice by subset and region.
DiceTable = dict[Subset, dict[Region, float]]


def evaluate(
    engine: Engine,
    cases: list[CaseFiles],
    output: Path,
    announce: Callable[[str, float], None] = lambda name, done: None,
    lesionwise: bool = False,
    panel: str | None = None,
    unusable: Iterable[LeftOut] = (),
    leave_out: Callable[[LeftOut], None] = lambda left_out: None,
) -> DiceTable:
    """Segment each case from all its subsets, compare with its segmentation, write tables and pictures.

    Args:
        engine: with the model to be evaluated.
        cases: with segmentations; a case that cannot be used is left out.
        output: folder for ``cases.csv``, ``summary.csv``, ``.md``, ``.tex``, ``.png``, ``panel.png`` and
            ``evaluation.json``.
        announce: told the name of each case and the fraction done.
        lesionwise: score by lesion, too.
        panel: the case that ``panel.png`` shows; None, or one that is left out: the one with the median mean Dice.
        unusable: cases that were left out before, for ``evaluation.json``.
        leave_out: told of each of `cases` that is left out.

    Raises:
        InputError: none of the cases can be used.
        OutputError: the folder cannot be written to, which is seen before any case is segmented.
    """
    check_writable(output)
    found: list[Score] = []
    left_out = list(unusable)
    for done, files in enumerate(cases):
        announce(files.name, done / (len(cases) + 1))
        try:
            found += _score_case(engine, files, lesionwise)
        except CancelledError:
            raise
        except Exception as error:  # whatever is wrong with one case, the others are evaluated
            left_out.append(LeftOut(files.name, error))
            leave_out(left_out[-1])
    if not found:
        raise _nothing_usable(left_out)
    write_scores(found, output)
    _write_facts(engine, len({score.case for score in found}), left_out, lesionwise, output)
    scored = {score.case for score in found}
    shown = panel if panel in scored else median_case(found)
    announce(shown, len(cases) / (len(cases) + 1))
    _write_panel(engine, next(files for files in cases if files.name == shown), output / "panel.png")
    return read_dice(output)


def _score_case(engine: Engine, files: CaseFiles, lesionwise: bool) -> list[Score]:
    case, reference = _read(files)
    results = engine.segment_subsets(case)
    return [one for result in results for one in score_result(files.name, result.segmentation, reference, lesionwise)]


def _write_panel(engine: Engine, files: CaseFiles, path: Path) -> None:
    """The case is segmented once more: to keep the results of every case would take too much memory."""
    case, reference = _read(files)
    write_panel(engine.segment_subsets(case, shown_subsets(case.present)), reference, path)


def _read(files: CaseFiles) -> tuple[Case, Reference]:
    case = Case.from_found(files)
    if files.labels is None:
        raise InputError("NO_LABELS", f"{files.name} has no segmentation.", "Add one or leave the case out.")
    return case, read_reference(files.labels, Grid.of(case.reference), files.convention)


def _nothing_usable(left_out: list[LeftOut]) -> InputError:
    if not left_out:
        return InputError("NO_CASE", "There is no case to evaluate.", "Name cases of the folder.")
    first = left_out[0]
    message = f"None of the {len(left_out)} cases can be used; {first.case}: {first.refusal.message}"
    return InputError("NO_CASE_USABLE", message, first.refusal.action)


def write_scores(found: list[Score], output: Path) -> None:
    """Write ``cases.csv`` and what sums it up: ``summary.csv``, ``summary.md``, ``summary.tex`` and ``summary.png``.

    Raises:
        OutputError: the folder cannot be written to.
    """
    lesionwise = all(score.lesions is not None for score in found)
    means, count = mean_scores(found), len({score.case for score in found})
    case_columns = scores.CASE_COLUMNS + (scores.CASE_LESION_COLUMNS if lesionwise else ())
    columns = scores.SUMMARY_COLUMNS + (scores.SUMMARY_LESION_COLUMNS if lesionwise else ())
    table = summary_table(means, count)
    notes = scores.CONVENTIONS | (scores.LESION_CONVENTIONS if lesionwise else {})
    words = "".join(f"- {name}: {meaning}.\n" for name, meaning in notes.items())
    write_csv(output / "cases.csv", case_columns, [score.cells() for score in found])
    write_csv(output / "summary.csv", columns, [mean.cells() for mean in means])
    write_text(output / "summary.md", f"# Evaluation\n\n{tables.markdown(table)}\n{words}\n{DISCLAIMER}\n")
    write_text(output / "summary.tex", tables.latex(table))
    rows = [SubsetRow(mean.subset, mean.region, math.nan, mean.dice, mean.hd95_mm) for mean in means]
    write_heatmap(Comparison(rows, "reference segmentations", SEQUENCES), output / "summary.png")


def summary_table(means: list[MeanScore], cases: int) -> Table:
    """Rows are the subsets and their average; for each measure a column for ET, TC and WT, as in the paper's tables."""
    by_subset: dict[Subset, dict[Region, MeanScore]] = defaultdict(dict)
    for mean in means:
        by_subset[mean.subset][mean.region] = mean
    lesionwise = all(mean.lesion_dice is not None for mean in means)
    measures = _MEASURES + (_LESION_MEASURES if lesionwise else ())
    values = {subset: [_values(row, name, factor) for _, name, factor in measures] for subset, row in by_subset.items()}
    average = np.array(list(values.values())).mean(axis=0)
    groups = tuple((title, tuple(region.value for region in REGIONS)) for title, _, _ in measures)
    counts = {subset: str(row[Region.WT].cases) for subset, row in by_subset.items()}
    return Table(
        f"Means for every subset of the sequences over those of {cases} cases that have them.",
        (*groups, ("Cases", ("n",))),
        tuple(Row(subset, (*_printed(np.array(row)), counts[subset])) for subset, row in values.items()),
        (Row("Average", (*_printed(average), "")),),
    )


#: Title, attribute of `MeanScore` and factor of the measures of a table.
_MEASURES = (("Dice (%)", "dice", 100), ("HD95 (mm)", "hd95_mm", 1), ("Sensitivity (%)", "sensitivity", 100))
_LESION_MEASURES = (
    ("Lesion F1 (%)", "lesion_f1", 100),
    ("Lesion Dice (%)", "lesion_dice", 100),
    ("Lesion HD95 (mm)", "lesion_hd95_mm", 1),
)


def _values(row: Mapping[Region, MeanScore], name: str, factor: int) -> list[float]:
    return [factor * getattr(row[region], name) for region in REGIONS]


def _printed(values: np.ndarray) -> tuple[str, ...]:
    return tuple("–" if np.isnan(value) else f"{value:.2f}" for value in values.ravel())


def _write_facts(engine: Engine, cases: int, left_out: list[LeftOut], lesionwise: bool, output: Path) -> None:
    facts = {
        "model": {"name": engine.model.name, "sha256": engine.model.sha256},
        "training": engine.model.card.training.get("settings", {}),
        "mirror": engine.settings.mirror,
        "cases": cases,
        "left_out": [one.as_dict() for one in left_out],
        "conventions": scores.CONVENTIONS | (scores.LESION_CONVENTIONS if lesionwise else {}),
    }
    write_text(output / "evaluation.json", json.dumps(facts, indent=2) + "\n")


def read_dice(output: Path) -> DiceTable:
    """Mean Dice by subset and region from the ``summary.csv`` of an evaluation.

    Raises:
        InputError: there is none, or it lacks a column or a region.
    """
    path = output / "summary.csv"
    table: DiceTable = defaultdict(dict)
    for row in read_csv(path, ("subset", "region", "dice")):
        table[parse_subset(row["subset"])][Region(row["region"])] = float(row["dice"])
    if not table or any(set(row) != set(REGIONS) for row in table.values()):
        raise InputError("BAD_SCORES", f"{path} lacks a region of a subset.", "Evaluate again.")
    return dict(table)


def read_csv(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a table with at least these columns.

    Raises:
        InputError: there is no such file, or it lacks a column.
    """
    action = "Give a folder that lckd evaluate wrote."
    if not path.is_file():
        raise InputError("NO_SCORES", f"There is no file {path}.", action)
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        absent = sorted(set(columns) - set(reader.fieldnames or ()))
        if absent:
            raise InputError("BAD_SCORES", f"{path} has no column {absent[0]}.", action)
        return list(reader)


def mean_of_subsets(table: Mapping[Subset, Mapping[Region, float]]) -> dict[Region, float]:
    """Mean over the subsets, as in the "Average" rows of the paper's tables."""
    return {region: float(np.mean([row[region] for row in table.values()])) for region in REGIONS}


def describe_table(table: DiceTable) -> list[str]:
    """The table in words: one line a subset, and their mean."""
    width = max(len(subset_title(subset)) for subset in table) + 2
    rows = [(subset_title(subset), row) for subset, row in table.items()] + [("mean", mean_of_subsets(table))]
    head = "Dice".ljust(width) + "".join(f"{region.value:>8}" for region in REGIONS)
    return [head, *(name.ljust(width) + "".join(f"{row[region]:8.3f}" for region in REGIONS) for name, row in rows)]


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table with its columns' names.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")

"""Dice and HD95 of a model on labeled cases, for every subset of the sequences that each case has."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from lckd.case import Case
from lckd.comparison import compare_results
from lckd.discovery import CaseFiles
from lckd.engine import Engine
from lckd.errors import InputError
from lckd.geometry import Grid
from lckd.images import writing
from lckd.labels import REGIONS, Region
from lckd.reference import read_reference
from lckd.sequences import SEQUENCES, Subset, parse_subset, subset_name, subset_title, subsets_of

from .split import Split

CASE_COLUMNS = ("case", "subset", "region", "dice", "hd95_mm")
SUMMARY_COLUMNS = ("subset", "region", "dice", "hd95_mm", "cases")

#: Mean Dice by subset and region.
DiceTable = dict[Subset, dict[Region, float]]


def select(cases: list[CaseFiles], names: Iterable[str] | None, split: Path | None) -> list[CaseFiles]:
    """The named cases, or the test cases of a run's split, or all.

    Raises:
        InputError: a case is not there.
    """
    wanted = list(names) if names is not None else list(Split.read(split).test) if split is not None else None
    if wanted is None:
        return cases
    by_name = {case.name: case for case in cases}
    absent = [name for name in wanted if name not in by_name]
    if absent or not wanted:
        what = f"There is no labeled case {absent[0]}." if absent else "There is no case to evaluate."
        raise InputError("CASE_UNKNOWN", what, "Name cases of the folder.")
    return [by_name[name] for name in wanted]


def evaluate(
    engine: Engine,
    cases: list[CaseFiles],
    output: Path,
    announce: Callable[[str, float], None] = lambda name, done: None,
) -> DiceTable:
    """Segment each case from all its subsets, compare with its segmentation, write ``cases.csv`` and ``summary.csv``.

    Raises:
        InputError: a case is refused or has no segmentation.
        OutputError: the folder cannot be written to.
    """
    rows: list[tuple[str, str, str, float, float]] = []
    for done, files in enumerate(cases):
        announce(files.name, done / len(cases))
        case = Case.from_found(files)
        if files.labels is None:
            raise InputError("NO_LABELS", f"{files.name} has no segmentation.", "Add one or leave the case out.")
        reference = read_reference(files.labels, Grid.of(case.reference), files.convention)
        for row in compare_results(engine.segment_subsets(case), reference).rows:
            rows.append((files.name, subset_name(row.subset), row.region.value, row.dice, row.hd95_mm))
    _write(output / "cases.csv", CASE_COLUMNS, rows)
    _write(output / "summary.csv", SUMMARY_COLUMNS, _summary(rows))
    return read_dice(output)


def _summary(rows: Iterable[tuple[str, str, str, float, float]]) -> list[tuple[object, ...]]:
    """Mean over the cases for each subset and region, in the order of the subsets."""
    grouped: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for _, subset, region, dice, distance in rows:
        grouped[subset, region].append((dice, distance))
    order = [(subset_name(subset), region.value) for subset in subsets_of(SEQUENCES) for region in REGIONS]
    means = {key: np.mean(grouped[key], axis=0) for key in order if key in grouped}
    return [(*key, round(mean[0], 4), round(mean[1], 2), len(grouped[key])) for key, mean in means.items()]


def read_dice(output: Path) -> DiceTable:
    """Mean Dice by subset and region from the ``summary.csv`` of an evaluation."""
    table: DiceTable = defaultdict(dict)
    with (output / "summary.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            table[parse_subset(row["subset"])][Region(row["region"])] = float(row["dice"])
    return dict(table)


def mean_of_subsets(table: Mapping[Subset, Mapping[Region, float]]) -> dict[Region, float]:
    """Mean over the subsets, as in the "Average" rows of the paper's tables."""
    return {region: float(np.mean([row[region] for row in table.values()])) for region in REGIONS}


def describe_table(table: DiceTable) -> list[str]:
    """The table in words: one line a subset, and their mean."""
    width = max(len(subset_title(subset)) for subset in table) + 2
    rows = [(subset_title(subset), row) for subset, row in table.items()] + [("mean", mean_of_subsets(table))]
    head = "Dice".ljust(width) + "".join(f"{region.value:>8}" for region in REGIONS)
    return [head, *(name.ljust(width) + "".join(f"{row[region]:8.3f}" for region in REGIONS) for name, row in rows)]


def _write(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)

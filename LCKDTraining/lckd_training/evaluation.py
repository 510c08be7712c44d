"""Dice and HD95 of a model on labelled cases, for every subset of the sequences that each case has."""

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
from lckd.images import writing
from lckd.labels import REGIONS, Region
from lckd.sequences import SEQUENCES, Subset, parse_subset, subset_name, subsets_of

CASE_COLUMNS = ("case", "subset", "region", "dice", "hd95_mm")
SUMMARY_COLUMNS = ("subset", "region", "dice", "hd95_mm", "cases")

#: Mean Dice by subset and region.
DiceTable = dict[Subset, dict[Region, float]]


def evaluate(
    engine: Engine, cases: Iterable[CaseFiles], output: Path, announce: Callable[[str], None] = lambda _: None
) -> DiceTable:
    """Segment each case from all its subsets, compare with its segmentation, write ``cases.csv`` and ``summary.csv``.

    Raises:
        InputError: a case is refused or has no segmentation.
        OutputError: the folder cannot be written to.
    """
    rows: list[tuple[str, str, str, float, float]] = []
    for files in cases:
        announce(f"evaluating {files.name}")
        results = engine.segment_subsets(Case.from_found(files))
        for row in compare_results(results, files.labels, files.convention).rows:
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


def _write(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)

"""What ``lckd evaluate`` has written: read, told in tables and in words, and as table and charts of the scene."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from lckd.errors import InputError
from lckd.sequences import parse_subset, subset_title
from LCKDSegmentationLib.ComparisonNodes import ComparisonNodes, Row, addComparison
from LCKDSegmentationLib.SceneTree import subjectHierarchy
from LCKDSegmentationLib.Terminology import REGIONS

SUMMARY, PICTURE, COMPARISON, TESTS = "summary.csv", "summary.png", "comparison.csv", "tests.csv"
#: Where the evaluations of a run lie in its folder.
EVALUATIONS = "evaluations"
#: All subsets of four sequences.
ALL_SUBSETS = 15
#: Smaller p-values are told as smaller than this.
_SMALLEST_P = 0.001


@dataclass(frozen=True)
class Evaluation:
    """Mean scores over the cases.

    Attributes:
        folder: of ``lckd evaluate``.
        rows: three regions for each subset, the subsets in the order of the file; Dice from 0 to 1.
        cases: by subset, how many cases had its sequences.
    """

    folder: Path
    rows: list[Row]
    cases: Mapping[str, int]

    @property
    def isComplete(self) -> bool:
        """Whether all 15 subsets were evaluated."""
        return len(self.cases) == ALL_SUBSETS


@dataclass(frozen=True)
class RegionComparison:
    """Two evaluations in one region.

    Attributes:
        region: ET, TC or WT.
        dice: mean Dice over the subsets of the first and of the second, 0 to 1.
        better: in how many subsets the first is better, as printed in percent with two digits.
        subsets: how many subsets both were evaluated on.
        tTest: p of the paired one-tailed t-test over the subsets; None where there is none.
        wilcoxon: p of the one-tailed Wilcoxon test over the cases; None where there is none.
        cases: over how many cases.
    """

    region: str
    dice: tuple[float, float]
    better: int
    subsets: int
    tTest: float | None
    wilcoxon: float | None
    cases: int


def readEvaluation(folder: Path) -> Evaluation:
    """Read an evaluation.

    :raises InputError: there is none, or it is damaged
    """
    rows, cases = [], {}
    for cells in _read(folder / SUMMARY):
        try:
            scores = float(cells["dice"]), float(cells.get("hd95_mm") or "nan")
            rows.append(Row(cells["subset"], cells["region"], math.nan, *scores))
            cases[cells["subset"]] = int(cells.get("cases") or 0)
        except (KeyError, ValueError) as error:
            raise _noEvaluation(folder / SUMMARY) from error
    if not rows or any(len([row for row in rows if row.subset == subset]) != len(REGIONS) for subset in cases):
        raise _noEvaluation(folder / SUMMARY)
    return Evaluation(folder, rows, cases)


def evaluationIn(folder: Path) -> Path:
    """Return the evaluation that a folder is, or that of a run which was made last.

    :raises InputError: there is none
    """
    if (folder / SUMMARY).is_file():
        return folder
    made = [file for file in (folder / EVALUATIONS).glob(f"*/{SUMMARY}") if file.is_file()]
    if not made:
        raise _noEvaluation(folder / SUMMARY)
    return max(made, key=lambda file: file.stat().st_mtime).parent


def subsetHeaders() -> list[str]:
    """Return the titles of the columns of `subsetCells`."""
    return [_("Sequences"), *REGIONS, _("Cases")]


def subsetCells(evaluation: Evaluation) -> list[list[str]]:
    """Return a row for each subset with the Dice of ET, TC and WT, and under them the mean over the subsets."""
    cells = []
    for subset, cases in evaluation.cases.items():
        dice = {row.region: row.dice for row in evaluation.rows if row.subset == subset}
        title = subset_title(parse_subset(subset))
        cells.append([title, *(f"{dice[region]:.3f}" for region in REGIONS), str(cases or "–")])
    means = [_mean(row.dice for row in evaluation.rows if row.region == region) for region in REGIONS]
    return [*cells, [_("Mean of the subsets"), *(f"{mean:.3f}" for mean in means), ""]]


def addEvaluation(scene: slicer.vtkMRMLScene, evaluation: Evaluation, name: str) -> ComparisonNodes:
    """Add an evaluation as table, chart of the Dice and chart of what each sequence is worth, in one folder.

    :param name: of what was evaluated
    """
    nodes = addComparison(scene, evaluation.rows, _("the labels"))
    subjectHierarchy(scene).SetItemName(nodes.item, _("Evaluation: {name}").format(name=name))
    return nodes


def readComparison(folder: Path) -> list[RegionComparison]:
    """Read the comparison of two evaluations.

    :raises InputError: there is none, or it is damaged
    """
    rows, tests = _read(folder / COMPARISON), _read(folder / TESTS)
    try:
        first, second = dict.fromkeys(row["method"] for row in rows)
        return [_compareRegion(region, rows, (first, second), _testOf(tests, region)) for region in REGIONS]
    except (KeyError, ValueError, StopIteration) as error:
        raise _noEvaluation(folder / COMPARISON) from error


def comparisonHeaders(first: str, second: str) -> list[str]:
    """Return the titles of the columns of `comparisonCells`."""
    return [_("Region"), first, second, _("Difference"), _("In words")]


def comparisonCells(compared: Iterable[RegionComparison]) -> list[list[str]]:
    """Return a row for each region: both mean Dice, the difference, and what that means."""
    return [
        [one.region, *(f"{dice:.3f}" for dice in one.dice), f"{one.dice[0] - one.dice[1]:+.3f}", comparisonWords(one)]
        for one in compared
    ]


def comparisonWords(one: RegionComparison) -> str:
    """Return in words in how many subsets the first is better, and how sure that is."""
    words = [_("better on {better} of {subsets} subsets").format(better=one.better, subsets=one.subsets)]
    if one.tTest is not None:
        words.append(_("{p} over the subsets (t-test)").format(p=_pWords(one.tTest)))
    if one.wilcoxon is not None:
        words.append(_("{p} over {cases} cases (Wilcoxon)").format(p=_pWords(one.wilcoxon), cases=one.cases))
    return ", ".join(words)


def _compareRegion(
    region: str, rows: list[dict[str, str]], methods: tuple[str, str], test: Mapping[str, str]
) -> RegionComparison:
    first, second = (
        {row["subset"]: float(row["dice"]) for row in rows if (row["method"], row["region"]) == (method, region)}
        for method in methods
    )
    better = sum(round(100 * first[subset], 2) > round(100 * second[subset], 2) for subset in first)
    means = _mean(first.values()), _mean(second.values())
    p, wilcoxon = _numberOrNone(test["t_test_p"]), _numberOrNone(test["wilcoxon_p"])
    return RegionComparison(region, means, better, len(first), p, wilcoxon, int(float(test["cases"] or 0)))


def _testOf(tests: list[dict[str, str]], region: str) -> dict[str, str]:
    return next(test for test in tests if test["region"] == region)


def _pWords(p: float) -> str:
    return f"p = {p:.3f}" if p >= _SMALLEST_P else f"p < {_SMALLEST_P}"


def _numberOrNone(text: str) -> float | None:
    return float(text) if text else None


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _read(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise _noEvaluation(file) from error


def _noEvaluation(file: Path) -> InputError:
    return InputError(
        "NO_EVALUATION",
        _("There is no readable file {name} in {folder}.").format(name=file.name, folder=file.parent),
        _("Choose the folder of a run that was evaluated, or of an evaluation."),
    )

"""Several evaluations side by side, as in the paper's tables, with tests of the first against each of the others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lckd.errors import InputError, UsageError
from lckd.labels import REGIONS, Region
from lckd.sequences import Subset, parse_subset, subset_name, subsets_of

from . import tables
from .curve import write_alpha_curve
from .evaluate import DiceTable, mean_of_subsets, read_csv, read_dice, write_csv, write_text
from .significance import INTERVAL, RESAMPLES, SEED, Advantage, advantage
from .tables import Row, Table, best_of

COLUMNS = ("subset", "method", "region", "dice")
TEST_COLUMNS = (
    "method",
    "against",
    "region",
    "difference",
    "t_test_p",
    "cases",
    "wilcoxon_p",
    "bootstrap_low",
    "bootstrap_high",
)
#: Dice of a case by subset and region.
CaseDice = dict[tuple[str, Subset, Region], float]


@dataclass(frozen=True)
class Evaluation:
    """What a folder of `lckd evaluate` says.

    Attributes:
        name: of the method, as the tables call it.
        dice: mean over the cases by subset and region.
        cases: Dice by case; empty where only means are known.
        training: settings of the training run; empty where they are not known.
    """

    name: str
    dice: DiceTable
    cases: CaseDice = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def of(self, region: Region, subsets: Iterable[Subset]) -> NDArray[np.float64]:
        """Mean Dice of one region by subset."""
        return np.array([self.dice[subset][region] for subset in subsets])

    @staticmethod
    def read(folder: Path, name: str) -> Evaluation:
        """Read a folder; only its ``summary.csv`` is needed (subset, region, dice), as for published numbers.

        Raises:
            InputError: there is no such file, or it is not of `lckd evaluate`.
        """
        path, facts = folder / "cases.csv", folder / "evaluation.json"
        rows = read_csv(path, ("case", "subset", "region", "dice")) if path.exists() else []
        cases = {(r["case"], parse_subset(r["subset"]), Region(r["region"])): float(r["dice"]) for r in rows}
        training = json.loads(facts.read_text(encoding="utf-8")).get("training", {}) if facts.exists() else {}
        return Evaluation(name, read_dice(folder), cases, training)


def read_evaluations(folders: Sequence[Path]) -> list[Evaluation]:
    """Read folders that are to be compared, each named after itself.

    Raises:
        UsageError: there are fewer than two, or one is named twice.
        InputError: one is no evaluation, or they are of different cases or subsets.
    """
    if len(folders) < 2:
        raise UsageError("NOTHING_TO_COMPARE", "Fewer than two evaluations were named.", "Name at least two folders.")
    read = [Evaluation.read(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    first = read[0]
    for other in read[1:]:
        if set(other.dice) != set(first.dice):
            what = f"{first.name} and {other.name} were evaluated on different subsets of the sequences."
            raise InputError("SUBSETS_DIFFER", what, "Evaluate both on the same cases.")
        if other.cases and first.cases and set(other.cases) != set(first.cases):
            case = min(name for name, _, _ in set(other.cases) ^ set(first.cases))
            what = f"{first.name} and {other.name} were evaluated on different cases or sequences, first of {case}."
            raise InputError("CASES_DIFFER", what, "Evaluate both on the same cases.")
    return read


def _names(folders: Sequence[Path]) -> list[str]:
    """The end of each path, as short as tells them apart."""
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise UsageError("FOLDER_TWICE", "The same folder is named twice.", "Name each evaluation once.")
    names: list[str] = []
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def advantages(evaluations: Sequence[Evaluation], seed: int = SEED) -> dict[tuple[str, Region], Advantage]:
    """The first evaluation against each other one, by the other's name and region."""
    first, subsets = evaluations[0], _subsets(evaluations)
    found = {}
    for other in evaluations[1:]:
        for region in REGIONS:
            cases = _differences(first, other, region, subsets)
            found[other.name, region] = advantage(first.of(region, subsets), other.of(region, subsets), cases, seed)
    return found


def _subsets(evaluations: Sequence[Evaluation]) -> list[Subset]:
    return [subset for subset in subsets_of() if subset in evaluations[0].dice]


def _differences(
    first: Evaluation, other: Evaluation, region: Region, subsets: list[Subset]
) -> NDArray[np.float64] | None:
    """Dice of the first minus Dice of the other (cases, subsets), NaN where a case lacks a sequence; or None."""
    if not first.cases or not other.cases:
        return None
    names = sorted({name for name, _, _ in first.cases})
    keys = [[(name, subset, region) for subset in subsets] for name in names]
    return np.array([[first.cases[k] - other.cases[k] if k in first.cases else np.nan for k in row] for row in keys])


def comparison_table(evaluations: Sequence[Evaluation], found: Mapping[tuple[str, Region], Advantage]) -> Table:
    """Dice in percent: a row for each subset; for ET, TC and WT a column for each method; the best is bold.

    Under them the averages over the subsets and the tests, as in Table 1 of the paper; with two methods, Table 2.
    """
    subsets, methods = _subsets(evaluations), [one.name for one in evaluations]
    means = [mean_of_subsets(one.dice) for one in evaluations]
    rows = [_dice_row(subset, [one.dice[subset] for one in evaluations]) for subset in subsets]
    tests = [[None, *(found[name, region] for name in methods[1:])] for region in REGIONS]
    flat = [one for group in tests for one in group]
    foot = [_dice_row("Average", means)]
    foot.append(Row("p (t-test, subsets)", tuple("" if one is None else _p(one.t_test_p) for one in flat)))
    if any(one is not None and one.cases for one in flat):
        foot.append(Row("p (Wilcoxon, cases)", tuple("" if one is None else _p(one.wilcoxon_p) for one in flat)))
        foot.append(Row("Difference, 95 % interval", tuple("" if one is None else _interval(one) for one in flat)))
    caption = f"Dice (%) for every subset of the sequences. The tests ask whether {methods[0]} is better."
    return Table(caption, tuple((region.value, tuple(methods)) for region in REGIONS), tuple(rows), tuple(foot))


def _dice_row(head: Subset | str, rows: Sequence[Mapping[Region, float]]) -> Row:
    values = [100 * row[region] for region in REGIONS for row in rows]
    bold: frozenset[int] = frozenset()
    for start in range(0, len(values), len(rows)):
        bold |= best_of(list(enumerate(values))[start : start + len(rows)])
    return Row(head, tuple(f"{value:.2f}" for value in values), bold)


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}"


def _interval(one: Advantage) -> str:
    if one.interval is None:
        return "–"
    low, high = (100 * bound for bound in one.interval)
    return f"{100 * one.difference:+.2f} [{low:+.2f}, {high:+.2f}]"


def alpha_points(evaluations: Sequence[Evaluation]) -> dict[float, dict[Region, float]]:
    """Dice averaged over the subsets by α, as in Fig. 3 of the paper.

    Empty unless the runs differ in α and in no other setting: otherwise α would not be what makes the difference.
    """
    settings = [{key: value for key, value in one.training.items() if key != "alpha"} for one in evaluations]
    alphas = [one.training.get("alpha") for one in evaluations]
    same = all(other == settings[0] for other in settings)
    if None in alphas or len(set(alphas)) < len(alphas) or not same:
        return {}
    return {float(one.training["alpha"]): mean_of_subsets(one.dice) for one in evaluations}


def write_evaluations(evaluations: Sequence[Evaluation], output: Path) -> Table:
    """Write ``comparison.csv``, ``.md`` and ``.tex``, ``tests.csv``, and ``alpha.png`` where only α differs.

    Raises:
        OutputError: the folder cannot be written to.
    """
    found, first = advantages(evaluations), evaluations[0]
    table = comparison_table(evaluations, found)
    rows = [
        (subset_name(subset), one.name, region.value, round(one.dice[subset][region], 6))
        for subset in _subsets(evaluations)
        for region in REGIONS
        for one in evaluations
    ]
    write_csv(output / "comparison.csv", COLUMNS, rows)
    tests = [(first.name, other, region.value, *_test_cells(one)) for (other, region), one in found.items()]
    write_csv(output / "tests.csv", TEST_COLUMNS, tests)
    explanation = _explanation(cases=any(one.cases for one in found.values()))
    write_text(output / "comparison.md", f"# Comparison\n\n{tables.markdown(table)}\n{explanation}\n")
    write_text(output / "comparison.tex", tables.latex(table))
    # The curve of an earlier comparison in this folder is not of these evaluations.
    (output / "alpha.png").unlink(missing_ok=True)
    points = alpha_points(evaluations)
    if points:
        write_alpha_curve(points, output / "alpha.png")
    return table


def _explanation(cases: bool) -> str:
    """What the tests under the table are."""
    over_cases = (
        "The Wilcoxon signed-rank test and the bootstrap of the difference "
        f"({RESAMPLES:,} draws, seed {SEED}, percentiles {INTERVAL[0]} and {INTERVAL[1]}) are over the cases. "
    )
    return (
        "One-tailed tests: is the first method better? The paired t-test over the subsets' means is that of the "
        f"paper; the subsets share their cases and are not independent. {over_cases if cases else ''}"
        "No p-value is corrected for the number of tests."
    )


def _test_cells(one: Advantage) -> tuple[object, ...]:
    low, high = one.interval or (None, None)
    cells = (one.difference, one.t_test_p, one.cases, one.wilcoxon_p, low, high)
    return tuple("" if cell is None else f"{cell:.6g}" for cell in cells)

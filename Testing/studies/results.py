"""What a study says: elections by iteration, and variants against each other with and without the teacher."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from runs import METHOD, VARIANTS, Run, lckd

from lckd.labels import REGIONS, Region
from lckd.sequences import Sequence as MRI
from lckd.sequences import Subset, subset_name, subsets_of
from lckd_training.evaluation.compare import CaseDice, Evaluation
from lckd_training.evaluation.evaluate import write_csv, write_text
from lckd_training.evaluation.significance import advantage, wilcoxon

#: The sequences in which a region is visible, the teachers that the paper expects; the first one is meant by "teacher".
VISIBLE: Mapping[Region, tuple[MRI, ...]] = {
    Region.ET: (MRI.T1C,),
    Region.TC: (MRI.T1C,),
    Region.WT: (MRI.FLAIR, MRI.T2),
}
#: Which subsets are looked at together, by whether they hold the teacher of the region.
GROUPS: Mapping[str, Callable[[Subset, MRI], bool]] = {
    "without the teacher": lambda subset, teacher: teacher not in subset,
    "with the teacher": lambda subset, teacher: teacher in subset,
    "all": lambda subset, teacher: True,
}


@dataclass(frozen=True)
class Election:
    """One election: Dice of each sequence alone by region, and who was elected."""

    iteration: int
    dice: Mapping[MRI, Mapping[Region, float]]
    teachers: Mapping[Region, MRI]

    def decided(self, region: Region) -> MRI | None:
        """The elected sequence; None where no sequence found anything, or no case had the region."""
        found = any(row.get(region, 0) > 0 for row in self.dice.values())
        return self.teachers.get(region) if found else None


def read_elections(run: Path) -> list[Election]:
    """The elections of a run in their order; one that a resumed run held again counts once."""
    found = {}
    for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "election":
            dice = {MRI(s): {Region(r): value for r, value in row.items()} for s, row in event["dice"].items()}
            teachers = {Region(r): MRI(s) for r, s in event["teachers"].items()}
            found[event["iteration"]] = Election(event["iteration"], dice, teachers)
    return [found[iteration] for iteration in sorted(found)]


def visible_since(elections: Sequence[Election], region: Region) -> int | None:
    """From which iteration on every election chose a sequence that shows the region; None: the last one did not."""
    since = None
    for election in reversed(elections):
        if election.decided(region) not in VISIBLE[region]:
            break
        since = election.iteration
    return since


def election_section(runs: Sequence[Run]) -> str:
    """Answer (a): two tables, the sequences elected over the iterations, and from when on they are the visible ones."""
    histories = {run.name: read_elections(run.folder) for run in runs}
    expected = {region: " or ".join(s.title for s in VISIBLE[region]) for region in REGIONS}
    since = [
        [name, *(_or_dash(visible_since(elections, region)) for region in REGIONS), str(elections[0].iteration)]
        for name, elections in histories.items()
    ]
    iterations = sorted({election.iteration for elections in histories.values() for election in elections})
    by_iteration = {name: {e.iteration: e for e in elections} for name, elections in histories.items()}
    rows = [
        [str(iteration), *(_elected(by_iteration[name].get(iteration)) for name in histories)]
        for iteration in iterations
    ]
    settled = {
        region: sum(visible_since(elections, region) is not None for elections in histories.values())
        for region in REGIONS
    }
    words = " ".join(
        f"For {region.value}, {settled[region]} of {len(histories)} trainings elect {expected[region]} in the end."
        for region in REGIONS
    )
    heads = [f"{region.value}: {expected[region]} from iteration" for region in REGIONS]
    return (
        f"## Which sequence is elected?\n\n{words}\n\n{table(['training', *heads, 'first election'], since)}\n"
        "Elected for ET, TC and WT, with its Dice (%) alone on the election cases; – where no sequence alone found "
        f"anything, so that nothing was decided.\n\n{table(['iteration', *histories], rows)}"
    )


def _elected(election: Election | None) -> str:
    if election is None:
        return ""
    cells = []
    for region in REGIONS:
        chosen = election.decided(region)
        cells.append("–" if chosen is None else f"{chosen.title} {100 * election.dice[chosen][region]:.0f}")
    return ", ".join(cells)


def pooled(evaluations: Iterable[CaseDice]) -> CaseDice:
    """Mean over the evaluations that have the case: over the seeds of the same cases, or folds of different cases."""
    values: dict[tuple[str, Subset, Region], list[float]] = {}
    for evaluation in evaluations:
        for key, dice in evaluation.items():
            values.setdefault(key, []).append(dice)
    return {key: float(np.mean(found)) for key, found in values.items()}


def write_pooled(cases: CaseDice, folder: Path) -> None:
    """Write as `lckd evaluate` does, as far as `lckd evaluate --compare` reads it."""
    rows = [(case, subset_name(subset), region.value, round(dice, 6)) for (case, subset, region), dice in cases.items()]
    write_csv(folder / "cases.csv", ("case", "subset", "region", "dice"), rows)
    means = [
        (subset_name(subset), region.value, round(float(np.mean(found)), 6))
        for subset in subsets_of()
        for region in REGIONS
        if (found := [dice for (_, s, r), dice in cases.items() if (s, r) == (subset, region)])
    ]
    write_csv(folder / "summary.csv", ("subset", "region", "dice"), means)


def comparison_section(title: str, first: str, second: str, scores: Mapping[tuple[str, str], CaseDice]) -> str:
    """Answers (b) and (c): one variant against another by region and group of subsets.

    Args:
        title: heading.
        first, second: variants.
        scores: Dice of every case by variant and part (seed or fold).
    """
    parts = sorted(part for variant, part in scores if variant == first and (second, part) in scores)
    pairs = [(scores[first, part], scores[second, part]) for part in parts]
    whole = tuple(pooled(pair[side] for pair in pairs) for side in (0, 1))
    rows, clear = [], []
    for group in GROUPS:
        for region in REGIONS:
            a, b = (_matrix(cases, region, group) for cases in whole)
            found = advantage(np.nanmean(a, axis=0), np.nanmean(b, axis=0), a - b)
            by_part = [_difference(*pair, region, group) for pair in pairs]
            means = [100 * np.nanmean(np.nanmean(matrix, axis=0)) for matrix in (a, b)]
            p_worse = wilcoxon(np.nanmean(b - a, axis=1))
            rows.append(
                [
                    *(group, region.value, *(f"{mean:.2f}" for mean in means), f"{100 * found.difference:+.2f}"),
                    *(_interval(found.interval), _p(found.wilcoxon_p), _p(p_worse), str(found.cases)),
                    ", ".join(f"{100 * one:+.2f}" for one in by_part),
                ]
            )
            verdict = _verdict(found.interval, by_part)
            if verdict is not None:
                clear.append(
                    f"- {region.value}, subsets {group}: {first} is {verdict} by {abs(100 * found.difference):.2f}.\n"
                )
    head = ["subsets", "region", first, second, "difference", "95 % interval", "p (better)", "p (worse)", "cases"]
    findings = "".join(clear) or "- None.\n"
    return (
        f"## {title}\n\n{first} against {second}, Dice in %. Clear differences (the interval excludes 0, and every "
        f"training has the same sign):\n\n{findings}\n"
        f"{table([*head, 'by ' + ', '.join(parts)], rows)}"
    )


def _verdict(interval: tuple[float, float] | None, by_part: Sequence[float]) -> str | None:
    for word, sign in (("better", 1), ("worse", -1)):
        if interval and all(sign * value > 0 for value in (*interval, *by_part)):
            return word
    return None


def _matrix(cases: CaseDice, region: Region, group: str) -> NDArray[np.float64]:
    """Dice (cases, subsets of the group); NaN where a case lacks a sequence."""
    teacher = VISIBLE[region][0]
    subsets = [subset for subset in subsets_of() if GROUPS[group](subset, teacher)]
    names = sorted({name for name, _, _ in cases})
    return np.array([[cases.get((name, subset, region), np.nan) for subset in subsets] for name in names])


def _difference(first: CaseDice, second: CaseDice, region: Region, group: str) -> float:
    a, b = (_matrix(cases, region, group) for cases in (first, second))
    return float(np.nanmean(np.nanmean(a - b, axis=0)))


def write_results(runs: Sequence[Run], head: str, caveat: str) -> Path:
    """Write ``RESULTS.md``, each variant's scores pooled over its trainings, and their comparison by `lckd evaluate`.

    Args:
        runs: finished ones.
        head: title and what was done.
        caveat: what the numbers do not say.
    """
    output = runs[0].output
    scores = {(run.variant, run.part): Evaluation.read(run.scores, run.name).cases for run in runs}
    variants = list(dict.fromkeys(run.variant for run in runs))
    for variant in variants:
        write_pooled(pooled(c for (v, _), c in scores.items() if v == variant), output / "pooled" / variant)
    if len(variants) > 1:
        folders = [output / "pooled" / variant for variant in variants]
        lckd(output / "comparison.log", "evaluate", "--compare", *folders, "-o", output / "comparison")
    sections = [election_section(runs)]
    for variant in variants:
        if METHOD in variants and variant != METHOD:
            sections.append(comparison_section(VARIANTS[variant].question, METHOD, variant, scores))
    sections.append(
        "## What the tests are\n\nDice is averaged over the subsets of a group, case by case; the teacher is T1c for "
        "ET and TC and FLAIR for WT. The 95 % interval is a bootstrap of the difference over the cases, p that of the "
        f"one-tailed Wilcoxon signed-rank test over the cases, not corrected for the number of tests. {caveat}\n"
    )
    path = output / "RESULTS.md"
    write_text(path, "\n".join([head, *sections]))
    return path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _or_dash(value: int | None) -> str:
    return "–" if value is None else str(value)


def _interval(bounds: tuple[float, float] | None) -> str:
    return "–" if bounds is None else "[{:+.2f}, {:+.2f}]".format(*(100 * bound for bound in bounds))


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"

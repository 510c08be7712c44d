"""What the sequences are worth in one case: all subsets against a reference segmentation or against the full set."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .images import writing
from .labels import REGIONS, Region
from .metrics import dice, hd95_mm
from .output import comparison_files
from .reference import Reference
from .report import DISCLAIMER
from .sequences import SEQUENCES, Sequence, Subset, subset_name, subset_of, subset_title

if TYPE_CHECKING:
    from .engine import Result
    from .segmentation import Segmentation

COLUMNS = ("subset", "region", "volume_ml", "dice", "hd95_mm")
#: How the words for the segmentation of the full set begin; all others name a file.
FULL_SET = "the full set"


@dataclass(frozen=True)
class SubsetRow:
    """One region as segmented from one subset.

    Attributes:
        subset: the sequences.
        region: the region.
        volume_ml: its volume in milliliters.
        dice: overlap with what is compared with, 0 to 1.
        hd95_mm: 95th percentile of the surface distance to it, in mm.
    """

    subset: Subset
    region: Region
    volume_ml: float
    dice: float
    hd95_mm: float

    def as_dict(self) -> dict[str, Any]:
        """The row under the names of `COLUMNS`, rounded to what means something."""
        values = (self.volume_ml, round(self.dice, 4), round(self.hd95_mm, 2))
        return dict(zip(COLUMNS, (subset_name(self.subset), self.region.value, *values), strict=True))


@dataclass(frozen=True)
class Basis:
    """What segmentations are compared with: nested region masks (3, D, H, W), and what they are, in words."""

    regions: NDArray[np.bool_]
    words: str


@dataclass(frozen=True)
class Comparison:
    """The segmentations of the subsets of a case's sequences, compared.

    Attributes:
        rows: for each subset, the smallest first, its regions in the order ET, TC, WT.
        basis: what they are compared with, in words.
        present: the sequences of the largest subset.
    """

    rows: list[SubsetRow]
    basis: str
    present: Subset

    @property
    def subsets(self) -> list[Subset]:
        """The subsets compared, the smallest first."""
        return list(dict.fromkeys(row.subset for row in self.rows))

    def of(self, subset: Subset) -> dict[Region, SubsetRow]:
        """The rows of one subset by region; empty if it was not compared."""
        return {row.region: row for row in self.rows if row.subset == subset}


def compare_results(results: list[Result], reference: Reference | None = None) -> Comparison:
    """Compare the segmentations of several subsets of one case.

    Args:
        results: one for each subset; the largest subset is the full set.
        reference: a reference segmentation on the same voxels; None: compare with that of the full set.

    Raises:
        UsageError: there is no result.
    """
    if not results:
        raise UsageError("NOTHING_TO_COMPARE", "No subset was chosen to compare.", "Name at least one subset.")
    full = max((result.segmentation for result in results), key=lambda one: len(one.subset))
    basis = basis_of(full, reference)
    rows = [row for result in results for row in compare_result(result, basis)]
    return Comparison(rows, basis.words, full.subset)


def basis_of(full: Segmentation, reference: Reference | None = None) -> Basis:
    """The reference segmentation where there is one, else the segmentation of the full set."""
    if reference is None:
        return Basis(full.regions, f"{FULL_SET} ({subset_title(full.subset)})")
    return Basis(reference.regions, f"reference segmentation {reference.name}")


def compare_result(result: Result, basis: Basis) -> list[SubsetRow]:
    """The rows of one subset: its regions in the order ET, TC, WT."""
    one, volumes = result.segmentation, result.volumes_ml
    return [
        SubsetRow(one.subset, region, volumes[region], dice(mask, true), hd95_mm(mask, true, one.grid.spacing))
        for region, mask, true in zip(REGIONS, one.regions, basis.regions, strict=True)
    ]


def importance(comparison: Comparison) -> dict[Sequence, dict[Region, float]]:
    """How much Dice each region loses when a sequence is taken away from the full set; negative: it gains.

    Sequences without which nothing is left, or whose removal was not compared, are left out.
    """
    full = comparison.of(comparison.present)
    losses = {}
    for sequence in comparison.present:
        without = comparison.of(subset_of(set(comparison.present) - {sequence}))
        if without:
            losses[sequence] = {region: full[region].dice - without[region].dice for region in REGIONS}
    return losses


def write_comparison(comparison: Comparison, output: Path, picture: bool = True) -> list[Path]:
    """Write ``subsets.csv``, ``subsets.md`` and, where wanted, ``subsets.png`` into a folder.

    If `output` ends in an image suffix, they lie beside it and begin with its name: ``NAME.subsets.csv``.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    table, text, heatmap = comparison_files(output)
    with writing(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row.as_dict().values() for row in comparison.rows)
    with writing(text) as temporary:
        temporary.write_text(markdown(comparison), encoding="utf-8")
    if not picture:
        return [table, text]
    from .heatmap import write_heatmap

    write_heatmap(comparison, heatmap)
    return [table, text, heatmap]


def markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown document with one row for each subset."""
    measures = [f"{region.value} {measure}" for measure in ("mL", "Dice", "HD95 mm") for region in REGIONS]
    header = [sequence.title for sequence in SEQUENCES] + measures
    lines = [_line(header), _line([":-:"] * len(SEQUENCES) + ["--:"] * len(measures))]
    for subset in comparison.subsets:
        marks = ["✓" if sequence in subset else "" for sequence in SEQUENCES]
        lines.append(_line(marks + _cells([comparison.of(subset)[region] for region in REGIONS])))
    lines.append(_line(["**Mean**"] + [""] * (len(SEQUENCES) - 1) + _cells(_means(comparison))))
    parts = [
        "# Segmentation from subsets of the sequences",
        f"Compared with {comparison.basis}. Dice: 1 is best. HD95 in mm: 0 is best. Volumes in mL.",
        "\n".join(lines),
        _importance_table(comparison),
        DISCLAIMER,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _importance_table(comparison: Comparison) -> str:
    losses = importance(comparison)
    if not losses:
        return ""
    lines = [_line(["Without", *(region.value for region in REGIONS)]), _line(["---", *["--:"] * len(REGIONS)])]
    for sequence, loss in losses.items():
        lines.append(_line([sequence.title, *(f"{-loss[region]:+.3f}" for region in REGIONS)]))
    return "\n".join(["Change of Dice when one sequence is taken away from the full set:", "", *lines])


def _means(comparison: Comparison) -> list[SubsetRow]:
    """The mean over the subsets for each region."""
    means = []
    for region in REGIONS:
        rows = [(row.volume_ml, row.dice, row.hd95_mm) for row in comparison.rows if row.region == region]
        means.append(SubsetRow((), region, *np.mean(rows, axis=0).tolist()))
    return means


def _cells(rows: list[SubsetRow]) -> list[str]:
    return (
        [f"{row.volume_ml:.1f}" for row in rows]
        + [f"{row.dice:.3f}" for row in rows]
        + [f"{row.hd95_mm:.1f}" for row in rows]
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""A result in words, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..labels import REGIONS
from ..sequences import Sequence, subset_title

if TYPE_CHECKING:
    from ..comparison import Comparison, SubsetRow


def describe(report: dict[str, Any]) -> list[str]:
    """What was segmented from what, the volumes, and what the user must know."""
    present, imputed = ([Sequence(name) for name in report[key]] for key in ("present", "imputed"))
    missing = f"; missing, so imputed: {subset_title(imputed)}" if imputed else ""
    lines = [f"{report['case']}: segmented from {subset_title(present)}{missing}"]
    for region in REGIONS:
        lines.append(f"  {region.title + f' ({region.value})':<24}{report['volumes_ml'][region.value]:>9.2f} mL")
    lines += [f"Warning: {warning}" for warning in report["warnings"]]
    model, seconds = report["model"], sum(report["seconds"].values())
    lines.append(f"Model {model['name']} on {report['device']}, {report['threads']} CPU threads, {seconds:.1f} s")
    return lines


def describe_scores(rows: Iterable[SubsetRow], basis: str) -> list[str]:
    """Dice and HD95 of one subset's regions."""
    scores = ", ".join(f"{row.region.value} {row.dice:.3f} (HD95 {row.hd95_mm:.1f} mm)" for row in rows)
    return [f"Dice against {basis}: {scores}"]


def describe_comparison(comparison: Comparison) -> list[str]:
    """One line a subset: volume and Dice of each region."""
    wide = max(len(subset_title(subset)) for subset in comparison.subsets) + 2
    lines = [f"Compared with {comparison.basis}: mL and Dice"]
    lines.append(" " * wide + "".join(f"{region.value:>16}" for region in REGIONS))
    for subset in comparison.subsets:
        cells = [f"{row.volume_ml:.1f} {row.dice:.3f}" for row in comparison.of(subset).values()]
        lines.append(f"{subset_title(subset):<{wide}}" + "".join(f"{cell:>16}" for cell in cells))
    return lines


def closing(files: Mapping[str, Path], report: dict[str, Any]) -> list[str]:
    """Where the files are, and what they must not be used for."""
    return [*(f"Written: {path}" for path in files.values()), report["disclaimer"]]


def as_text(files: Mapping[str, Path]) -> dict[str, str]:
    """Files by what they are, for JSON."""
    return {name: str(path) for name, path in files.items()}

"""A check of data in words: a table of the cases, the faults, and what there is in all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lckd.labels import REGIONS
from lckd.sequences import SEQUENCES

from .check import CaseCheck
from .findings import shown

_MAX_EXAMPLES = 3


def describe(checks: list[CaseCheck], ignored: list[Path], root: Path) -> list[str]:
    """The lines to print."""
    return [*_table(checks), *_faults(checks), *_notes(checks), *_folders(ignored, root), *_totals(checks)]


def totals(checks: list[CaseCheck]) -> dict[str, Any]:
    """What there is in all, for JSON."""
    labeled = [check for check in checks if check.labels is not None]
    return {
        "cases": len(checks),
        "patients": len({check.case.patient for check in checks}),
        "usable": sum(check.usable for check in checks),
        "complete": sum(len(check.present) == len(SEQUENCES) for check in checks),
        "sequences": {s.value: sum(s in check.present for check in checks) for s in SEQUENCES},
        "labeled": len(labeled),
        "conventions": dict(Counter(check.labels.convention.value for check in checks if check.labels is not None)),
        "with_region": {
            r.value: sum(check.labels.volumes_ml[r] > 0 for check in checks if check.labels is not None)
            for r in REGIONS
        },
        "sites": _count(check.case.site for check in checks),
        "grades": _count(check.case.grade for check in checks),
    }


def _count(values: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value).items()))


def _table(checks: list[CaseCheck]) -> list[str]:
    titles = ["case", *(s.title for s in SEQUENCES), *(f"{r.value} mL" for r in REGIONS), "voxels", "mm", "state"]
    rows = [titles, *map(_row, checks)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, last = 1 + len(SEQUENCES), 1 + len(SEQUENCES) + len(REGIONS)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if first <= i < last else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _row(check: CaseCheck) -> list[str]:
    grid, labels = check.grid, check.labels
    volumes = [f"{labels.volumes_ml[r]:.1f}" for r in REGIONS] if labels is not None else ["-"] * len(REGIONS)
    size = "×".join(map(str, grid.size)) if grid is not None else "-"
    spacing = "×".join(f"{length:.3g}" for length in grid.spacing) if grid is not None else "-"
    return [
        check.case.name,
        *("yes" if sequence in check.present else "-" for sequence in SEQUENCES),
        *volumes,
        size,
        spacing,
        _state(check),
    ]


def _state(check: CaseCheck) -> str:
    if check.faults:
        return "FAULT " + ", ".join(dict.fromkeys(finding.code for finding in check.faults))
    words = list(dict.fromkeys(finding.code for finding in check.findings))
    if check.case.files is not None and check.case.files.labels is None:
        words.insert(0, "no labels")
    return ", ".join(["ok", *words])


def _faults(checks: list[CaseCheck]) -> list[str]:
    lines = [
        f"  {check.case.name}: {finding.told(_folder(check))} [{finding.code}]"
        for check in checks
        for finding in check.faults
    ]
    return ["", "Faults, each of which makes the case unusable:", *lines] if lines else []


def _folder(check: CaseCheck) -> str:
    """The name of the case's folder, without which its files are told; empty if it has none."""
    return "" if check.case.path.is_file() else check.case.name


def _notes(checks: list[CaseCheck]) -> list[str]:
    """Each note once, since a whole data set often shares it."""
    cases: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for check in checks:
        for finding in check.findings:
            if not finding.is_fault:
                cases[finding.code, finding.message, finding.action].append(check.case.name)
    lines = [f"  {_some(names)}: {message} {action} [{code}]" for (code, message, action), names in cases.items()]
    return ["", "To know:", *lines] if lines else []


def _some(names: list[str]) -> str:
    more = len(names) - _MAX_EXAMPLES
    return ", ".join(names[:_MAX_EXAMPLES]) + (f" and {more} more" if more > 0 else "")


def _folders(ignored: list[Path], root: Path) -> list[str]:
    if not ignored:
        return []
    names = _some([shown(folder, root) for folder in ignored])
    return ["", f"No sequence is told by the names of the images in {names}; they are left out."]


def _totals(checks: list[CaseCheck]) -> list[str]:
    every = totals(checks)
    there = ", ".join(f"{s.title} {every['sequences'][s.value]}" for s in SEQUENCES)
    lines = [
        "",
        f"{every['cases']} cases of {every['patients']} patients, {every['usable']} usable; "
        f"{every['complete']} with all four sequences ({there}).",
    ]
    if every["labeled"]:
        conventions = ", ".join(f"{count} {name}" for name, count in every["conventions"].items())
        regions = ", ".join(f"{r.value} {every['with_region'][r.value]}" for r in REGIONS)
        lines.append(f"{every['labeled']} labeled ({conventions}); with {regions}.")
    for key in ("sites", "grades"):
        if every[key]:
            lines.append(f"{key.capitalize()}: " + ", ".join(f"{name} {count}" for name, count in every[key].items()))
    return lines

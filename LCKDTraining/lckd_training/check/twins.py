"""Cases that cannot be told apart: two of one name, or one scan under the names of two patients."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .findings import Finding, fault, note, shown

if TYPE_CHECKING:
    from .check import CaseCheck

_MAX_NAMED = 3


def with_twins(checks: list[CaseCheck], root: Path) -> list[CaseCheck]:
    """The checks, where a case with the name of another has a fault, and one with its scan a note.

    Args:
        checks: of all cases.
        root: the folder that was checked, or the table; places are named relative to it.
    """
    by_name: dict[str, list[CaseCheck]] = defaultdict(list)
    by_trace: dict[str, list[CaseCheck]] = defaultdict(list)
    for check in checks:
        by_name[check.case.name].append(check)
        for trace in check.traces:
            by_trace[trace].append(check)
    return [
        dataclasses.replace(
            check,
            findings=[
                *check.findings,
                *_of_one_name(check, by_name[check.case.name], root),
                *_of_one_scan(check, [other for trace in check.traces for other in by_trace[trace]]),
            ],
        )
        for check in checks
    ]


def _of_one_name(check: CaseCheck, same: list[CaseCheck], root: Path) -> list[Finding]:
    """Nobody could tell their results apart."""
    others = [shown(other.case.path, root) for other in same if other is not check]
    if not others:
        return []
    message = f"Another case has the same name, in {_some(others)}."
    return [fault("CASE_TWICE", message, "Rename one of them, or list the cases in a CSV with a name for each.")]


def _of_one_scan(check: CaseCheck, same: Iterable[CaseCheck]) -> list[Finding]:
    """One could be trained on and the other tested."""
    others = sorted({other.case.name for other in same if other.case.patient != check.case.patient})
    if not others:
        return []
    message = f"An image or the segmentation is the same as that of {_some(others)}, which counts as another patient."
    action = "Leave one of them out, or list the cases in a CSV with the same patient for both."
    return [note("SAME_SCAN", message, action)]


def _some(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")

"""Which cases of a data set are evaluated, and which are left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lckd.discovery import CaseFiles
from lckd.errors import InputError, LckdError, not_enough_memory

from ..data.datasets import DatasetCase, find_dataset
from ..data.split import Split


@dataclass(frozen=True)
class LeftOut:
    """A case that cannot be used, and what was raised."""

    case: str
    error: Exception

    @property
    def refusal(self) -> LckdError:
        """Why, in words for people."""
        if isinstance(self.error, LckdError):
            return self.error
        if isinstance(self.error, MemoryError):
            return not_enough_memory()
        what = f"{type(self.error).__name__}: {self.error}".splitlines()[0]
        return LckdError("BUG", f"This is a mistake in the program ({what}).", "Run it again with --debug.")

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        refusal = self.refusal
        return {"case": self.case, "code": refusal.code, "message": refusal.message, "action": refusal.action}


def choose_cases(
    root: Path, names: Iterable[str] | None = None, split: Path | None = None
) -> tuple[list[CaseFiles], list[LeftOut]]:
    """The named cases of a data set, or the test cases of a run's split, or all that have a segmentation.

    Returns:
        The cases to evaluate, and those whose files cannot be told or whose name another case has, too.

    Raises:
        InputError: a named case is not there, or there is no case with a segmentation.
    """
    wanted = list(names) if names is not None else _test_cases(split) if split is not None else None
    chosen = _wanted(find_dataset(root), wanted)
    count = Counter(case.name for case in chosen)
    usable: list[CaseFiles] = []
    left_out: list[LeftOut] = []
    for case in chosen:
        try:
            if count[case.name] > 1:
                raise InputError("CASE_TWICE", f"Another case is called {case.name}, too.", "Rename one of the two.")
            files = case.known_files()
            if files.labels is not None or wanted is not None:
                usable.append(files)
        except InputError as error:
            left_out.append(LeftOut(case.name, error))
    if not usable and not left_out:
        raise InputError("NO_LABELS", f"No case below {root} has a segmentation.", "Give a folder of labeled cases.")
    return usable, left_out


def _test_cases(split: Path) -> list[str]:
    names = list(Split.read(split).test)
    if not names:
        action = "Name cases with --cases; those that were trained on or that elected flatter the model."
        raise InputError("NO_TEST_CASE", f"{split} keeps no case for the test.", action)
    return names


def _wanted(cases: list[DatasetCase], names: list[str] | None) -> list[DatasetCase]:
    if names is None:
        return cases
    absent = [name for name in names if name not in {case.name for case in cases}]
    if absent or not names:
        what = f"There is no case {absent[0]}." if absent else "There is no case to evaluate."
        raise InputError("CASE_UNKNOWN", what, "Name cases of the folder.")
    return sorted((case for case in cases if case.name in names), key=lambda case: names.index(case.name))

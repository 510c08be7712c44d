"""Which case is for what: training, teacher election, test. By patient, written to a file, and never changed after."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lckd.errors import InputError, UsageError
from lckd.images import writing

if TYPE_CHECKING:
    from ..config import TrainingConfig

ROLES = ("train", "election", "test")


@dataclass(frozen=True)
class CaseFacts:
    """What a split goes by.

    Attributes:
        name: name of the case.
        patient: whose scan it is.
        site: where it was made, if known.
        grade: of the tumor, if known.
        enhances: whether the segmentation shows enhancing tumor, if known.
        labeled: whether there is a segmentation; without one a case has no role.
    """

    name: str
    patient: str
    site: str | None = None
    grade: str | None = None
    enhances: bool | None = None
    labeled: bool = True


@dataclass(frozen=True)
class Draw:
    """How a split was drawn.

    Attributes:
        seed: of the draw.
        folds: of the cross-validation; 0: none.
        fold: which of them is the test role, from 0.
        patients: their number by role and stratum, such as ``with enhancing tumor, HGG, TCIA01``.
        unlabeled: number of the cases that have no role, for want of a segmentation.
    """

    seed: int
    folds: int
    fold: int
    patients: Mapping[str, Mapping[str, int]]
    unlabeled: int


@dataclass(frozen=True)
class Split:
    """Names of the cases by role, and how they were drawn, if that is known.

    Raises:
        InputError: a case has two roles.
    """

    train: tuple[str, ...]
    election: tuple[str, ...]
    test: tuple[str, ...]
    drawn: Draw | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        count = Counter(name for names in self.roles.values() for name in names)
        twice = sorted(name for name, times in count.items() if times > 1)
        if twice:
            raise InputError("TWO_ROLES", f"The split has {twice[0]} twice.", "Give each case one role.")

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The names by role."""
        return {"train": self.train, "election": self.election, "test": self.test}

    @staticmethod
    def draw(facts: Iterable[CaseFacts], config: TrainingConfig) -> Split:
        """Split the labeled cases: all scans of a patient in one role, the strata spread over the roles evenly.

        The test cases are those named by the configuration, or one of its `folds`; those of the election are named,
        or drawn from the others as a share of their patients. In place of all scans of a patient, the patient may be
        named. The folds are the same for each `fold`, and each patient is in one of them.

        Args:
            facts: of every case.
            config: for ``exclude``, ``test``, ``election``, ``election_share``, ``folds``, ``fold`` and ``seed``.

        Raises:
            InputError: a named case does not exist or is one of several scans of a patient, two cases share a name,
                there are fewer patients than folds, or none is left to train on.
            UsageError: cases are named though folds are asked for.
        """
        every = [fact for fact in facts if fact.name not in config.exclude]
        patients = _patients(fact for fact in every if fact.labeled)
        _check_folds(config, len(patients))
        roles: dict[str, list[_Patient]] = {"test": _named(config.test, patients, "test")}
        if config.folds:
            roles["test"] = _spread(patients, np.random.default_rng([config.seed, 0]))[config.fold :: config.folds]
        rest = [patient for patient in patients if patient not in roles["test"]]
        if not rest:
            raise _nothing_left()
        roles["election"] = _named(config.election, patients, "election")
        if not config.election:
            count = max(1, round(config.election_share * len(rest)))
            roles["election"] = _sample(rest, count, np.random.default_rng([config.seed, 1 + config.fold]))
        roles["train"] = [patient for patient in rest if patient not in roles["election"]]
        if not roles["train"]:
            raise _nothing_left()
        strata = {role: dict(sorted(Counter(patient.title for patient in roles[role]).items())) for role in ROLES}
        unlabeled = sum(not fact.labeled for fact in every)
        drawn = Draw(config.seed, config.folds, config.fold, strata, unlabeled)
        train, election, test = (tuple(sorted(case for p in roles[role] for case in p.cases)) for role in ROLES)
        return Split(train, election, test, drawn)

    def without(self, names: Iterable[str]) -> Split:
        """The same without these cases."""
        gone = set(names)
        train, election, test = (tuple(case for case in cases if case not in gone) for cases in self.roles.values())
        return Split(train, election, test, self.drawn)

    def check_patients(self, patients: Mapping[str, str]) -> None:
        """See that all scans of a patient have one role.

        Args:
            patients: the patient of each case by its name.

        Raises:
            InputError: two of a patient's scans have different roles.
        """
        first: dict[str, tuple[str, str]] = {}
        for role, names in self.roles.items():
            for name in names:
                other, other_role = first.setdefault(patients.get(name, name), (name, role))
                if other_role != role:
                    message = f"The split has {other} for {other_role} and {name} for {role}, scans of one patient."
                    raise InputError("PATIENT_DIVIDED", message, "Give all scans of a patient one role.")

    def write(self, path: Path) -> None:
        """Write as JSON.

        Raises:
            OutputError: the folder cannot be written to, or the disk is full.
        """
        with writing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Split:
        """Read what `write` wrote, or a file with no more than the names by role.

        Raises:
            InputError: there is no such file, it is no split, or it gives a case two roles.
        """
        action = "Give a split.json of lckd data split or of a training run."
        try:
            told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            drawn = Draw(**told["drawn"]) if told.get("drawn") else None
            train, election, test = (_names(told[role]) for role in ROLES)
        except OSError as error:
            message = f"{path} does not exist, or cannot be read."
            raise InputError("FILE_NOT_FOUND", message, action) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError("BAD_SPLIT", f"{path} is not a split of cases.", action) from error
        return Split(train, election, test, drawn)


def _names(told: Any) -> tuple[str, ...]:
    """The names of a role as a file has them.

    Raises:
        TypeError: they are not a list.
    """
    if not isinstance(told, list):
        raise TypeError(told)
    return tuple(map(str, told))


@dataclass(frozen=True)
class _Patient:
    """A patient's cases, and what is known, the most important first: enhancing tumor, grade, site; empty: unknown."""

    name: str
    cases: tuple[str, ...]
    stratum: tuple[str, str, str]

    @property
    def title(self) -> str:
        """The stratum in words."""
        return ", ".join(filter(None, self.stratum)) or "nothing known"


def _patients(facts: Iterable[CaseFacts]) -> list[_Patient]:
    by_patient: dict[str, list[CaseFacts]] = defaultdict(list)
    names = set()
    for fact in facts:
        if fact.name in names:
            raise InputError("CASE_TWICE", f"Two cases are called {fact.name}.", "Rename one of the folders.")
        names.add(fact.name)
        by_patient[fact.patient].append(fact)
    return [_patient(name, scans) for name, scans in sorted(by_patient.items())]


def _patient(name: str, scans: list[CaseFacts]) -> _Patient:
    shown = [scan.enhances for scan in scans if scan.enhances is not None]
    enhancing = f"{'with' if any(shown) else 'without'} enhancing tumor" if shown else ""
    grade = "/".join(sorted({scan.grade for scan in scans if scan.grade}))
    site = "/".join(sorted({scan.site for scan in scans if scan.site}))
    return _Patient(name, tuple(sorted(scan.name for scan in scans)), (enhancing, grade, site))


def _check_folds(config: TrainingConfig, patients: int) -> None:
    if not config.folds:
        return
    if config.test or config.election:
        message = "Cases are named for test or election, though every patient shall be in the test role of one fold."
        raise UsageError("BAD_SETTING", message, "Leave out the names, or the folds.")
    if config.folds > patients:
        message = f"{patients} labeled patients cannot be divided into {config.folds} folds."
        raise InputError("TOO_FEW_PATIENTS", message, "Ask for fewer folds, or add cases.")


def _nothing_left() -> InputError:
    return InputError("NO_TRAINING_CASE", "No case is left to train on.", "Add cases or hold out fewer.")


def _named(names: Iterable[str], patients: list[_Patient], role: str) -> list[_Patient]:
    """The patients whose cases, all of them, are named, or who are named themselves."""
    wanted = set(names)
    unknown = sorted(wanted - {name for patient in patients for name in (patient.name, *patient.cases)})
    if unknown:
        raise InputError("CASE_UNKNOWN", f"There is no labeled case {unknown[0]}.", "Correct the settings.")
    chosen = [patient for patient in patients if wanted.intersection((patient.name, *patient.cases))]
    for patient in chosen:
        left_out = [case for case in patient.cases if case not in wanted]
        if left_out and patient.name not in wanted:
            named = next(case for case in patient.cases if case in wanted)
            raise InputError(
                "PATIENT_DIVIDED",
                f"{named} is named for {role}, but not {', '.join(left_out)} of the same patient.",
                "Name all scans of a patient, or the patient in their place.",
            )
    return chosen


def _spread(patients: list[_Patient], rng: np.random.Generator) -> list[_Patient]:
    """The patients in random order, but each stratum in one piece, beside those that it shares most with.

    To take every k-th is then to take from each piece a k-th of it, rounded up or down.
    """
    mixed = [patients[index] for index in rng.permutation(len(patients))]
    first: dict[tuple[str, ...], int] = {}
    for rank, patient in enumerate(mixed):
        for depth in range(len(patient.stratum)):
            first.setdefault(patient.stratum[: depth + 1], rank)
    return sorted(mixed, key=lambda p: [first[p.stratum[: depth + 1]] for depth in range(len(p.stratum))])


def _sample(patients: list[_Patient], count: int, rng: np.random.Generator) -> list[_Patient]:
    """A stratified sample: systematic, that is at equal distances from a random start, of the spread patients."""
    order = _spread(patients, rng)
    start, total = int(rng.integers(len(order))), len(order)
    return [order[(start + number * total // count) % total] for number in range(count)]

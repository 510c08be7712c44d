"""Splits: no patient in two roles, strata spread evenly, folds that cover all, and ``lckd data split``."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_case, write_case

from lckd.errors import InputError, UsageError
from lckd_training.config import TrainingConfig
from lckd_training.data.cases import read_facts
from lckd_training.data.datasets import find_dataset
from lckd_training.data.split import CaseFacts, Split


def made_facts(patients: int, seed: int = 0) -> list[CaseFacts]:
    """Patients of three sites and two grades with one to three scans; every fifth scan shows no enhancing tumor."""
    rng = np.random.default_rng(seed)
    facts = []
    for number in range(patients):
        site, grade = f"S{rng.integers(3)}", "HGG" if rng.random() < 0.7 else "LGG"
        for scan in range(rng.integers(1, 4)):
            facts.append(CaseFacts(f"p{number}-{scan}", f"p{number}", site, grade, bool(rng.random() < 0.8)))
    return facts


def patients_of(split: Split) -> dict[str, set[str]]:
    return {role: {name.split("-")[0] for name in names} for role, names in split.roles.items()}


def folds_of(facts: list[CaseFacts], count: int, **settings: Any) -> list[Split]:
    config = TrainingConfig(folds=count, **settings)
    return [Split.draw(facts, dataclasses.replace(config, fold=fold)) for fold in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_all_scans_of_a_patient_have_one_role_and_every_case_has_one(seed: int) -> None:
    facts = made_facts(37, seed)
    for split in [Split.draw(facts, TrainingConfig(seed=seed)), *folds_of(facts, 4, seed=seed)]:
        train, election, test = patients_of(split).values()
        assert not train & election
        assert not train & test
        assert not election & test
        assert sorted(name for names in split.roles.values() for name in names) == sorted(fact.name for fact in facts)


def test_scans_of_a_patient_in_two_roles_are_told() -> None:
    patients = {"p1-0": "p1", "p1-1": "p1", "p2-0": "p2"}
    Split(("p1-0", "p1-1"), ("p2-0",), ("unknown",)).check_patients(patients)
    with pytest.raises(InputError, match="has p1-0 for train and p1-1 for test, scans of one patient") as caught:
        Split(("p1-0",), ("p2-0",), ("p1-1",)).check_patients(patients)
    assert caught.value.code == "PATIENT_DIVIDED"


def test_who_elects_is_held_out_from_the_gradient() -> None:
    """A fifth of the patients that are not tested, as in the paper, of whom no scan is trained on."""
    facts = made_facts(50)
    for split in [Split.draw(facts, TrainingConfig()), *folds_of(facts, 5)]:
        roles = patients_of(split)
        assert not roles["train"] & roles["election"]
        assert len(roles["election"]) == round(0.2 * (50 - len(roles["test"])))


def test_every_patient_is_tested_in_one_fold_and_the_folds_are_of_equal_size() -> None:
    tested = [patients_of(split)["test"] for split in folds_of(made_facts(33), 5)]
    assert Counter(patient for fold in tested for patient in fold) == Counter(f"p{n}" for n in range(33))
    assert sorted(map(len, tested)) == [6, 6, 7, 7, 7]


def test_a_draw_depends_on_the_seed_and_not_on_the_order_of_the_cases() -> None:
    facts = made_facts(30)
    assert folds_of(facts, 3) == folds_of(facts[::-1], 3)
    assert Split.draw(facts, TrainingConfig()) == Split.draw(facts[::-1], TrainingConfig())
    assert folds_of(facts, 3) != folds_of(facts, 3, seed=1)
    assert Split.draw(facts, TrainingConfig()) != Split.draw(facts, TrainingConfig(seed=1))


@pytest.mark.parametrize("seed", range(5))
def test_strata_are_spread_as_evenly_as_whole_patients_allow(seed: int) -> None:
    """One more or less at most: of each stratum, of enhancing tumor alone, and of it with the grade."""
    folds = folds_of(made_facts(61, seed), 5, seed=seed)
    assert all(split.drawn for split in folds)
    for depth in (1, 2, 3):
        counts: dict[str, list[float]] = {}
        for number, split in enumerate(folds):
            assert split.drawn is not None
            for stratum, patients in split.drawn.patients["test"].items():
                level = ", ".join(stratum.split(", ")[:depth])
                counts.setdefault(level, [0] * 5)[number] += patients
        assert len(counts) > depth
        assert all(max(count) - min(count) <= 1 for count in counts.values()), counts
    for split in folds:
        assert split.drawn is not None
        for stratum, elected in split.drawn.patients["election"].items():
            due = 0.2 * (elected + split.drawn.patients["train"].get(stratum, 0))
            assert abs(elected - due) < 1.5


def test_cases_without_enhancing_tumor_are_in_every_fold_though_they_are_few() -> None:
    facts = [CaseFacts(f"c{n}", f"c{n}", enhances=n >= 4) for n in range(20)]
    for split in folds_of(facts, 4):
        assert split.drawn is not None
        assert split.drawn.patients["test"] == {"with enhancing tumor": 4, "without enhancing tumor": 1}


def test_cases_without_segmentation_have_no_role_and_are_counted(tmp_path: Path) -> None:
    facts = made_facts(12)
    labeled = [dataclasses.replace(fact, labeled=number % 3 > 0) for number, fact in enumerate(facts)]
    split = Split.draw(labeled, TrainingConfig())
    assert {name for names in split.roles.values() for name in names} == {f.name for f in labeled if f.labeled}
    split.write(tmp_path / "split.json")
    drawn = Split.read(tmp_path / "split.json").drawn
    assert drawn == split.drawn
    assert drawn is not None
    assert drawn.unlabeled == sum(not fact.labeled for fact in labeled) > 0
    assert (drawn.seed, drawn.folds, drawn.fold) == (TrainingConfig().seed, 0, 0)


SCANS = [CaseFacts(f"{patient}-{scan}", patient) for patient in ("p1", "p2", "p3", "p4") for scan in ("a", "b")]


def test_named_cases_get_their_roles() -> None:
    config = TrainingConfig(test=("p1-a", "p1-b"), election=("p3",))
    assert Split.draw(SCANS, config) == Split(("p2-a", "p2-b", "p4-a", "p4-b"), ("p3-a", "p3-b"), ("p1-a", "p1-b"))


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"test": ("p1-a",)}, "PATIENT_DIVIDED", "p1-a is named for test, but not p1-b of the same patient"),
        ({"election": ("p2-b", "p3-a", "p3-b")}, "PATIENT_DIVIDED", "p2-b is named for election, but not p2-a"),
        ({"test": ("p1-z",)}, "CASE_UNKNOWN", "no labeled case p1-z"),
        ({"test": ("p1",), "election": ("p1-a", "p1-b")}, "TWO_ROLES", "p1-a twice"),
        ({"test": ("p1", "p2", "p3", "p4")}, "NO_TRAINING_CASE", "No case is left"),
        ({"test": ("p1", "p2", "p3")}, "NO_TRAINING_CASE", "No case is left"),
        ({"folds": 5}, "TOO_FEW_PATIENTS", "4 labeled patients cannot be divided into 5 folds"),
    ],
)
def test_what_cannot_be_split_is_refused(settings: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Split.draw(SCANS, TrainingConfig(**settings))
    assert caught.value.code == code


def test_folds_and_named_cases_do_not_go_together() -> None:
    for named in ({"test": ("p1",)}, {"election": ("p1",)}):
        with pytest.raises(UsageError, match="Leave out the names, or the folds"):
            Split.draw(SCANS, TrainingConfig(folds=2, **named))  # type: ignore[arg-type]


def test_two_cases_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="Two cases are called p1-a") as caught:
        Split.draw([*SCANS, CaseFacts("p1-a", "p9")], TrainingConfig())
    assert caught.value.code == "CASE_TWICE"


def test_older_files_with_names_only_are_read(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text('{"train": ["a", "d"], "election": ["b"], "test": []}')
    assert Split.read(path) == Split(("a", "d"), ("b",), ())
    assert Split.read(path).drawn is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "FILE_NOT_FOUND"),
        ("{", "BAD_SPLIT"),
        ("[]", "BAD_SPLIT"),
        ('{"train": ["a"], "election": ["b"]}', "BAD_SPLIT"),
        ('{"train": ["a"], "election": ["b"], "test": [], "drawn": {"seed": 1}}', "BAD_SPLIT"),
        ('{"train": ["a", "b"], "election": ["b"], "test": []}', "TWO_ROLES"),
        ('{"train": "ab", "election": ["c"], "test": []}', "BAD_SPLIT"),
    ],
)
def test_what_is_no_split_is_refused(tmp_path: Path, text: str | None, code: str) -> None:
    if text is not None:
        (tmp_path / "split.json").write_text(text)
    with pytest.raises(InputError) as caught:
        Split.read(tmp_path / "split.json")
    assert caught.value.code == code


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labeled patients, two of whom show no enhancing tumor, one of them twice; one case has no segmentation."""
    root, made = tmp_path_factory.mktemp("data"), make_case()
    for name in ("0001-000", "0002-000", "0003-000", "0004-000", "0005-000", "0005-001", "0006-000"):
        folder = write_case(root / f"BraTS-GLI-{name}", made)
        if name[:4] in ("0005", "0006"):
            labels = sitk.ReadImage(str(folder / "seg.nii.gz"))
            sitk.WriteImage(sitk.Cast(labels > 0, sitk.sitkUInt8) * 2, str(folder / "seg.nii.gz"))
    write_case(root / "BraTS-GLI-0007-000", made, labels=False)
    return root


def test_facts_are_read_from_names_and_segmentations(data: Path) -> None:
    told: list[float] = []
    facts = {fact.name[-8:]: fact for fact in read_facts(find_dataset(data), lambda done, _: told.append(done))}
    assert told == [pytest.approx(n / 8) for n in range(1, 9)]
    assert [fact.enhances for fact in facts.values()] == [True] * 4 + [False] * 3 + [None]
    assert [name for name, fact in facts.items() if not fact.labeled] == ["0007-000"]
    assert facts["0005-000"].patient == facts["0005-001"].patient == "BraTS-GLI-0005"


def test_a_refused_segmentation_is_named(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "set" / "p")
    (folder / "seg.nii.gz").write_bytes((folder / "seg.nii.gz").read_bytes()[:-200])
    with pytest.raises(InputError, match=r"^p: seg\.nii\.gz is damaged"):
        read_facts(find_dataset(tmp_path / "set"))


def test_the_command_writes_a_split_and_says_who_is_what(
    command: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    finished = command("data", "split", data, "-o", tmp_path / "split.json", "--election-share", 0.34)
    assert finished.status == 0, finished.err
    split = Split.read(tmp_path / "split.json")
    assert (len(split.train) + len(split.election), split.test) == (7, ())
    rows = {line[:24].strip(): line[24:].split() for line in finished.out.splitlines()}
    assert rows["patients"] == ["4", "2", "0"]
    assert [sum(map(int, rows[f"{w} enhancing tumor"])) for w in ("with", "without")] == [4, 2]
    assert rows["cases"] == [str(len(names)) for names in split.roles.values()]
    assert "1 case has no segmentation and no role" in finished.out
    again = command("data", "split", data, "-o", tmp_path / "split.json")
    assert (again.status, "exists already" in again.err) == (5, True)


def test_the_command_writes_a_split_for_each_fold(command: Callable[..., Any], data: Path, tmp_path: Path) -> None:
    told = command("data", "split", data, "-o", tmp_path / "splits", "--folds", 3, "--seed", 5, "--json").events[-1]
    assert told["event"] == "result"
    splits = [Split.read(tmp_path / "splits" / f"split-{fold}.json") for fold in range(3)]
    assert [one["file"] for one in told["splits"]] == [str(tmp_path / "splits" / f"split-{n}.json") for n in range(3)]
    assert sorted(name for split in splits for name in split.test) == [path.name for path in sorted(data.iterdir())][:7]
    for fold, (one, split) in enumerate(zip(told["splits"], splits, strict=True)):
        assert split.drawn is not None
        assert (split.drawn.seed, split.drawn.folds, split.drawn.fold, split.drawn.unlabeled) == (5, 3, fold, 1)
        assert one["patients"] == split.drawn.patients
        assert one["cases"] == {role: len(names) for role, names in split.roles.items()}


def test_a_case_that_cannot_be_used_is_left_out(command: Callable[..., Any], tmp_path: Path) -> None:
    for name in "abcd":
        write_case(tmp_path / "data" / name)
    (tmp_path / "data" / "b" / "seg.nii.gz").write_bytes(b"no image")
    refused = command("data", "split", tmp_path / "data", "-o", tmp_path / "split.json")
    assert (refused.status, "b: seg.nii.gz cannot be read" in refused.err) == (3, True)
    options = ("--exclude", "b", "--exclude", "c")
    assert command("data", "split", tmp_path / "data", "-o", tmp_path / "split.json", *options).status == 0
    split = Split.read(tmp_path / "split.json")
    assert sorted(split.train + split.election) == ["a", "d"]

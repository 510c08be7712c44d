"""``lckd data check``: what it prints, for people and for programs."""

from pathlib import Path
from typing import Any

import pytest
from made_data import check, write, write_csv, write_decathlon
from phantoms import MadeCase, write_case

from lckd.sequences import SEQUENCES, parse_subset, subset_name
from lckd_training.check.findings import fault, naming_file
from lckd_training.check.words import totals


def test_the_command_says_what_is_there(made: MadeCase, tmp_path: Path, command: Any) -> None:
    root = tmp_path / "set"
    write_case(root / "full", made)
    write_case(root / "part", made, parse_subset("flair,t1c"), labels=False)
    write(made, {"t1": root / "atlas" / "brain.nii.gz"})
    done = command("data", "check", root)
    assert done.status == 0
    assert done.err == ""
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[1][:5] == ["full", "yes", "yes", "yes", "yes"]
    assert lines[1][-3:] == ["48×56×48", "1×1×1", "ok"]
    assert lines[2][:8] == ["part", "yes", "-", "yes", "-", "-", "-", "-"]
    assert done.out.splitlines()[2].endswith("ok, no labels")
    assert "images in atlas" in done.out
    assert "2 cases of 2 patients, 2 usable; 1 with all four sequences (FLAIR 2, T1 1, T1c 2, T2 1)." in done.out


def test_scans_of_one_patient_are_counted_once(made: MadeCase, tmp_path: Path) -> None:
    for name in ("upenn-gbm-00001_11", "UPENN-GBM-00002_11", "UPENN-GBM-00002_21"):
        write(made, {"t1": tmp_path / name / "t1.nii.gz"})
    every = totals(check(tmp_path))
    assert (every["cases"], every["patients"], every["sites"]) == (3, 2, {"UPENN": 3})


def test_the_command_in_json(made: MadeCase, tmp_path: Path, command: Any) -> None:
    write(made, {"t1c": tmp_path / "t1c.nii.gz"})
    row = {"case": "a", "t1c": "t1c.nii.gz", "t2": "", "label": "lost.nii.gz", "patient": "Jane Roe", "site": "Rome"}
    done = command("data", "check", write_csv(tmp_path / "cases.csv", row), "--json")
    assert done.status == 7
    assert "Jane" not in done.out + done.err
    *_, result, error = done.events
    assert (error["event"], error["code"]) == ("error", "CASES_UNUSABLE")
    assert (result["cases"], result["usable"], result["labeled"], result["sites"]) == (1, 0, 0, {"Rome": 1})
    (one,) = result["checks"]
    assert (one["present"], one["missing"], one["usable"]) == (["t1c"], ["flair", "t1", "t2"], False)
    assert one["size"] == [48, 56, 48]
    (finding,) = one["findings"]
    assert (finding["kind"], finding["code"], finding["file"]) == ("fault", "FILE_NOT_FOUND", "lost.nii.gz")
    assert finding["action"]


def test_nothing_to_check(tmp_path: Path, command: Any) -> None:
    for name, code in ((".", "NO_CASE"), ("missing", "FILE_NOT_FOUND"), ("missing.csv", "FILE_NOT_FOUND")):
        done = command("data", "check", tmp_path / name)
        assert done.status == 3
        assert code in done.err


def test_cases_stay_in_order_whoever_is_checked_first(made: MadeCase, tmp_path: Path) -> None:
    names = [f"case-{number:02d}" for number in range(12)]
    for name in names:
        write(made, {"t1": tmp_path / name / "t1.nii.gz"})
    told: list[float] = []
    checks = check(tmp_path, workers=4, tell=told.append)
    assert [one.case.name for one in checks] == names
    assert told == [pytest.approx((i + 1) / 12) for i in range(12)]


@pytest.mark.real_mri
def test_the_real_cases_are_as_their_description_says(real_data: Path, command: Any) -> None:
    result = command("data", "check", real_data / "brats2021", "--json").events[-1]
    assert (result["cases"], result["usable"], result["complete"], result["labeled"]) == (29, 29, 28, 29)
    assert result["conventions"] == {"brats2021": 29}
    by_name = {one["case"]: one for one in result["checks"]}
    assert all(not one["findings"] for one in by_name.values())
    assert subset_name(parse_subset(",".join(by_name["BraTS2021_01646"]["missing"]))) == "t1+t2"
    without = [name for name, one in by_name.items() if one["volumes_ml"]["ET"] == 0]
    assert without == ["BraTS2021_01477", "BraTS2021_01480", "BraTS2021_01483"]


def test_json_says_which_volume_of_its_file_a_sequence_is(made: MadeCase, tmp_path: Path, command: Any) -> None:
    file = write_decathlon(tmp_path / "Task01_BrainTumour", "BRATS_001", made)
    write_case(tmp_path / "plain", made, parse_subset("flair,t1c"))
    msd, plain = command("data", "check", tmp_path, "--json").events[-1]["checks"]
    assert msd["files"] == dict.fromkeys((s.value for s in SEQUENCES), str(file))
    assert msd["components"] == {"flair": 0, "t1": 1, "t1c": 2, "t2": 3}
    assert plain["components"] == {"flair": None, "t1c": None}


def test_json_of_a_case_whose_files_are_not_known(case: Path, command: Any) -> None:
    (case / "old_t1.nii.gz").write_bytes((case / "t1.nii.gz").read_bytes())
    (one,) = next(event for event in command("data", "check", case.parent, "--json").events if "checks" in event)[
        "checks"
    ]
    assert (one["files"], one["components"], one["usable"]) == ({}, {}, False)


@pytest.mark.parametrize(
    ("message", "file", "said"),
    [
        ("t1.nii.gz is empty.", "p/t1.nii.gz", "p/t1.nii.gz is empty."),
        ("The label 4 is not known.", "p/seg.nii.gz", "p/seg.nii.gz: The label 4 is not known."),
        ("/data/p/t1.nii.gz does not exist.", "p/t1.nii.gz", "/data/p/t1.nii.gz does not exist."),
        ("Two files are alike.", "", "Two files are alike."),
    ],
)
def test_a_file_is_named_once(message: str, file: str, said: str) -> None:
    assert naming_file(message, file) == said


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("p/t1.nii.gz", "t1.nii.gz is empty. Copy it."),
        ("HGG/p/deep/t1.nii.gz", "deep/t1.nii.gz is empty. Copy it."),
        ("scans/t1.nii.gz", "scans/t1.nii.gz is empty. Copy it."),
        ("/elsewhere/t1.nii.gz", "/elsewhere/t1.nii.gz is empty. Copy it."),
        ("p", "t1.nii.gz is empty. Copy it."),
        (".", "t1.nii.gz is empty. Copy it."),
    ],
)
def test_a_file_in_the_folder_of_its_case_goes_without_it(file: str, said: str) -> None:
    assert fault("EMPTY_FILE", "t1.nii.gz is empty.", "Copy it.", file).told("p") == said


def test_a_line_of_a_table_is_named_once(made: MadeCase, tmp_path: Path, command: Any) -> None:
    write(made, {"t1": tmp_path / "t1.nii.gz"})
    rows = [
        {"case": "none", "t1": "", "convention": ""},
        {"case": "", "t1": "t1.nii.gz", "convention": ""},
        {"case": "odd", "t1": "t1.nii.gz", "convention": "brats2077"},
    ]
    done = command("data", "check", write_csv(tmp_path / "cases.csv", *rows))
    faults = [line for line in done.out.splitlines() if line.startswith("  ")]
    assert faults == [
        "  none: cases.csv: The table names no image of the case. Fill in one, or delete the line. [NO_SEQUENCE]",
        "  line 3: cases.csv: The case has no name. Fill in the column case. [NO_CASE_NAME]",
        "  odd: cases.csv: 'brats2077' in the column convention is not known. "
        "Write one of brats2023, brats2021, brats2024, msd, or nothing. [BAD_CONVENTION]",
    ]

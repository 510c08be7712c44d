"""Many cases: each once, resumable, a bad one alone fails, shared among processes."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
from phantoms import make_case, write_case, write_tiny_model

from lckd import batch
from lckd.cli import run
from lckd.errors import CancelledError
from lckd.sequences import Sequence

Table = list[dict[str, str]]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three good cases at different depths and with different sequences, and three bad ones."""
    root = tmp_path / "study ü"
    write_case(root / "a")
    write_case(root / "site 2" / "b", make_case(1), (Sequence.FLAIR, Sequence.T2), labels=False)
    write_case(root / "site 2" / "c", make_case(2), (Sequence.T1C,))
    write_case(root / "damaged", sequences=(Sequence.FLAIR, Sequence.T1), labels=False)
    (root / "damaged" / "t1.nii.gz").write_bytes((root / "a" / "t1.nii.gz").read_bytes()[:5000])
    write_case(root / "twice", make_case(3), (Sequence.FLAIR,))
    write_case(root / "twice", make_case(4), (Sequence.FLAIR,), suffix=".nrrd")
    write_case(root / "bad reference", make_case(5), (Sequence.T2,), labels=False)
    sitk.WriteImage(make_case().labels * 9, str(root / "bad reference" / "seg.nii.gz"))
    return root


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def run_batch(study: Path, output: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    """Runs ``lckd batch`` on the study; returns the exit status and both tables."""

    def call(*options: str) -> tuple[int, dict[str, dict[str, str]], Table]:
        status = run(["batch", str(study), "-o", str(output), "--model", str(tiny_model), *options])
        return status, {row["case"]: row for row in read(output / "summary.csv")}, read(output / "cases.csv")

    return call


def read(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def states(summary: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: row["state"] for name, row in summary.items()}


GOOD = ("a", "bad reference", "site 2/b", "site 2/c")


def test_bad_cases_fail_alone_and_the_tables_are_complete(run_batch, output: Path, capsys) -> None:
    status, summary, cases = run_batch()
    assert status == 7
    assert states(summary) == dict.fromkeys(GOOD, "done") | {"damaged": "failed", "twice": "failed"}
    assert summary["damaged"]["code"] == "UNREADABLE"
    assert summary["twice"]["code"] == "SEQUENCE_TWICE"
    assert "flair" in summary["twice"]["message"]
    assert [(row["case"], row["region"]) for row in cases] == [
        (case, region) for case in ("a", "site 2/c") for region in ("ET", "TC", "WT")
    ]
    assert {row["subset"] for row in cases} == {"flair+t1+t1c+t2", "t1c"}
    assert all(0 < float(row["dice"]) < 1 and float(row["hd95_mm"]) > 0 for row in cases)
    for name in GOOD:
        report = json.loads((output / name / "report.json").read_text())
        assert (output / name / "segmentation.nii.gz").exists()
        assert float(summary[name]["WT_ml"]) == report["volumes_ml"]["WT"] > 0
        assert summary[name]["subset"] == report["subset"]
        assert float(summary[name]["seconds"]) > 0
    assert not (output / "damaged" / "segmentation.nii.gz").exists()
    assert not list(output.rglob(".writing-*"))
    captured = capsys.readouterr()
    assert "6 cases: 4 done, 0 skipped, 2 failed" in captured.out
    assert "Error [SOME_CASES_FAILED]" in captured.err
    assert "Not compared with the reference" in captured.err


def test_a_rerun_skips_what_is_done_and_does_what_changed(run_batch, study: Path, output: Path) -> None:
    _, first, scores = run_batch("--threads", "1")
    before = {name: (output / name / "segmentation.nii.gz").stat().st_mtime_ns for name in GOOD}
    # The device and the threads do not decide the result.
    _, second, scores_again = run_batch("--device", "cpu")
    assert states(second) == dict.fromkeys(GOOD, "skipped") | {"damaged": "failed", "twice": "failed"}
    assert {name: (output / name / "segmentation.nii.gz").stat().st_mtime_ns for name in GOOD} == before
    assert scores_again == scores
    assert {name: row["WT_ml"] for name, row in second.items()} == {name: row["WT_ml"] for name, row in first.items()}

    # Repaired inputs are done; changed ones are not silently replaced.
    write_case(study / "damaged", sequences=(Sequence.T1,), labels=False)
    for name in ("flair", "seg"):
        (study / "twice" / f"{name}.nrrd").unlink()
    write_case(study / "site 2" / "b", make_case(7), (Sequence.FLAIR,), labels=False)
    status, third, _ = run_batch()
    assert status == 7
    wanted = dict.fromkeys(GOOD, "skipped") | {"damaged": "done", "twice": "done", "site 2/b": "failed"}
    assert states(third) == wanted
    assert third["site 2/b"]["code"] == "OUTPUT_EXISTS"

    status, fourth, _ = run_batch("--overwrite")
    assert status == 0
    assert set(states(fourth).values()) == {"done"}


@pytest.mark.parametrize(
    "options",
    [
        ("--only", "t2"),
        ("--labels", "msd"),
        ("--mirror",),
        ("--min-component", "1"),
        ("--probabilities",),
        ("--reference-labels", "brats2021"),
        ("--model", "OTHER"),
    ],
)
def test_other_settings_are_another_job(
    options: tuple[str, ...], tmp_path: Path, tiny_model: Path, output: Path, capsys
) -> None:
    root = write_case(tmp_path / "one", sequences=(Sequence.T2,), labels=False).parent / "one"
    other = str(write_tiny_model(tmp_path / "other", seed=1))
    arguments = ["batch", str(root), "-o", str(output), "--model", str(tiny_model)]
    assert run(arguments) == 0
    assert run(arguments) == 0
    assert run([*arguments, *(other if option == "OTHER" else option for option in options)]) == 7
    assert "OUTPUT_EXISTS" in (output / "summary.csv").read_text()


def test_another_version_of_the_program_is_another_job(one, output, monkeypatch) -> None:
    assert run(one) == 0
    monkeypatch.setattr(batch, "__version__", "99.0")
    assert run(one) == 7
    assert "OUTPUT_EXISTS" in (output / "summary.csv").read_text()


def test_what_an_interrupted_run_left_is_done_again(run_batch, output: Path) -> None:
    (output / "a").mkdir(parents=True)
    (output / "a" / "segmentation.nii.gz").write_bytes(b"without a report")
    _, summary, _ = run_batch()
    assert summary["a"]["state"] == "done"
    assert sitk.ReadImage(str(output / "a" / "segmentation.nii.gz")).GetDimension() == 3


@pytest.fixture
def one(tmp_path: Path, output: Path, tiny_model: Path) -> list[str]:
    """The command for a study of one case with a reference."""
    root = write_case(tmp_path / "one" / "a", sequences=(Sequence.T2,)).parent
    return ["batch", str(root), "-o", str(output), "--model", str(tiny_model)]


@pytest.mark.parametrize("place", ["lckd.batch.compare_results", "lckd.output.write_preview"])
def test_a_kill_before_all_is_written_leaves_the_case_to_the_next_run(one, output, monkeypatch, place: str) -> None:
    def killed(*_: object) -> None:
        raise CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        assert run(one) == 130
    assert not any(output.rglob("*.*"))
    assert run(one) == 0
    before = (output / "a" / "report.json").read_text()
    assert json.loads(before)["scores"]["WT"]["dice"] > 0
    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        assert run([*one, "--overwrite"]) == 130
    assert (output / "a" / "report.json").read_text() == before, "with the segmentation that it tells of"


def test_a_report_without_its_segmentation_is_no_result(one, output) -> None:
    assert run(one) == 0
    (output / "a" / "segmentation.nii.gz").unlink()
    assert run(one) == 0
    assert read(output / "summary.csv")[0]["state"] == "done"
    assert (output / "a" / "segmentation.nii.gz").exists()


def test_what_somebody_else_left_in_the_folder_of_a_case_is_kept(one, output) -> None:
    (output / "a").mkdir(parents=True)
    (output / "a" / "report.json").write_text("mine")
    assert run(one) == 7
    assert read(output / "summary.csv")[0]["code"] == "OUTPUT_EXISTS"
    assert (output / "a" / "report.json").read_text() == "mine"


def test_a_folder_that_cannot_be_read_and_a_name_that_is_not_utf8_fail_alone(one, output, monkeypatch) -> None:
    root = Path(one[1])
    (root / "locked").mkdir()
    write_case(root / "b", sequences=(Sequence.T1,), labels=False).rename(root / os.fsdecode(b"caf\xe9"))
    iterate = Path.iterdir

    def locked(path: Path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return iterate(path)

    monkeypatch.setattr(Path, "iterdir", locked)
    assert run(one) == 7
    summary = {row["case"]: (row["state"], row["code"]) for row in read(output / "summary.csv")}
    assert summary == {
        "a": ("done", ""),
        "caf\\udce9": ("failed", "PATH_ENCODING"),
        "locked": ("failed", "UNREADABLE_FOLDER"),
    }


def test_references_by_suffix(run_batch, study: Path, output: Path) -> None:
    expert = make_case().labels
    sitk.WriteImage(expert, str(study / "site 2" / "b" / "b-expert.nii.gz"))
    sitk.WriteImage(expert * 9, str(study / "a" / "a-expert.nii.gz"))
    status, summary, cases = run_batch("--reference-suffix", "-expert")
    assert status == 7
    assert summary["a"]["code"] == "LABELS_UNKNOWN", "a reference that was asked for must be right"
    assert not (output / "a").exists(), "and is looked at before anything is computed"
    assert {row["case"] for row in cases} == {"site 2/b"}, "the references found by name are not used"
    sitk.WriteImage(expert, str(study / "site 2" / "b" / "c-expert.nii.gz"))
    _, summary, _ = run_batch("--reference-suffix", "-expert.nii.gz")
    assert summary["site 2/b"]["code"] == "REFERENCE_TWICE"


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), MemoryError()])
def test_a_bug_in_one_case_does_not_end_the_others(
    run_batch, monkeypatch: pytest.MonkeyPatch, capsys, error: Exception
) -> None:
    from lckd.engine import Engine

    segment = Engine.segment

    def buggy(self: Engine, case, progress):
        if case.name == "a":
            raise error
        return segment(self, case, progress)

    monkeypatch.setattr(Engine, "segment", buggy)
    status, summary, _ = run_batch()
    assert status == 7
    codes = {MemoryError: ("OUT_OF_MEMORY", "There is not enough memory.")}
    wanted = codes.get(type(error), ("BUG", "ZeroDivisionError: division by zero"))
    assert (summary["a"]["code"], summary["a"]["message"]) == wanted
    assert summary["site 2/c"]["state"] == "done"
    assert "Traceback" not in capsys.readouterr().err


def test_the_model_is_loaded_once_and_the_next_case_is_read_ahead(run_batch, monkeypatch: pytest.MonkeyPatch) -> None:
    from lckd import engine

    loaded, threads = [], set()
    load, read_case = engine.load_model, batch.Case.from_found

    def counting(*arguments):
        loaded.append(arguments)
        return load(*arguments)

    def noting(*arguments):
        import threading

        threads.add(threading.current_thread().name)
        return read_case(*arguments)

    monkeypatch.setattr(engine, "load_model", counting)
    monkeypatch.setattr(batch.Case, "from_found", staticmethod(noting))
    run_batch()
    assert len(loaded) == 1
    assert "MainThread" not in threads
    assert threads


def test_json_events(run_batch, capsys) -> None:
    run_batch("--json")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert [event["event"] for event in events[-2:]] == ["result", "error"]
    assert (events[-2]["done"], events[-2]["failed"]) == (4, 2)
    assert events[-1]["code"] == "SOME_CASES_FAILED"
    failed = {event["case"]: event["code"] for event in events if event["event"] == "warning" and "code" in event}
    assert failed == {"damaged": "UNREADABLE", "twice": "SEQUENCE_TWICE"}
    assert {event["case"] for event in events if event["event"] == "stage" and "case" in event} >= {"a", "site 2/b"}


def test_terminated_in_the_middle_and_resumed(
    study: Path, output: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    slow = write_tiny_model(tmp_path / "slow", window_voxels=16**3)
    arguments = ["batch", str(study), "-o", str(output), "--model", str(slow), "--only", "flair,t2", "--mirror"]
    command = [sys.executable, "-m", "lckd", *arguments, "--json"]
    process = subprocess.Popen(command, env=subprocess_environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event.get("case") == "site 2/b" and event.get("stage") == "network":
            process.send_signal(signal.SIGTERM)
            break
    last = process.stdout.read().splitlines()[-1]
    assert process.wait(60) == 130
    assert json.loads(last)["code"] == "CANCELLED"
    assert sorted(path.name for path in (output / "a").iterdir()) == [
        "preview.png",
        "report.json",
        "segmentation.nii.gz",
    ]
    assert not (output / "site 2").exists() or not any((output / "site 2").rglob("*.*"))
    before = (output / "a" / "report.json").read_bytes()
    assert run(arguments) == 7
    assert {row["case"]: row["state"] for row in read(output / "summary.csv")}["a"] == "skipped"
    assert (output / "a" / "report.json").read_bytes() == before


def test_torchrun_shares_the_cases(
    study: Path, output: Path, tiny_model: Path, subprocess_environment: dict[str, str]
) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "lckd"]
    arguments = ["batch", str(study), "-o", str(output), "--model", str(tiny_model), "--json"]
    done = subprocess.run(
        [sys.executable, *torchrun, *arguments], env=subprocess_environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode != 0, "two of the cases fail"
    summary = {row["case"]: row for row in read(output / "summary.csv")}
    assert states(summary) == dict.fromkeys(GOOD, "done") | {"damaged": "failed", "twice": "failed"}
    assert {row["case"] for row in read(output / "cases.csv")} == {"a", "site 2/c"}
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    told = {event["case"] for event in events if event.get("event") == "stage" and "case" in event}
    assert len(told) == 3, "the first process does every second case"
    assert [event["event"] for event in events].count("result") == 1


def test_only_the_first_process_speaks_on_stdout(one, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*one[:-1], "no such model", "--json"]
    for rank, (out, err) in {"0": (1, 0), "1": (0, 1)}.items():
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert run(arguments) == 4
        said = capsys.readouterr()
        assert (said.out.count("MODEL_NOT_FOUND"), said.err.count("MODEL_NOT_FOUND")) == (out, err)


def test_shares_are_disjoint_and_complete() -> None:
    tasks = [batch.Task(str(number), None) for number in range(7)]
    parts = [batch.Share(rank, 3).of(tasks) for rank in range(3)]
    assert sorted(task.name for part in parts for task in part) == [str(number) for number in range(7)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("share", "wanted", "given"),
    [
        (batch.Share(), "auto", "auto"),
        (batch.Share(5, 8, 1), "auto", "cuda:1"),
        (batch.Share(5, 8, 3), "cuda", "cuda:1"),
        (batch.Share(5, 8, 1), "cpu", "cpu"),
        (batch.Share(5, 8, 1), "cuda:0", "cuda:0"),
    ],
)
def test_each_process_has_its_gpu(monkeypatch: pytest.MonkeyPatch, share, wanted: str, given: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("lckd.device.gpu_problem", lambda index=0: None)
    assert share.device(wanted) == given


def test_no_process_is_given_a_gpu_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("lckd.device.gpu_problem", lambda index=0: "it is too old")
    assert batch.Share(5, 8, 1).device("auto") == "auto"


def test_the_share_comes_from_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setitem(os.environ, name, value)
    assert batch.Share.of_this_process() == batch.Share(5, 8, 1)

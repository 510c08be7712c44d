"""What may happen to a run: stopped, killed, learned teachers, a full disk, other data."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from phantoms import write_case
from run_parts import SMOKE, command, events, losses, wait_for_steps, weights, write_three_cases

from lckd.errors import CancelledError, InputError, LckdError, OutputError, UsageError
from lckd.models import load_model
from lckd_training.config import TrainingConfig
from lckd_training.export import export
from lckd_training.method.objective import Objective
from lckd_training.method.sampling import Sample
from lckd_training.run import folder as run_folder
from lckd_training.run.estimate import estimate
from lckd_training.run.folder import RunFolder
from lckd_training.run.optimization import Optimization
from lckd_training.run.train import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_three_cases(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(data, SMOKE, run)
    return run


def test_a_killed_run_goes_on_exactly(
    data: Path, whole: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", *command(data, run, SMOKE)]
    process = subprocess.Popen(words, env=subprocess_environment, stdout=subprocess.DEVNULL)
    wait_for_steps(run, process, 3)
    process.kill()
    process.wait()
    assert not events(run, "end")
    train(data, SMOKE, run, resume=True)
    assert losses(run) == losses(whole)
    assert torch.equal(weights(run), weights(whole))
    assert events(run, "end")[-1]["reason"] == "finished"


def test_a_run_stops_after_its_iteration_when_asked(data: Path, whole: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")

    def ask(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["iteration"] == 2:
            folder.stop.touch()

    with pytest.raises(CancelledError):
        train(data, SMOKE, folder.path, announce=ask)
    assert events(folder.path, "end")[-1]["reason"] == "interrupted"
    steps = len(losses(folder.path))
    assert steps < SMOKE.iterations
    train(data, SMOKE, folder.path, resume=True)
    assert len(events(folder.path, "step")) == SMOKE.iterations, "nothing was lost or done twice"
    assert losses(folder.path) == losses(whole)


def test_drawing_ahead_changes_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    train(data, SMOKE.overridden(["workers=1"]), tmp_path / "run")
    assert losses(tmp_path / "run") == losses(whole)


def test_learned_teachers_teach_from_the_start_and_resume_exactly(data: Path, tmp_path: Path) -> None:
    settings = ["teachers=learned", "weights_interval=1", "weights_draws=2", "weights_rate=0.1"]
    # Of a constant rate, so that a shorter run is the beginning of a longer one.
    learned = SMOKE.overridden([*settings, "schedule=trapezoid", "decay_iterations=1", "full_iterations=2", "patch=32"])
    train(data, learned, tmp_path / "whole")
    train(data, learned.overridden(["iterations=4"]), tmp_path / "parts")
    train(data, learned, tmp_path / "parts", resume=True)
    every = events(tmp_path / "whole", "weights")
    assert len(every) == 6
    assert all(sum(row.values()) == pytest.approx(1) for row in every[-1]["weights"].values())
    assert every[-1]["weights"] != every[0]["weights"]
    assert [e["weights"] for e in events(tmp_path / "parts", "weights")[-2:]] == [e["weights"] for e in every[-2:]]
    assert all(event["loss_ckd"] > 0 for event in events(tmp_path / "whole", "step")[:2])


def test_the_best_checkpoint_is_that_of_the_highest_score(whole: Path, tmp_path: Path) -> None:
    scores = {event["iteration"]: event["score"] for event in events(whole, "election")}
    best = RunFolder(whole).load_best()
    announced = [event["iteration"] for event in events(whole, "checkpoint") if event["best"]]
    if max(scores.values()) == 0:
        assert best is None
        assert not announced
    else:
        assert best is not None
        assert scores[best["iteration"]] == max(scores.values())
        assert announced[-1] == best["iteration"]
        export(whole, tmp_path / "best", {}, best=True)
        assert load_model(tmp_path / "best").card.training["iterations"] == best["iteration"]


def test_a_loss_that_is_no_number_names_the_case(data: Path, tmp_path: Path) -> None:
    with pytest.raises(LckdError, match=r"at a patch of [ac]") as caught:
        train(data, SMOKE.overridden(["learning_rate=1.0e+30", "iterations=20", "gradient_norm=0"]), tmp_path / "run")
    assert caught.value.code == "LOSS_NOT_FINITE"
    end = events(tmp_path / "run", "end")[-1]
    assert (end["reason"], end["code"]) == ("failed", "LOSS_NOT_FINITE")


def test_of_several_patches_only_that_without_a_loss_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Objective.forward

    def poisoned(objective: Objective, sample: Sample, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        loss, terms = forward(objective, sample, *others)
        return (loss * torch.nan, terms * torch.nan) if "c" in sample.cases else (loss, terms)

    monkeypatch.setattr(Objective, "forward", poisoned)
    with pytest.raises(LckdError, match=r"at a patch of c;"):
        train(data, SMOKE.overridden(["batch=8", "accumulate=8"]), tmp_path / "run")


def test_a_gradient_that_is_no_number_never_reaches_the_weights(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Optimization.step

    def poisoned(optimization: Optimization, iteration: int) -> float:
        if iteration == 3:
            # As it happens where the loss is still a number; after this iteration, a checkpoint is due.
            optimization._parameters[0].grad[0] = torch.nan
        return step(optimization, iteration)

    monkeypatch.setattr(Optimization, "step", poisoned)
    with pytest.raises(LckdError, match=r"gradient is no longer a number, at a patch of [ac]"):
        train(data, SMOKE, tmp_path / "run")
    monkeypatch.undo()
    assert torch.isfinite(weights(tmp_path / "run")).all()
    train(data, SMOKE, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(whole)


def test_a_full_disk_leaves_the_last_checkpoint(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save: Callable[..., None] = torch.save

    def fill(state: dict[str, Any], path: Path) -> None:
        if state.get("iteration") == 4 and "objective" in state:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(state, path)

    monkeypatch.setattr(run_folder.torch, "save", fill)
    with pytest.raises(OutputError, match="disk is not full"):
        train(data, SMOKE, tmp_path / "run")
    monkeypatch.undo()
    assert events(tmp_path / "run", "end")[-1]["code"] == "NOT_WRITABLE"
    assert [path.name for path in RunFolder(tmp_path / "run").checkpoints.glob("*[0-9].pt")] == ["0000002.pt"]
    train(data, SMOKE, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(whole)


def resumed(data: Path, whole: Path, run: Path, *settings: str) -> dict[str, Any]:
    """The checkpoint of a run that goes on with other settings."""
    shutil.copytree(whole, run)
    train(data, SMOKE.overridden(["iterations=7", *settings]), run, resume=True)
    state = RunFolder(run).load_checkpoint()
    assert state is not None
    return state


def test_settings_that_change_on_a_resumption_count(data: Path, whole: Path, tmp_path: Path) -> None:
    state = resumed(data, whole, tmp_path / "run", "weight_decay=0.5", "weights_rate=0.25", "weights_decay=0.125")
    assert state["optimizer"]["param_groups"][0]["weight_decay"] == 0.5
    (learned,) = state["weights"]["optimizer"]["param_groups"]
    assert (learned["lr"], learned["weight_decay"]) == (0.25, 0.125)
    starts = json.loads(RunFolder(tmp_path / "run").provenance.read_text())["starts"]
    assert [start["settings"]["weight_decay"] for start in starts] == [SMOKE.weight_decay, 0.5]


@pytest.mark.parametrize("setting", ["optimizer=sgd", "size=base", "deep_supervision=0.5", "pretraining_iterations=1"])
def test_a_run_cannot_go_on_with_another_network_or_optimizer(
    data: Path, whole: Path, tmp_path: Path, setting: str
) -> None:
    name, value = setting.split("=")
    with pytest.raises(UsageError, match=f"cannot go on with {name}={value}"):
        resumed(data, whole, tmp_path / "run", setting)
    assert TrainingConfig.preset(str(RunFolder(tmp_path / "run").config)) == SMOKE, "the next resumption goes on"


def test_a_resumed_run_needs_not_the_model_that_it_started_from(data: Path, whole: Path, tmp_path: Path) -> None:
    assert resumed(data, whole, tmp_path / "run", f"start_from={tmp_path / 'gone'}")["iteration"] == 7


def test_a_run_that_has_done_more_iterations_than_asked_for_is_finished(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    assert resumed(data, whole, tmp_path / "run", "iterations=5")["iteration"] == SMOKE.iterations
    assert events(tmp_path / "run", "end")[-1]["reason"] == "finished"


@pytest.mark.parametrize(("excluded", "code"), [("[a, c]", "NO_TRAINING_CASE"), ("[b]", "NO_ELECTION_CASE")])
def test_a_resumed_run_has_cases_for_each_purpose(
    data: Path, whole: Path, tmp_path: Path, excluded: str, code: str
) -> None:
    with pytest.raises(InputError) as caught:
        resumed(data, whole, tmp_path / "run", f"exclude={excluded}")
    assert caught.value.code == code


def test_half_a_checkpoint_of_a_killed_run_does_not_stay(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(whole, folder.path)
    before = {path.name for path in folder.checkpoints.iterdir()}
    left: list[Path] = []

    def kill(state: dict[str, Any], path: Path) -> None:
        path.write_bytes(b"half")
        left.append(path.rename(path.with_stem(path.stem + "killed")))
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder.torch, "save", kill)
    with pytest.raises(KeyboardInterrupt):
        folder.save_best({})
    assert left[0].exists()
    with folder.held():
        assert {path.name for path in folder.checkpoints.iterdir()} == before


def test_a_resumed_run_has_the_data_that_it_began_with(data: Path, whole: Path, tmp_path: Path) -> None:
    cases, run = tmp_path / "cases", tmp_path / "run"
    shutil.copytree(data, cases)
    shutil.copytree(whole, run)
    (flair,) = (cases / "c").glob("*flair*")
    shutil.copy(next((cases / "a").glob("*flair*")), flair)
    with pytest.raises(InputError, match="files of c are not those") as caught:
        train(cases, SMOKE.overridden(["iterations=8"]), run, resume=True)
    assert caught.value.code == "DATA_CHANGED"
    shutil.rmtree(cases / "c")
    with pytest.raises(InputError, match="case c of this run is not among") as caught:
        train(cases, SMOKE.overridden(["iterations=8"]), run, resume=True)
    assert caught.value.code == "CASE_VANISHED"


def test_half_a_line_of_a_killed_run_does_not_spoil_the_next(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_event({"event": "step"})
    with folder.events.open("a") as stream:
        stream.write('{"event": "st')
    folder.append_event({"event": "start"})
    assert folder.events.read_text().splitlines() == ['{"event": "step"}', '{"event": "st', '{"event": "start"}']


def test_an_error_of_the_program_is_left_word_of(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, reason in ((ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")):
        monkeypatch.setattr("lckd_training.run.trainer.elect", lambda *_, error=error: (_ for _ in ()).throw(error))
        run = tmp_path / error.__name__
        with pytest.raises(error):
            train(data, SMOKE, run, cache=tmp_path / "cache")
        assert events(run, "end")[-1]["reason"] == reason
    assert len(events(tmp_path / "ZeroDivisionError", "stage")) == 3


def test_a_run_says_what_it_is_made_of(whole: Path) -> None:
    record = json.loads(RunFolder(whole).provenance.read_text())
    assert set(record["cases"]) == {"a", "b", "c"}
    assert all(len(value) == 64 for value in record["cases"].values())
    (start,) = record["starts"]
    assert start["packages"]["torch"] == torch.__version__
    assert start["seed"] == SMOKE.seed
    assert TrainingConfig.from_dict(start["settings"]) == SMOKE
    assert start["revision"] is None or len(start["revision"].rstrip("+")) == 40


def test_each_step_tells_pace_and_time_left(whole: Path) -> None:
    steps = events(whole, "step")
    assert all(step["patches_per_second"] * step["seconds"] == pytest.approx(1) for step in steps)
    assert [step["seconds_left"] > 0 for step in steps] == [True] * (SMOKE.iterations - 1) + [False]
    passed = steps[2]["time"] - events(whole, "start")[0]["time"]
    assert steps[2]["seconds_left"] == pytest.approx(passed, rel=0.5), "half of the iterations are done"


def test_an_excluded_case_is_left_out_also_of_a_run_that_has_begun(data: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    train(data, SMOKE.overridden(["iterations=10", "exclude=[c]"]), run, resume=True)
    later = [event for event in events(run, "step") if event["iteration"] >= SMOKE.iterations]
    assert len(later) == 4
    with pytest.raises(InputError) as caught:
        train(data, SMOKE.overridden(["exclude=[a, c]"]), tmp_path / "none")
    assert caught.value.code == "NO_TRAINING_CASE"


def test_an_excluded_case_may_be_faulty(data: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    shutil.copytree(data, cases)
    (flair,) = (cases / "c").glob("*flair*")
    shutil.copy(flair, flair.with_name("another_flair.nii.gz"))
    with pytest.raises(InputError) as caught:
        train(cases, SMOKE, tmp_path / "run")
    assert caught.value.code == "SEQUENCE_TWICE"
    train(cases, SMOKE.overridden(["exclude=[c]", "iterations=1"]), tmp_path / "run")
    assert estimate(cases, SMOKE.overridden(["exclude=[c]"]), "cpu").cases == 2


def test_an_estimate_is_made_by_real_iterations_and_leaves_nothing(data: Path) -> None:
    config = SMOKE.overridden(["iterations=1000", "election_interval=100"])
    found = estimate(data, config, "cpu")
    steps, elections = 1000 * found.seconds_per_iteration, 10 * found.seconds_per_election_case
    assert found.seconds == pytest.approx(steps + elections, rel=0.01)
    assert found.seconds_per_iteration > 0
    assert (found.iterations, found.cases, found.device) == (1000, 3, "cpu")


def test_a_split_file_is_followed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text('{"train": ["c"], "election": ["a"], "test": ["b"]}')
    config = SMOKE.overridden(["iterations=2", "election=[]"])
    train(data, config, tmp_path / "run", split=tmp_path / "split.json", cache=tmp_path / "cache")
    steps = events(tmp_path / "run", "step")
    assert all(set(step["present"]) <= {"flair", "t1c"} for step in steps)
    assert len(list((tmp_path / "cache").glob("a-*"))) == 1
    assert not (tmp_path / "run" / "cache").exists()


def test_a_split_file_with_a_patient_in_two_roles_is_refused(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"):
        write_case(tmp_path / "data" / name)
    roles = {"train": ["BraTS-GLI-00001-000"], "election": ["BraTS-GLI-00001-001"], "test": ["BraTS-GLI-00002-000"]}
    (tmp_path / "split.json").write_text(json.dumps(roles))
    with pytest.raises(InputError) as caught:
        train(tmp_path / "data", SMOKE, tmp_path / "run", split=tmp_path / "split.json")
    assert caught.value.code == "PATIENT_DIVIDED"


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT for another process")
def test_ctrl_c_ends_a_run_after_its_iteration(
    data: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", *command(data, run, SMOKE.overridden(["iterations=5000"]))]
    process = subprocess.Popen(
        words,
        env=subprocess_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell would hand on that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for_steps(run, process, 2)
    process.send_signal(signal.SIGINT)
    _, words_of_error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in words_of_error
    assert "--resume" in words_of_error
    assert events(run, "end")[-1]["reason"] == "interrupted"
    state = RunFolder(run).load_checkpoint()
    assert state is not None
    assert state["iteration"] == len(losses(run))


def test_a_run_is_stopped_from_elsewhere(
    data: Path, whole: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    lckd = [sys.executable, "-m", "lckd"]

    def stop(run: Path) -> subprocess.CompletedProcess[str]:
        words = [*lckd, "train", "stop", str(run)]
        return subprocess.run(words, env=subprocess_environment, capture_output=True, text=True)

    refused = stop(whole)
    assert refused.returncode == InputError.exit_status
    assert "it is finished" in refused.stderr
    asked: list[subprocess.CompletedProcess[str]] = []

    def ask(event: dict[str, Any]) -> None:
        if event["event"] == "step" and not asked:
            asked.append(stop(folder.path))

    with pytest.raises(CancelledError):
        train(data, SMOKE, folder.path, announce=ask)
    assert asked[0].returncode == 0, asked[0].stderr
    assert len(losses(folder.path)) < SMOKE.iterations


def test_two_trainings_do_not_write_to_one_folder(data: Path, tmp_path: Path) -> None:
    folder, refused = RunFolder(tmp_path / "run"), []

    def begin_another(event: dict[str, Any]) -> None:
        if event["event"] == "step" and not refused:
            with pytest.raises(InputError) as caught:
                train(data, SMOKE, folder.path, resume=True, cache=tmp_path / "cache")
            refused.append(caught.value.code)

    train(data, SMOKE.overridden(["iterations=2"]), folder.path, announce=begin_another, cache=tmp_path / "cache")
    assert refused == ["RUN_ACTIVE"]
    assert [event["reason"] for event in events(folder.path, "end")] == ["finished"]


def test_a_run_that_prepares_its_cases_is_stopped_too(data: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(CancelledError):
        train(data, SMOKE, folder.path, announce=lambda event: folder.ask_to_stop())
    (stage,) = events(folder.path, "stage")
    assert stage["pid"] == os.getpid()
    (end,) = events(folder.path, "end")
    assert (end["reason"], end["iteration"]) == ("interrupted", 0)

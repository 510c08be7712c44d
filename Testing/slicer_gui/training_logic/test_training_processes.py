"""Trainings as child processes: watched, stopped, resumed, killed, left behind, attached to."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import start_event, step_event, write_run
from process_parts import NEEDS_SHELL, Make, is_there, order

from lckd.errors import CancelledError, InputError, LckdError, UsageError
from LCKDTrainingLib import Logic as logic_module
from LCKDTrainingLib.TrainingProcess import Launch

pytestmark = NEEDS_SHELL


def test_a_training_is_watched_stopped_after_its_iteration_and_resumed(
    data: Path, tmp_path: Path, make: Make, elsewhere: Make, wait_until: Callable[..., None]
) -> None:
    told: list[tuple[str, float]] = []
    logic = make()
    run = logic.train(order(data, tmp_path / "run"), onChanged=lambda one: told.append((one.state, one.fraction)))
    assert (run.state, run.stage, run.isOurs) == ("preparing", "Starting", True)
    with pytest.raises(UsageError, match="Another training is under way"):
        logic.train(order(data, tmp_path / "other"))
    wait_until(lambda: run.history.done >= 2, 60)
    assert run.state == "training"
    assert run.stage.startswith("Training: iteration ")
    assert run.status.device == "cpu"

    other = elsewhere()
    watched = other.attach(str(tmp_path / "run"))
    assert (watched.state, watched.isOurs) == ("training", False)
    assert watched.history.steps[:2] == run.history.steps[:2]
    with pytest.raises(InputError, match="under way in") as caught:
        other.train(order(data, tmp_path / "run", resume=True))
    assert caught.value.code == "RUN_ACTIVE"
    with pytest.raises(LckdError, match="not started by this application"):
        watched.kill()
    assert run.isOurs
    watched.requestStop()
    wait_until(lambda: not run.isRunning and not watched.isRunning, 60)
    assert {run.state, watched.state} == {"interrupted"}
    assert run.errorWords == ("", "")
    assert isinstance(run.error(), CancelledError)
    assert {state for state, _ in told} == {"preparing", "training", "interrupted"}

    done = run.history.done
    assert (tmp_path / "run" / "checkpoints" / f"{done:07d}.pt").is_file()
    with pytest.raises(InputError, match="already is a run"):
        logic.train(order(data, tmp_path / "run"))
    more = order(data, tmp_path / "run", resume=True, iterations=str(done + 2), checkpoint_interval=str(done + 2))
    resumed = logic.train(more, waitForCompletion=True)
    assert (resumed.state, resumed.fraction, resumed.stage) == ("finished", 1.0, "")
    assert [step.iteration for step in resumed.history.steps] == list(range(done + 2))
    watched.poll()
    assert watched.state == "finished"
    assert '"event": "step"' in (tmp_path / "run" / "log.txt").read_text()


def test_a_training_may_outlive_the_application_and_ends_with_all_its_processes_when_killed(
    data: Path, tmp_path: Path, make: Make, program: Any, wait_until: Callable[..., None]
) -> None:
    # As Slicer's launcher: Python is its child.
    logic = make(program(f'"{sys.executable}" "$@"; exit $?'))
    run = logic.train(order(data, tmp_path / "run", workers="1"))
    assert not logic.outlives(run)
    logic.letOutlive(run, True)
    assert logic.outlives(run)
    group = run._launch.pid
    assert os.getpgid(group) == os.getsid(group) == group
    # 19 is the lowest priority there is; these tests may have it, too.
    assert os.getpriority(os.PRIO_PROCESS, group) >= min(os.getpriority(os.PRIO_PROCESS, 0) + 1, 19)
    wait_until(lambda: run.history.done >= 1, 60)
    assert run.history.start.pid != group
    logic.close()
    assert logic.current is None
    assert is_there(group)
    again = make().attach(str(tmp_path / "run"))
    assert again.state == "training"
    again.kill()
    assert (again.state, again.isOurs, again.errorWords) == ("stopped", False, ("", ""))
    wait_until(lambda: not is_there(group), 5)


def test_what_may_not_outlive_the_application_ends_with_it(
    tmp_path: Path, make: Make, program: Any, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    monkeypatch.setattr(logic_module, "CLOSE_SECONDS", 0.2)
    for is_training, script in ((False, "sleep 100 & sleep 100"), (True, "trap '' TERM; sleep 100 & sleep 100")):
        logic = make(program(script))
        folder = tmp_path / f"run{is_training}"
        run = logic.train(order(tmp_path, folder))
        if is_training:
            write_run(folder, start_event(run._launch.pid), step_event(0))
            run.poll()
            assert run.state == "training"
        logic.close()
        wait_until(lambda run=run: not is_there(run._launch.pid), 5)
        assert run.state == "stopped"


def test_a_training_that_ends_with_the_application_has_the_time_of_its_iteration(
    tmp_path: Path, make: Make, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logic_module, "CLOSE_SECONDS", 0.0)
    folder, later = tmp_path / "run", time.time() + 60
    end = json.dumps({"event": "end", "iteration": 1, "reason": "interrupted", "time": later + 1})
    script = f"while [ ! -e '{folder}/stop' ]; do sleep 0.01; done; sleep 0.5; echo '{end}' >> '{folder}/events.jsonl'"
    logic = make(program(script))
    run = logic.train(order(tmp_path, folder))
    write_run(folder, start_event(run._launch.pid, when=later), step_event(0, later) | {"seconds": 5.0})
    run.poll()
    logic.close()
    assert run.state == "interrupted"


def test_the_application_that_quits_closes_the_logic(
    tmp_path: Path, make: Make, program: Any, app: Any, wait_until: Callable[..., None]
) -> None:
    run = make(program("sleep 100")).train(order(tmp_path, tmp_path / "run"))
    app.aboutToQuit.emit()
    assert not run.isRunning
    wait_until(lambda: not is_there(run._launch.pid), 5)


def test_a_stop_before_the_first_iteration_ends_our_training_at_once(
    tmp_path: Path, make: Make, elsewhere: Make, program: Any
) -> None:
    run = make(program("sleep 100")).train(order(tmp_path, tmp_path / "run"))
    other = elsewhere().attach(str(tmp_path / "run"))
    assert other.state == "preparing"
    run.requestStop()
    assert run.state == "stopped"
    assert other.poll()
    assert (other.state, other.errorWords) == ("stopped", ("", ""))


def test_a_number_that_another_process_has_now_is_never_killed(tmp_path: Path, make: Make) -> None:
    bystander = subprocess.Popen(["sleep", "100"])
    try:
        launch = Launch(bystander.pid, platform.node(), time.time() - 5, 0)
        write_run(tmp_path / "run", start_event(bystander.pid), step_event(0), launch=launch)
        logic = make()
        run = logic.attach(str(tmp_path / "run"))
        assert run.state == "training"
        with pytest.raises(LckdError):
            run.kill()
        run.end(0.0)
        logic.close()
        assert bystander.poll() is None
        assert not (tmp_path / "run" / "stop").exists(), "what others have started goes on"
    finally:
        bystander.kill()
        bystander.wait()

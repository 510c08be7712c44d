"""A run folder that is watched, whoever trains in it: its state, its errors, what is new in it."""

import json
import os
import platform
import time
from pathlib import Path

import pytest
from made_runs import append, gone_process, start_event, step_event, write_run

from lckd.errors import CancelledError
from LCKDTrainingLib.TrainingProcess import Launch
from LCKDTrainingLib.TrainingRun import TrainingRun


def test_a_wish_to_stop_is_not_lost_while_another_training_begins(tmp_path: Path) -> None:
    run = TrainingRun(write_run(tmp_path, start_event()))
    run.requestStop()
    stop = tmp_path / "stop"
    assert stop.exists()
    stop.unlink()  # as a training does when it begins
    run.poll()
    assert stop.exists()
    stop.unlink()
    append(tmp_path, {"event": "end", "iteration": 1, "reason": "interrupted", "time": time.time()})
    assert run.poll()
    run.poll()
    assert not stop.exists()


def test_a_failure_that_the_events_tell_has_the_action_of_the_log(tmp_path: Path) -> None:
    end = {"event": "end", "iteration": 0, "reason": "failed", "code": "OUT_OF_MEMORY", "message": "Too large."}
    launch = Launch(gone_process(), platform.node(), 1.0, 0)
    folder = write_run(tmp_path, start_event(when=2.0), end | {"time": 3.0}, launch=launch)
    run = TrainingRun(folder)
    assert (run.state, run.errorCode, run.errorWords[0]) == ("failed", "OUT_OF_MEMORY", "Too large.")
    assert run.errorWords[1]
    error = {"event": "error", "code": "OUT_OF_MEMORY", "message": "Too large.", "action": "Set accumulate."}
    (folder / "log.txt").write_text(json.dumps(error) + "\n")
    assert TrainingRun(folder).errorWords == ("Too large.", "Set accumulate.")


@pytest.mark.parametrize(
    ("age", "alive", "here", "state"),
    [
        (5, True, True, "preparing"),
        (5, False, True, "failed"),
        (5, False, False, "preparing"),
        (999, True, False, "failed"),
    ],
)
def test_a_training_that_was_started_elsewhere_and_has_told_nothing_yet(
    tmp_path: Path, age: float, alive: bool, here: bool, state: str
) -> None:
    pid = os.getpid() if alive else gone_process()
    Launch(pid, platform.node() if here else "another", time.time() - age, 0).write(tmp_path)
    run = TrainingRun(tmp_path)
    assert run.exists
    assert run.state == state
    assert bool(run.errorCode) == (state == "failed")


def test_a_launch_that_cannot_be_told_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "process.json").mkdir()
    with pytest.raises(OSError, match=r"process\.json"):
        Launch(1, "here", 1.0, 0).write(tmp_path)
    assert os.listdir(tmp_path) == ["process.json"]


def test_pretraining_is_told_until_its_end(tmp_path: Path) -> None:
    run = TrainingRun(write_run(tmp_path, start_event() | {"pretraining_iterations": 2}, step_event(0)))
    assert (run.pretraining, run.stage) == (2, "Pre-training until 2: iteration 1 of 10")
    append(tmp_path, step_event(1))
    run.poll()
    assert run.stage == "Training: iteration 2 of 10"


def test_a_run_of_a_shell_is_told_by_its_start_and_its_events(tmp_path: Path) -> None:
    run = TrainingRun(write_run(tmp_path, start_event(gone_process()), step_event(0)))
    assert (run.state, run.errorWords) == ("stopped", ("", ""))
    assert "is gone" in run.status.reason
    assert isinstance(run.error(), CancelledError)
    append(tmp_path, start_event(), step_event(0), step_event(1))
    assert run.poll()
    assert (run.state, run.fraction) == ("training", 0.2)


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    run = TrainingRun(write_run(tmp_path, start_event()))
    line = json.dumps(step_event(0))
    for part, hasNews in ((line[:30], False), (line[30:], False), ("\n", True)):
        with (tmp_path / "events.jsonl").open("a") as events:
            events.write(part)
        assert run.poll() == hasNews
    assert run.history.done == 1


def test_listeners_are_told_until_they_leave(tmp_path: Path) -> None:
    run, told = TrainingRun(write_run(tmp_path, start_event())), []
    slot = told.append
    run.connectChanged(slot)
    assert not run.poll()
    assert told == []
    for iteration in range(2):
        append(tmp_path, step_event(iteration))
        assert run.poll()
        run.disconnectChanged(slot)
    assert told == [run]


def test_looking_at_a_long_run_takes_no_time(tmp_path: Path) -> None:
    begin = time.time() - 5000
    write_run(tmp_path, start_event(iterations=6000), *(step_event(i, begin + i) for i in range(5000)))
    run = TrainingRun(tmp_path)
    assert run.history.done == 5000
    times = []
    for iteration in range(5000, 5010):
        append(tmp_path, step_event(iteration))
        started = time.perf_counter()
        assert run.poll()
        times.append(time.perf_counter() - started)
    assert run.history.done == 5010
    assert min(times) < 0.02

"""Watching a run: its events while they are written, its status, the terminal, TensorBoard, and how it is stopped."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from lckd.errors import InputError, UsageError
from lckd.sequences import SEQUENCES
from lckd_training.cli import progress_line
from lckd_training.cli.progress_line import ProgressLine
from lckd_training.cli.status_words import describe_status, duration
from lckd_training.cli.stopping import StopRequest
from lckd_training.config import TrainingConfig
from lckd_training.watching.events import EventReader, History, Start, parse_event
from lckd_training.watching.status import State, read_status
from lckd_training.watching.tensorboard_log import TensorBoardLog

NOW = 1_000_000.0
DICE = {sequence.value: {"ET": 0.1, "TC": 0.2, "WT": 0.3 + sequence.index / 10} for sequence in SEQUENCES}
TEACHERS = {"ET": "t1c", "TC": "t1c", "WT": "t2"}


def start(iteration: int = 0, **facts: Any) -> dict[str, Any]:
    circumstances = {"iterations": 100, "batch": 2, "device": "cpu", "processes": 2, "pid": 1, "host": "elsewhere"}
    return {"event": "start", "iteration": iteration, "time": NOW - 1000 + 2 * iteration} | circumstances | facts


def step(iteration: int, **facts: Any) -> dict[str, Any]:
    values = {"loss": 1.0 + iteration, "loss_task": 1.0, "loss_ckd": 10.0 * iteration, "lr": 0.01, "present": ["t1"]}
    times = {"seconds": 2.0, "seconds_data": 0.5, "memory_mb": 512.0, "time": NOW - 998 + 2 * iteration}
    return {"event": "step", "iteration": iteration} | values | times | facts


def election(iteration: int, **facts: Any) -> dict[str, Any]:
    values = {"dice": DICE, "full": {"ET": 0.5, "TC": 0.6, "WT": 0.7}, "score": 0.4, "teachers": TEACHERS}
    return {"event": "election", "iteration": iteration, "time": NOW - 998 + 2 * iteration} | values | facts


def old(event: dict[str, Any]) -> dict[str, Any]:
    """The event as earlier versions wrote it."""
    return {key: value for key, value in event.items() if key not in ("time", "memory_mb", "full", "score")}


def write(run: Path, events: Iterable[dict[str, Any]], age: float = 1.0, **settings: Any) -> Path:
    """A run folder with these events, last written so many seconds before NOW."""
    run.mkdir(parents=True, exist_ok=True)
    file = run / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    os.utime(file, (NOW - age, NOW - age))
    if settings:
        (run / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return run


def of(events: Iterable[dict[str, Any]]) -> History:
    parsed = [parse_event(event) for event in events]
    return History.of(event for event in parsed if event is not None)


# Events


def test_a_growing_file_is_read_on_from_where_reading_ended(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    reader = EventReader(file)
    assert reader.read() == []
    file.write_text(json.dumps(start()) + "\n" + json.dumps(step(0))[:30], encoding="utf-8")
    assert [type(event) for event in reader.read()] == [Start]
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(step(0))[30:] + "\n" + json.dumps(step(1)) + "\n")
    # What was read is not read again: were it, the spoiled beginning would show.
    with file.open("r+b") as stream:
        stream.write(b"#")
    assert reader.read() == [parse_event(step(0)), parse_event(step(1))]
    assert reader.read() == []
    file.write_text(json.dumps(step(7)) + "\n", encoding="utf-8")
    assert reader.read() == [parse_event(step(7))]


def test_a_line_cut_off_by_a_kill_loses_nothing_but_itself(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = [json.dumps(step(0)), json.dumps(step(1))[:25] + json.dumps(start(1)), "not JSON", "[1]", "", "\0\0"]
    file.write_text("\n".join([*lines, '{"event": "future", "x": 1}', '{"event": "step"}']) + "\n", encoding="utf-8")
    assert EventReader(file).read() == [parse_event(step(0)), parse_event(start(1))]


def test_what_is_done_again_after_a_resume_counts_once() -> None:
    course = [start(), step(0), step(1), election(2), step(2), {"event": "end", "iteration": 3, "reason": "failed"}]
    for again in ([start(2)], []):
        history = of([*course, *again, step(2, loss=7.0), step(3)])
        assert [one.iteration for one in history.steps] == [0, 1, 2, 3]
        assert history.steps[2].loss == 7.0
        assert [one.iteration for one in history.last_steps(50)] == [2, 3]
        assert [one.iteration for one in history.elections] == [2], "it is part of the state that was taken up"
        assert history.end is None
        assert history.done == 4
    assert of([*course, start(1)]).elections == []


def test_the_process_that_knows_why_a_run_has_failed_is_believed() -> None:
    known, lost = (
        {"event": "end", "iteration": 1, "reason": "failed", "code": c} for c in ("DISK_FULL", "PROCESS_LOST")
    )
    for course in ([known, lost], [lost, known]):
        end = of([start(), step(0), *course]).end
        assert end is not None
        assert end.code == "DISK_FULL"
    assert of([start(), step(0), lost]).end is not None


def test_reading_events_loads_the_standard_library_alone(subprocess_environment: dict[str, str]) -> None:
    name = "lckd_training.watching.events"
    code = f"import sys; before = set(sys.modules); import {name}; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True, check=True
    )
    assert {name.split(".")[0] for name in done.stdout.split()} <= set(sys.stdlib_module_names) | {"lckd_training"}


# Status


def test_the_status_of_a_run_under_way(tmp_path: Path) -> None:
    weights = {region: {"flair": 0.1, "t1": 0.2, "t1c": 0.3, "t2": 0.4} for region in ("ET", "TC", "WT")}
    course = [start(), *map(step, range(10)), election(10, score=0.6), *map(step, range(10, 60)), election(60)]
    run = write(tmp_path / "run", [*course, {"event": "weights", "iteration": 60, "weights": weights}])
    (run / "checkpoints").mkdir()
    for iteration in (40, 50):
        saved = run / "checkpoints" / f"{iteration:07d}.pt"
        saved.touch()
        os.utime(saved, (NOW - 90, NOW - 90))
    (run / "checkpoints" / "best.pt").touch()
    status = read_status(run, NOW)
    assert (status.state, status.iteration, status.iterations, status.percent) == (State.TRAINING, 60, 100, 60.0)
    assert status.losses == pytest.approx({"loss": 35.5, "loss_task": 1.0, "loss_ckd": 345.0}), "steps 10 to 59"
    assert (status.best_score, status.best_iteration) == (0.6, 10)
    assert status.steps_per_second == pytest.approx(0.5)
    assert status.patches_per_second == pytest.approx(0.5 * 2 * 2), "two processes of two patches"
    assert status.waiting == pytest.approx(0.25)
    assert status.seconds_left == pytest.approx(80)
    assert (status.checkpoint, status.checkpoint_age) == (50, pytest.approx(90))
    words = "\n".join(describe_status(status))
    for part in ("training: iteration 60 of 100 (60.0 %) on cpu, 2 processes, elsewhere", "512 MB", "80 s", "25%"):
        assert part in words
    assert "T1c" in next(line for line in words.splitlines() if line.startswith("  teacher"))
    assert next(line for line in words.splitlines() if line.startswith("  all seq")).split()[-1] == "0.700"
    assert words.splitlines()[-1].split() == ["T2", "0.400", "0.400", "0.400"]
    assert json.loads(json.dumps(status.as_dict()))["election"]["teachers"] == TEACHERS


def test_runs_of_earlier_versions_have_a_status_too(tmp_path: Path) -> None:
    events = [old(step(number)) for number in range(20)] + [old(election(20))]
    status = read_status(write(tmp_path / "run", events, iterations=40, patch=96), NOW)
    assert (status.state, status.iteration, status.iterations) == (State.TRAINING, 20, 40)
    assert status.steps_per_second == pytest.approx(0.5)
    assert status.seconds_left == pytest.approx(40)
    assert status.best_score == pytest.approx((0.1 + 0.2 + 0.45) / 3)
    assert describe_status(status)
    assert read_status(write(tmp_path / "over", events, iterations=20), NOW + 1e6).state is State.FINISHED
    alone = write(tmp_path / "alone", [old(step(0))])
    assert read_status(alone, NOW).percent is None, "without its settings nobody knows how long it will be"


def test_a_run_is_dead_if_its_process_is_gone_or_it_is_silent_for_too_long(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = {"host": platform.node()}
    alive = write(tmp_path / "alive", [start(pid=os.getpid(), **here), step(0)], age=3000)
    dead = write(tmp_path / "dead", [start(pid=gone.pid, **here), step(0)], age=0)
    assert read_status(alive, NOW).state is State.TRAINING, "an election may take its time"
    assert read_status(dead, NOW).state is State.STOPPED
    assert str(gone.pid) in str(read_status(dead, NOW).reason)
    for slow, age, state in ((2.0, 500, "training"), (2.0, 700, "stopped"), (60.0, 700, "training")):
        far = write(tmp_path / f"far-{slow}-{age}", [start(time=0.0), step(0, seconds=slow, time=0.0)], age=age)
        assert read_status(far, NOW).state is State(state), (slow, age)
    pause = [start(time=NOW - 5000), step(0, time=NOW - 3000), step(1, time=NOW - 2000)]
    assert read_status(write(tmp_path / "pause", pause, age=2000), NOW).state is State.TRAINING, (
        "it paused for long once"
    )


def test_how_a_run_begins_and_ends(tmp_path: Path) -> None:
    stage = {"event": "stage", "message": "preparing case-7", "fraction": 0.5, "time": NOW}
    end = {"event": "end", "iteration": 1, "reason": "failed", "code": "DISK_FULL", "message": "The disk is full."}
    preparing = read_status(write(tmp_path / "new", [stage]), NOW)
    assert (preparing.state, preparing.reason) == (State.PREPARING, "preparing case-7")
    assert read_status(write(tmp_path / "started", [start()]), NOW).state is State.PREPARING
    failed = read_status(write(tmp_path / "failed", [start(), step(0), end], age=1e6), NOW)
    assert (failed.state, failed.code, failed.reason) == (State.FAILED, "DISK_FULL", "The disk is full.")
    assert failed.seconds_left is None
    assert "failed: iteration 1 of 100 (1.0 %)" in describe_status(failed)[0]
    assert "The disk is full." in describe_status(failed)[0]
    again = read_status(write(tmp_path / "again", [start(), step(0), end, stage]), NOW)
    assert (again.state, again.iteration) == (State.PREPARING, 1)
    with pytest.raises(InputError, match="no training run"):
        read_status(tmp_path, NOW)


def test_durations_are_written_as_people_say_them() -> None:
    lengths = (4.2, 99, 150, 7500, 86400 * 3 + 3600 * 5)
    assert [duration(seconds) for seconds in lengths] == ["4 s", "99 s", "2 min", "2 h 05 min", "3 d 5 h"]


# Terminal


def test_where_nobody_looks_on_there_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter(range(1000))
    line = ProgressLine(100, 2, clock=lambda: next(seconds))
    for event in [start(), *map(step, range(30)), election(30)]:
        line(event)
    line({"event": "checkpoint", "iteration": 30, "best": True})
    line(election(31, teachers={}, score=None))
    line.close()
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "starting on cpu, iteration 0"
    assert 3 <= len(shown) - 4 <= 6, shown
    assert "\r" not in "".join(shown)
    assert shown[-3:] == [
        "iteration 30: teachers ET T1c, TC T1c, WT T2, score 0.400",
        "iteration 30: checkpoint, the best so far",
        "iteration 31: no teacher yet",
    ]
    assert any(text.startswith("iteration ") and "of 100, loss" in text and "2 patches/s" in text for text in shown)


def test_on_a_terminal_one_line_is_rewritten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_line, "on_terminal", lambda: True)
    line = ProgressLine(100, 2)
    for event in [start(50), *map(step, range(50, 60)), election(60)]:
        line(event)
    line.close()
    shown = capsys.readouterr().err
    assert "iteration 60 of 100, loss 55.500, 2 patches/s, 80 s left  60% |" in shown
    assert shown.count("\n") == 1, "only the election stays"
    assert "iteration 60: teachers ET T1c, TC T1c, WT T2, score 0.400\n" in shown


# TensorBoard


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(point.step, point.value) for point in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_a_resumed_run_goes_on_in_the_same_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    first = TensorBoardLog(tmp_path)
    for event in [
        start(),
        *map(step, range(4)),
        election(4),
        {"event": "checkpoint", "iteration": 4},
        step(4),
        step(5),
    ]:
        first(event)
    first.close()
    again = TensorBoardLog(tmp_path)
    weights = {"event": "weights", "iteration": 6, "weights": {"ET": {"t1c": 0.75}}}
    for event in [
        {"event": "stage", "message": "preparing"},
        start(4),
        *(step(n, loss=0.5, seconds_left=1800.0) for n in (4, 5, 6)),
        weights,
    ]:
        again(event)
    again.close()
    curves = scalars(tmp_path)
    assert curves["loss/total"] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 0.5), (6, 0.5), (7, 0.5)]
    assert curves["dice WT/T2"] == [(4, pytest.approx(0.6))]
    assert curves["dice ET/all sequences"] == [(4, 0.5)]
    assert curves["teacher/ET"] == [(4, 2.0)]
    assert curves["hours left"] == [(n, 0.5) for n in (5, 6, 7)]
    assert curves["weight ET/T1c"] == [(6, 0.75)]
    assert {"learning rate", "memory (MB)", "speed/iterations per second", "loss/distillation"} <= set(curves)


def test_nothing_up_to_a_checkpoint_is_lost_by_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log = TensorBoardLog(tmp_path)
    for event in [start(), *map(step, range(4)), {"event": "checkpoint", "iteration": 4}]:
        log(event)
    assert len(scalars(tmp_path)["loss/total"]) == 4
    log.close()


def test_without_tensorboard_nothing_is_begun(
    command: Callable, case_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    with pytest.raises(UsageError, match="pip install tensorboard"):
        TensorBoardLog(tmp_path)
    done = command("train", "--data", case_folder, "-o", tmp_path / "run", "--tensorboard")
    assert (done.status, "TENSORBOARD_MISSING" in done.err) == (2, True)
    assert not (tmp_path / "run").exists()


# Stopping


def test_a_run_that_is_stopped_saves_and_goes_on(
    command: Callable, case_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    data, run = tmp_path / "data", tmp_path / "run"
    for name in ("a", "b"):
        shutil.copytree(case_folder, data / name)
    sizes = ["iterations=4", "patch=32", "election_interval=2", "checkpoint_interval=4"]
    options = ["--device", "cpu", "--tensorboard", *(word for size in sizes for word in ("--set", size))]
    real = TensorBoardLog.__call__

    def interrupt(log: TensorBoardLog, event: dict[str, Any]) -> None:
        real(log, event)
        if event["event"] == "step" and event["iteration"] == 0:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(TensorBoardLog, "__call__", interrupt)
        stopped = command("train", "--data", data, "--preset", "smoke", "-o", run, *options)
    assert stopped.status == 130
    assert "Stopping after this iteration" in stopped.err
    status = read_status(run)
    assert status.state is State.INTERRUPTED
    assert status.iteration == status.checkpoint
    assert 1 <= status.iteration < 4
    done = command("train", "--data", data, "-o", run, "--resume", "--device", "cpu", "--tensorboard", "--json")
    assert done.status == 0, done.err
    written = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [event for event in done.events if event["event"] != "stage"]
    assert told == written[-len(told) :]
    assert {event["event"] for event in told} >= {"start", "step", "election", "checkpoint", "end"}
    status = read_status(run)
    assert (status.state, status.iteration, status.device) == (State.FINISHED, 4, "cpu")
    assert [iteration for iteration, _ in scalars(run)["loss/task"]] == [1, 2, 3, 4]


def test_the_first_signal_after_the_start_asks_and_the_second_stops_at_once(request: pytest.FixtureRequest) -> None:
    # Tests that run in the background of a shell inherit that SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    told: list[str] = []
    stop = StopRequest(told.append)
    stop.hear({"event": "stage"})
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    stop.hear({"event": "start"})
    assert not stop()
    signal.raise_signal(signal.SIGINT)
    assert stop()
    assert len(told) == 1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    stop.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Commands


def test_settings_are_listed_with_meaning_and_bounds(command: Callable) -> None:
    listed = command("train", "settings", "--preset", "smoke", "--json").events[-1]["settings"]
    config = TrainingConfig.preset("smoke")
    assert {one["name"]: one["value"] for one in listed} == json.loads(json.dumps(vars(config)))
    assert all(one["meaning"] for one in listed)
    lines = command("train", "settings", "--preset", "smoke").out.splitlines()
    assert "teachers=several" in lines
    assert "[several, one, learned]" in " ".join(lines[lines.index("teachers=several") + 1 :][:2])
    assert lines[lines.index(f"batch={config.batch}") + 1].endswith("[at least 1]")
    settings = [line for line in lines if not line.startswith(" ")]
    assert TrainingConfig().overridden(settings) == config, "a line can be given to --set"
    assert command("train", "settings", "--preset", "none").status == 2


def test_training_asks_for_data_and_output_and_its_commands_do_not(command: Callable, tmp_path: Path) -> None:
    for arguments, lacking in ((["-o", tmp_path / "run"], "--data"), (["--data", tmp_path], "--output")):
        done = command("train", *arguments)
        assert (done.status, lacking in done.err) == (2, True)
    run = write(tmp_path / "run", [start(), step(0)])
    assert command("train", "status", run).out.startswith("stopped: iteration 1 of 100")
    result = command("train", "status", run, "--json").events[-1]
    assert (result["event"], result["state"], result["iteration"]) == ("result", "stopped", 1)
    assert command("train", "status", tmp_path).status == 3
    helped = command("train", "--help").out
    assert all(word in helped for word in ("--resume", "status", "settings", "[required]", "--debug"))

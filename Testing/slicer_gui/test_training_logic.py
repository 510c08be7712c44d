"""Trainings as child processes: watched, stopped, resumed, killed, left behind, attached to; and every way to fail."""

import json
import os
import platform
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from made_runs import start_event, step_event, write_run
from panel_parts import make_python_slicer
from phantoms import make_case, write_case

from lckd.errors import CancelledError, InputError, LckdError, OutputError, UsageError
from LCKDTrainingLib import Logic as logic_module
from LCKDTrainingLib.Logic import TrainingLogic, resultOf
from LCKDTrainingLib.TrainingProcess import Launch
from LCKDTrainingLib.TrainingRun import TrainingOrder

QUICK = {
    "patch": "16",
    "iterations": "5000",
    "election_interval": "5000",
    "checkpoint_interval": "5000",
    "election": "[b]",
    "subsets_per_step": "1",
    "warmup_iterations": "0",
}
Make = Callable[..., TrainingLogic]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the programs that stand for Slicer's Python are shell scripts")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labeled cases."""
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate("ab"):
        write_case(root / name, make_case(seed))
    return root


@pytest.fixture
def make(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes logics, by default with the real trainer; nothing that they started is left behind."""
    make_python_slicer(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(logic_module, "_started", {})
    monkeypatch.setattr(logic_module, "POLL_MILLISECONDS", 50)
    made: list[TrainingLogic] = []
    processes: list[Any] = []
    start = logic_module.TrainingProcess

    def remember(*arguments: Any) -> Any:
        processes.append(start(*arguments))
        return processes[-1]

    monkeypatch.setattr(logic_module, "TrainingProcess", remember)

    def new(*python: Callable[[], str]) -> TrainingLogic:
        made.append(TrainingLogic(*python))
        return made[-1]

    yield new
    for process in processes:
        process.kill()
    for logic in made:
        logic.close()


@pytest.fixture
def elsewhere(make: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes logics of another application, which knows nothing of what this one has started."""

    def new() -> TrainingLogic:
        logic_module._started.clear()
        return make()

    return new


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Callable[[], str]]:
    """Makes a program that stands for Slicer's Python: a shell script."""

    def write(script: str) -> Callable[[], str]:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return lambda: str(path)

    return write


def order(data: Path, run: Path, resume: bool = False, outlives: bool = False, **settings: str) -> TrainingOrder:
    return TrainingOrder(str(data), str(run), "smoke", QUICK | settings, "cpu", "", resume, outlives)


def is_there(group: int) -> bool:
    """Whether a process of a group is alive."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(int(line.split()[0]) == group and "Z" not in line.split()[1] for line in listed.splitlines())


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
    run = logic.train(order(data, tmp_path / "run", outlives=True, workers="1"))
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


def test_what_the_trainer_refuses_is_told_with_its_code(
    data: Path, tmp_path: Path, make: Make, elsewhere: Make
) -> None:
    (tmp_path / "empty").mkdir()
    logic = make()
    with pytest.raises(LckdError) as caught:
        logic.train(order(tmp_path / "empty", tmp_path / "run"), waitForCompletion=True)
    assert caught.value.code not in ("TRAINING_ENDED", "")
    assert caught.value.message.endswith(".")
    assert caught.value.action.endswith(".")
    later = elsewhere().attach(str(tmp_path / "run"))
    assert (later.state, later.errorCode) == ("failed", caught.value.code)
    assert later.errorWords == (caught.value.message, caught.value.action)


ERROR = '{"event": "error", "code": "NO_CASES", "message": "There are none.", "action": "Add some."}'


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (f"echo noise; echo '{ERROR}'; exit 3", "NO_CASES", "There are none. Add some."),
        ('echo half; printf \'{"event": "er\'; exit 1', "TRAINING_ENDED", "exit code 1; half; "),
        ("echo last words.; kill -9 $$", "TRAINING_ENDED", "crashed or was ended by the system; last words."),
        ("echo 'error: [python] exit abnormally - Report the problem.'; exit 1", "TRAINING_ENDED", "crashed or was"),
        ("exit 5", "NOT_WRITABLE", "disk is not full"),
        ("exit 130", "CANCELLED", "Resume it"),
    ],
)
def test_a_training_that_ends_before_its_first_event_says_why(
    tmp_path: Path, make: Make, program: Any, script: str, code: str, words: str
) -> None:
    if code == "CANCELLED":
        script = f"""echo '{json.dumps({"event": "error", "code": code, "message": "m", "action": "a"})}'; {script}"""
    logic = make(program(script))
    with pytest.raises(LckdError) as caught:
        logic.train(order(tmp_path, tmp_path / "run"), waitForCompletion=True)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert logic.current.state == ("interrupted" if code == "CANCELLED" else "failed")


def test_only_the_words_of_the_last_start_count(tmp_path: Path, make: Make, program: Any) -> None:
    logic = make(program(f"echo '{ERROR}'; exit 3"))
    with pytest.raises(LckdError, match="There are none"):
        logic.train(order(tmp_path, tmp_path / "run"), waitForCompletion=True)
    program("exit 1")
    with pytest.raises(LckdError, match="exit code 1") as caught:
        logic.train(order(tmp_path, tmp_path / "run"), waitForCompletion=True)
    assert caught.value.code == "TRAINING_ENDED"
    assert "NO_CASES" in (tmp_path / "run" / "log.txt").read_text(), "earlier words are kept"


def test_a_training_that_dies_in_its_course_says_why(
    tmp_path: Path, make: Make, program: Any, wait_until: Callable[..., None]
) -> None:
    lines = "\n".join(map(json.dumps, (start_event(when=time.time() + 5), step_event(0, time.time() + 6))))
    logic = make(program(f"cat > '{tmp_path}/run/events.jsonl' <<'END'\n{lines}\nEND\necho Killed; kill -9 $$"))
    run = logic.train(order(tmp_path, tmp_path / "run"))
    wait_until(lambda: not run.isRunning)
    assert (run.state, run.errorCode, run.history.done) == ("failed", "TRAINING_ENDED", 1)
    assert "Killed" in run.errorWords[0]
    assert "Resume it" in run.errorWords[1]


def test_what_cannot_be_started_is_refused_at_once(
    tmp_path: Path, make: Make, program: Any, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    def refuse(*_paths: object) -> None:
        wait_until(lambda: (tmp_path / "pid").is_file(), 5)
        raise OSError(28, "No space left on device")

    logic = make()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="No data"):
        logic.train(TrainingOrder("", str(tmp_path / "run")))
    with pytest.raises(UsageError, match="No run folder"):
        logic.train(TrainingOrder(str(tmp_path), ""))
    with pytest.raises(LckdError, match="cannot be written to") as caught:
        logic.train(order(tmp_path, tmp_path / "file" / "run"))
    assert caught.value.code == "NOT_WRITABLE"
    with pytest.raises(LckdError, match="could not be started") as caught:
        make(lambda: str(tmp_path / "no-python")).train(order(tmp_path, tmp_path / "run"))
    assert caught.value.code == "TRAINING_NOT_STARTED"
    assert not (tmp_path / "run" / "process.json").exists()
    monkeypatch.setattr("LCKDTrainingLib.TrainingProcess.os.replace", refuse)
    with pytest.raises(OutputError, match="disk is not full"):
        make(program(f"echo $$ > '{tmp_path}/id'; mv '{tmp_path}/id' '{tmp_path}/pid'; sleep 100")).train(
            order(tmp_path, tmp_path / "full")
        )
    wait_until(lambda: not is_there(int((tmp_path / "pid").read_text())), 5)
    with pytest.raises(InputError, match="no training run in") as caught:
        logic.attach(str(tmp_path / "nowhere"))
    assert caught.value.code == "NO_RUN"
    assert logic.current is None


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


def refused(arguments: list[str]) -> str:
    """What the command line says against arguments; empty if it takes them."""
    from lckd.cli.commands import lckd

    command, name, rest = lckd, "lckd", list(arguments)
    try:
        while True:
            context = command.make_context(name, rest, resilient_parsing=False)
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            if not isinstance(command, click.Group) or not rest:
                return ""
            name, command, rest = command.resolve_command(context, rest)
    except click.UsageError as error:
        return error.format_message()


def test_every_command_is_one_that_the_command_line_takes(tmp_path: Path, make: Make, program: Any) -> None:
    tell = "import json, sys; print(json.dumps(dict(event='result', arguments=sys.argv[1:])))"
    logic = make(program(f'exec "{sys.executable}" -c "{tell}" "$@"'))
    wanted = order(tmp_path / "cases", tmp_path / "run")
    starts: dict[str, Callable[[Any, Any], Any]] = {
        "check": lambda *to: logic.check("cases", *to),
        "estimate": lambda *to: logic.estimate(wanted, *to),
        "evaluate": lambda *to: logic.evaluate("made", "cases", "out", *to, split="split.json", device="cpu"),
        "compare": lambda *to: logic.compare(["a", "b"], "out", *to),
        "export": lambda *to: logic.export("run", "made", *to, evaluation="out", best=True, overwrite=True),
        "addModel": lambda *to: logic.addModel("made", *to),
    }
    given = {name: resultOf(start)["arguments"] for name, start in starts.items()}
    for name, arguments in given.items():
        assert arguments[:2] == ["-m", "lckd"]
        assert refused(arguments[2:]) == "", name
        assert all(os.path.isabs(word) for word in arguments if word.endswith(("cases", "out", "made.zip"))), name
    assert refused(wanted.trainArguments()) == ""
    assert refused([*wanted.trainArguments(), "--no-such-option"]) != ""
    assert {"--best", "--overwrite", "--evaluation"} <= set(given["export"])


def test_a_training_finds_engine_and_trainer_and_nothing_in_the_folder_where_slicer_was_started(
    tmp_path: Path, make: Make, program: Any, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/before")
    run = make(program("env")).train(order(tmp_path, tmp_path / "run"))
    wait_until(lambda: not run.isRunning)
    told = dict(line.split("=", 1) for line in (tmp_path / "run" / "log.txt").read_text().splitlines() if "=" in line)
    folders = told["PYTHONPATH"].split(os.pathsep)
    assert [Path(folder).name for folder in folders] == ["LCKDSegmentation", "LCKDTraining", "before"]
    assert told["PYTHONSAFEPATH"] == "1"
    assert told["PATH"] == os.environ["PATH"]


def test_no_variable_without_a_name_is_passed_on_which_windows_has_and_python_refuses(
    tmp_path: Path, make: Make, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows keeps the folder of each drive in variables such as ``=C:``, which Qt gives an empty name."""
    from LCKDTrainingLib import TrainingProcess as process_module

    environment, passed = process_module.workerEnvironment(), []
    environment.insert("", "C:=C:\\Users")
    monkeypatch.setattr(process_module, "workerEnvironment", lambda: environment)

    def refuse(*_arguments: Any, env: dict[str, str], **_options: Any) -> None:
        passed.append(env)
        raise PermissionError("no")

    monkeypatch.setattr(process_module.subprocess, "Popen", refuse)
    with pytest.raises(LckdError, match="could not be started"):
        make(program("")).train(order(tmp_path, tmp_path / "run"))
    assert "" not in passed[0]
    assert passed[0]["PATH"] == os.environ["PATH"]


def test_a_command_without_result_raises_its_error(make: Make, program: Any) -> None:
    logic = make(program(f"echo '{ERROR}'; exit 3"))
    with pytest.raises(LckdError, match="There are none"):
        resultOf(lambda *to: logic.check("cases", *to))


def test_presets_and_their_settings_are_those_of_the_trainer(make: Make, wait_until: Callable[..., None]) -> None:
    logic, found, errors = make(), [], []
    assert {"small-cpu", "smoke", "paper"} <= set(logic.presetNames())
    logic.settings("smoke", found.extend, errors.append)
    logic.settings("no-such-preset", found.extend, errors.append)
    wait_until(lambda: bool(found and errors), 60)
    assert next(one for one in found if one["name"] == "iterations")["value"] == 12
    assert errors[0].action

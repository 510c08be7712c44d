"""What the logic asks of the command line, and in which environment."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from process_parts import NEEDS_SHELL, Make, order

from lckd.errors import LckdError
from LCKDTrainingLib.Logic import resultOf

pytestmark = NEEDS_SHELL


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


def test_presets_and_their_settings_are_those_of_the_trainer(make: Make, wait_until: Callable[..., None]) -> None:
    logic, found, errors = make(), [], []
    assert {"small-cpu", "smoke", "paper"} <= set(logic.presetNames())
    logic.settings("smoke", found.extend, errors.append)
    logic.settings("no-such-preset", found.extend, errors.append)
    wait_until(lambda: bool(found and errors), 60)
    assert next(one for one in found if one["name"] == "iterations")["value"] == 12
    assert errors[0].action

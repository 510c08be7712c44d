"""Logics that start real trainings, or programs that stand for them; nothing is left behind."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_parts import make_python_slicer
from phantoms import make_case, write_case
from process_parts import Make

from LCKDTrainingLib import Logic as logic_module
from LCKDTrainingLib.Logic import TrainingLogic


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

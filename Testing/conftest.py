"""What all tests share: `phantoms` to import, a made case and a tiny model as files."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TESTING = Path(__file__).parent
ROOT = TESTING.parent
# Makes `from phantoms import make_case` work in every folder of tests.
sys.path.insert(0, str(TESTING))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small volumes are quicker on one thread, and results do not depend on the machine."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def case_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made case with all four sequences and its segmentation (`phantoms.write_case`). Not to be written to."""
    from phantoms import write_case

    return write_case(tmp_path_factory.mktemp("cases") / "patient-1")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model with few random weights, called ``tiny`` (`phantoms.write_tiny_model`). Not to be changed."""
    from phantoms import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def subprocess_environment() -> dict[str, str]:
    """The environment in which ``python -m lckd`` works in a process of its own."""
    packages = os.pathsep.join(str(ROOT / module) for module in ("LCKDSegmentation", "LCKDTraining"))
    return os.environ | {"PYTHONPATH": packages, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Finished:
    """A command ``lckd`` that ended: exit status, stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """What ``--json`` printed."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Runs ``lckd`` with the given arguments in this process."""
    from lckd.cli import run

    def call(*arguments: object) -> Finished:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        return Finished(status, *capsys.readouterr())

    return call


@pytest.fixture
def files_in() -> Callable[[Path], list[str]]:
    """Lists the files below a folder by their relative paths."""
    return lambda folder: sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

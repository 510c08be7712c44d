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


#: Real MRI, which is not part of the repository.
DATA = Path(os.environ.get("LCKD_DATA") or ROOT.parent / "shared" / "data").resolve()
_without_data: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_mri: needs the real cases of LCKD_DATA (default ../shared/data)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the data, tests on real MRI are taken out, and the summary says so."""
    if DATA.is_dir():
        return
    real = [item for item in items if item.get_closest_marker("real_mri")]
    _without_data.extend(item.nodeid for item in real)
    config.hook.pytest_deselected(items=real)
    items[:] = [item for item in items if item not in real]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _without_data:
        terminalreporter.section("REAL MRI TESTS NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(f"REAL MRI TESTS NOT RUN: {len(_without_data)} tests, since there is no folder {DATA}.")
        terminalreporter.line("Set LCKD_DATA to the folder of the real cases.")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real cases; for tests marked ``real_mri``. Nothing is written there."""
    return DATA


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

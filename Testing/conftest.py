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
#: Series descriptions with their class, which are not part of the repository either.
SERIES = Path(os.environ.get("LCKD_SERIES") or DATA.parent / "reference" / "series_descriptions.tsv").resolve()


@dataclass(frozen=True)
class Outside:
    """Something outside the repository that tests with a mark need."""

    path: Path
    title: str
    variable: str
    what: str

    @property
    def is_there(self) -> bool:
        return self.path.exists()


#: By the mark of the tests that need it.
_OUTSIDE = {
    "real_mri": Outside(DATA, "REAL MRI", "LCKD_DATA", "the folder of the real cases"),
    "series_table": Outside(SERIES, "SERIES TABLE", "LCKD_SERIES", "the table of series descriptions"),
}
_not_run: dict[str, list[str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_mri: needs the real cases of LCKD_DATA (default ../shared/data)")
    config.addinivalue_line("markers", "series_table: needs the table LCKD_SERIES (default beside LCKD_DATA)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests whose data is not there are taken out, and the summary says so."""
    for mark, outside in _OUTSIDE.items():
        marked = [item for item in items if item.get_closest_marker(mark)]
        if outside.is_there or not marked:
            continue
        _not_run[mark] = [item.nodeid for item in marked]
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    for mark, outside in _OUTSIDE.items():
        ran = sum(report.when == "call" and mark in report.keywords for report in reports)
        if ran:
            terminalreporter.line(f"{outside.title} TESTS RUN: {ran}, with {outside.path}.", bold=True)
    for mark, tests in _not_run.items():
        outside = _OUTSIDE[mark]
        title = f"{outside.title} TESTS NOT RUN"
        terminalreporter.section(title, sep="!", red=True, bold=True)
        terminalreporter.line(f"{title}: {len(tests)} tests, since there is no {outside.path}.")
        terminalreporter.line(f"Set {outside.variable} to {outside.what}.")


@pytest.fixture(scope="session")
def series_table() -> Path:
    """The table of series descriptions; for tests marked ``series_table``."""
    return SERIES


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

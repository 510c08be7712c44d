"""The repository, a copy of it to break, and CMake."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def cmake() -> str:
    """The cmake of this environment before that of the system."""
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("cmake", path=search)
    assert found, 'cmake is missing; pip install ".[test]" brings it'
    return found


@pytest.fixture
def repository_copy(tmp_path: Path) -> Path:
    """A copy of what is packaged, to be built or broken at will."""
    copy = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for entry in ("LCKDSegmentation", "LCKDTraining", "Resources"):
        shutil.copytree(ROOT / entry, copy / entry, ignore=ignore)
    for entry in ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy2(ROOT / entry, copy / entry)
    return copy


@pytest.fixture
def configure(cmake: str, repository: Path, tmp_path: Path):
    """Configure a source tree against the stand-ins for Slicer; returns the completed process and the build folder."""

    def run(source: Path) -> tuple[subprocess.CompletedProcess, Path]:
        build = tmp_path / "build"
        # Nothing is compiled, so that any program may stand where CMake looks for compilers and make.
        options = [f"-DCMAKE_MAKE_PROGRAM={cmake}"]
        for language in ("C", "CXX"):
            compiler = f"-DCMAKE_{language}_COMPILER"
            options += [f"{compiler}={cmake}", f"{compiler}_FORCED=ON", f"{compiler}_ID_RUN=ON"]
        options += [f"-DSlicer_DIR={repository / 'Testing/packaging/slicer_stand_ins'}", "-G", "Unix Makefiles"]
        command = [cmake, "-S", str(source), "-B", str(build), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False), build

    return run

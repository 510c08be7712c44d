"""What the CMake files package: every file of both modules, the shared resources, and nothing that is not there."""

import subprocess
import sys
from pathlib import Path

import pytest
from project_files import SHARED_RESOURCES, cmake_list, files_below

MODULES = ("LCKDSegmentation", "LCKDTraining")
INSTALLED = "lib/Slicer-5.12/qt-scripted-modules"


def shared_files(repository: Path) -> set[str]:
    return {f"{folder}/{file}" for folder in SHARED_RESOURCES for file in files_below(repository / folder)}


def assert_same(listed: list[str], on_disk: set[str], cmake_file: str) -> None:
    missing = sorted(on_disk - set(listed))
    assert not missing, f"{cmake_file} does not list:\n  " + "\n  ".join(missing)
    gone = sorted(set(listed) - on_disk)
    assert not gone, f"{cmake_file} lists what is not there:\n  " + "\n  ".join(gone)
    assert len(listed) == len(set(listed)), f"{cmake_file} lists a file twice"


@pytest.mark.parametrize("module", MODULES)
def test_module_lists_are_the_files_on_disk(repository: Path, module: str) -> None:
    cmake_file = repository / module / "CMakeLists.txt"
    scripts = cmake_list(cmake_file, "MODULE_PYTHON_SCRIPTS")
    resources = cmake_list(cmake_file, "MODULE_PYTHON_RESOURCES")
    assert_same(scripts + resources, files_below(repository / module) - {"CMakeLists.txt"}, f"{module}/CMakeLists.txt")
    assert all(file.endswith(".py") for file in scripts)
    assert not any(file.endswith(".py") for file in resources)


def test_shared_list_is_the_files_on_disk(repository: Path) -> None:
    listed = cmake_list(repository / "CMakeLists.txt", "SHARED_RESOURCES")
    assert_same(listed, shared_files(repository), "CMakeLists.txt")


@pytest.mark.parametrize("module", MODULES)
def test_every_listed_file_has_a_suffix(repository: Path, module: str) -> None:
    """Slicer takes a listed name without suffix for a Python file."""
    cmake_file = repository / module / "CMakeLists.txt"
    listed = cmake_list(cmake_file, "MODULE_PYTHON_SCRIPTS") + cmake_list(cmake_file, "MODULE_PYTHON_RESOURCES")
    assert all(Path(file).suffix for file in listed)


def test_installed_extension_holds_every_file(repository: Path, cmake: str, configure, tmp_path: Path) -> None:
    done, build = configure(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run([cmake, "--install", str(build), "--prefix", str(tmp_path / "installed")], check=True)

    expected = shared_files(repository)
    for module in MODULES:
        expected |= files_below(repository / module) - {"CMakeLists.txt"}
    assert files_below(tmp_path / "installed" / INSTALLED) == expected


def test_engine_finds_its_resources_in_the_installed_extension(
    repository: Path, cmake: str, configure, tmp_path: Path
) -> None:
    _, build = configure(repository)
    subprocess.run([cmake, "--install", str(build), "--prefix", str(tmp_path / "installed")], check=True)
    modules = tmp_path / "installed" / INSTALLED
    script = (
        f"import sys; sys.path.insert(0, {str(modules)!r});"
        "from lckd.resources import resource_dir; print(resource_dir().resolve())"
    )
    found = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == (modules / "Resources").resolve()


@pytest.mark.parametrize(
    "broken",
    [
        "LCKDSegmentation/lckd/errors.py",
        "LCKDSegmentation/Resources/Icons/LCKDSegmentation.png",
        "LCKDTraining/LCKDTrainingLib/Widget.py",
    ],
)
def test_wrong_path_of_a_module_stops_cmake(repository_copy: Path, configure, broken: str) -> None:
    (repository_copy / broken).unlink()
    done, _ = configure(repository_copy)
    assert done.returncode != 0
    assert f"nonexistent file '{broken.split('/', 1)[1]}'" in " ".join(done.stderr.split())


def test_wrong_path_of_a_shared_file_stops_cmake(repository_copy: Path, configure) -> None:
    cmake_file = repository_copy / "CMakeLists.txt"
    text = cmake_file.read_text(encoding="utf-8")
    cmake_file.write_text(text.replace("set(SHARED_RESOURCES", "set(SHARED_RESOURCES Resources/Models/gone.pt"))
    done, _ = configure(repository_copy)
    assert done.returncode != 0
    assert "Resources/Models/gone.pt" in done.stderr


def test_wrong_license_path_stops_cmake(repository_copy: Path, configure) -> None:
    (repository_copy / "LICENSE").unlink()
    done, _ = configure(repository_copy)
    assert done.returncode != 0
    assert "EXTENSION_LICENSE_FILE" in done.stderr

"""The wheel carries the engine, the trainer, the command, and the model and sample case they work on."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from project_files import SHARED_RESOURCES, files_below


@pytest.fixture
def wheel(repository_copy: Path, tmp_path: Path) -> zipfile.ZipFile:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(repository_copy)], check=True)
    (built,) = tmp_path.glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_packages_resources_and_command(wheel: zipfile.ZipFile, repository: Path) -> None:
    expected = set()
    for folder, package in (("LCKDSegmentation", "lckd"), ("LCKDTraining", "lckd_training")):
        expected |= {f"{package}/{file}" for file in files_below(repository / folder / package)}
    for folder in SHARED_RESOURCES:
        files = files_below(repository / folder)
        assert files, f"{folder} is empty"
        expected |= {f"lckd/_resources/{Path(folder).name}/{file}" for file in files}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected

    (entry_points,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    commands = configparser.ConfigParser()
    commands.read_string(wheel.read(entry_points).decode())
    assert dict(commands["console_scripts"]) == {"lckd": "lckd.cli:main"}


def test_wheel_states_version_and_license(wheel: zipfile.ZipFile) -> None:
    import lckd

    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = wheel.read(metadata).decode().splitlines()
    assert f"Version: {lckd.__version__}" in lines
    assert "License-Expression: Apache-2.0" in lines

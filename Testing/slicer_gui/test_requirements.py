"""What is missing is found without torch, installed after consent only, and every way to fail has its message."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
import slicer.packaging
from packaging.requirements import Requirement

from lckd.errors import LckdError
from LCKDSegmentationLib import Requirements as module
from LCKDSegmentationLib.Requirements import REQUIREMENTS_FILE, TORCH_RANGE, Missing, Requirements

OFFLINE = "WARNING: Retrying ... NewConnectionError('Failed to establish a new connection')"
ABSENT = "lckd-no-such-package>=1.5"
Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes the metadata of a package of some version be found first."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setitem(sys.modules, "torch", None)  # Whoever imports it gets an ImportError.

    def make(name: str, version: str) -> None:
        for old in site.glob(f"{name}-*.dist-info"):
            (old / "METADATA").unlink()
            old.rmdir()
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    make("torch", "2.8.0+cu126")
    return make


class Outside:
    """Everybody whom the installation asks: the user, pip, the extension PyTorch, Slicer's Python."""

    def __init__(self, install: Install, file: Path) -> None:
        self.calls: list[str] = []
        self.told: list[str] = []
        self.answer = True
        self.testing = False
        self.extension = True
        self.pipError: Exception | None = None
        self.torchError: Exception | None = None
        self.torchVersion = "2.8.0"
        self.python = (0, "2.8.0 4.0")
        self.details = self.constraints = ""
        self.install = install
        file.write_text(f"# comment\n-c other.txt\n\n{ABSENT}\nonly-elsewhere; sys_platform == 'nowhere'\n")
        self.requirements = Requirements(
            file, self._confirm, self._pip, self._pyTorch, self._runPython, lambda: self.testing, self.told.append
        )

    def installTorch(self, askConfirmation: bool = False, torchVersionRequirement: str = "") -> object | None:
        self.calls.append(f"torch{torchVersionRequirement}")
        if self.torchError is not None:
            raise self.torchError
        self.install("torch", self.torchVersion)
        return object()

    def _confirm(self, question: str, details: str) -> bool:
        self.calls.append("confirm")
        self.details = details
        return self.answer

    def _pip(self, requirements: list[str], constraints: Path) -> None:
        self.calls += requirements
        self.constraints = constraints.read_text()
        if self.pipError is not None:
            raise self.pipError
        self.install("lckd_no_such_package", "1.6")

    def _pyTorch(self) -> "Outside":
        if not self.extension:
            raise ModuleNotFoundError("No module named 'PyTorchUtils'")
        return self

    def _runPython(self, arguments: list[str]) -> tuple[int, str]:
        self.calls.append("python " + arguments[0])
        return self.python


@pytest.fixture
def outside(install: Install, tmp_path: Path) -> Outside:
    return Outside(install, tmp_path / "requirements.txt")


def refusal(outside: Outside) -> LckdError:
    with pytest.raises(LckdError) as caught:
        outside.requirements.ensure()
    assert caught.value.action
    return caught.value


def test_the_shipped_file_asks_for_lower_bounds_only_and_not_for_torch() -> None:
    lines = [line for line in REQUIREMENTS_FILE.read_text().splitlines() if line and not line.startswith("#")]
    requirements = [Requirement(line) for line in lines]
    assert [requirement.name for requirement in requirements] == ["monai", "click"]
    assert all(specifier.operator == ">=" for requirement in requirements for specifier in requirement.specifier)
    assert slicer.packaging.load_requirements(REQUIREMENTS_FILE) == requirements


@pytest.mark.parametrize(
    ("version", "fits"),
    [("2.5.1", False), ("2.6.0", True), ("2.9.1", False), ("2.10.0+cpu", True), ("2.12.1", True), ("2.13.0", False)],
)
def test_torch_is_judged_by_its_metadata(install: Install, tmp_path: Path, version: str, fits: bool) -> None:
    (tmp_path / "requirements.txt").write_text("")
    install("torch", version)
    expected = [] if fits else [Missing(f"torch{TORCH_RANGE}", version)]
    assert Requirements(tmp_path / "requirements.txt").missing() == expected


def test_nothing_happens_when_all_is_there(outside: Outside, install: Install) -> None:
    install("lckd_no_such_package", "1.5")
    outside.requirements.ensure()
    assert outside.calls == []


def test_what_is_missing_is_installed_after_consent_and_nothing_else_is_touched(outside: Outside) -> None:
    outside.requirements.ensure()
    assert outside.calls == ["confirm", ABSENT]
    assert outside.details == ABSENT
    assert "torch==2.8.0+cu126" in outside.constraints
    assert "numpy==" in outside.constraints


def test_torch_comes_first_through_the_extension_and_is_tried_out(outside: Outside, install: Install) -> None:
    install("torch", "2.2.0")
    outside.requirements.ensure()
    assert outside.calls == ["confirm", f"torch{TORCH_RANGE}", ABSENT, "python -c"]
    assert "(installed: 2.2.0)" in outside.details
    assert "torch==2.8.0" in outside.constraints


def test_without_the_extension_the_user_is_told_what_to_install(outside: Outside, install: Install) -> None:
    install("torch", "2.2.0")
    outside.extension = False
    error = refusal(outside)
    assert error.code == "PYTORCH_EXTENSION_MISSING"
    assert "Extensions Manager" in error.action
    assert outside.calls == []


def test_without_consent_nothing_is_installed(outside: Outside) -> None:
    outside.answer = False
    assert refusal(outside).code == "INSTALL_DECLINED"
    assert outside.calls == ["confirm"]


def test_tests_change_no_environment(outside: Outside) -> None:
    outside.testing = True
    error = refusal(outside)
    assert error.code == "INSTALL_DECLINED"
    assert ABSENT in error.message
    assert outside.calls == []


def test_offline_is_said(outside: Outside) -> None:
    outside.pipError = subprocess.CalledProcessError(1, "pip install")
    outside.python = (1, OFFLINE)
    error = refusal(outside)
    assert error.code == "OFFLINE"
    assert ABSENT in error.message
    assert f"--find-links FOLDER '{ABSENT}'" in error.action


def test_other_failures_of_pip_are_said_with_their_reason(outside: Outside) -> None:
    outside.pipError = subprocess.CalledProcessError(1, "pip install")
    error = refusal(outside)
    assert error.code == "INSTALL_FAILED"
    assert "returned non-zero exit status 1" in error.message


def test_torch_that_cannot_be_installed(outside: Outside, install: Install) -> None:
    install("torch", "2.2.0")
    outside.torchError = RuntimeError("no space left")
    error = refusal(outside)
    assert error.code == "INSTALL_FAILED"
    assert "no space left" in error.message
    assert ABSENT not in outside.calls


def test_an_installation_that_changed_nothing_is_no_success(outside: Outside, install: Install) -> None:
    install("torch", "2.2.0")
    outside.torchVersion = "2.3.0"
    error = refusal(outside)
    assert error.code == "INSTALL_FAILED"
    assert "not there after the installation" in error.message


def test_torch_that_does_not_compute_is_said(outside: Outside, install: Install) -> None:
    install("torch", "2.2.0")
    outside.python = (1, "Traceback\n...\nRuntimeError: Numpy is not available")
    error = refusal(outside)
    assert error.code == "TORCH_BROKEN"
    assert "Numpy is not available" in error.message
    assert "PyTorch Utils" in error.action


@pytest.fixture
def python_slicer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program called PythonSlicer, a shell script, onto the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(script: str) -> None:
        program = folder / "PythonSlicer"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return make


def test_the_probe_finds_a_torch_that_works_and_one_that_does_not(
    python_slicer: Callable[[str], None], tmp_path: Path
) -> None:
    python_slicer(f'exec {sys.executable} "$@"')
    Requirements().checkTorch()
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')\n")
    python_slicer(f'cd {tmp_path} && PYTHONPATH= exec {sys.executable} "$@"')
    with pytest.raises(LckdError, match="cannot open shared object file") as caught:
        Requirements().checkTorch()
    assert caught.value.code == "TORCH_BROKEN"


def test_slicer_5_12_installs_by_its_packaging_without_asking_again(
    app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(app, "_testing", False)
    monkeypatch.setattr(slicer.packaging, "pip_install", lambda what, **how: installed.append((what, how)))
    constraints = tmp_path / "constraints.txt"
    module.pipInstall([ABSENT], constraints)
    ((what, how),) = installed
    assert what == [ABSENT]
    assert how["constraints"] == constraints
    assert how["blocking"]


def test_slicer_5_10_installs_by_pip_install_of_slicer_util(
    python_slicer: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_slicer(f'echo "$@" > {tmp_path}/arguments')
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    constraints = tmp_path / "constraints.txt"
    module.pipInstall([ABSENT], constraints)
    assert (tmp_path / "arguments").read_text().split() == [
        *("-m", "pip", "install"), ABSENT, "--constraint", str(constraints)
    ]  # fmt: skip
    python_slicer("exit 1")
    with pytest.raises(subprocess.CalledProcessError):
        module.pipInstall([ABSENT], constraints)


def test_the_extension_is_the_module_pytorch_utils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError):
        module.pyTorchLogic()
    (tmp_path / "PyTorchUtils.py").write_text("class PyTorchUtilsLogic:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(module.pyTorchLogic()).__name__ == "PyTorchUtilsLogic"


def test_the_user_is_asked_by_slicers_own_dialog(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(slicer.util, "messageBox", lambda text, **more: asked.append((text, more)))
    monkeypatch.setattr(slicer.app, "_testing", False)
    assert not module.askUser("Install?", "monai")
    ((text, more),) = asked
    assert text == "Install?"
    assert more["detailedText"] == "monai"


def test_a_second_installation_is_refused_while_one_goes_on(outside: Outside, install: Install) -> None:
    install("torch", "2.2.0")
    refused: list[str] = []

    def click(requirements: list[str], constraints: Path) -> None:
        with pytest.raises(LckdError) as caught:
            outside.requirements.ensure()
        refused.append(str(caught.value))
        type(outside)._pip(outside, requirements, constraints)

    outside.requirements._pip = click
    outside.requirements.ensure()
    assert refused == ["The required packages are being installed. Wait until that is done."]
    assert outside.calls.count("confirm") == 1
    assert not outside.requirements.isInstalling
    install("torch", "2.2.0")
    outside.answer = False
    assert refusal(outside).code == "INSTALL_DECLINED"
    assert refusal(outside).code == "INSTALL_DECLINED", "a refusal is taken for an installation that goes on"


def test_what_goes_on_is_told_with_a_wait_cursor_where_no_dialog_tells_it(
    outside: Outside, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("torch", "2.2.0")
    seen: list[tuple[str, bool]] = []

    def note(call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **more: Any) -> Any:
            seen.append((outside.told[-1], qt.QApplication.overrideCursor() is not None))
            return call(*arguments, **more)

        return noted

    for name in ("_pip", "_runPython"):
        monkeypatch.setattr(outside.requirements, name, note(getattr(outside.requirements, name)))
    monkeypatch.setattr(outside, "installTorch", note(outside.installTorch))
    outside.requirements.ensure()
    assert seen == [
        ("Installing PyTorch; this takes several minutes…", True),
        (f"Installing {ABSENT}…", False),
        ("Trying out PyTorch…", True),
    ]
    assert outside.told[-1] == ""
    assert qt.QApplication.overrideCursor() is None


def test_told_in_the_status_bar_unless_somebody_else_listens() -> None:
    assert Requirements()._tell is slicer.util.showStatusMessage
    assert slicer.util.showStatusMessage("There is no main window here.") is False

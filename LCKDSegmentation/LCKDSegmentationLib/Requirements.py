"""The Python packages that the engine needs: what is missing, and how it is installed after consent.

Nothing is installed at import, and torch is never imported here: installed packages are looked up by their metadata,
and whether torch works is found out in a process of its own. ``PyTorchUtils``, which installs torch, imports it once
when it has done so.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from .WorkerProcess import pythonSlicer, workerError

if TYPE_CHECKING:
    from lckd.errors import LckdError

#: 2.9 is slow and takes much memory in half precision (pytorch issues 166122, 166643); 2.13 cannot be installed on
#: Windows by the extension PyTorch (light-the-torch issue 176).
TORCH_RANGE = ">=2.6,!=2.9.*,<2.13"
REQUIREMENTS_FILE = Path(__file__).parents[1] / "Resources" / "requirements.txt"
#: Packages of the application that no installation may replace.
KEPT = ("numpy", "scipy", "SimpleITK", "pillow", "torch")
PROBE_SECONDS = 180
#: Computes, and hands an array to NumPy and back, which a torch built for another NumPy cannot.
PROBE = "import numpy, torch; print(torch.__version__, float((torch.from_numpy(numpy.ones(2)) + 1).numpy().sum()))"
#: What pip and its libraries say when there is no way to the packages.
OFFLINE_SIGNS = ("NewConnectionError", "ConnectTimeout", "NameResolutionError", "ProxyError", "ConnectionError")


@dataclass(frozen=True)
class Missing:
    """A requirement that is not met, and the version that is installed instead, if any."""

    requirement: str
    installed: str | None

    def __str__(self) -> str:
        if self.installed is None:
            return self.requirement
        return _("{requirement} (installed: {version})").format(requirement=self.requirement, version=self.installed)


class Pip(Protocol):
    """Installs requirements; raises if it cannot."""

    def __call__(self, requirements: list[str], constraints: Path) -> None: ...


class Requirements:
    """What the module needs of Python packages.

    :param file: requirements besides torch, one a line
    :param confirm: asks the user; takes a question and details
    :param pip: installs requirements
    :param pyTorch: returns the logic of the extension PyTorch; raises ImportError without it
    :param runPython: runs Slicer's Python with these arguments; returns exit code and output
    :param isTesting: whether the application runs tests, which change no environment
    :param tell: shows in a line what is going on; an empty text takes it away

    Attributes:
        isInstalling: whether `ensure` is at work. The application is alive meanwhile, so that it may be called again.
    """

    def __init__(
        self,
        file: Path = REQUIREMENTS_FILE,
        confirm: Callable[[str, str], bool] | None = None,
        pip: Pip | None = None,
        pyTorch: Callable[[], Any] | None = None,
        runPython: Callable[[Sequence[str]], tuple[int, str]] | None = None,
        isTesting: Callable[[], bool] | None = None,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.isInstalling = False
        self._file = file
        self._confirm = confirm or askUser
        self._pip = pip or pipInstall
        self._pyTorch = pyTorch or pyTorchLogic
        self._runPython = runPython or runSlicerPython
        self._isTesting = isTesting or slicer.app.testingEnabled
        self._tell = tell or slicer.util.showStatusMessage

    def missing(self) -> list[Missing]:
        """Return the requirements that are not met, torch first, from the metadata of the installed packages."""
        from packaging.requirements import Requirement

        importlib.invalidate_caches()
        found = []
        for line in [f"torch{TORCH_RANGE}", *_lines(self._file)]:
            requirement = Requirement(line)
            if requirement.marker is not None and not requirement.marker.evaluate():
                continue
            version = _installedVersion(requirement.name)
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                found.append(Missing(line, version))
        return found

    def ensure(self) -> None:
        """Install what is missing, after consent; does nothing if nothing is.

        :raises LckdError: INSTALLING, PYTORCH_EXTENSION_MISSING, INSTALL_DECLINED, OFFLINE, INSTALL_FAILED,
            TORCH_BROKEN
        """
        if self.isInstalling:
            raise workerError(
                "INSTALLING", _("The required packages are being installed."), _("Wait until that is done.")
            )
        missing = self.missing()
        if not missing:
            return
        self.isInstalling = True
        try:
            self._install(missing)
        finally:
            self.isInstalling = False
            self._tell("")

    def _install(self, missing: list[Missing]) -> None:
        needsTorch = missing[0].requirement.startswith("torch")
        logic = self._pyTorchLogic() if needsTorch else None
        self._askFor(missing)
        if logic is not None:
            self._tell(_("Installing PyTorch; this takes several minutes…"))
            with slicer.util.WaitCursor():
                self._installTorch(logic)
        others = [item.requirement for item in missing if not item.requirement.startswith("torch")]
        if others:
            self._tell(_("Installing {names}…").format(names=", ".join(others)))
            self._installOthers(others)
        left = self.missing()
        if left:
            raise self._failure(left, _("they are not there after the installation"))
        if needsTorch:
            self._tell(_("Trying out PyTorch…"))
            with slicer.util.WaitCursor():
                self.checkTorch()

    def checkTorch(self) -> None:
        """Let torch compute in a process of its own; takes seconds.

        :raises LckdError: TORCH_BROKEN, it does not work
        """
        code, output = self._runPython(["-c", PROBE])
        if code != 0:
            reason = output.strip().splitlines()[-1] if output.strip() else _("exit code {code}").format(code=code)
            raise workerError(
                "TORCH_BROKEN",
                _("PyTorch is installed but does not work: {reason}.").format(reason=reason.rstrip(".")),
                _(
                    "Open the module PyTorch Utils, uninstall PyTorch there, restart the application and try again;"
                    " PyTorch is then installed anew."
                ),
            )

    def _pyTorchLogic(self) -> Any:
        try:
            return self._pyTorch()
        except ImportError as error:
            raise workerError(
                "PYTORCH_EXTENSION_MISSING",
                _("The extension PyTorch, which installs PyTorch for this computer, is not there."),
                _("Open View > Extensions Manager, install the extension PyTorch, and restart the application."),
            ) from error

    def _askFor(self, missing: list[Missing]) -> None:
        names = "\n".join(map(str, missing))
        if self._isTesting():
            raise workerError(
                "INSTALL_DECLINED",
                _("These Python packages are missing: {names}.").format(names=", ".join(map(str, missing))),
                _("Nothing is installed while the application runs tests; install them before."),
            )
        question = _(
            "For this, {count} Python packages have to be downloaded and installed into the Python of this application."
            " That takes several minutes and up to several gigabytes. Install them now?"
        ).format(count=len(missing))
        if not self._confirm(question, names):
            raise workerError(
                "INSTALL_DECLINED",
                _("The Python packages that are needed for this were not installed."),
                _("Try it again and agree to install them."),
            )

    def _installTorch(self, logic: Any) -> None:
        try:
            installed = logic.installTorch(askConfirmation=False, torchVersionRequirement=TORCH_RANGE)
        except Exception as error:
            raise self._failure([Missing(f"torch{TORCH_RANGE}", None)], error) from error
        if installed is None:
            raise self._failure([Missing(f"torch{TORCH_RANGE}", None)], _("the extension PyTorch gave up"))

    def _installOthers(self, requirements: list[str]) -> None:
        with _constraintsFile() as constraints:
            try:
                self._pip(requirements, constraints)
            except Exception as error:
                raise self._failure([Missing(line, None) for line in requirements], error) from error

    def _failure(self, missing: list[Missing], reason: object) -> LckdError:
        """The error after a failed installation; pip is asked once more, without installing, whether it is offline."""
        names = ", ".join(item.requirement for item in missing)
        first = missing[0].requirement
        self._tell(_("Looking for the reason…"))
        arguments = ["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--retries", "0", "--timeout", "5"]
        with tempfile.TemporaryDirectory(prefix="lckd-") as folder:
            # A package of few kilobytes that every index has tells as much as a large one.
            output = self._runPython([*arguments, "--dest", folder, "packaging"])[1]
        if any(sign in output for sign in OFFLINE_SIGNS):
            return workerError(
                "OFFLINE",
                _("{names} cannot be downloaded, since there is no connection to the package index.").format(
                    names=names
                ),
                _(
                    "Connect this computer to the internet or set the proxy of pip, and try it again. Without a"
                    ' connection, download the packages on another computer and install them here with: "{command}"'
                ).format(command=f"PythonSlicer -m pip install --no-index --find-links FOLDER '{first}'"),
            )
        return workerError(
            "INSTALL_FAILED",
            _("{names} could not be installed: {reason}.").format(names=names, reason=str(reason).rstrip(".")),
            _("Restart the application and try it again; what pip said is in the Python console."),
        )


def askUser(question: str, details: str) -> bool:
    """Ask whether to install; the details list the packages."""
    title = _("Brain Tumor Segmentation (LCKD)")
    return slicer.util.confirmOkCancelDisplay(question, windowTitle=title, detailedText=details)


def pyTorchLogic() -> Any:
    """Return the logic of the extension PyTorch, which chooses the build of torch for the graphics card.

    :raises ImportError: the extension is not installed
    """
    return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()


def pipInstall(requirements: list[str], constraints: Path) -> None:
    """Install by ``slicer.packaging`` (Slicer 5.12), which shows a dialog, by ``slicer.util.pip_install`` before that.

    :raises Exception: it failed
    """
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        with slicer.util.WaitCursor():
            slicer.util.pip_install([*requirements, "--constraint", str(constraints)])
        return
    # The user has agreed already, to torch as well.
    packaging.pip_ensure(
        requirements,
        constraints=constraints,
        prompt_install=False,
        requester=_("Brain Tumor Segmentation (LCKD)"),
    )


def runSlicerPython(arguments: Sequence[str]) -> tuple[int, str]:
    """Run Slicer's Python, with the application alive meanwhile; return its exit code and what it printed.

    :raises LckdError: PYTHON_NOT_FOUND
    """
    hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [pythonSlicer(), *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **hidden
        )
        started = time.monotonic()
        while process.poll() is None:
            if time.monotonic() - started > PROBE_SECONDS:
                process.kill()
                process.wait()
                break
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
            qt.QThread.msleep(10)
        output.seek(0)
        return int(process.returncode), output.read().decode("utf-8", errors="replace")


def _lines(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith(("#", "-")):
            yield line.strip()


def _installedVersion(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def _constraintsFile() -> Iterator[Path]:
    """A file that forbids pip to replace the packages that the application and torch came with."""
    versions = {name: _installedVersion(name) for name in KEPT}
    lines = [f"{name}=={version}" for name, version in versions.items() if version is not None]
    with tempfile.TemporaryDirectory(prefix="lckd-") as folder:
        path = Path(folder, "constraints.txt")
        path.write_text(os.linesep.join([*lines, ""]), encoding="utf-8")
        yield path

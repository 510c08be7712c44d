"""The worker as a child process: how it is started, how its lines become events, how nothing of it is left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from lckd.errors import LckdError

#: How many lines of stderr tell why the worker ended.
REASON_LINES = 5
#: Longer lines are cut, in bytes: of stdout, where a result is one line, and of stderr.
_LONGEST_EVENT = 16 * 1024**2
_LONGEST_REMARK = 8 * 1024
#: Slicer's launcher ends with 1 when the program that it started has crashed or was killed, and prints this.
_CRASH_BELOW_LAUNCHER = re.compile(r"^error: \[.*\] exit abnormally\b")


class WorkerProcess:
    """One run of the worker.

    :param command: program and arguments
    :param log: takes the lines that are no events: stderr, and what strays onto stdout
    :param onEvent: is called with each event, a JSON object
    :param onEnded: is called once when the process has ended, with the error that tells why; also if it never started
    """

    def __init__(
        self,
        command: Sequence[str],
        log: deque[str],
        onEvent: Callable[[dict[str, Any]], None],
        onEnded: Callable[[LckdError], None],
    ) -> None:
        self._command = list(command)
        self._log = log
        self._onEvent = onEvent
        self._onEnded = onEnded
        self._reason: deque[str] = deque(maxlen=REASON_LINES)
        self._output = _Lines(_LONGEST_EVENT)
        self._errors = _Lines(_LONGEST_REMARK)
        self._ended = False
        self._hasCrashed = False
        #: The process id that the worker said; the process started is Slicer's launcher, whose child the worker is.
        self._workerId = 0
        self._process = qt.QProcess()
        self._process.setProcessEnvironment(workerEnvironment())
        self._process.connect("readyReadStandardOutput()", self._readOutput)
        self._process.connect("readyReadStandardError()", self._readErrors)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onErrorOccurred)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)

    def start(self) -> None:
        """Start it; what goes wrong is told by ``onEnded``."""
        self._process.start(self._command[0], self._command[1:])

    def send(self, request: dict[str, Any]) -> None:
        """Write one request."""
        self._process.write(json.dumps(request).encode() + b"\n")

    def kill(self) -> None:
        """End the whole process tree now; ``onEnded`` follows."""
        if self._ended:
            return
        if self._process.state() == qt.QProcess.NotRunning:
            # Whatever Qt has failed to tell, nobody waits for a process that is not there.
            self._onFinished()
            return
        killProcessTree(int(self._process.processId()), self._workerId)

    def end(self, graceMilliseconds: int) -> None:
        """Close stdin, upon which the worker ends; kill what has not ended in time. Blocks until nothing is left."""
        if self._ended:
            return
        self._process.closeWriteChannel()
        if not self._process.waitForFinished(graceMilliseconds):
            self.kill()
            self._process.waitForFinished(graceMilliseconds)

    def _readOutput(self) -> None:
        self._output.add(self._process.readAllStandardOutput().data())
        for line in self._output.taken():
            self._takeOutput(line)

    def _takeOutput(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            self._keep(line)
            return
        if event["event"] == "hello":
            self._workerId = int(event.get("pid", 0))
        self._onEvent(event)

    def _readErrors(self) -> None:
        self._errors.add(self._process.readAllStandardError().data())
        for line in self._errors.taken():
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        """Lines are decoded whole, so that no character is split between two reads."""
        text = line[:_LONGEST_REMARK].decode("utf-8", errors="replace").rstrip()
        if not text:
            return
        self._log.append(text)
        if _CRASH_BELOW_LAUNCHER.match(text):
            self._hasCrashed = True
        else:
            self._reason.append(text)

    def _onErrorOccurred(self, error: int) -> None:
        # All other errors are followed by finished().
        if error != qt.QProcess.FailedToStart:
            return
        self._end(
            workerError(
                "WORKER_NOT_STARTED",
                _("The segmentation process could not be started ({reason}).").format(
                    reason=self._process.errorString()
                ),
                _("Start the application again; if that does not help, install it again."),
            )
        )

    def _onFinished(self) -> None:
        self._readOutput()
        self._readErrors()
        for rest in (self._output.rest(), self._errors.rest()):
            self._keep(rest)
        if self._hasCrashed or self._process.exitStatus() == qt.QProcess.CrashExit:
            how = _("it crashed or was ended by the system")
        else:
            how = _("exit code {code}").format(code=self._process.exitCode())
        self._end(
            workerError(
                "WORKER_ENDED",
                _("The segmentation process ended unexpectedly: {reason}.").format(
                    reason="; ".join([how, *self._reason]).rstrip(".")
                ),
                _("Try it again. If memory was short, close other programs or choose the CPU as device."),
            )
        )

    def _end(self, error: LckdError) -> None:
        if not self._ended:
            self._ended = True
            self._process.deleteLater()
            self._onEnded(error)


class _Lines:
    """The bytes of a stream as lines; a lone carriage return, with which progress bars begin anew, ends one too.

    :param longest: what is longer is given in pieces of about this many bytes
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = b""
        self._whole: deque[bytes] = deque()

    def add(self, content: bytes) -> None:
        """Take what was read."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + content)
        self._whole.extend(lines)
        if len(self._rest) > self._longest:
            self._whole.append(self.rest())

    def taken(self) -> Iterator[bytes]:
        """Take away one line at a time, so that an error in a receiver loses no other line."""
        while self._whole:
            yield self._whole.popleft()

    def rest(self) -> bytes:
        """Take away what is there of a line that has not ended."""
        rest, self._rest = self._rest, b""
        return rest


def workerError(code: str, message: str, action: str) -> LckdError:
    """Return an error as the engine's own: a stable code, one sentence, one action."""
    from lckd.errors import LckdError

    return LckdError(code, message, action)


def pythonSlicer() -> str:
    """Return the path of Slicer's own Python.

    :raises LckdError: PYTHON_NOT_FOUND, it is not where Slicer has it
    """
    # As slicer.util.executePythonModule: Slicer puts the folder of PythonSlicer on its PATH.
    python = shutil.which("PythonSlicer")
    if python is None and Path(sys.executable).stem.startswith("PythonSlicer"):
        python = sys.executable
    if python is None:
        raise workerError(
            "PYTHON_NOT_FOUND",
            _("PythonSlicer, the Python of the application, was not found."),
            _("Install the application again."),
        )
    return python


def workerCommand() -> list[str]:
    """Return the command that starts the worker for this process, in Slicer's own Python.

    :raises LckdError: PYTHON_NOT_FOUND
    """
    return [pythonSlicer(), "-m", "lckd.worker", "--parent", str(os.getpid())]


def workerEnvironment() -> qt.QProcessEnvironment:
    """Return the environment of the application with what the engine needs; that of the application stays as it is."""
    environment = qt.QProcessEnvironment.systemEnvironment()
    before = environment.value("PYTHONPATH")
    # The two modules lie in one folder where they are installed, and in two where they are developed.
    found = filter(None, map(importlib.util.find_spec, ("lckd", "lckd_training")))
    folders = [*dict.fromkeys(str(Path(str(one.origin)).parents[1]) for one in found), *([before] if before else [])]
    # Slicer's launcher puts its own folders in front of these.
    environment.insert("PYTHONPATH", os.pathsep.join(folders))
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    # The folder from which the application was started may hold anything, also a torch.py.
    environment.insert("PYTHONSAFEPATH", "1")
    return environment


def killProcessTree(root: int, groupLeader: int = 0) -> None:
    """Kill a process and all its descendants. What has ended already is no error.

    :param root: process id
    :param groupLeader: a descendant that may lead a process group of its own, which is killed too
    """
    if root <= 0:
        return
    if sys.platform == "win32":
        taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        subprocess.run([taskkill, "/T", "/F", "/PID", str(root)], capture_output=True, creationflags=0x08000000)
        return
    tree = [root, *_descendants(root)]
    # macOS denies permission where the process has ended and is not yet fetched by its parent.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if groupLeader in tree and os.getpgid(groupLeader) == groupLeader:
            os.killpg(groupLeader, signal.SIGKILL)
    for process in tree:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def _descendants(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for process, parent in _processes():
        children.setdefault(parent, []).append(process)
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), []):
            yield child
            waiting.append(child)


def _processes() -> list[tuple[int, int]]:
    """All processes and their parents."""
    if not sys.platform.startswith("linux"):
        listed = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
        return [(int(process), int(parent)) for process, parent in map(str.split, listed.splitlines())]
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name of the program, in parentheses, may hold anything.
                state = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                found.append((int(folder.name), int(state[1])))
    return found

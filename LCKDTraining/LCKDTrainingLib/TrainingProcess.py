"""The training as a process of its own, which may outlive the application; all that it prints goes into the run folder.

The process leads a session (Windows: a process group) of its own, so that nothing that ends the application ends it. A
small file in the run folder says which process it is, so that another application knows before its first event.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from LCKDSegmentationLib.WorkerProcess import killProcessTree, workerEnvironment, workerError

if TYPE_CHECKING:
    from lckd.errors import LckdError, OutputError

LOG_FILE = "log.txt"
LAUNCH_FILE = "process.json"
#: The application stays quick while the processors are busy.
_NICENESS = 5
#: How long a process that was killed is waited for.
_DEATH_SECONDS = 5.0
#: So long a training on another computer may say nothing before its first event.
_FIRST_EVENT_SECONDS = 600.0
#: So much of the end of the log is read for the reason of a failure, in bytes; and so many of its lines are told.
_READ_LOG = 64 * 1024
_REASON_LINES = 3
_LONGEST_REASON = 300
#: Slicer's launcher prints this and ends with 1 when the program that it started has crashed or was killed.
_CRASH_BELOW_LAUNCHER = "exit abnormally"


@dataclass(frozen=True)
class Launch:
    """Which process was started last in a run folder.

    :param pid: of the program that was started, which lives as long as the training
    :param host: name of its computer
    :param time: when, seconds since 1970
    :param log: where in the log its words begin, in bytes
    :param wasKilled: whether the user has ended it at once
    """

    pid: int
    host: str
    time: float
    log: int
    wasKilled: bool = False

    @staticmethod
    def read(folder: Path) -> Launch | None:
        """Return what the run folder tells; None if no application has started a training in it."""
        try:
            facts = json.loads((folder / LAUNCH_FILE).read_text(encoding="utf-8"))
            place = (int(facts["pid"]), str(facts["host"]), float(facts["time"]), int(facts["log"]))
            return Launch(*place, wasKilled=bool(facts.get("wasKilled")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Tell it in the run folder.

        :raises OSError: that cannot be written
        """
        temporary = folder / f"{LAUNCH_FILE}.{self.pid}.tmp"
        try:
            temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
            os.replace(temporary, folder / LAUNCH_FILE)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def isAlive(self) -> bool:
        """Whether its process is there; on another computer, whether it was started a short time ago."""
        from lckd.worker.lifetime import is_alive

        if self.host == platform.node():
            return is_alive(self.pid)
        return time.time() - self.time < _FIRST_EVENT_SECONDS


class TrainingProcess:
    """A training that this application has started.

    As long as its end has not been taken note of, the system gives its number to no other process.

    :param command: program and arguments
    :param folder: the run folder, which is there
    :raises LckdError: NOT_WRITABLE, TRAINING_NOT_STARTED
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._folder = folder
        try:
            with (folder / LOG_FILE).open("ab") as log:
                begin = log.seek(0, os.SEEK_END)
                self._process = _start(command, log)
        except OSError as error:
            if error.filename == str(folder / LOG_FILE):
                raise notWritable(folder) from error
            raise _notStarted(error) from error
        self.launch = Launch(self._process.pid, platform.node(), time.time(), begin)
        try:
            self.launch.write(folder)
        except OSError as error:
            self.kill()
            raise notWritable(folder) from error

    @property
    def isRunning(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def exitCode(self) -> int | None:
        """The exit status once it has ended; that of the system's signal is negative."""
        return self._process.poll()

    def kill(self) -> None:
        """End it and all that it has started, now."""
        if not self.isRunning:
            return
        killProcessTree(self._process.pid, self._process.pid)
        self.waitForEnd(_DEATH_SECONDS)
        self.launch = replace(self.launch, wasKilled=True)
        # Where the disk is full, other applications do not learn of it.
        with contextlib.suppress(OSError):
            self.launch.write(self._folder)

    def waitForEnd(self, seconds: float) -> bool:
        """Wait so long for its end; return whether it has come. Blocks."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.isRunning


def loggedError(folder: Path, launch: Launch) -> LckdError | None:
    """Return the error that the training has printed since a launch, with its code, message and action."""
    facts: dict[str, Any] | None = None
    for line in _lastLines(folder, launch):
        event = _asEvent(line)
        if event is not None and event["event"] == "error":
            facts = event
    return workerError(*(str(facts.get(name, "")) for name in ("code", "message", "action"))) if facts else None


def unexpectedEnd(folder: Path, launch: Launch, exitCode: int | None) -> LckdError:
    """Return why a training has ended that did not say so itself.

    :param exitCode: its exit status; None if it is not known
    """
    from lckd.errors import OutputError

    lines = [line for line in _lastLines(folder, launch) if _asEvent(line) is None]
    words = [line for line in lines if _CRASH_BELOW_LAUNCHER not in line]
    if exitCode == OutputError.exit_status:
        return notWritable(folder)
    if exitCode is None or exitCode < 0 or len(words) < len(lines):
        how = _("it crashed or was ended by the system")
    else:
        how = _("exit code {code}").format(code=exitCode)
    reason = "; ".join([how, *words[-_REASON_LINES:]])[:_LONGEST_REASON].rstrip(".")
    return workerError(
        "TRAINING_ENDED",
        _("The training ended unexpectedly: {reason}.").format(reason=reason),
        _(
            "Resume it; what was done up to the last checkpoint is kept. If memory was short, close other programs or"
            " make the patch smaller."
        ),
    )


def notWritable(folder: Path) -> OutputError:
    """Return the error for a run folder that takes nothing."""
    from lckd.errors import OutputError

    return OutputError(
        "NOT_WRITABLE",
        _("{folder} cannot be written to.").format(folder=folder),
        _("Check that the folder is yours to change and that the disk is not full, or choose another one."),
    )


def _start(command: Sequence[str], log: Any) -> subprocess.Popen[bytes]:
    """Start it apart from this application: no console, no terminal, no signal is shared."""
    variables = workerEnvironment()
    # As slicer.util.startupEnvironment: Windows keeps the folder of each drive under names that Qt reads as empty.
    names = filter(None, variables.keys())
    environment = {name: variables.value(name) for name in names}
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
    if sys.platform == "win32":
        # A console of its own that is hidden: without any, what the launcher starts would open a window.
        flags = (
            subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        )
        return subprocess.Popen(command, env=environment, creationflags=flags, **streams)
    process = subprocess.Popen(command, env=environment, start_new_session=True, **streams)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS)
    return process


def _notStarted(error: OSError) -> LckdError:
    return workerError(
        "TRAINING_NOT_STARTED",
        _("The training could not be started ({reason}).").format(reason=error),
        _("Start the application again; if that does not help, install it again."),
    )


def _lastLines(folder: Path, launch: Launch) -> Iterator[str]:
    """The last lines of the log since a launch; none if it cannot be read."""
    with contextlib.suppress(OSError), (folder / LOG_FILE).open("rb") as log:
        log.seek(max(launch.log, log.seek(0, os.SEEK_END) - _READ_LOG))
        for line in log.read().decode("utf-8", errors="replace").splitlines():
            if line.strip():
                yield line.strip()


def _asEvent(line: str) -> dict[str, Any] | None:
    """The JSON event that a line is; None if it is something else."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None

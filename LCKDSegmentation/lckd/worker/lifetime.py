"""The worker never outlives the program that started it, and no process that it started outlives the worker."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

#: How often the parent is looked after, in seconds.
_INTERVAL = 0.25
#: So long a dying parent is waited for, in seconds: its end of stdin closes a little before it is gone.
_LAST_BREATH = 0.2
_PR_SET_PDEATHSIG = 1
_SYNCHRONIZE = 0x00100000
_WAIT_TIMEOUT = 0x102
_ERROR_ACCESS_DENIED = 5
_INFINITE = 0xFFFFFFFF
_KILL_ON_JOB_CLOSE = 0x2000
_EXTENDED_LIMIT_INFORMATION = 9


class Lifetime:
    """When and how this process ends."""

    def __init__(self) -> None:
        self._ending = threading.Lock()
        self._own_group = False
        self._parent: int | None = None
        self._folders: set[Path] = set()

    def begin(self, parent: int | None) -> None:
        """Gather the children to be, and watch the parent if there is one; in the main thread, and with stdin as given.

        Args:
            parent: process id of the program to which the worker belongs.
        """
        self._parent = parent
        if sys.platform == "win32":
            self._job = _job_of_this_process()
        else:
            signal.signal(signal.SIGTERM, lambda number, _: self.end(128 + number))
            # At a terminal, a group of its own would not be allowed to read.
            if not os.isatty(0) and os.getpgrp() != os.getpid():
                os.setpgid(0, 0)
            self._own_group = os.getpgrp() == os.getpid()
        # Ctrl-C is for the program at the terminal, which will end the worker.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if parent is not None:
            threading.Thread(target=self._watch, args=(parent, self._wakened_by_death()), daemon=True).start()

    def remember(self, folder: Path) -> None:
        """Remove a job folder that the parent made for itself, ``lckd-case-PID-…``, if the parent dies before it."""
        if self._parent is not None and folder.name.startswith(f"lckd-case-{self._parent}-"):
            self._folders.add(folder)

    def end(self, status: int) -> None:
        """End this process at once, whatever it does, with all that it started."""
        if not self._ending.acquire(blocking=False):
            return
        if self._own_group and sys.platform != "win32":
            # It reaches this process too, which is about to end by itself: `_ending` is taken.
            os.killpg(os.getpid(), signal.SIGTERM)
        self._remove_folders()
        os._exit(status)

    def _remove_folders(self) -> None:
        """Leave no images of patients behind a parent that crashed; one that lives does so itself."""
        folders = [folder for folder in self._folders.copy() if folder.is_dir() and not folder.is_symlink()]
        until = time.monotonic() + _LAST_BREATH
        while folders and self._parent is not None and is_alive(self._parent):
            if time.monotonic() > until:
                return
            time.sleep(0.01)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _wakened_by_death(self) -> threading.Event:
        """An event that is set when the parent may have died; Linux says so, elsewhere one has to look."""
        wake = threading.Event()
        if sys.platform == "linux":

            def note(number: int, _: FrameType | None) -> None:
                wake.set()

            signal.signal(signal.SIGHUP, note)
            # The signal also comes when only the thread ends that started this process, so it is no proof.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
        return wake

    def _watch(self, parent: int, wake: threading.Event) -> None:
        if sys.platform == "win32":
            _wait_for_end(parent)
        else:
            first = os.getppid()
            while os.getppid() == first and is_alive(parent):
                wake.wait(_INTERVAL)
                wake.clear()
        self.end(0)


if sys.platform == "win32":

    class _BasicLimits(ctypes.Structure):
        """``JOBOBJECT_BASIC_LIMIT_INFORMATION`` (winnt.h)."""

        _fields_ = (
            ("process_time", ctypes.c_int64),
            ("job_time", ctypes.c_int64),
            ("flags", ctypes.c_uint32),
            ("least_working_set", ctypes.c_size_t),
            ("most_working_set", ctypes.c_size_t),
            ("active_processes", ctypes.c_uint32),
            ("affinity", ctypes.c_size_t),
            ("priority", ctypes.c_uint32),
            ("scheduling", ctypes.c_uint32),
        )

    class _Limits(ctypes.Structure):
        """``JOBOBJECT_EXTENDED_LIMIT_INFORMATION`` (winnt.h)."""

        _fields_ = (
            ("basic", _BasicLimits),
            ("transfers", ctypes.c_uint64 * 6),
            ("memory", ctypes.c_size_t * 4),
        )

    def _kernel32() -> ctypes.WinDLL:
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        for name in ("CreateJobObjectW", "GetCurrentProcess", "OpenProcess"):
            getattr(kernel32, name).restype = ctypes.c_void_p
        return kernel32

    def _job_of_this_process() -> ctypes.c_void_p:
        """A job object that kills its processes, the children of this one, when this one ends and its handle closes."""
        kernel32, limits = _kernel32(), _Limits()
        limits.basic.flags = _KILL_ON_JOB_CLOSE
        job = ctypes.c_void_p(kernel32.CreateJobObjectW(None, None))
        size = ctypes.sizeof(limits)
        if not kernel32.SetInformationJobObject(job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size):
            raise ctypes.WinError(ctypes.get_last_error())
        if not kernel32.AssignProcessToJobObject(job, ctypes.c_void_p(kernel32.GetCurrentProcess())):
            raise ctypes.WinError(ctypes.get_last_error())
        return job

    def is_alive(process: int) -> bool:
        """Whether there is a process with that id."""
        kernel32 = _kernel32()
        handle = kernel32.OpenProcess(_SYNCHRONIZE, False, process)
        if not handle:
            return ctypes.get_last_error() == _ERROR_ACCESS_DENIED
        try:
            return kernel32.WaitForSingleObject(ctypes.c_void_p(handle), 0) == _WAIT_TIMEOUT
        finally:
            kernel32.CloseHandle(ctypes.c_void_p(handle))

    def _wait_for_end(process: int) -> None:
        """Return when there is no process with that id any more."""
        kernel32 = _kernel32()
        handle = kernel32.OpenProcess(_SYNCHRONIZE, False, process)
        if handle:
            kernel32.WaitForSingleObject(ctypes.c_void_p(handle), _INFINITE)

else:

    def is_alive(process: int) -> bool:
        """Whether there is a process with that id; on Linux, not if it only waits to be fetched."""
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError) as error:
            return isinstance(error, PermissionError)
        try:
            state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        except OSError:
            return sys.platform != "linux"
        return state not in "ZX"

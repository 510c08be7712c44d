"""How much memory this process has taken, and how much the computer has; only the standard library is needed."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_MB = 1024**2
#: ``mallopt`` options (malloc.h): no block is mapped for itself (M_MMAP_MAX), the heap's free end stays
#: (M_TRIM_THRESHOLD).
_KEEP = ((-4, 0), (-1, 2**31 - 1))


def resident_mb() -> float | None:
    """Memory that this process holds now, in MB; None where the system does not say."""
    resident = _resident_bytes()
    return None if resident is None else round(resident / _MB, 1)


def physical_bytes() -> int | None:
    """Main memory of this computer in bytes; None where the system does not say."""
    if sys.platform == "win32":
        status = _MemoryStatus(size=ctypes.sizeof(_MemoryStatus))
        return status.total if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def keep_freed_memory() -> None:
    """Let the C library of Linux keep freed memory for the next use instead of asking the system each time.

    The system must clear every page that it hands out, which takes longer than a network's light layers compute. It
    holds for the whole process, so that only programs call it, and `return_free_memory` still gives everything back.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            for option, value in _KEEP:
                mallopt(option, value)


def return_free_memory() -> None:
    """Give memory that was freed back to the system; the C library of Linux otherwise keeps small pieces."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # Not every C library of Linux has it.
            trim(0)


def _resident_bytes() -> int | None:
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "darwin":
        usage = _Usage()
        failed = ctypes.CDLL(None).proc_pid_rusage(os.getpid(), 0, ctypes.byref(usage))
        return None if failed else usage.resident
    if sys.platform == "win32":
        counters = _Counters(size=ctypes.sizeof(_Counters))
        kernel32 = ctypes.windll.kernel32
        kernel32.GetCurrentProcess.restype = ctypes.c_void_p
        own = ctypes.c_void_p(kernel32.GetCurrentProcess())
        return (
            counters.resident if kernel32.K32GetProcessMemoryInfo(own, ctypes.byref(counters), counters.size) else None
        )
    return None


class _Usage(ctypes.Structure):
    """``rusage_info_v0`` of macOS (sys/resource.h)."""

    _fields_ = (
        ("uuid", ctypes.c_uint8 * 16),
        ("before", ctypes.c_uint64 * 6),
        ("resident", ctypes.c_uint64),
        ("after", ctypes.c_uint64 * 3),
    )


class _Counters(ctypes.Structure):
    """``PROCESS_MEMORY_COUNTERS`` of Windows (psapi.h)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("faults", ctypes.c_uint32),
        ("peak", ctypes.c_size_t),
        ("resident", ctypes.c_size_t),
        ("after", ctypes.c_size_t * 6),
    )


class _MemoryStatus(ctypes.Structure):
    """``MEMORYSTATUSEX`` of Windows (sysinfoapi.h)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("after", ctypes.c_uint64 * 6),
    )

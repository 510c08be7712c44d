"""When the program was started."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED = time.perf_counter()


def seconds_since_start() -> float:
    """Seconds since this process was created; since this module was imported where the system does not say."""
    imported = time.perf_counter() - _IMPORTED
    try:
        # Field 22 of proc(5): clock ticks from boot to the start of the process.
        ticks = int(
            Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
        created = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return imported
    # Where a container shows another clock than the kernel counts by, the answer would be absurd.
    return created if imported <= created < imported + 60 else imported

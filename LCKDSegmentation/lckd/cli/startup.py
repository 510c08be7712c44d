"""When the program was started."""

from __future__ import annotations

import time

_IMPORTED = time.perf_counter()


def seconds_since_start() -> float:
    """Seconds since this module, the first of the program, was imported.

    The age of the process would be wrong: a shell may have become this program by exec, long after it was created.
    """
    return time.perf_counter() - _IMPORTED

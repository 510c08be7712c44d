"""Files that one process holds at a time."""

from __future__ import annotations

import errno
import sys
from typing import IO, Any


def hold(file: IO[Any]) -> bool:
    """Lock an open file until it is closed, by its process or by the end of it; False if another process holds it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True

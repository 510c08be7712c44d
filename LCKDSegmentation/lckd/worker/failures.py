"""What went wrong, in the words of the program; tracebacks go to stderr, where a log is kept."""

from __future__ import annotations

import importlib
import sys
import traceback

from ..errors import LckdError, not_enough_memory

_INSTALL_AGAIN = "Install the program's requirements again, then start anew."


def import_engine() -> None:
    """Load torch and the engine.

    Raises:
        LckdError: PACKAGE_MISSING or PACKAGE_BROKEN.
    """
    try:
        importlib.import_module("torch")
        importlib.import_module("lckd.engine")
    except OSError as error:  # A library of the system, in the words of Windows.
        traceback.print_exception(error, file=sys.stderr)
        raise _broken("torch") from error


def in_our_terms(error: Exception) -> LckdError:
    """The error as one that a user understands; what is no refusal of ours is also printed to stderr in full."""
    if isinstance(error, LckdError):
        return error
    traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, MemoryError):
        return not_enough_memory()
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if isinstance(error, ModuleNotFoundError) and package != "lckd":
        return LckdError("PACKAGE_MISSING", f"The package {package} is not installed.", _INSTALL_AGAIN)
    if isinstance(error, ImportError) and package != "lckd":
        return _broken(package)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    message = f"This is a mistake in the program, not in your data ({what})."
    return LckdError("BUG", message, "Report it with the log of the worker.")


def _broken(package: str) -> LckdError:
    message = f"The package {package or 'torch'} is installed but does not work."
    return LckdError("PACKAGE_BROKEN", message, _INSTALL_AGAIN)

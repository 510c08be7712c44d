"""The command line: parses, calls one function of the engine, and says what came out. No logic of its own.

Nothing heavy is imported before a command runs, so that help and tab completion come at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence as Items
from typing import NoReturn

import click

from ..errors import CancelledError, OutputError, UsageError, not_enough_memory
from ..memory import keep_freed_memory
from . import startup as startup  # notes when the program started
from .commands import lckd
from .console import console_of, fail
from .interrupts import INTERRUPTS

#: Set by a shell that asks for the completion of a command line.
_COMPLETION = "_LCKD_COMPLETE"


def main() -> NoReturn:
    """The entry point of the command ``lckd``: ends the process with one of the exit statuses of `run`."""
    keep_freed_memory()
    if sys.stderr is not None:
        # Readers silence file 2 while ITK speaks (`images`); what the program says itself must come through.
        sys.stderr = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding=sys.stderr.encoding)
    for stream in (sys.stdout, sys.stderr):
        # A path with letters that the terminal does not have must not end a run.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # a second one, while the first was being reported
        status = CancelledError.exit_status
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            # It is full, or closed by its reader (lckd … | head). Python would complain about that once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            status = status or OutputError.exit_status
    sys.exit(status)


def run(arguments: Items[str]) -> int:
    """Run one command and return its exit status. Every error ends here, as a message and not as a traceback.

    0 done; 2 the command line is wrong; 3 the input is refused; 4 the model is refused; 5 the output cannot be written;
    6 not enough memory; 7 some cases failed or cannot be used; 130 interrupted; 1 is a bug.
    """
    debug, context = "--debug" in arguments, None
    with INTERRUPTS.caught(), warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        try:
            if _COMPLETION in os.environ:
                lckd.main(prog_name="lckd")  # answers the shell and exits
            context = lckd.make_context("lckd", list(arguments))
            with context:
                lckd.invoke(context)
            INTERRUPTS.stop_if_requested()
            return 0
        except click.exceptions.Exit as end:
            return end.exit_code
        except BrokenPipeError:  # whoever read our output has closed it
            return OutputError.exit_status
        except (Exception, KeyboardInterrupt) as error:
            return fail(console_of(context, "--json" in arguments), _in_our_terms(error), debug)


def _in_our_terms(error: BaseException) -> BaseException:
    """The errors of click and Python that are no bugs, as ours."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "lckd"
        return UsageError("USAGE", error.format_message(), f"See {command} --help.")
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return CancelledError()
    if isinstance(error, MemoryError):
        return not_enough_memory()
    if isinstance(error, OSError) and error.errno and not error.filename:  # no file, so one of the streams
        message = f"What the program says cannot be written ({error.strerror})."
        return OutputError("NOT_WRITABLE", message, "Make room, or send it elsewhere.")
    return error

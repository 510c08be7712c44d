"""What the program says: words for people, or one JSON object a line for programs."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import click

from ..errors import LckdError
from .interrupts import INTERRUPTS

if TYPE_CHECKING:
    from tqdm import tqdm

_STAGE_TITLES = {
    "start": "starting",
    "check": "checking",
    "read": "reading",
    "prepare": "preparing",
    "network": "segmenting",
    "restore": "putting back",
    "compare": "comparing",
    "write": "writing",
}
#: The least step of progress that is told, as a fraction of the whole.
_STEP = 0.005


class BugError(LckdError):
    """An unexpected exception, which is always a mistake in this program."""

    def __init__(self, error: BaseException) -> None:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        action = "Run the command again with --debug and report what it prints."
        super().__init__("BUG", f"This is a mistake in the program, not in your data ({what}).", action)


class Console(Protocol):
    """Where a command says what it does."""

    def progress(self, stage: str, fraction: float, case: str = "") -> None:
        """The stage of the work (of one case of several) and the fraction done of all of it."""

    def warning(self, message: str, **facts: Any) -> None:
        """Something the user should know, while the work goes on."""

    def result(self, words: Iterable[str], **facts: Any) -> None:
        """The outcome: as lines of words, and as facts, of which `report` is a run report."""

    def error(self, error: LckdError) -> None:
        """Why there is no outcome."""


def on_terminal() -> bool:
    """Whether somebody is looking at a progress bar."""
    return sys.stderr.isatty()


class Words:
    """Results on stdout; progress and what went wrong on stderr."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._fraction = 0.0

    def progress(self, stage: str, fraction: float, case: str = "") -> None:
        INTERRUPTS.enter_stage(stage)
        if not on_terminal():
            return
        title = _STAGE_TITLES.get(stage, stage)
        title = f"{case}: {title}" if case else title
        if self._bar is None:
            from tqdm import tqdm

            form = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(desc=title, total=1.0, leave=False, bar_format=form)
        self._bar.set_description_str(title, refresh=False)
        self._bar.update(fraction - self._fraction)
        self._fraction = fraction

    def warning(self, message: str, **facts: Any) -> None:
        self._clear()
        click.echo(f"Warning: {message}", err=True)

    def result(self, words: Iterable[str], **facts: Any) -> None:
        self._clear()
        for line in words:
            click.echo(line)

    def error(self, error: LckdError) -> None:
        self._clear()
        click.echo(f"Error [{error.code}]: {error.message}\n{error.action}", err=True)

    def _clear(self) -> None:
        """Take the bar off the screen before something else is printed there."""
        if self._bar is not None:
            self._bar.close()
            self._bar, self._fraction = None, 0.0


class JsonLines:
    """Events on stdout, as DESIGN promises them, and nothing else there."""

    def __init__(self) -> None:
        self._stage: tuple[str, str] | None = None
        self._told = -1.0
        self._warned: set[str] = set()

    def progress(self, stage: str, fraction: float, case: str = "") -> None:
        INTERRUPTS.enter_stage(stage)
        if (stage, case) != self._stage:
            self._stage = (stage, case)
            self._emit("stage", stage=stage, **({"case": case} if case else {}))
        if fraction >= self._told + _STEP or fraction >= 1.0 > self._told:
            self._told = fraction
            self._emit("progress", fraction=round(fraction, 4))

    def warning(self, message: str, **facts: Any) -> None:
        self._warned.add(message)
        self._emit("warning", message=message, **facts)

    def result(self, words: Iterable[str], **facts: Any) -> None:
        for message in facts.get("report", {}).get("warnings", []):
            if message not in self._warned:
                self.warning(message)
        self._emit("result", **facts)

    def error(self, error: LckdError) -> None:
        click.echo(json.dumps(error.as_event()))

    def _emit(self, event: str, **facts: Any) -> None:
        click.echo(json.dumps({"event": event, **facts}))


class Silent:
    """Says only what goes wrong, on stderr: the other processes of a batch speak through the first."""

    def progress(self, stage: str, fraction: float, case: str = "") -> None:
        INTERRUPTS.enter_stage(stage)

    def warning(self, message: str, **facts: Any) -> None:
        pass

    def result(self, words: Iterable[str], **facts: Any) -> None:
        pass

    def error(self, error: LckdError) -> None:
        Words().error(error)


def open_console(as_json: bool, silent: bool = False) -> Console:
    """The console of a command with or without ``--json``, or of one that another process speaks for."""
    console: Console = Silent() if silent else JsonLines() if as_json else Words()
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[_CONSOLE] = console
    return console


def console_of(context: click.Context | None, as_json: bool) -> Console:
    """The console that a command has opened; a new one if it did not come to that."""
    return (context.meta.get(_CONSOLE) if context is not None else None) or open_console(as_json)


_CONSOLE = "lckd.console"


def fail(console: Console, error: BaseException, debug: bool) -> int:
    """Say why a command failed and return its exit status; the traceback only where it was asked for."""
    known = error if isinstance(error, LckdError) else BugError(error)
    try:
        if debug:
            traceback.print_exception(error)
        console.error(known)
    except OSError:  # stdout is full or closed; if stderr is as well, the status alone must say it
        with contextlib.suppress(OSError):
            Words().error(known)
    return known.exit_status

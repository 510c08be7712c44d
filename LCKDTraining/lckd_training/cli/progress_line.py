"""A training run on the screen: one line that is rewritten in place, or a line now and then where nobody looks on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lckd.cli.console import on_terminal

from ..watching.events import (
    Checkpoint,
    Election,
    End,
    Event,
    History,
    Stage,
    Start,
    Step,
    parse_event,
    steps_per_second,
)
from ..watching.status import LONG, RECENT
from .status_words import duration, title_of

if TYPE_CHECKING:
    from tqdm import tqdm

#: Least seconds between two lines on what is no terminal.
_QUIET_SECONDS = 10.0


class ProgressLine:
    """Says on stderr what a run does, event by event.

    Args:
        iterations: iterations in all.
        batch: patches of a step in each process.
        clock: seconds that pass.
    """

    def __init__(self, iterations: int, batch: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._iterations, self._batch, self._clock = iterations, batch, clock
        self._history = History()
        self._bar: tqdm | None = None
        self._said: float | None = None

    def __call__(self, facts: dict[str, Any]) -> None:
        """Take in an event of the run."""
        event = parse_event(facts)
        if event is None:
            return
        self._history.add(event)
        if isinstance(event, Step):
            self._show(self._words_of_step())
        elif isinstance(event, (Start, Stage)):
            self._show(_words_of_start(event))
        else:
            self._say(_words_of(event))

    def close(self) -> None:
        """Take the line off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, words: str) -> None:
        """Rewrite the line; on what is no terminal, print one, unless there was one a moment ago."""
        if not on_terminal():
            if self._said is None or self._clock() - self._said >= _QUIET_SECONDS:
                self._said = self._clock()
                click.echo(words, err=True)
            return
        if self._bar is None:
            from tqdm import tqdm

            form = "{desc} {percentage:3.0f}% |{bar}|"
            self._bar = tqdm(desc=words, total=self._iterations, leave=False, bar_format=form, dynamic_ncols=True)
        self._bar.n = self._history.done
        self._bar.set_description_str(words)

    def _say(self, words: str) -> None:
        """Print a line that stays; the live one remains below it."""
        if not words:
            return
        if self._bar is not None:
            self._bar.clear()
        click.echo(words, err=True)
        if self._bar is not None:
            self._bar.refresh()

    def _words_of_step(self) -> str:
        history = self._history
        recent = history.last_steps(RECENT)
        loss = sum(step.loss for step in recent) / len(recent)
        words = [f"iteration {history.done:,} of {self._iterations:,}", f"loss {loss:.3f}"]
        pace, long_pace = steps_per_second(recent), steps_per_second(history.last_steps(LONG))
        if pace is not None and long_pace is not None:
            processes = history.start.processes if history.start is not None else 1
            words.append(f"{pace * processes * self._batch:.2g} patches/s")
            words.append(f"{duration((self._iterations - history.done) / long_pace)} left")
        return ", ".join(words)


def _words_of_start(event: Start | Stage) -> str:
    if isinstance(event, Start):
        return f"starting on {event.device}, iteration {event.iteration:,}"
    return event.message if event.fraction is None else f"{event.message} ({event.fraction:.0%} done)"


def _words_of(event: Event) -> str:
    """What is said of an event for good; empty if nothing is."""
    if isinstance(event, Election):
        teachers = ", ".join(f"{region} {title_of(name)}" for region, name in event.teachers.items())
        score = f", score {event.score:.3f}" if event.score is not None else ""
        return f"iteration {event.iteration:,}: {f'teachers {teachers}' if teachers else 'no teacher yet'}{score}"
    if isinstance(event, Checkpoint) and not on_terminal():
        return f"iteration {event.iteration:,}: checkpoint" + (", the best so far" if event.best else "")
    if isinstance(event, End) and event.reason == "interrupted":
        return f"Stopped after {event.iteration:,} iterations; go on with --resume."
    return ""

"""A button that starts a piece of work and is *Cancel* while it goes on, with the progress below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import qt
from slicer.i18n import tr as _

from .Panel import Message, Panel, setEnabledWithReason
from .ProgressDisplay import ProgressDisplay


class Cancellable(Protocol):
    """A piece of work under way."""

    def cancel(self) -> object:
        """Stop it."""


@dataclass(frozen=True)
class ButtonWords:
    """What the button is called and what its tool tips say: before, while the work goes on, while it is stopped."""

    start: str
    startToolTip: str
    cancelToolTip: str
    stoppingToolTip: str


class RunButton:
    """Starts, shows and cancels one piece of work at a time.

    :param message: takes what is to be said
    :param problem: says why nothing can be started now; empty if it can
    :param start: starts the work and calls `begin` with it; it may be refused with an ``LckdError``

    Attributes:
        run: what is under way; None while nothing is.
    """

    def __init__(
        self,
        panel: Panel,
        button: qt.QPushButton,
        progress: ProgressDisplay,
        message: Message,
        words: ButtonWords,
        problem: Callable[[], str],
        start: Callable[[], None],
    ) -> None:
        self.run: Any = None
        self.progress = progress
        self.message = message
        self._panel = panel
        self._button = button
        self._words = words
        self._problem = problem
        self._start = start
        self._isStopping = False
        button.connect("clicked(bool)", self.startOrCancel)

    @property
    def isRunning(self) -> bool:
        """Whether something is under way."""
        return self.run is not None

    def update(self) -> None:
        """Show what the button does now, or why it does nothing."""
        if self._isStopping:
            setEnabledWithReason(self._button, self._words.stoppingToolTip, "")
        elif self.isRunning:
            self._button.text = _("Cancel")
            setEnabledWithReason(self._button, "", self._words.cancelToolTip)
        else:
            self._button.text = self._words.start
            setEnabledWithReason(self._button, self._problem(), self._words.startToolTip)

    def startOrCancel(self) -> None:
        """Do what the button says."""
        if self.run is not None:
            self._isStopping = True
            self.update()
            self.run.cancel()
        elif self.message.try_(self._panel.requirements.ensure) and not self._problem():
            self.message.say("")
            self.message.try_(self._start)
            self._panel.changed()

    def begin(self, run: Cancellable) -> None:
        """Work has been started."""
        self.run = run
        self.progress.start()
        self.progress.reveal()

    def end(self) -> None:
        """Nothing is under way any more."""
        self.run, self._isStopping = None, False
        self.progress.stop()

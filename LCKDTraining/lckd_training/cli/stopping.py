"""Ctrl-C and SIGTERM while a network is trained: the iteration is finished and a checkpoint written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopRequest:
    """Notes the first signal once the run has started; before, and from the second on, signals act at once.

    Args:
        tell: told in words that the run will stop.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._requested = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether the run shall stop."""
        return self._requested

    def hear(self, event: dict[str, Any]) -> None:
        """Take in an event of the run."""
        if event.get("event") == "start" and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # A process that was told to ignore a signal (nohup, a shell's background) goes on ignoring it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)

    def close(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        self.close()
        self._tell("Stopping after this iteration; once more to stop at once.")

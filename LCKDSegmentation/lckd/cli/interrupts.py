"""Ctrl-C and SIGTERM: at once, except while results are being written; those are written whole first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Turns both signals into KeyboardInterrupt at a moment when it leaves nothing half-written."""

    def __init__(self) -> None:
        self._requested = False
        self._writing = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals within the block; only the main thread of a process may do that."""
        self._requested = self._writing = False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number, handler in before.items():
            # A process that was told to ignore a signal (nohup, a shell's background) goes on ignoring it.
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def enter_stage(self, stage: str) -> None:
        """Told at every step of the work: whoever pressed Ctrl-C during ``write`` is heard when it is over.

        Raises:
            KeyboardInterrupt: the user asked to stop meanwhile.
        """
        self._writing = stage == "write"
        if not self._writing:
            self.stop_if_requested()

    def stop_if_requested(self) -> None:
        """Raises:
        KeyboardInterrupt: the user asked to stop.
        """
        if self._requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        if not self._writing:
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()

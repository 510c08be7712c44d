"""What a run tells while it goes on: events in its folder, and to whoever listens."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable
from typing import Any

from lckd.errors import LckdError, OutputError

from .folder import RunFolder

Announce = Callable[[dict[str, Any]], None]


class Reporter:
    """Tells each event with its time; of several processes only the first writes.

    Args:
        folder: of the run.
        announce: gets every event.
        writes: whether this process writes them to ``events.jsonl``.
    """

    def __init__(self, folder: RunFolder, announce: Announce = lambda _: None, writes: bool = True) -> None:
        self._folder = folder
        self._announce = announce
        self._writes = writes
        self._done = 0

    def report(self, **event: Any) -> None:
        """Tell an event; its kind is under ``event``.

        Raises:
            OutputError: it cannot be written.
        """
        if "iteration" in event:
            self._done = event["iteration"] + (event["event"] == "step")
        event["time"] = round(time.time(), 3)
        if self._writes:
            self._folder.append_event(event)
        self._announce(event)

    def end(self, reason: str, error: LckdError | None = None, alone: bool = False) -> None:
        """Tell what ended the run (finished, interrupted, failed), if that can be written.

        Args:
            reason: what.
            error: in words.
            alone: no other process knows of it, so that this one writes, too.
        """
        self._writes = self._writes or alone
        words = {} if error is None else {"code": error.code, "message": error.message, "action": error.action}
        with contextlib.suppress(OutputError):
            self.report(event="end", iteration=self._done, reason=reason, **words)


def this_process() -> dict[str, Any]:
    """By what others tell whether it lives."""
    return {"pid": os.getpid(), "host": platform.node()}

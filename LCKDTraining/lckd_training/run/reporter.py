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
    """Tells each event with its time; of several processes only the first speaks.

    Args:
        folder: of the run.
        announce: gets every event that is also written to ``events.jsonl``.
        speaks: whether this process does.
    """

    def __init__(self, folder: RunFolder, announce: Announce = lambda _: None, speaks: bool = True) -> None:
        self._folder = folder
        self._announce = announce
        self._speaks = speaks
        self._done = 0

    def report(self, **event: Any) -> None:
        """Tell an event; its kind is under ``event``.

        Raises:
            OutputError: it cannot be written.
        """
        if "iteration" in event:
            self._done = event["iteration"] + (event["event"] == "step")
        if self._speaks:
            event["time"] = round(time.time(), 3)
            self._folder.append_event(event)
            self._announce(event)

    def end(self, reason: str, error: LckdError | None = None) -> None:
        """Tell what ended the run (finished, interrupted, failed), if that can be written."""
        words = {} if error is None else {"code": error.code, "message": error.message, "action": error.action}
        with contextlib.suppress(OutputError):
            self.report(event="end", iteration=self._done, reason=reason, **words)


def this_process() -> dict[str, Any]:
    """By what others tell whether it lives."""
    return {"pid": os.getpid(), "host": platform.node()}

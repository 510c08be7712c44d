"""The worker's private line to the program that started it; stray prints of libraries cannot reach it."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO


class Channel:
    """Events as JSON lines, from several threads.

    Args:
        stream: where they go.
        on_closed: called when nobody reads there any more.
    """

    def __init__(self, stream: BinaryIO, on_closed: Callable[[], None]) -> None:
        self._stream = stream
        self._on_closed = on_closed
        self._lock = threading.Lock()

    def emit(self, event: str, request: Any = None, **facts: Any) -> None:
        """Send one event that belongs to the request with that id, or to none."""
        line = json.dumps({"event": event, "id": request, **facts}).encode() + b"\n"
        try:
            with self._lock:
                self._stream.write(line)
                self._stream.flush()
        except OSError:  # A broken pipe, which Windows calls by other names.
            self._on_closed()


def take_over_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for requests and events alone, and return them.

    For everybody else in this process, stdin becomes empty and stdout becomes stderr. On Windows that also keeps the
    start of libraries from waiting for the thread that reads stdin.
    """
    requests, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    if sys.stderr is None:
        os.dup2(nowhere, 2)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    os.close(nowhere)
    os.dup2(2, 1)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stderr
    return requests, events

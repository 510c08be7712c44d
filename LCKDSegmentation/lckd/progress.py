"""How much of the work is done, and whether the user wants it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import CancelledError

#: Called with the stage and the fraction done, 0 to 1.
Listener = Callable[[str, float], None]


class Progress:
    """Counts work done, tells a listener, notes how long each stage took, and stops when asked to.

    Args:
        listener: is told the stage and the fraction of all work done.
        is_cancelled: asked between two pieces of work.
        warn: is told at once, in words, what the user should know while the work goes on.
    """

    def __init__(
        self,
        listener: Listener | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self.warn = warn
        self._listener = listener
        self._is_cancelled = is_cancelled
        self._done = 0.0
        self._stage = ""

    @contextmanager
    def stage(self, name: str, share: float) -> Iterator[Callable[[float], None]]:
        """A stage of the work and its share of the whole; yields a function that takes the fraction done of it.

        Raises:
            CancelledError: the user asked to stop.
        """
        before, self._stage, started = self._done, name, time.perf_counter()
        self._tell(before)
        try:
            yield lambda fraction: self._tell(before + share * fraction)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self._tell(before + share)

    def _tell(self, done: float) -> None:
        if self._is_cancelled is not None and self._is_cancelled():
            raise CancelledError()
        self._done = min(1.0, round(done, 9))  # shares add up to 1 but for rounding
        if self._listener is not None:
            self._listener(self._stage, self._done)

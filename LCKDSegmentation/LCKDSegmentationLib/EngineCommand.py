"""Runs ``lckd …`` in a process of its own, exactly as a shell would, and tells what its ``--json`` says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .WorkerProcess import WorkerProcess, pythonSlicer, workerError

if TYPE_CHECKING:
    from lckd.errors import LckdError

_LOG_LINES = 200
_GRACE_MILLISECONDS = 2000


class EngineCommand:
    """One run of the command ``lckd``.

    :param arguments: what follows ``lckd``; ``--json`` is added
    :param onEvent: is told each event: ``stage``, ``progress``, ``warning``, ``result``
    :param onEnded: is told the error, None if all went well; a run that was cancelled ends with ``CancelledError``
    :param python: returns the program that runs Python; by default Slicer's own
    """

    def __init__(
        self,
        arguments: Sequence[str],
        onEvent: Callable[[dict[str, Any]], None],
        onEnded: Callable[[LckdError | None], None],
        python: Callable[[], str] = pythonSlicer,
    ) -> None:
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.isRunning = False
        self._onEvent = onEvent
        self._onEnded = onEnded
        self._error: LckdError | None = None
        self._hasResult = False
        self._isCancelled = False
        command = [python(), "-m", "lckd", *arguments, "--json"]
        self._process = WorkerProcess(command, self.log, self._takeEvent, self._takeEnd)

    def start(self) -> None:
        """Start it."""
        self.isRunning = True
        self._process.start()

    def cancel(self) -> None:
        """End the whole process tree; what is finished stays. Blocks until nothing is left."""
        if self.isRunning:
            self._isCancelled = True
            self._process.kill()
            self._process.end(_GRACE_MILLISECONDS)

    def _takeEvent(self, event: dict[str, Any]) -> None:
        if event["event"] == "error":
            self._error = workerError(*(str(event.get(name, "")) for name in ("code", "message", "action")))
            return
        self._hasResult = self._hasResult or event["event"] == "result"
        self._onEvent(event)

    def _takeEnd(self, error: LckdError) -> None:
        from lckd.errors import CancelledError

        self.isRunning = False
        if self._isCancelled:
            self._onEnded(CancelledError())
        elif self._error is not None:
            self._onEnded(self._error)
        else:
            # Every process that ends is told as an error; for a command with a result it is the normal end.
            self._onEnded(None if self._hasResult else error)

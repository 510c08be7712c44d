"""Asks the worker, a process that stays alive between requests, and tells what it answers.

    client = sharedWorkerClient()
    request = client.request("segment", onEvent=showProgress, onFinished=showResult, job=str(folder))
    ...
    request.cancel()

What the worker understands and answers is written in ``lckd.worker``. Everything happens in the main thread.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from .WorkerProcess import WorkerProcess, workerCommand, workerError

if TYPE_CHECKING:
    from lckd.errors import LckdError

#: A worker that says nothing for so many seconds hangs; it has a heartbeat every second.
SILENCE_SECONDS = 60
#: After so many seconds, what does not stop by itself is killed.
CANCEL_SECONDS = 2.0
QUIT_SECONDS = 1.0
LOG_LINES = 500
#: Requests count from 1.
CANCEL_IDENTIFIER = 0


class RequestState(enum.Enum):
    """What has become of a request."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Request:
    """One thing asked of the worker.

    Attributes:
        do: what was asked for.
        fields: the rest of the request.
        state: what has become of it.
        result: the facts of the ``result`` event, once it is done.
        error: why it failed, an ``LckdError`` with code, message and action.
    """

    def __init__(
        self,
        client: WorkerClient,
        identifier: int,
        do: str,
        fields: dict[str, Any],
        onEvent: Callable[[dict[str, Any]], None] | None,
        onFinished: Callable[[Request], None] | None,
    ) -> None:
        self.do = do
        self.fields = fields
        self.state = RequestState.RUNNING
        self.result: dict[str, Any] | None = None
        self.error: LckdError | None = None
        self._client = client
        self._identifier = identifier
        self._onEvent = onEvent
        self._onFinished = onFinished

    @property
    def isFinished(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state not in (RequestState.RUNNING, RequestState.CANCELLING)

    def cancel(self) -> None:
        """Ask the worker to stop it; if it does not within two seconds, the worker is killed."""
        if self.state is RequestState.RUNNING:
            self.state = RequestState.CANCELLING
            self._client._cancel(self)

    def _take(self, event: dict[str, Any]) -> None:
        """Take one event of the worker about this request, unless it is the last."""
        if self._onEvent is not None and self.state is RequestState.RUNNING:
            self._onEvent(event)

    def _finish(self, result: dict[str, Any] | None = None, error: LckdError | None = None) -> None:
        """End it, once; what comes after the user cancelled it does not count."""
        if self.isFinished:
            return
        if self.state is RequestState.CANCELLING:
            self.state = RequestState.CANCELLED
        elif error is not None:
            self.state, self.error = RequestState.FAILED, error
        else:
            self.state, self.result = RequestState.DONE, result
        if self._onFinished is not None:
            self._onFinished(self)


class WorkerClient:
    """Starts the worker with the first request, again after it ended, and ends it with `shutdown`.

    :param command: returns program and arguments of the worker; may raise an ``LckdError``
    :param silenceSeconds: a worker without a sign of life for so long is killed
    """

    def __init__(
        self,
        command: Callable[[], Sequence[str]] = workerCommand,
        silenceSeconds: int = SILENCE_SECONDS,
    ) -> None:
        #: The last lines that the worker printed besides its events.
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._command = command
        self._process: WorkerProcess | None = None
        self._requests: dict[int, Request] = {}
        self._unsent: list[int] = []
        self._lastIdentifier = 0
        self._failure: LckdError | None = None
        self._isKilledToCancel = False
        self._silenceSeconds = silenceSeconds
        self._silentSeconds = 0
        # Seconds are counted by the event loop: where it stood still, the worker was not silent but unheard.
        self._clock = qt.QTimer()
        self._clock.setInterval(1000)
        self._clock.connect("timeout()", self._onSecond)

    @property
    def isRunning(self) -> bool:
        """Whether there is a worker process."""
        return self._process is not None

    @property
    def isBusy(self) -> bool:
        """Whether something was asked that is not finished."""
        return bool(self._requests)

    def request(
        self,
        do: str,
        onEvent: Callable[[dict[str, Any]], None] | None = None,
        onFinished: Callable[[Request], None] | None = None,
        **fields: Any,
    ) -> Request:
        """Ask for something; nothing is called before this has returned.

        :param do: what: segment, decode, compare, doctor, models, forget, ping
        :param onEvent: is called with each event but the last: ``stage``, ``progress``, ``warning``, ``subset``
        :param onFinished: is called once, when the request is done, failed or cancelled
        :param fields: what else the worker needs: ``job``, ``subset``, ...
        """
        self._lastIdentifier += 1
        request = Request(self, self._lastIdentifier, do, fields, onEvent, onFinished)
        self._requests[self._lastIdentifier] = request
        self._unsent.append(self._lastIdentifier)
        qt.QTimer.singleShot(0, self._sendAll)
        return request

    def waitFor(self, request: Request, seconds: float | None = None) -> dict[str, Any]:
        """Run the event loop until a request is finished, and return its result; for scripts.

        :raises LckdError: it failed, was cancelled, or is not finished after so many seconds and was cancelled then
        """
        from lckd.errors import CancelledError

        started = time.monotonic()
        while not request.isFinished:
            if seconds is not None and time.monotonic() - started > seconds:
                request.cancel()
            slicer.app.processEvents()
            qt.QThread.msleep(5)
        if request.error is not None:
            raise request.error
        if request.result is None:
            raise CancelledError()
        return request.result

    def shutdown(self) -> None:
        """End the worker and all that it started, and cancel what was asked. Blocks until nothing is left."""
        for request in self._requests.values():
            if request.state is RequestState.RUNNING:
                request.state = RequestState.CANCELLING
        process, self._failure = self._process, None
        if process is not None:
            process.end(round(QUIT_SECONDS * 1000))
        self._finishAll()

    def _sendAll(self) -> None:
        """Send what has not been sent, to a worker that is started if there is none."""
        if not self._unsent:
            return
        if self._process is None:
            try:
                process = WorkerProcess(self._command(), self.log, self._onEvent, self._onEnded)
            except Exception as error:
                self._finishAll(_asLckdError(error))
                return
            self._process, self._failure, self._isKilledToCancel = process, None, False
            process.start()
        self._silentSeconds = 0
        self._clock.start()
        unsent, self._unsent = self._unsent, []
        for identifier in unsent:
            # A process that fails to start may have ended all requests by now.
            request = self._requests.get(identifier)
            if request is not None and self._process is not None:
                self._process.send({**request.fields, "id": identifier, "do": request.do})

    def _cancel(self, request: Request) -> None:
        identifier = request._identifier
        if identifier in self._unsent or self._process is None:
            self._unsent = [other for other in self._unsent if other != identifier]
            self._finish(identifier)
            return
        self._process.send({"id": CANCEL_IDENTIFIER, "do": "cancel", "target": identifier})
        if identifier == next(iter(self._requests)):
            qt.QTimer.singleShot(round(CANCEL_SECONDS * 1000), lambda: self._killIfNotStopped(request))
        else:
            # The worker is at another request and will pass over this one.
            self._finish(identifier)

    def _killIfNotStopped(self, request: Request) -> None:
        if not request.isFinished and self._process is not None:
            self._isKilledToCancel = True
            self._process.kill()

    def _onEvent(self, event: dict[str, Any]) -> None:
        self._silentSeconds = 0
        identifier = event.get("id")
        request = self._requests.get(identifier) if isinstance(identifier, int) else None
        if request is None:
            return
        kind = event["event"]
        if kind == "result":
            self._finish(identifier, result={name: event[name] for name in event if name not in ("event", "id")})
        elif kind == "error":
            facts = (str(event.get(name, "")) for name in ("code", "message", "action"))
            error = workerError(*facts)
            # For scripts, which end with the status of the command line.
            error.exit_status = int(event.get("exit_status", 1))
            self._finish(identifier, error=error)
        elif kind == "cancelled":
            request.state = RequestState.CANCELLING
            self._finish(identifier)
        elif kind != "heartbeat":
            request._take(event)

    def _onSecond(self) -> None:
        self._silentSeconds += 1
        if self._silentSeconds < self._silenceSeconds or self._process is None:
            return
        self._failure = workerError(
            "WORKER_HANGS",
            _("The segmentation process gave no sign of life for {seconds} seconds and was ended.").format(
                seconds=self._silentSeconds
            ),
            _("Try it again; if it happens again, restart the application."),
        )
        self._process.kill()

    def _onEnded(self, error: LckdError) -> None:
        self._process = None
        self._clock.stop()
        if not self._isKilledToCancel:
            self._finishAll(self._failure or error)
            return
        # The worker was killed because of one request; the others are asked again.
        for identifier, request in list(self._requests.items()):
            if request.state is RequestState.CANCELLING:
                self._finish(identifier)
        self._unsent = list(self._requests)
        self._sendAll()

    def _finishAll(self, error: LckdError | None = None) -> None:
        self._unsent = []
        for identifier in list(self._requests):
            self._finish(identifier, error=error)

    def _finish(self, identifier: int, result: dict[str, Any] | None = None, error: LckdError | None = None) -> None:
        request = self._requests.pop(identifier, None)
        if not self._requests:
            self._clock.stop()
        if request is not None:
            request._finish(result, error)


_shared: WorkerClient | None = None


def sharedWorkerClient() -> WorkerClient:
    """Return the one client of this session; it ends its worker when the application quits."""
    global _shared
    if _shared is None:
        _shared = WorkerClient()
        slicer.app.connect("aboutToQuit()", _shared.shutdown)
    return _shared


def shutdownSharedWorkerClient() -> None:
    """End the worker of this session, if there is one; for the end of the module and of the scene."""
    if _shared is not None:
        _shared.shutdown()


def _asLckdError(error: Exception) -> LckdError:
    from lckd.errors import LckdError

    if isinstance(error, LckdError):
        return error
    return workerError(
        "WORKER_NOT_STARTED",
        _("The segmentation process could not be started ({reason}).").format(reason=error),
        _("Start the application again; if that does not help, install it again."),
    )

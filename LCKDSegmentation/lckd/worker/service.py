"""The worker's two threads: one reads requests, the main one does them, one after the other."""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import json
import os
import platform
import queue
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..errors import CancelledError, LckdError
from ..memory import keep_freed_memory, resident_mb
from . import PROTOCOL
from .answer import Answer, Request, invalid_request
from .channel import Channel, take_over_streams
from .failures import in_our_terms
from .job import JobFolder, inside
from .lifetime import Lifetime
from .session import Session

#: Seconds between two signs of life.
HEARTBEAT = 1.0


def main() -> NoReturn:
    """Run the worker until its stdin is closed, its parent dies, or it is told to quit."""
    parser = argparse.ArgumentParser(prog="python -m lckd.worker", description="Answers requests for segmentations.")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when the process with this id does")
    parent = parser.parse_args().parent
    lifetime = Lifetime()
    lifetime.begin(parent)
    keep_freed_memory()
    requests, events = take_over_streams()
    faulthandler.enable()
    Service(Channel(events, lambda: lifetime.end(0)), lifetime).run(requests)


class Service:
    """Takes requests and answers them.

    Args:
        channel: where the events go.
        lifetime: ends the process.
    """

    def __init__(self, channel: Channel, lifetime: Lifetime) -> None:
        self._channel = channel
        self._lifetime = lifetime
        self._session = Session()
        self._waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        #: Requests not yet answered, by id; the lock also guards which one is under way.
        self._open: dict[str | int, Request] = {}
        self._current: str | int | None = None
        self._lock = threading.Lock()

    def run(self, lines: Iterable[bytes]) -> NoReturn:
        """Answer the requests of `lines`; never returns."""
        self._channel.emit(
            "hello", version=__version__, protocol=PROTOCOL, pid=os.getpid(), python=platform.python_version()
        )
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        threading.Thread(target=self._read, args=(lines,), name="reader", daemon=True).start()
        while True:
            request = self._waiting.get()
            if self._take_up(request):
                self._answer(request)

    def _read(self, lines: Iterable[bytes]) -> None:
        """In a thread of its own: take every line as it comes."""
        for line in lines:
            try:
                self._receive(line)
            except LckdError as error:
                self._channel.emit(**error.as_event())
        self._lifetime.end(0)

    def _beat(self) -> None:
        while True:
            time.sleep(HEARTBEAT)
            self._channel.emit("heartbeat", self._current, rss_mb=resident_mb())

    def _receive(self, line: bytes) -> None:
        """Answer at once, or put into the queue."""
        if not line.strip():
            return
        request = _parse(line)
        answer = Answer(self._channel, request)
        if request.do == "ping":
            answer.emit("result", busy=self._current)
        elif request.do == "cancel":
            answer.emit("result", found=self._cancel(request.facts.get("target")))
        elif request.do == "quit":
            answer.emit("result")
            self._lifetime.end(0)
        else:
            with self._lock:
                is_taken = request.id in self._open
                self._open.setdefault(request.id, request)
            if is_taken:
                answer.error(invalid_request(f"the id {request.id!r} is that of another request"))
            else:
                self._waiting.put(request)

    def _cancel(self, target: Any) -> bool:
        """Stop a request, at once if it only waits; whether there is one with that id."""
        with self._lock:
            request = self._open.get(target) if isinstance(target, (str, int)) else None
            if request is None:
                return False
            request.cancelled.set()
            only_waits = self._current != request.id
            if only_waits:
                del self._open[request.id]
        if only_waits:
            Answer(self._channel, request).emit("cancelled")
        return True

    def _take_up(self, request: Request) -> bool:
        """Whether the request is still wanted; then it is the one under way."""
        with self._lock:
            if request.cancelled.is_set():
                return False
            self._current = request.id
            return True

    def _put_down(self, request: Request) -> None:
        with self._lock:
            del self._open[request.id]
            self._current = None

    def _answer(self, request: Request) -> None:
        """Do one request, and say how it ended. The id is free again before the asker hears of it."""
        answer = Answer(self._channel, request)
        try:
            facts = self._do(request, answer)
        except CancelledError:
            self._put_down(request)
            answer.emit("cancelled")
        except Exception as error:
            self._put_down(request)
            answer.error(in_our_terms(error))
        else:
            self._put_down(request)
            answer.emit("result", **facts)

    def _do(self, request: Request, answer: Answer) -> dict[str, Any]:
        """The facts of the result.

        Raises:
            LckdError: the request, the job or the images are refused.
        """
        if request.do == "models":
            return _models()
        if request.do == "doctor":
            return _doctor()
        if request.do == "forget":
            return self._session.forget()
        if request.do not in ("segment", "decode", "compare"):
            raise invalid_request(f"there is no '{request.do}'")
        job = JobFolder.read(Path(request.text("job")))
        self._lifetime.remember(job.folder)
        if request.do == "segment":
            return self._session.segment(job, job.present, answer)
        if request.do == "decode":
            return self._session.segment(job, job.subset(request.text("subset")), answer)
        names, reference = request.facts.get("subsets"), request.facts.get("reference")
        subsets = None if names is None else [job.subset(name) for name in _texts(names, "subsets")]
        expert = job.reference if reference is None else inside(job.folder, request.text("reference"))
        return self._session.compare(job, subsets, expert, answer)


def _parse(line: bytes) -> Request:
    """The request on one line.

    Raises:
        InputError: REQUEST_INVALID.
    """
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise invalid_request("the line is no JSON") from error
    if not isinstance(facts, dict):
        raise invalid_request("the line holds no object")
    name, do = facts.pop("id", None), facts.pop("do", None)
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        raise invalid_request("'id' is neither text nor a whole number")
    # Whatever else is wrong is answered under this id.
    return Request(name, do if isinstance(do, str) else json.dumps(do), facts)


def _texts(value: Any, name: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise invalid_request(f"'{name}' is no list of texts")
    return value


def _doctor() -> dict[str, Any]:
    """What ``lckd doctor --json`` prints, and of it the version of torch and the devices by name."""
    from ..doctor import diagnose, refusal

    checks = diagnose()
    problem = refusal(checks)
    by_name = {check.name: check for check in checks}
    devices = {"cpu": by_name["CPU"].detail} if "CPU" in by_name else {}
    devices |= {name: check.detail for name, check in by_name.items() if name.startswith(("cuda", "mps"))}
    torch = by_name["torch"]
    return {
        "usable": problem is None,
        "problem": None if problem is None else problem.as_event(),
        "torch": torch.detail if torch.state == "ok" else None,
        "devices": devices,
        "checks": [dataclasses.asdict(check) for check in checks],
    }


def _models() -> dict[str, Any]:
    from ..models import list_models
    from ..models.store import DEFAULT_MODEL

    return {"default": DEFAULT_MODEL, "models": [entry.as_dict() for entry in list_models()]}

"""A worker as a child process, its requests and events, and job folders for it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phantoms import MadeCase, make_case, write_case

from lckd.sequences import SEQUENCES, Sequence

#: Longer than anything takes on a busy machine, in seconds.
PATIENCE = 300.0
FINAL = ("result", "error", "cancelled")
Event = dict[str, Any]


class WorkerProcess:
    """A running worker.

    Args:
        environment: in which ``python -m lckd.worker`` works.
        command: what to run instead.
    """

    def __init__(self, environment: dict[str, str], *command: str) -> None:
        arguments = [sys.executable, *(command or ("-m", "lckd.worker"))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(arguments, env=environment, **pipes)
        self.events: list[Event] = []
        self.log = b""
        self._new: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_events, self._read_log)]
        for thread in self._threads:
            thread.start()
        self._asked = 0

    def _read_events(self) -> None:
        try:
            with self.process.stdout as lines:
                for line in lines:
                    self._new.put(json.loads(line))
        except ValueError as error:
            self.log += f"This is no event: {line!r} ({error})".encode()
        self._new.put(None)

    def _read_log(self) -> None:
        with self.process.stderr as lines:
            for line in lines:
                self.log += line

    def send(self, do: Any, **facts: Any) -> str:
        """Send a request and return its id."""
        self._asked += 1
        name = f"request {self._asked}"
        self.send_line(json.dumps({"id": name, "do": do, **facts}))
        return name

    def send_line(self, line: str) -> None:
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event, from now on, that is wanted."""
        until = time.monotonic() + PATIENCE
        while True:
            event = self._new.get(timeout=max(0.0, until - time.monotonic()))
            assert event is not None, self.log.decode()
            self.events.append(event)
            if wanted(event):
                return event

    def ask(self, do: Any, **facts: Any) -> Event:
        """Send a request and return how it ended; what it said before stays in `events_of`."""
        name = self.send(do, **facts)
        return self.wait(lambda event: event["id"] == name and event["event"] in FINAL)

    def result(self, do: str, **facts: Any) -> Event:
        """The result of a request that succeeds."""
        event = self.ask(do, **facts)
        assert event["event"] == "result", event
        return event

    def refusal(self, do: Any, **facts: Any) -> str:
        """The code of a request's error, which has one sentence and one action."""
        event = self.ask(do, **facts)
        assert event["event"] == "error", event
        assert event["message"].endswith(".")
        assert event["action"].endswith(".")
        return event["code"]

    def events_of(self, event: Event, kind: str) -> list[Event]:
        """The events of one kind that belong to the same request as `event`."""
        return [other for other in self.events if other["id"] == event["id"] and other["event"] == kind]

    def finish(self) -> int:
        """Close stdin and return the exit status."""
        self.process.stdin.close()
        status = self.process.wait(timeout=PATIENCE)
        for thread in self._threads:
            thread.join(timeout=PATIENCE)
        return status

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


def write_job(
    folder: Path,
    model: Path | None = None,
    made: MadeCase | None = None,
    sequences: tuple[Sequence, ...] = SEQUENCES,
    **fields: Any,
) -> Path:
    """A job folder as Slicer writes it: uncompressed NRRD files and ``job.json``."""
    write_case(folder, made or make_case(), sequences, suffix=".nrrd")
    images = {sequence.value: f"{sequence.value}.nrrd" for sequence in sequences}
    facts = {"images": images, "device": "cpu", "threads": 1, "model": None if model is None else str(model)}
    (folder / "job.json").write_text(json.dumps(facts | fields), encoding="utf-8")
    return folder

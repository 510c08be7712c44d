"""One request, and what the worker says about it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, LckdError
from .channel import Channel

#: The least step of progress that is told, as a fraction of the whole.
_STEP = 0.005


@dataclass(frozen=True, eq=False)
class Request:
    """What is wanted.

    Attributes:
        id: by which the asker knows the answer.
        do: the name of the request.
        facts: the other fields.
        cancelled: set when the asker wants it no more.
    """

    id: str | int
    do: str
    facts: dict[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)

    def text(self, name: str) -> str:
        """A field that must be there as text.

        Raises:
            InputError: REQUEST_INVALID.
        """
        value = self.facts.get(name)
        if not isinstance(value, str) or not value:
            raise invalid_request(f"'{self.do}' needs a text as '{name}'")
        return value


def invalid_request(what: str) -> InputError:
    """The refusal of a request."""
    return InputError("REQUEST_INVALID", f"The request is not understood: {what}.", "Send one of the known requests.")


class Answer:
    """The events of one request."""

    def __init__(self, channel: Channel, request: Request) -> None:
        self._channel = channel
        self._request = request
        self._stage = ""
        self._told = -1.0
        self._warned: set[str] = set()

    def emit(self, event: str, **facts: Any) -> None:
        """Send an event with the id of the request."""
        self._channel.emit(event, self._request.id, **facts)

    def is_cancelled(self) -> bool:
        """Whether the asker wants it no more."""
        return self._request.cancelled.is_set()

    def progress(self, stage: str, fraction: float) -> None:
        """The stage of the work, told when it changes, and the fraction done of all of it, told in small steps."""
        if stage != self._stage:
            self._stage = stage
            self.emit("stage", stage=stage)
        if fraction >= self._told + _STEP or fraction >= 1.0 > self._told:
            self._told = fraction
            self.emit("progress", fraction=round(fraction, 4))

    def warning(self, message: str) -> None:
        """Something the user should know; told once."""
        if message not in self._warned:
            self._warned.add(message)
            self.emit("warning", message=message)

    def warn_of(self, report: dict[str, Any]) -> None:
        """Tell the warnings of a run report."""
        for message in report["warnings"]:
            self.warning(message)

    def error(self, error: LckdError) -> None:
        """Why there is no result."""
        self.emit(**error.as_event(), exit_status=error.exit_status)

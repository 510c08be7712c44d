"""Errors on their way between processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lckd.errors import LckdError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Refusal:
    """What an error is made of: as an exception it would arrive as another one, or not at all."""

    kind: type[LckdError]
    code: str
    message: str
    action: str


def value_or_refusal(work: Callable[[], Value]) -> Value | Refusal:
    """What `work` returns, or why it refused to."""
    try:
        return work()
    except LckdError as error:
        return Refusal(type(error), error.code, error.message, error.action)


def value_of(outcome: Value | Refusal) -> Value:
    """The value, in the process that waits for it.

    Raises:
        LckdError: the work was refused.
    """
    if isinstance(outcome, Refusal):
        raise outcome.kind(outcome.code, outcome.message, outcome.action)
    return outcome

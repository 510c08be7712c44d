"""Slicer's Python world for the tests of the panels: see `stand_ins`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import stand_ins

stand_ins.install()


@pytest.fixture
def app() -> Any:
    """``slicer.app``."""
    return stand_ins.install()


@pytest.fixture
def scene() -> Iterator[Any]:
    """``slicer.mrmlScene``, emptied before and after the test."""
    import slicer

    slicer.mrmlScene.Clear()
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear()


@pytest.fixture(autouse=True)
def errors_in_slots_fail() -> Iterator[None]:
    """Qt only prints an exception of a slot; here the test fails for it."""
    raised: list[BaseException] = []

    def remember(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        raised.append(error)

    before, sys.excepthook = sys.excepthook, remember
    yield
    sys.excepthook = before
    if raised:
        raise AssertionError(f"{len(raised)} exceptions in slots") from raised[0]


@pytest.fixture
def wait_until(app: Any) -> Callable[..., None]:
    """Runs the event loop until a condition holds; fails after so many seconds."""
    import qt

    def wait(condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = qt.QDeadlineTimer(round(seconds * 1000))
        while not condition():
            assert not deadline.hasExpired(), f"not within {seconds} s"
            qt.QCoreApplication.processEvents(qt.QEventLoop.AllEvents, 20)
            qt.QThread.msleep(2)

    return wait


@pytest.fixture
def keep_settings(app: Any) -> Iterator[Any]:
    """``slicer.app.settings()``, emptied after the test."""
    yield app.settings()
    app.settings().clear()

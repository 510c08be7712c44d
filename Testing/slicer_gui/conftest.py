"""Slicer's Python world for the tests of the panels: see `stand_ins`."""

import os
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


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """One worker for all tests, since it takes seconds to load torch."""
    from panel_parts import real_client

    made = real_client()
    yield made
    made.shutdown()


@pytest.fixture
def users_models(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LCKD_MODELS", str(tiny_model.parent))
    from panel_parts import make_python_slicer

    make_python_slicer(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def widget(scene: Any, client: Any, users_models: None) -> Iterator[Any]:
    from panel_parts import FakeDialogs, FakeRequirements

    from LCKDSegmentationLib.Logic import SegmentationLogic
    from LCKDSegmentationLib.Parameters import SegmentationParameters
    from LCKDSegmentationLib.Widget import SegmentationWidget

    made = SegmentationWidget(SegmentationLogic(client), FakeDialogs(), FakeRequirements())
    made.setScene(scene)
    made.setParameters(SegmentationParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "LCKD")))
    made.panel.parameters.model = "tiny"
    yield made
    made.closeScene()
    made.deleteLater()


@pytest.fixture
def volumes(scene: Any, widget: Any, case_folder: Path) -> dict[str, Any]:
    """FLAIR, T1c and T2 of a made case, found by *Detect*."""
    from panel_parts import read_volume

    made = {s: read_volume(scene, case_folder / f"{s}.nii.gz", f"AX {s}") for s in ("flair", "t1c", "t2")}
    for sequence, volume in made.items():
        widget.sequences.selector(sequence).setCurrentNode(volume)
    return made


@pytest.fixture
def segment(widget: Any, wait_until: Callable[..., None]) -> Callable[[], Any]:
    """Presses Segment and returns the segmentation."""

    def press() -> Any:
        widget.ui.segmentButton.click()
        assert widget.segment.isRunning, widget.ui.messageLabel.text
        wait_until(lambda: not widget.segment.isRunning, 120)
        assert widget.ui.messageLabel.text.startswith("Done."), widget.ui.messageLabel.text
        return widget.panel.parameters.segmentation

    return press

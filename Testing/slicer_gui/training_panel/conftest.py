"""The training panel over fakes, and single sections of it over the same fakes: see `training_parts`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from panel_parts import FakeClient, FakeDialogs, FakeRequirements
from phantoms import make_case, write_case
from training_parts import FACTS, FakeLogic, FakeRun, make_panel, parameter_set, watched_run

from lckd.errors import LckdError
from LCKDSegmentationLib.Logic import SegmentationLogic
from LCKDTrainingLib import WatchSection
from LCKDTrainingLib.Parameters import TrainingParameters
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.UseSection import UseSection
from LCKDTrainingLib.Widget import TrainingWidget


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three labeled cases: a, b and c. Not to be written to."""
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate("abc"):
        write_case(root / name, make_case(seed))
    return root


@pytest.fixture
def logic() -> FakeLogic:
    return FakeLogic(FACTS)


# The whole panel


@pytest.fixture
def parameters(scene: Any) -> TrainingParameters:
    return parameter_set(scene, "LCKD")


@pytest.fixture
def devices() -> FakeClient:
    """The worker that knows the devices."""
    return FakeClient()


@pytest.fixture
def make_widget(
    scene: Any, logic: FakeLogic, devices: FakeClient, keep_settings: Any
) -> Iterator[Callable[..., TrainingWidget]]:
    """Makes panels, by default over the fake logic and with all packages installed."""
    made: list[TrainingWidget] = []

    def make(logic: Any = logic, requirements: FakeRequirements | None = None) -> TrainingWidget:
        made.append(TrainingWidget(logic, FakeDialogs(), requirements or FakeRequirements(), client=devices))
        return made[-1]

    yield make
    for widget in made:
        widget.cleanUp()
        widget.deleteLater()


@pytest.fixture
def widget(make_widget: Callable[..., TrainingWidget], scene: Any, parameters: TrainingParameters) -> TrainingWidget:
    made = make_widget()
    made.setScene(scene)
    made.setParameters(parameters)
    made.show()
    return made


@pytest.fixture
def data(tmp_path: Path, widget: TrainingWidget) -> str:
    """A folder of cases, chosen in the panel."""
    folder = tmp_path / "cases"
    folder.mkdir()
    widget.ui.dataEdit.currentPath = str(folder)
    return str(folder)


@pytest.fixture
def folder(tmp_path: Path, widget: TrainingWidget, data: str) -> Path:
    """A run folder that does not exist yet, chosen in the panel."""
    widget.ui.runFolderEdit.currentPath = str(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def check(widget: TrainingWidget, logic: FakeLogic, data: str) -> Callable[..., None]:
    """Presses Check; it finds these cases."""

    def press(*found: dict[str, Any], error: LckdError | None = None) -> None:
        widget.ui.checkButton.click()
        logic.last.tell("result", checks=list(found))
        logic.last.end(error)

    return press


@pytest.fixture
def run(widget: TrainingWidget, logic: FakeLogic, folder: Path) -> FakeRun:
    """A training that was started by the button."""
    widget.ui.trainButton.click()
    assert logic.current is not None, widget.ui.trainButton.toolTip
    return logic.current


# Single sections


@pytest.fixture
def panel(scene: Any, logic: FakeLogic) -> TrainingPanel:
    return make_panel(scene, logic)


@pytest.fixture
def watched(panel: TrainingPanel, tmp_path: Path) -> FakeRun:
    """The run that the sections show."""
    run = panel.logic.current = watched_run(tmp_path / "run-1")
    return run


@pytest.fixture
def watch(panel: TrainingPanel, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchSection.WatchSection]:
    monkeypatch.setattr(WatchSection, "SHOW_MILLISECONDS", 50)
    section = WatchSection.WatchSection(panel, SegmentationLogic(FakeClient()))
    panel.changed = section.update
    yield section
    section.close()


@pytest.fixture
def use(panel: TrainingPanel, watched: FakeRun) -> Iterator[UseSection]:
    section = UseSection(panel)
    panel.changed = section.update
    section.update()
    yield section
    section.close()

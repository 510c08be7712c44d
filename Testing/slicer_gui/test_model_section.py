"""The section "Model and device": devices and what is wrong with them, adding a model and not adding it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from panel_parts import FakeClient, FakeDialogs, FakeRequirements, make_python_slicer, real_client
from phantoms import write_tiny_model

from lckd.errors import LckdError
from LCKDSegmentationLib.Logic import SegmentationLogic
from LCKDSegmentationLib.Parameters import SegmentationParameters
from LCKDSegmentationLib.Widget import SegmentationWidget

Wait = Callable[..., None]
CPU = {"devices": {"cpu": "x86_64, 8 of 8 threads in use"}, "problem": None}
UNTIL_INSTALLED = "What there is will be shown here once the required packages are installed."


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def widget(scene: Any, client: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("LCKD_MODELS", str(tmp_path / "models"))
    made = SegmentationWidget(SegmentationLogic(client), FakeDialogs(), FakeRequirements())
    made.setScene(scene)
    made.setParameters(SegmentationParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "LCKD")))
    yield made
    made.cleanUp()
    made.deleteLater()


@pytest.mark.parametrize(
    "answer",
    [
        {"error": LckdError("WORKER_ENDED", "The process <ended>.", "Try it again.")},
        {"result": {"devices": {}, "problem": {"message": "The process <ended>.", "action": "Try it again."}}},
    ],
    ids=["error", "problem"],
)
def test_what_is_wrong_stays_on_screen_until_it_is_right(
    widget: Any, client: FakeClient, answer: dict[str, Any]
) -> None:
    label = widget.ui.deviceLabel
    widget.enter()
    client.last.end(**answer)
    assert label.text == "The process <ended>. Try it again."
    widget.panel.parameters.threads = 3
    assert label.text == "The process <ended>. Try it again."
    widget.enter()
    assert label.text == "Looking for devices…"
    client.last.end(result=CPU)
    assert label.text.startswith("CPU: x86_64, 8 of 8 threads in use.")


def test_devices_are_shown_as_soon_as_the_packages_are_there(widget: Any, client: FakeClient) -> None:
    widget.panel.requirements.absent = ["torch"]
    widget.enter()
    assert client.requests == []
    assert widget.ui.deviceLabel.text == UNTIL_INSTALLED
    widget.panel.requirements.ensure()
    widget.models.devices.ask()
    widget.models.devices.ask()
    assert [request.do for request in client.requests] == ["doctor"]
    client.last.end(result=CPU)
    widget.panel.requirements.missing = None  # what is known costs not even a look
    widget.models.devices.ask()
    assert len(client.requests) == 1


def test_the_worker_ends_with_its_answer_unless_somebody_needs_it(widget: Any, client: FakeClient) -> None:
    widget.enter()
    client.last.end(result=CPU)
    assert client.shutdowns == 0, "ended while its output is being read"
    slicer.app.processEvents()
    assert client.shutdowns == 1
    widget.models.devices._devices = {}
    widget.enter()
    client.last.end(result=CPU)
    client.isBusy = True
    slicer.app.processEvents()
    client.isBusy, client.isRunning = False, True
    widget.models.devices._devices = {}
    widget.enter()
    client.last.end(result=CPU)
    slicer.app.processEvents()
    assert client.shutdowns == 1


def test_no_process_stays_after_the_module_was_opened(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    made = SegmentationWidget(SegmentationLogic(real_client()), FakeDialogs(), FakeRequirements())
    made.setScene(scene)
    made.enter()
    wait_until(lambda: made.logic.client.isRunning)
    process = int(made.logic.client._process._process.processId())
    wait_until(lambda: not made.logic.client.isRunning, 120)
    assert made.ui.deviceLabel.text.startswith("CPU: ")
    assert not Path(f"/proc/{process}").exists()
    made.cleanUp()
    made.deleteLater()


def test_lists_are_left_alone_while_their_content_is_the_same(widget: Any) -> None:
    rebuilt: list[str] = []
    ui = widget.ui
    ui.modelSelector.model().connect("rowsInserted(QModelIndex,int,int)", lambda: rebuilt.append("models"))
    ui.deviceSelector.model().connect("rowsInserted(QModelIndex,int,int)", lambda: rebuilt.append("devices"))
    widget.panel.parameters.threads = 3
    widget.models.readModels()
    assert rebuilt == []
    widget.panel.parameters.model = "absent"
    assert set(rebuilt) == {"models"}
    assert widget.ui.modelSelector.currentText == "absent (not found)"
    widget.panel.parameters.model = ""
    assert widget.ui.modelSelector.currentText == "small (embedded)"
    assert widget.ui.modelSelector.count == 1


def test_the_card_is_described_and_how_it_was_measured_is_in_the_tool_tip(widget: Any) -> None:
    card = widget.models.card
    assert widget.ui.modelLabel.text == card.description
    assert card.dice_basis.split()[-1] in widget.ui.modelLabel.toolTip
    widget.panel.parameters.model = "absent"
    assert widget.ui.modelLabel.text == "The model absent is not on this computer; choose another one."
    assert widget.ui.modelLabel.toolTip == ""


def test_the_menu_adds_from_all_three_places(widget: Any) -> None:
    actions = widget.ui.addModelButton.menu().actions()
    assert [action.text for action in actions] == ["From a folder…", "From a zip file…", "From an https address…"]
    for action in actions:
        action.trigger()
    assert widget.panel.dialogs.asked == ["folder", "file", "text"]


def test_adding_a_model_is_cancelled_by_the_same_button_and_leaves_nothing(
    widget: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    (tmp_path / "bin").mkdir()
    program = make_python_slicer(tmp_path / "bin")
    slow = "from lckd.models import store; import time; store.verify_sums = lambda *_: time.sleep(600)"
    (tmp_path / "slow.py").write_text(f"{slow}\nfrom lckd.cli import main\nmain()\n", encoding="utf-8")
    script = program.read_text().replace('"$@"', f'{tmp_path / "slow.py"} "$3" "$4" "$5" --json')
    program.write_text(script, encoding="utf-8")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    button, store = widget.ui.addModelButton, tmp_path / "models"
    before = (button.text, button.toolTip, button.menu())
    widget.panel.dialogs.answers["folder"] = str(write_tiny_model(tmp_path / "another"))
    widget.models.addFromFolder()
    assert (button.text, button.menu()) == ("Cancel", None)
    assert "Nothing of it stays" in button.toolTip
    assert widget.models.problem() == "Wait until the model has been added."
    wait_until(lambda: store.exists() and any(store.iterdir()), 60)
    button.click()
    assert (button.text, button.toolTip, button.menu()) == before
    assert widget.ui.messageLabel.text == "Adding the model was cancelled; nothing was added."
    assert list(store.iterdir()) == []
    assert widget.models.problem() == ""


def test_a_click_on_add_cancels_nothing(widget: Any) -> None:
    widget.models.cancelAdding()
    assert widget.ui.messageLabel.text == ""

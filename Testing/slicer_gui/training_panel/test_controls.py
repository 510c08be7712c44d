"""The controls of the panel: what is still missing, how each is described and reached, which devices there are."""

from pathlib import Path
from xml.etree import ElementTree

from panel_parts import FakeClient
from training_parts import choose

from LCKDTrainingLib.Parameters import orderOf
from LCKDTrainingLib.Widget import UI_FILE, TrainingWidget


def test_what_is_missing_is_said_one_thing_after_the_other(widget: TrainingWidget, tmp_path: Path) -> None:
    ui = widget.ui
    assert ui.disclaimerLabel.text == "<b>For research use only. Not for clinical use.</b>"
    assert (ui.trainButton.text, ui.trainButton.enabled) == ("Start training", False)
    assert ui.trainButton.toolTip == "Choose the folder that holds the cases, or a table that lists them."
    ui.dataEdit.currentPath = str(tmp_path / "nowhere")
    assert ui.trainButton.toolTip == "The folder or table of the cases does not exist."
    ui.dataEdit.currentPath = str(tmp_path)
    assert ui.trainButton.toolTip == "Choose a run folder, into which the training writes."
    ui.runFolderEdit.currentPath = str(tmp_path)
    assert ui.trainButton.toolTip == "Choose a run folder other than the folder of the cases."
    (tmp_path / "file").touch()
    ui.runFolderEdit.currentPath = str(tmp_path / "file")
    assert ui.trainButton.toolTip == "The run folder is a file; choose a folder."
    ui.runFolderEdit.currentPath = str(tmp_path / "run")
    assert ui.trainButton.enabled
    ui.splitFileEdit.currentPath = str(tmp_path / "split.json")
    assert ui.trainButton.toolTip == "The split file does not exist."


def test_no_form_layout_holds_a_text_of_several_lines() -> None:
    # In Slicer's Qt 5 a form layout keeps heights of other widths: the text then lies over what is above it.
    root = ElementTree.parse(UI_FILE).getroot()
    forms = [one for one in root.iter("layout") if one.get("class") == "QFormLayout"]
    wrapped = [one.findall(".//property[@name='wordWrap']") for one in forms]
    assert [one.get("name") for one, texts in zip(forms, wrapped, strict=True) if texts] == []


def test_without_a_parameter_set_nothing_can_be_done(widget: TrainingWidget) -> None:
    widget.setParameters(None)
    ui = widget.ui
    controls = (ui.checkButton, ui.trainButton, ui.estimateButton, ui.presetSelector, ui.dataEdit, ui.iterationsEdit)
    for one in controls:
        assert (one.enabled, one.toolTip) == (False, "Make a parameter set first.")
    assert ui.stopButton.toolTip == "No training is going on."


def test_every_control_has_a_tool_tip_every_label_its_field_and_the_keyboard_goes_down(widget: TrainingWidget) -> None:
    root = ElementTree.parse(UI_FILE).getroot()
    # Without tab stops, the order is that in which the widgets are made.
    assert list(root.iter("tabstop")) == []
    silent = ("QLabel", "QProgressBar", "ctkCollapsibleButton", "qMRMLWidget")
    controls = [one.get("name") for one in root.iter("widget") if one.get("class") not in silent]
    untold = [name for name in controls if not getattr(widget.ui, name).toolTip]
    assert [name for name in untold if name not in ("remedyButton", "otherRemedyButton")] == []
    ui = widget.ui
    texts = {one.get("name"): one.findtext("property[@name='text']/string") for one in root.iter("widget")}
    captions = [name for name, text in texts.items() if text and text.endswith(":")]
    assert len(captions) > 10
    assert [name for name in captions if getattr(ui, name).buddy() is None] == []
    order, one = {}, ui.dataSection
    while one not in order:
        order[one] = len(order)
        one = one.nextInFocusChain()
    places = [ui.dataEdit, ui.checkButton, ui.presetSelector, ui.runFolderEdit, ui.iterationsEdit, ui.teachersSelector]
    places += [ui.settingsTable, ui.estimateButton, ui.trainButton, ui.stopButton, ui.latestButton, ui.useButton]
    assert [order[place] for place in places] == sorted(order[place] for place in places)


def test_devices_are_looked_up_once_the_module_is_opened(widget: TrainingWidget, devices: FakeClient) -> None:
    widget.enter()
    assert widget.ui.deviceLabel.text == "Looking for devices…"
    gpu = "NVIDIA RTX A4000, 16.0 GiB"
    devices.last.end({"devices": {"cpu": "x86_64, 2 threads", "cuda:0": gpu}, "problem": None})
    assert widget.ui.deviceLabel.text == f"CUDA:0: {gpu}."
    choose(widget.ui.deviceSelector, widget.ui.deviceSelector.findData("cpu"))
    assert orderOf(widget.panel.parameters).device == "cpu"
    assert widget.ui.deviceLabel.text == "CPU: x86_64, 2 threads."

"""The panel of the training module: data, settings, the run and its failures, with commands that play along."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import qt
import yaml
from panel_parts import FakeClient, FakeDialogs, FakeRequirements
from training_parts import IMITATED, FakeLogic, FakeRun, checked, realFacts

from lckd.errors import InputError, LckdError, OutOfMemoryError, OutputError, UsageError
from lckd_training.config import TrainingConfig
from LCKDTrainingLib import LatestSegmentation
from LCKDTrainingLib.Parameters import MODULE_NAME, TrainingParameters, changedSettings, orderOf
from LCKDTrainingLib.Remedies import remediesFor
from LCKDTrainingLib.Settings import Setting, fromYamlText, shown, smaller, yamlText
from LCKDTrainingLib.SettingsSection import presetWords
from LCKDTrainingLib.Widget import UI_FILE, TrainingWidget

OUT_OF_MEMORY = OutOfMemoryError("OUT_OF_MEMORY", "The training does not fit into the memory of cuda.", "Set less.")
FACTS = realFacts("small-cpu")


@pytest.fixture
def logic() -> FakeLogic:
    return FakeLogic(FACTS)


@pytest.fixture
def parameters(scene: Any) -> TrainingParameters:
    return _parameterSet(scene, "LCKD")


def _parameterSet(scene: Any, name: str) -> TrainingParameters:
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", name)
    node.SetAttribute("ModuleName", MODULE_NAME)
    return TrainingParameters(node)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def widget(
    scene: Any, logic: FakeLogic, parameters: Any, client: FakeClient, keep_settings: Any
) -> Iterator[TrainingWidget]:
    made = TrainingWidget(logic, FakeDialogs(), FakeRequirements(), client=client)
    made.setScene(scene)
    made.setParameters(parameters)
    made.show()
    yield made
    made.cleanUp()
    made.deleteLater()


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

    def press(*cases: dict[str, Any], error: LckdError | None = None) -> None:
        widget.ui.checkButton.click()
        logic.last.tell("result", checks=list(cases))
        logic.last.end(error)

    return press


@pytest.fixture
def run(widget: TrainingWidget, logic: FakeLogic, folder: Path) -> FakeRun:
    """A training that was started by the button."""
    widget.ui.trainButton.click()
    assert logic.current is not None, widget.ui.trainButton.toolTip
    return logic.current


def _write_config(folder: Path, **settings: Any) -> None:
    """What the trainer does first."""
    (folder / "config.yaml").write_text(TrainingConfig.from_dict(settings).to_yaml(), encoding="utf-8")


def _row(widget: TrainingWidget, setting: str) -> int:
    table = widget.ui.settingsTable
    titles = [table.item(row, 0).text() for row in range(table.rowCount)]
    return titles.index(setting.replace("_", " ").capitalize())


def _cells(widget: TrainingWidget) -> list[list[str]]:
    table = widget.ui.dataTable
    return [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount)]


# What there is


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


def test_without_a_parameter_set_nothing_can_be_done(widget: TrainingWidget) -> None:
    widget.setParameters(None)
    ui = widget.ui
    for button in (
        ui.checkButton,
        ui.trainButton,
        ui.estimateButton,
        ui.presetSelector,
        ui.dataEdit,
        ui.iterationsEdit,
    ):
        assert (button.enabled, button.toolTip) == (False, "Make a parameter set first.")
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


def test_devices_are_looked_up_once_the_module_is_opened(widget: TrainingWidget, client: FakeClient) -> None:
    widget.enter()
    assert widget.ui.deviceLabel.text == "Looking for devices…"
    gpu = "NVIDIA RTX A4000, 16.0 GiB"
    client.last.end({"devices": {"cpu": "x86_64, 2 threads", "cuda:0": gpu}, "problem": None})
    assert widget.ui.deviceLabel.text == f"CUDA:0: {gpu}."
    widget.ui.deviceSelector.currentIndex = widget.ui.deviceSelector.findData("cpu")
    widget.ui.deviceSelector.activated.emit(widget.ui.deviceSelector.currentIndex)
    assert orderOf(widget.panel.parameters).device == "cpu"
    assert widget.ui.deviceLabel.text == "CPU: x86_64, 2 threads."


def test_the_fakes_have_nothing_that_the_real_ones_lack(logic: FakeLogic, tmp_path: Path) -> None:
    import inspect

    from LCKDSegmentationLib.EngineCommand import EngineCommand
    from LCKDTrainingLib.TrainingRun import TrainingRun

    for fake, real in IMITATED.items():
        for name in ("check", "estimate", "settings", "train", "attach", "presetNames", "close", "cancel"):
            if hasattr(fake, name) and hasattr(real, name):
                assert [*inspect.signature(getattr(fake, name)).parameters] == [
                    *inspect.signature(getattr(real, name)).parameters
                ]
    invented = {"becomes", "order", "wasAskedToStop", "refusal", "secondsLeft", "slots"}
    assert {name for name in dir(FakeRun(tmp_path)) if name[0] != "_"} - invented <= set(dir(TrainingRun(tmp_path)))
    assert hasattr(EngineCommand, "cancel")


# Data


def test_check_lists_the_cases_with_fault_and_remedy(
    widget: TrainingWidget, logic: FakeLogic, check: Callable[..., None], data: str
) -> None:
    ui = widget.ui
    assert ui.showCaseButton.toolTip == ui.useAllButton.toolTip == "Check the data first."
    ui.checkButton.click()
    assert (ui.checkButton.text, logic.last.asked) == ("Cancel", data)
    assert ui.trainButton.toolTip in ("Wait for the end of the check, or cancel it.",)
    logic.last.tell("stage", stage="check")
    logic.last.tell("progress", fraction=0.5)
    assert ui.checkProgress.value == 500
    assert ui.checkStatus.text.startswith("Checking")
    cases = [checked("a"), checked("b", label=False), checked("c", fault="It is cut short.", present=("t1c",))]
    logic.last.tell("result", checks=cases)
    logic.last.end(LckdError("CASES_UNUSABLE", "1 of 3 cases cannot be used.", "Do what is said."))
    assert _cells(widget) == [
        ["a", "FLAIR, T1c", "yes", "Ready"],
        ["b", "FLAIR, T1c", "no", "No label"],
        ["c", "T1c", "yes", "Fault: It is cut short."],
    ]
    assert (
        ui.dataMessageLabel.text == "3 cases: 1 to learn from; 1 with a fault, never used; 1 without a label, not used."
    )
    ui.dataTable.selectRow(2)
    assert "c: c/t1c.nii.gz: It is cut short. Copy the image again." in ui.dataLabel.text
    assert "Missing: FLAIR, T1, T2." in ui.dataLabel.text
    assert "ET 1.2 mL, TC 2.5 mL, WT 10.0 mL" in ui.dataTable.item(0, 1).toolTip()
    assert set(widget.panel.dataCases) == {"a", "b", "c"}


def test_a_case_is_left_out_by_its_box(widget: TrainingWidget, check: Callable[..., None], folder: Path) -> None:
    check(*map(checked, "abc"), checked("d", fault="It is empty."), checked("e", label=False))
    item = widget.ui.dataTable.item(0, 0)
    item.setCheckState(qt.Qt.Unchecked)
    assert list(widget.panel.parameters.excluded) == ["a"]
    assert "2 to learn from" in widget.ui.dataMessageLabel.text
    assert "1 left out by you" in widget.ui.dataMessageLabel.text
    for row in (3, 4):
        assert widget.ui.dataTable.item(row, 0).checkState() == qt.Qt.Unchecked
        assert not widget.ui.dataTable.item(row, 0).flags() & qt.Qt.ItemIsUserCheckable
    widget.ui.trainButton.click()
    # The faulty one is left out as well, or the trainer would refuse them all.
    order = widget.logic.orders[-1]
    assert TrainingConfig().overridden([f"exclude={order.settings['exclude']}"]).exclude == ("a", "d")
    widget.logic.current.becomes("interrupted")
    widget.ui.useAllButton.click()
    assert list(widget.panel.parameters.excluded) == []
    assert widget.ui.dataTable.item(0, 0).checkState() == qt.Qt.Checked


def test_cases_stay_as_they_are_while_the_training_goes_on(
    widget: TrainingWidget, check: Callable[..., None], run: FakeRun
) -> None:
    run.becomes("interrupted")
    check(*map(checked, "abc"))
    run.becomes("training")
    widget.ui.dataTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert widget.ui.dataTable.item(0, 0).checkState() == qt.Qt.Checked
    assert list(widget.panel.parameters.excluded) == []
    assert widget.ui.useAllButton.toolTip == "The training is going on. Pause it to change this."


def test_a_whole_data_set_is_listed_at_once(widget: TrainingWidget, check: Callable[..., None], folder: Path) -> None:
    import time

    names = [f"BraTS2021_{number:05}" for number in range(1251)]
    started = time.perf_counter()
    check(*map(checked, names))
    widget.ui.dataTable.item(7, 0).setCheckState(qt.Qt.Unchecked)
    # As it once was, it took a minute.
    assert time.perf_counter() - started < 10
    assert widget.ui.dataMessageLabel.text == "1251 cases: 1250 to learn from; 1 left out by you."


def test_names_of_cases_can_be_read_to_their_end(widget: TrainingWidget, check: Callable[..., None]) -> None:
    check(checked("BraTS-GLI-00005-000"), checked("BraTS-GLI-00005-001", fault="It is cut short, and more than that."))
    table = widget.ui.dataTable
    table.setFixedWidth(420)
    widget.show()
    qt.QCoreApplication.processEvents()
    assert table.columnWidth(0) >= table.sizeHintForColumn(0)


def test_without_labels_nothing_can_be_learned(
    widget: TrainingWidget, check: Callable[..., None], folder: Path
) -> None:
    check(checked("a", label=False), checked("b", label=False))
    for button in (widget.ui.trainButton, widget.ui.estimateButton):
        assert not button.enabled
        assert button.toolTip.startswith("No case can be learned from: each needs a label")
    check(checked("a"), checked("b", label=False))
    assert widget.ui.trainButton.toolTip.startswith("Tick at least two cases with labels")
    check(checked("a"), checked("b"))
    assert widget.ui.trainButton.enabled
    widget.ui.dataTable.item(1, 0).setCheckState(qt.Qt.Unchecked)
    assert widget.ui.trainButton.toolTip.startswith("Tick at least two cases with labels")


def test_what_was_found_is_forgotten_with_other_data(
    widget: TrainingWidget, check: Callable[..., None], tmp_path: Path
) -> None:
    check(checked("a"), checked("b"))
    widget.ui.dataEdit.currentPath = str(tmp_path)
    assert (widget.panel.dataCases, widget.ui.dataTable.rowCount, widget.ui.dataMessageLabel.text) == ({}, 0, "")


def test_a_check_can_be_cancelled_and_may_fail(
    widget: TrainingWidget, logic: FakeLogic, check: Callable[..., None]
) -> None:
    ui = widget.ui
    ui.checkButton.click()
    ui.checkButton.click()
    assert (ui.checkButton.text, ui.dataMessageLabel.text) == ("Check the data", "The check was cancelled.")
    check(error=InputError("NO_CASES", "There is no case in <x>.", "Choose another folder."))
    assert ui.dataMessageLabel.text == "<b>There is no case in &lt;x&gt;.</b> Choose another folder."
    ui.batchEdit.setText("4")
    ui.batchEdit.editingFinished.emit()
    assert "There is no case" in ui.dataMessageLabel.text, "a change elsewhere has taken the message away"


def test_folder_and_table_are_asked_for(widget: TrainingWidget, tmp_path: Path) -> None:
    ui, answers = widget.ui, widget.panel.dialogs.answers
    answers["folder"], answers["file"] = str(tmp_path), str(tmp_path / "cases.csv")
    ui.dataFolderButton.click()
    assert ui.dataEdit.currentPath == widget.panel.parameters.data == str(tmp_path)
    ui.dataTableButton.click()
    assert ui.dataEdit.currentPath == widget.panel.parameters.data == str(tmp_path / "cases.csv")
    answers["folder"] = ""
    ui.dataFolderButton.click()
    assert widget.panel.parameters.data == str(tmp_path / "cases.csv"), "a cancelled dialog changes nothing"


def test_a_case_is_shown_by_double_click_and_by_button(
    widget: TrainingWidget, check: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_cases: list[str] = []

    def load(panel: Any, name: str) -> None:
        assert panel is widget.panel
        shown_cases.append(name)
        if name == "b":
            raise InputError("UNREADABLE", "t1c.nii.gz is damaged.", "Copy it again.")

    monkeypatch.setattr(LatestSegmentation, "loadCase", load)
    check(checked("a"), checked("b"), checked("c", fault="Two files are alike.", present=()))
    ui = widget.ui
    assert ui.showCaseButton.toolTip == "Choose a case in the table."
    ui.dataTable.selectRow(0)
    ui.dataTable.cellDoubleClicked.emit(0, 1)
    assert shown_cases == ["a"]
    ui.dataTable.selectRow(1)
    ui.showCaseButton.click()
    assert shown_cases == ["a", "b"]
    assert ui.dataMessageLabel.text == "<b>t1c.nii.gz is damaged.</b> Copy it again."
    ui.dataTable.selectRow(2)
    assert ui.showCaseButton.toolTip == "It is not known which files this case has."


# Settings


@pytest.mark.parametrize("facts", FACTS, ids=lambda one: one["name"])
def test_every_setting_can_be_read_written_and_told(facts: dict[str, Any]) -> None:
    setting = Setting.fromFacts(facts)
    assert setting.read(shown(setting.value)) == setting.value
    assert fromYamlText(yamlText(setting.value)) == setting.value
    for value in [setting.value, *setting.options]:
        config = TrainingConfig().overridden([f"{setting.name}={yamlText(value)}"])
        assert json.loads(json.dumps(getattr(config, setting.name))) == value
    assert setting.explanation.endswith(".")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "1e-5", 1e-5),
        ("learning_rate", "0,002", 0.002),
        ("patch", "128", [128, 128, 128]),
        ("patch", "80 × 160 × 160", [80, 160, 160]),
        ("patch", "[80, 160, 160]", [80, 160, 160]),
        ("test", "a, b", ["a", "b"]),
        ("compile", "yes", True),
        ("distance", "2", 2),
        ("teachers", "one", "one"),
    ],
)
def test_settings_are_understood_as_people_write_them(name: str, text: str, value: Any) -> None:
    setting = next(Setting.fromFacts(one) for one in FACTS if one["name"] == name)
    read = setting.read(text)
    assert read == value
    config = TrainingConfig().overridden([f"{name}={yamlText(read)}"])
    assert json.loads(json.dumps(getattr(config, name))) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("iterations", "many", "iterations has to be a whole number, not “many”."),
        ("iterations", "0", "iterations cannot be 0. It is at least 1."),
        ("tumor_share", "1.5", "tumor_share cannot be 1.5. It lies between 0 and 1."),
        ("learning_rate", "nan", "learning_rate cannot be nan. It is at least 0."),
        ("teachers", "all", "teachers cannot be all. It is one of: several, one, learned."),
        ("patch", "8", "patch cannot be 8. It is at least 16."),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(name: str, text: str, words: str) -> None:
    setting = next(Setting.fromFacts(one) for one in FACTS if one["name"] == name)
    with pytest.raises(ValueError, match=name) as refused:
        setting.read(text)
    assert str(refused.value) == words


def test_a_setting_that_is_changed_is_bold_and_ordered(widget: TrainingWidget, folder: Path) -> None:
    ui = widget.ui
    assert (ui.iterationsEdit.text, ui.patchEdit.text, ui.learningRateEdit.text) == ("3000", "96, 96, 96", "0.001")
    assert "Optimizer steps in all. It is at least 1." in ui.iterationsEdit.toolTip
    for edit, text in ((ui.iterationsEdit, "50"), (ui.learningRateEdit, "1e-5"), (ui.patchEdit, "64")):
        edit.setText(text)
        edit.editingFinished.emit()
    ui.teachersSelector.currentIndex = ui.teachersSelector.findText("one")
    ui.teachersSelector.activated.emit(ui.teachersSelector.currentIndex)
    assert ui.patchEdit.text == "64, 64, 64"
    assert ui.iterationsEditLabel.font.bold()
    assert not ui.batchEditLabel.font.bold()
    assert "In the preset: 3000." in ui.iterationsEdit.toolTip
    ui.trainButton.click()
    order = widget.logic.orders[-1]
    config = TrainingConfig.preset(order.preset).overridden([f"{name}={text}" for name, text in order.settings.items()])
    assert (config.iterations, config.learning_rate, config.patch, config.teachers) == (50, 1e-5, (64, 64, 64), "one")
    assert order.preset == "small-cpu"


def test_a_setting_that_cannot_be_is_refused_and_the_former_one_shown(widget: TrainingWidget) -> None:
    ui = widget.ui
    ui.iterationsEdit.setText("-3")
    ui.iterationsEdit.editingFinished.emit()
    assert ui.settingsMessageLabel.text == "iterations cannot be -3. It is at least 1."
    assert ui.iterationsEdit.text == "3000"
    assert changedSettings(widget.panel.parameters) == {}
    ui.iterationsEdit.setText("30")
    ui.iterationsEdit.editingFinished.emit()
    assert (ui.settingsMessageLabel.text, ui.iterationsEdit.text) == ("", "30")
    ui.iterationsEdit.setText("3000")
    ui.iterationsEdit.editingFinished.emit()
    assert changedSettings(widget.panel.parameters) == {}, "what is as in the preset is no change"


def test_the_table_of_all_other_settings(widget: TrainingWidget) -> None:
    ui, table = widget.ui, widget.ui.settingsTable
    ui.settingsSection.collapsed = False
    names = [table.item(row, 0).text() for row in range(table.rowCount)]
    assert not {"Iterations", "Patch", "Exclude"} & set(names)
    assert len(names) == len(FACTS) - 7
    assert ui.resetSettingButton.toolTip == "Choose a setting in the table."
    assert ui.resetSettingsButton.toolTip == "All settings are those of the preset."
    row = _row(widget, "tumor_share")
    table.item(row, 1).setText("0.25")
    assert table.item(row, 0).font().bold()
    assert changedSettings(widget.panel.parameters) == {"tumor_share": "0.25"}
    table.item(row, 1).setText("7")
    assert (table.item(row, 1).text(), changedSettings(widget.panel.parameters)) == ("0.25", {"tumor_share": "0.25"})
    table.selectRow(row)
    assert "Share of the patches around a tumor voxel. It lies between 0 and 1." in ui.settingLabel.text
    assert "In the preset: 0.5. In commands: tumor_share." in ui.settingLabel.text
    missing = _row(widget, "missing")
    selector = table.cellWidget(missing, 1)
    assert [selector.itemText(index) for index in range(selector.count)] == ["number", "subset", "some"]
    selector.currentIndex = 1
    selector.activated.emit(1)
    assert changedSettings(widget.panel.parameters)["missing"] == '"subset"'
    ui.resetSettingButton.click()
    assert changedSettings(widget.panel.parameters) == {"missing": '"subset"'}
    assert not table.item(row, 0).font().bold()
    assert ui.resetSettingButton.toolTip == "It is as in the preset."
    ui.resetSettingsButton.click()
    assert changedSettings(widget.panel.parameters) == {}
    assert selector.currentText == "number"


def test_settings_are_found_by_words(widget: TrainingWidget) -> None:
    ui, table = widget.ui, widget.ui.settingsTable
    ui.settingsFilterEdit.setText("MOMENTUM")
    visible = [table.item(row, 0).text() for row in range(table.rowCount) if not table.isRowHidden(row)]
    assert visible == ["Optimizer", "Momentum"]
    ui.settingsFilterEdit.setText("")
    assert not any(table.isRowHidden(row) for row in range(table.rowCount))


def test_another_preset_begins_anew_and_may_be_a_file(widget: TrainingWidget, logic: FakeLogic, tmp_path: Path) -> None:
    ui = widget.ui
    assert [ui.presetSelector.itemText(index) for index in range(4)] == ["fast", "paper", "small-cpu", "From a file…"]
    assert ui.presetLabel.text.startswith("A small network, on a computer without a graphics card.")
    ui.batchEdit.setText("4")
    ui.batchEdit.editingFinished.emit()
    logic.facts = realFacts("paper")
    ui.presetSelector.activated.emit(1)
    assert (logic.asked[-1], ui.batchEdit.text, ui.patchEdit.text) == ("paper", "2", "80, 160, 160")
    assert changedSettings(widget.panel.parameters) == {}
    own = tmp_path / "own.yaml"
    own.write_text("batch: 3\n")
    widget.panel.dialogs.answers["file"] = str(own)
    ui.presetSelector.activated.emit(3)
    assert (logic.asked[-1], ui.presetSelector.currentText) == (str(own), "File own.yaml")
    widget.panel.dialogs.answers["file"] = ""
    ui.presetSelector.activated.emit(ui.presetSelector.count - 1)
    assert ui.presetSelector.currentText == "File own.yaml"


def test_presets_are_explained() -> None:
    from LCKDTrainingLib.Logic import TrainingLogic

    assert set(presetWords()) == set(TrainingLogic().presetNames())


def test_settings_that_cannot_be_told_are_asked_for_again(widget: TrainingWidget, logic: FakeLogic) -> None:
    logic.refusal = UsageError("BAD_SETTING", "The training settings do not work: no.", "Correct the setting.")
    widget.ui.presetSelector.activated.emit(0)
    count = len(logic.asked)
    assert widget.ui.presetLabel.text == "The training settings do not work: no. Correct the setting."
    assert widget.ui.iterationsEdit.toolTip.startswith("The training settings do not work")
    assert len(logic.asked) == count, "it is asked again and again"
    logic.refusal = None
    widget.enter()
    assert widget.ui.iterationsEdit.enabled
    assert widget.ui.presetLabel.text.startswith("A good model from one graphics card")


# Estimate


def test_an_estimate_says_time_and_memory(widget: TrainingWidget, logic: FakeLogic, data: str) -> None:
    ui = widget.ui
    ui.estimateButton.click()
    assert (ui.estimateButton.text, logic.last.asked.data) == ("Cancel", data)
    assert ui.trainButton.toolTip != ""
    logic.last.tell("stage", stage="prepare")
    logic.last.tell("progress", fraction=0.25)
    assert ui.estimateProgress.value == 250
    facts = {"seconds_per_iteration": 2.5, "memory_mb": 3072.0, "iterations": 3000, "seconds": 7530.0}
    logic.last.tell("result", **facts, cases=20, device="cuda (A4000)", memory_free_mb=512.0)
    logic.last.end()
    assert ui.estimateLabel.text == (
        "About 2 h 06 min for 3,000 iterations of 2.5 s, with 20 cases, on cuda (A4000). It takes 3.0 GB of memory."
        " 512 MB besides are free. This holds if nothing else runs on this computer."
    )
    ui.outlivesBox.checked = True
    assert ui.estimateLabel.text, "what changes nothing leaves the estimate alone"
    ui.batchEdit.setText("2")
    ui.batchEdit.editingFinished.emit()
    assert ui.estimateLabel.text == "", "an estimate of other settings stayed"


def test_an_estimate_can_be_cancelled_and_offers_less_memory(
    widget: TrainingWidget, logic: FakeLogic, data: str
) -> None:
    ui = widget.ui
    ui.estimateButton.click()
    ui.estimateButton.click()
    assert ui.estimateLabel.text == "The estimate was cancelled."
    ui.estimateButton.click()
    logic.last.end(OUT_OF_MEMORY)
    assert ui.estimateLabel.text == "<b>The training does not fit into the memory of cuda.</b> Set less."
    assert ui.remedyButton.text == "Use less memory and estimate again"
    assert ui.remedyLabel.text.startswith("Less memory: intermediate results are computed twice instead of kept.")
    count = len(logic.commands)
    ui.remedyButton.click()
    assert len(logic.commands) == count + 1
    assert logic.last.asked.settings == {"checkpoint_activations": "true"}
    assert not ui.remedyButton.visible
    assert logic.orders == [], "an estimate has started a training"


# The run


def test_start_pause_and_resume(widget: TrainingWidget, logic: FakeLogic, run: FakeRun, folder: Path) -> None:
    ui = widget.ui
    order = logic.orders[-1]
    assert (order.runFolder, order.resume, order.outlivesSlicer) == (str(folder), False, False)
    run.stage, run.secondsLeft = "Training: iteration 120 of 3000", 4200.0
    run.fraction = 0.04
    run.becomes("training", done=120)
    assert (ui.trainProgress.value, ui.trainProgress.format) == (40, "4.0 %")
    assert ui.trainStatus.text == "Training: iteration 120 of 3000 · about 1 h 10 min left"
    locked = (ui.dataEdit, ui.presetSelector, ui.iterationsEdit, ui.deviceSelector, ui.estimateButton, ui.outlivesBox)
    for one in locked:
        assert (one.enabled, one.toolTip) == (False, "The training is going on. Pause it to change this.")
    ui.trainButton.click()
    assert run.wasAskedToStop
    assert (ui.trainButton.text, ui.trainButton.enabled) == ("Pause", False)
    assert ui.trainButton.toolTip == "The training pauses as soon as this iteration is done and saved."
    run.becomes("interrupted", done=1121)
    assert ui.messageLabel.text == "Paused after 1,121 iterations; everything is saved."
    assert (ui.trainButton.text, ui.trainButton.enabled, ui.trainProgress.visible) == ("Resume", True, False)
    assert all(one.enabled for one in locked if one is not ui.presetSelector)
    ui.outlivesBox.checked = True
    ui.trainButton.click()
    assert (logic.orders[-1].resume, logic.orders[-1].outlivesSlicer) == (True, True)
    assert ui.trainButton.text == "Pause"
    assert ui.messageLabel.text == ""


def test_a_pause_that_is_refused_can_be_tried_again(widget: TrainingWidget, run: FakeRun) -> None:
    run.becomes("training")
    run.refusal = OutputError("NOT_WRITABLE", "run cannot be written to.", "Check that the disk is not full.")
    widget.ui.trainButton.click()
    assert widget.ui.messageLabel.text == "<b>run cannot be written to.</b> Check that the disk is not full."
    assert widget.ui.trainButton.enabled
    run.refusal = None
    widget.ui.trainButton.click()
    assert run.wasAskedToStop


def test_a_run_has_its_own_settings(widget: TrainingWidget, logic: FakeLogic, folder: Path) -> None:
    ui = widget.ui
    ui.batchEdit.setText("4")
    ui.batchEdit.editingFinished.emit()
    ui.trainButton.click()
    _write_config(folder, batch=4)
    logic.facts = json.loads(json.dumps(logic.facts))
    next(one for one in logic.facts if one["name"] == "batch")["value"] = 4
    logic.current.becomes("interrupted", done=5)
    assert logic.asked[-1] == str(folder / "config.yaml")
    assert (ui.presetSelector.currentText, ui.presetSelector.enabled) == ("As in the run folder", False)
    assert (ui.batchEdit.text, ui.batchEditLabel.font.bold()) == ("4", False)
    ui.iterationsEdit.setText("9000")
    ui.iterationsEdit.editingFinished.emit()
    ui.trainButton.click()
    assert logic.orders[-1].settings == {"iterations": "9000"}
    # The trainer writes what it was told; then it is no change any more.
    next(one for one in logic.facts if one["name"] == "iterations")["value"] = 9000
    _write_config(folder, batch=4, iterations=9000)
    import os

    os.utime(folder / "config.yaml", (1, 1))
    logic.current.becomes("interrupted", done=6)
    assert changedSettings(widget.panel.parameters) == {}
    ui.runFolderEdit.currentPath = str(folder.parent / "other")
    assert (ui.presetSelector.currentText, logic.asked[-1]) == ("small-cpu", "small-cpu")


def test_a_finished_run_wants_more_iterations(widget: TrainingWidget, run: FakeRun) -> None:
    run.becomes("finished", done=3000)
    assert widget.ui.messageLabel.text == "The training is finished: 3,000 iterations. Evaluate and use it below."
    assert widget.ui.trainButton.toolTip.startswith("This run is finished. Raise the iterations")
    widget.ui.iterationsEdit.setText("4000")
    widget.ui.iterationsEdit.editingFinished.emit()
    assert widget.ui.trainButton.enabled
    widget.ui.trainButton.click()
    assert widget.logic.orders[-1].settings == {"iterations": "4000"}


def test_stop_now_asks_and_says_what_is_kept(widget: TrainingWidget, run: FakeRun) -> None:
    ui = widget.ui
    run.becomes("training", saved=100)
    ui.stopButton.click()
    assert run.isRunning, "it was ended without consent"
    widget.panel.dialogs.answers["confirm"] = True
    ui.stopButton.click()
    assert run.state == "stopped"


def test_words_after_stop_now(widget: TrainingWidget, run: FakeRun) -> None:
    run.kill = lambda: run.becomes("stopped", done=130, saved=100)
    run.becomes("training", done=130, saved=100)
    widget.panel.dialogs.answers["confirm"] = True
    widget.ui.stopButton.click()
    words = "Stopped. What was saved after 100 iterations is kept; Resume goes on from there."
    assert widget.ui.messageLabel.text == words
    assert widget.ui.trainButton.text == "Resume"


def test_a_run_of_a_shell_is_watched_and_can_be_paused(
    widget: TrainingWidget, logic: FakeLogic, folder: Path, tmp_path: Path
) -> None:
    made = tmp_path / "shell"
    made.mkdir()
    (made / "events.jsonl").touch()
    logic.runs[made] = FakeRun(made, state="training", isOurs=False)
    widget.ui.runFolderEdit.currentPath = str(made)
    assert widget.run.run is logic.runs[made]
    assert widget.ui.trainButton.text == "Pause"
    assert widget.ui.stopButton.toolTip.startswith("This training was started elsewhere")
    widget.ui.trainButton.click()
    assert logic.runs[made].wasAskedToStop
    logic.runs[made].becomes("interrupted", done=20, saved=20)
    widget.panel.changed()
    logic.runs[made].becomes("training", done=21, saved=20)
    logic.runs[made].becomes("stopped", done=25, saved=20)
    assert widget.ui.messageLabel.text.startswith("This training has ended without a word")
    widget.ui.runFolderEdit.currentPath = str(folder)
    assert (widget.run.run, widget.ui.trainButton.text) == (None, "Start training")
    assert widget.ui.messageLabel.text == ""
    assert logic.runs[made].slots == [], "the run that is not shown any more is still listened to"


def test_a_folder_that_cannot_be_watched_is_told_once(widget: TrainingWidget, logic: FakeLogic, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    logic.refusal = InputError("NO_RUN", "There is no training run in it.", "Choose another folder.")
    widget.ui.runFolderEdit.currentPath = str(tmp_path)
    assert widget.ui.messageLabel.text == "<b>There is no training run in it.</b> Choose another folder."
    widget.panel.say("something else")
    widget.update_()
    assert widget.ui.messageLabel.text == "something else"


# Failures


def test_a_start_that_is_refused_is_told(widget: TrainingWidget, logic: FakeLogic, folder: Path) -> None:
    logic.refusal = UsageError("BUSY", "Another training is under way.", "Wait for its end, or stop it.")
    widget.ui.trainButton.click()
    assert widget.ui.messageLabel.text == "<b>Another training is under way.</b> Wait for its end, or stop it."
    assert (widget.ui.trainButton.text, widget.ui.trainButton.enabled) == ("Start training", True)


def test_packages_that_are_not_installed_stop_it_before_it_begins(
    widget: TrainingWidget, logic: FakeLogic, folder: Path
) -> None:
    refusal = UsageError("INSTALL_DECLINED", "The Python packages were not installed.", "Try it again.")
    widget.panel.requirements.refusal = refusal
    for button, label in (("trainButton", "messageLabel"), ("checkButton", "dataMessageLabel")):
        getattr(widget.ui, button).click()
        words = "<b>The Python packages were not installed.</b> Try it again."
        assert getattr(widget.ui, label).text == words
    widget.ui.estimateButton.click()
    assert widget.ui.estimateLabel.text.startswith("<b>The Python packages")
    assert (logic.orders, logic.commands) == ([], [])


def test_settings_appear_once_the_packages_are_there(scene: Any, logic: FakeLogic, parameters: Any) -> None:
    requirements = FakeRequirements()
    requirements.absent = ["torch"]
    made = TrainingWidget(logic, FakeDialogs(), requirements, client=FakeClient())
    made.setParameters(parameters)
    words = "The settings will be shown here once the required packages are installed."
    assert made.ui.presetLabel.text == made.ui.iterationsEdit.toolTip == words
    assert logic.asked == []
    requirements.absent = []
    made.enter()
    assert made.ui.iterationsEdit.text == "3000"
    made.cleanUp()
    made.deleteLater()


@pytest.mark.parametrize(
    "error",
    [
        OutputError("NOT_WRITABLE", "0000100.pt cannot be written in run.", "Check that the disk is not full."),
        LckdError("TRAINING_ENDED", "The training ended unexpectedly: it crashed.", "Resume it; nothing was lost."),
        InputError("CHECKPOINT_DAMAGED", "The checkpoint 0000100.pt cannot be read.", "Delete it."),
        LckdError("BUG", "This is a mistake in the program.", "Tell its makers."),
    ],
    ids=lambda error: error.code,
)
def test_what_a_training_fails_with_is_told_and_it_can_be_resumed(
    widget: TrainingWidget, run: FakeRun, error: LckdError
) -> None:
    run.becomes("training", done=130)
    run.becomes("failed", error, done=130, saved=100)
    assert widget.ui.messageLabel.text == f"<b>{error.message}</b> {error.action}"
    assert (widget.ui.trainButton.text, widget.ui.trainButton.enabled) == ("Resume", True)
    assert not widget.ui.remedyButton.visible
    widget.ui.trainButton.click()
    assert widget.logic.orders[-1].resume
    assert widget.ui.messageLabel.text == ""


def test_out_of_memory_offers_the_next_smaller_setting_until_none_is_left(
    widget: TrainingWidget, logic: FakeLogic, folder: Path
) -> None:
    ui = widget.ui
    for edit, text in ((ui.batchEdit, "2"), (ui.patchEdit, "48")):
        edit.setText(text)
        edit.editingFinished.emit()
    ui.trainButton.click()
    offers = []
    for _time in range(4):
        logic.current.becomes("training")
        logic.current.becomes("failed", OUT_OF_MEMORY)
        if not ui.remedyButton.visible:
            break
        assert ui.remedyButton.enabled
        assert not ui.otherRemedyButton.visible
        assert ui.messageLabel.text.endswith("What can be done about it in one click is offered below.")
        assert ui.remedyButton.text == "Use less memory and resume"
        offers.append(ui.remedyLabel.text.partition(".")[0])
        ui.remedyButton.click()
        assert logic.orders[-1].resume
        assert logic.current.isRunning
        assert not ui.remedyButton.visible
    assert offers == [
        "Less memory: the 2 patches of a step are computed one by one",
        "Less memory: intermediate results are computed twice instead of kept",
        "Less memory: patches of 32 × 32 × 32 voxels",
    ]
    settings = logic.orders[-1].settings
    assert {name: yaml.safe_load(text) for name, text in settings.items()} == {
        "batch": 2,
        "accumulate": 2,
        "checkpoint_activations": True,
        "patch": [32, 32, 32],
    }
    words = "No smaller setting is left: choose another device, or a preset with a smaller network."
    assert ui.messageLabel.text == f"<b>{OUT_OF_MEMORY.message}</b> {words}"


def test_smaller_settings_are_such_as_the_trainer_takes() -> None:
    values = json.loads(json.dumps(vars(TrainingConfig.preset("paper"))))
    count = 0
    while (found := smaller(values)) is not None:
        values[found[1]] = found[2]
        TrainingConfig.from_dict(values)
        count += 1
    assert (values["patch"], values["accumulate"], values["checkpoint_activations"]) == ([32, 32, 32], 2, True)
    assert count == 2 + (160 - 32) // 16


def test_a_loss_that_is_no_number_offers_two_ways(
    widget: TrainingWidget, logic: FakeLogic, run: FakeRun, check: Callable[..., None], folder: Path
) -> None:
    ui = widget.ui
    (folder / "split.json").write_text(json.dumps({"train": ["BraTS_0001", "BraTS_00012"], "election": ["c"]}))
    message = "The training loss is no longer a number, at a patch of BraTS_0001; the last checkpoint is kept."
    error = LckdError("LOSS_NOT_FINITE", message, "Resume with a lower learning rate, and check that case.")
    run.becomes("failed", error)
    assert "at a patch of BraTS_0001" in ui.messageLabel.text
    assert ui.remedyButton.text == "Leave out and resume"
    assert ui.otherRemedyButton.text == "Halve the rate and resume"
    assert ui.remedyLabel.text.startswith("Leave out: never learn from BraTS_0001 again")
    assert "Halve: a learning rate of 0.0005" in ui.remedyLabel.text
    ui.remedyButton.click()
    assert yaml.safe_load(logic.orders[-1].settings["exclude"]) == ["BraTS_0001"]
    logic.current.becomes("failed", error)
    ui.otherRemedyButton.click()
    assert yaml.safe_load(logic.orders[-1].settings["learning_rate"]) == 0.0005


def test_remedies_wait_for_what_stands_in_the_way(widget: TrainingWidget, run: FakeRun) -> None:
    run.becomes("failed", OUT_OF_MEMORY)
    widget.panel.parameters.data = ""
    assert not widget.ui.remedyButton.enabled
    assert widget.ui.remedyButton.toolTip.startswith("Choose the folder that holds the cases")
    assert remediesFor("OUT_OF_MEMORY", "", {}, []) == [], "nothing can be offered while the settings are not known"


def test_only_cases_that_the_error_names_are_left_out() -> None:
    message = "The training loss is no longer a number, at a patch of BraTS-0001, c.2; the last checkpoint is kept."
    names = ["0001", "BraTS", "BraTS-0001", "BraTS-00011", "c.2", "c"]
    offers = remediesFor("LOSS_NOT_FINITE", message, {"learning_rate": 0.001}, names)
    assert [(one.title, one.leftOut) for one in offers] == [
        ("Leave out", ("BraTS-0001", "c.2")),
        ("Halve the rate", ()),
    ]


# The scene


def test_parameters_are_saved_with_the_scene(
    widget: TrainingWidget, logic: FakeLogic, scene: Any, folder: Path, check: Callable[..., None]
) -> None:
    ui = widget.ui
    check(*map(checked, "abc"))
    ui.dataTable.item(2, 0).setCheckState(qt.Qt.Unchecked)
    ui.presetSelector.activated.emit(0)
    ui.batchEdit.setText("4")
    ui.batchEdit.editingFinished.emit()
    ui.outlivesBox.checked = True
    widget.panel.parameters.device = "cuda:1"
    before = orderOf(widget.panel.parameters)
    scene.SetSaveToXMLString(1)
    scene.Commit()
    scene.SetSaveToXMLString(0)
    text = scene.GetSceneXMLString()
    widget.closeScene()
    scene.Clear()
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(text)
    assert scene.Import()
    scene.SetLoadFromXMLString(0)
    widget.setParameters(TrainingParameters(scene.GetFirstNodeByName("LCKD")))
    assert orderOf(widget.panel.parameters) == before
    assert (before.preset, before.settings) == ("fast", {"batch": "4", "exclude": '["c"]'})
    assert (ui.batchEdit.text, ui.runFolderEdit.currentPath) == ("4", str(folder))
    assert (ui.presetSelector.currentText, ui.outlivesBox.checked) == ("fast", True)
    assert ui.deviceSelector.currentText == "CUDA:1 (not found)"


def test_settings_of_a_damaged_scene_are_those_of_the_preset(widget: TrainingWidget) -> None:
    widget.panel.parameters.settings = "{not JSON"
    assert widget.ui.iterationsEdit.text == "3000"
    assert orderOf(widget.panel.parameters).settings == {}


def test_each_parameter_set_has_its_own_training(
    widget: TrainingWidget, logic: FakeLogic, run: FakeRun, scene: Any, parameters: Any, data: str
) -> None:
    run.becomes("training", done=3)
    other = _parameterSet(scene, "Other")
    widget.setParameters(other)
    assert (widget.ui.dataEdit.currentPath, widget.ui.trainButton.text) == ("", "Start training")
    assert not widget.ui.trainProgress.visible
    run.becomes("training", done=4)
    widget.ui.batchEdit.setText("8")
    widget.ui.batchEdit.editingFinished.emit()
    widget.setParameters(parameters)
    assert (widget.ui.batchEdit.text, widget.ui.trainButton.text) == ("1", "Pause")
    assert widget.run.run is run
    run.becomes("failed", OUT_OF_MEMORY)
    assert "does not fit" in widget.ui.messageLabel.text


def test_a_training_goes_on_when_the_scene_is_closed_and_the_next_set_shows_it(
    widget: TrainingWidget, run: FakeRun, scene: Any, data: str, folder: Path
) -> None:
    run.becomes("training")
    widget.closeScene()
    assert run.isRunning
    assert not run.wasAskedToStop
    scene.Clear()
    widget.setParameters(_parameterSet(scene, "Next"))
    assert (widget.run.run, widget.ui.dataEdit.currentPath) == (run, data)
    widget.setParameters(_parameterSet(scene, "Third"))
    assert widget.ui.runFolderEdit.currentPath == ""


def test_the_last_training_is_found_again_after_a_restart(
    widget: TrainingWidget, logic: FakeLogic, run: FakeRun, scene: Any, folder: Path
) -> None:
    run.becomes("interrupted", done=7)
    made = TrainingWidget(logic, FakeDialogs(), FakeRequirements(), client=FakeClient())
    made.setParameters(_parameterSet(scene, "Restarted"))
    assert made.ui.runFolderEdit.currentPath == str(folder)
    assert made.ui.trainButton.text == "Resume"
    made.cleanUp()
    made.deleteLater()


def test_at_the_end_of_the_module_nothing_is_left(widget: TrainingWidget, logic: FakeLogic, folder: Path) -> None:
    ended: list[str] = []
    widget.ui.checkButton.click()
    logic.last.cancel = lambda: ended.append("check")
    widget.ui.checkButton.click()
    widget.ui.estimateButton.click()
    widget.cleanUp()
    assert ended == ["check", "check"]
    assert logic.isClosed


# The real trainer


def test_the_real_trainer_tells_settings_and_cases(
    scene: Any, parameters: Any, keep_settings: Any, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    import sys

    from phantoms import make_case, write_case

    from LCKDTrainingLib.Logic import TrainingLogic

    write_case(tmp_path / "cases" / "good", make_case())
    (write_case(tmp_path / "cases" / "bad", make_case(), labels=False) / "t1.nii.gz").write_bytes(b"no image")
    made = TrainingWidget(TrainingLogic(lambda: sys.executable), FakeDialogs(), FakeRequirements(), client=FakeClient())
    made.setParameters(parameters)
    made.ui.dataEdit.currentPath = str(tmp_path / "cases")
    wait_until(lambda: made.ui.iterationsEdit.text == "3000", 60)
    made.ui.checkButton.click()
    wait_until(lambda: not made.data.isRunning, 60)
    assert [row[0] for row in _cells(made)] == ["bad", "good"]
    assert made.ui.dataMessageLabel.text == "2 cases: 1 to learn from; 1 with a fault, never used."
    # The fakes tell of cases as the trainer does.
    for name, imitated in (("good", checked("good")), ("bad", checked("bad", fault="It is damaged."))):
        real = made.panel.dataCases[name]
        assert set(imitated) <= set(real)
        assert {key: type(real[key]) for key in ("usable", "present", "files", "findings")} == {
            key: type(imitated[key]) for key in ("usable", "present", "files", "findings")
        }
    assert set(made.panel.dataCases["bad"]["findings"][0]) == set(checked("x", fault="y")["findings"][0])
    made.cleanUp()
    made.deleteLater()

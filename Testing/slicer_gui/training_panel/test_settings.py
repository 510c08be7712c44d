"""The settings of a training: presets, what is changed of them, and how people write and read them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from panel_parts import FakeRequirements
from training_parts import FACTS, FakeLogic, choose, entries, real_facts, type_in

from lckd.errors import UsageError
from lckd_training.config import TrainingConfig
from LCKDTrainingLib.Logic import TrainingLogic
from LCKDTrainingLib.Parameters import TrainingParameters, changedSettings
from LCKDTrainingLib.Settings import Setting, fromYamlText, shown, yamlText
from LCKDTrainingLib.SettingsSection import presetWords
from LCKDTrainingLib.Widget import TrainingWidget


def _setting(name: str) -> Setting:
    return next(Setting.fromFacts(one) for one in FACTS if one["name"] == name)


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
    setting = _setting(name)
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
    setting = _setting(name)
    with pytest.raises(ValueError, match=name) as refused:
        setting.read(text)
    assert str(refused.value) == words


def test_a_setting_that_is_changed_is_bold_and_ordered(widget: TrainingWidget, folder: Path) -> None:
    ui = widget.ui
    assert (ui.iterationsEdit.text, ui.patchEdit.text, ui.learningRateEdit.text) == ("3000", "96, 96, 96", "0.001")
    assert "Optimizer steps in all. It is at least 1." in ui.iterationsEdit.toolTip
    for edit, text in ((ui.iterationsEdit, "50"), (ui.learningRateEdit, "1e-5"), (ui.patchEdit, "64")):
        type_in(edit, text)
    choose(ui.teachersSelector, ui.teachersSelector.findText("one"))
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
    type_in(ui.iterationsEdit, "-3")
    assert ui.settingsMessageLabel.text == "iterations cannot be -3. It is at least 1."
    assert ui.iterationsEdit.text == "3000"
    assert changedSettings(widget.panel.parameters) == {}
    type_in(ui.iterationsEdit, "30")
    assert (ui.settingsMessageLabel.text, ui.iterationsEdit.text) == ("", "30")
    type_in(ui.iterationsEdit, "3000")
    assert changedSettings(widget.panel.parameters) == {}, "what is as in the preset is no change"


def test_the_table_of_all_other_settings(widget: TrainingWidget) -> None:
    ui, table = widget.ui, widget.ui.settingsTable
    ui.settingsSection.collapsed = False
    names = [table.item(row, 0).text() for row in range(table.rowCount)]
    assert not {"Iterations", "Patch", "Exclude"} & set(names)
    assert len(names) == len(FACTS) - 7
    assert ui.resetSettingButton.toolTip == "Choose a setting in the table."
    assert ui.resetSettingsButton.toolTip == "All settings are those of the preset."
    row = names.index("Tumor share")
    table.item(row, 1).setText("0.25")
    assert table.item(row, 0).font().bold()
    assert changedSettings(widget.panel.parameters) == {"tumor_share": "0.25"}
    table.item(row, 1).setText("7")
    assert (table.item(row, 1).text(), changedSettings(widget.panel.parameters)) == ("0.25", {"tumor_share": "0.25"})
    table.selectRow(row)
    assert "Share of the patches around a tumor voxel. It lies between 0 and 1." in ui.settingLabel.text
    assert "In the preset: 0.5. In commands: tumor_share." in ui.settingLabel.text
    selector = table.cellWidget(names.index("Missing"), 1)
    assert entries(selector) == ["number", "subset", "some"]
    choose(selector, 1)
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
    assert entries(ui.presetSelector) == ["fast", "paper", "small-cpu", "From a file…"]
    assert ui.presetLabel.text.startswith("A small network, on a computer without a graphics card.")
    type_in(ui.batchEdit, "4")
    logic.facts = real_facts("paper")
    choose(ui.presetSelector, 1)
    assert (logic.asked[-1], ui.batchEdit.text, ui.patchEdit.text) == ("paper", "2", "80, 160, 160")
    assert changedSettings(widget.panel.parameters) == {}
    own = tmp_path / "own.yaml"
    own.write_text("batch: 3\n")
    widget.panel.dialogs.answers["file"] = str(own)
    choose(ui.presetSelector, 3)
    assert (logic.asked[-1], ui.presetSelector.currentText) == (str(own), "File own.yaml")
    widget.panel.dialogs.answers["file"] = ""
    choose(ui.presetSelector, ui.presetSelector.count - 1)
    assert ui.presetSelector.currentText == "File own.yaml"


def test_presets_are_explained() -> None:
    assert set(presetWords()) == set(TrainingLogic().presetNames())


def test_settings_that_cannot_be_told_are_asked_for_again(widget: TrainingWidget, logic: FakeLogic) -> None:
    logic.refusal = UsageError("BAD_SETTING", "The training settings do not work: no.", "Correct the setting.")
    choose(widget.ui.presetSelector, 0)
    count = len(logic.asked)
    assert widget.ui.presetLabel.text == "The training settings do not work: no. Correct the setting."
    assert widget.ui.iterationsEdit.toolTip.startswith("The training settings do not work")
    assert len(logic.asked) == count, "it is asked again and again"
    logic.refusal = None
    widget.enter()
    assert widget.ui.iterationsEdit.enabled
    assert widget.ui.presetLabel.text.startswith("A good model from one graphics card")


def test_settings_appear_once_the_packages_are_there(
    make_widget: Callable[..., TrainingWidget], logic: FakeLogic, parameters: TrainingParameters
) -> None:
    requirements = FakeRequirements()
    requirements.absent = ["torch"]
    made = make_widget(requirements=requirements)
    made.setParameters(parameters)
    words = "The settings will be shown here once the required packages are installed."
    assert made.ui.presetLabel.text == made.ui.iterationsEdit.toolTip == words
    assert logic.asked == []
    requirements.absent = []
    made.enter()
    assert made.ui.iterationsEdit.text == "3000"

"""The panel and the scene: parameter sets are saved and restored, and a training outlasts the scene."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from training_parts import OUT_OF_MEMORY, FakeLogic, FakeRun, checked, choose, parameter_set, type_in

from LCKDTrainingLib.Parameters import TrainingParameters, orderOf
from LCKDTrainingLib.Widget import TrainingWidget


def test_parameters_are_saved_with_the_scene(
    widget: TrainingWidget, scene: Any, folder: Path, check: Callable[..., None]
) -> None:
    ui = widget.ui
    check(*map(checked, "abc"))
    ui.dataTable.item(2, 0).setCheckState(qt.Qt.Unchecked)
    choose(ui.presetSelector, 0)
    type_in(ui.batchEdit, "4")
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
    widget: TrainingWidget, run: FakeRun, scene: Any, parameters: TrainingParameters
) -> None:
    run.becomes("training", done=3)
    other = parameter_set(scene, "Other")
    widget.setParameters(other)
    assert (widget.ui.dataEdit.currentPath, widget.ui.trainButton.text) == ("", "Start training")
    assert not widget.ui.trainProgress.visible
    run.becomes("training", done=4)
    type_in(widget.ui.batchEdit, "8")
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
    widget.setParameters(parameter_set(scene, "Next"))
    assert (widget.run.run, widget.ui.dataEdit.currentPath) == (run, data)
    widget.setParameters(parameter_set(scene, "Third"))
    assert widget.ui.runFolderEdit.currentPath == ""


def test_the_last_training_is_found_again_after_a_restart(
    make_widget: Callable[..., TrainingWidget], run: FakeRun, scene: Any, folder: Path
) -> None:
    run.becomes("interrupted", done=7)
    made = make_widget()
    made.setParameters(parameter_set(scene, "Restarted"))
    assert made.ui.runFolderEdit.currentPath == str(folder)
    assert made.ui.trainButton.text == "Resume"


def test_at_the_end_of_the_module_nothing_is_left(widget: TrainingWidget, logic: FakeLogic, folder: Path) -> None:
    ended: list[str] = []
    widget.ui.checkButton.click()
    logic.last.cancel = lambda: ended.append("check")
    widget.ui.checkButton.click()
    widget.ui.estimateButton.click()
    widget.cleanUp()
    assert ended == ["check", "check"]
    assert logic.isClosed

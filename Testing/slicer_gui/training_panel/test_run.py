"""A training in the panel: started, paused, resumed, stopped; and one that was started elsewhere."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training_parts import FakeLogic, FakeRun, checked, parameter_set, type_in

from lckd.errors import InputError, OutputError
from lckd_training.config import TrainingConfig
from LCKDTrainingLib.Parameters import changedSettings
from LCKDTrainingLib.Widget import TrainingWidget


def _write_config(logic: FakeLogic, folder: Path, **settings: Any) -> None:
    """What the trainer does first, and what the settings of the run folder are then."""
    (folder / "config.yaml").write_text(TrainingConfig.from_dict(settings).to_yaml(), encoding="utf-8")
    logic.facts = copy.deepcopy(logic.facts)
    for one in logic.facts:
        one["value"] = settings.get(one["name"], one["value"])


def test_start_pause_and_resume(widget: TrainingWidget, logic: FakeLogic, run: FakeRun, folder: Path) -> None:
    ui = widget.ui
    order = logic.orders[-1]
    assert (order.runFolder, order.resume, order.outlivesSlicer) == (str(folder), False, False)
    run.stage, run.secondsLeft = "Training: iteration 120 of 3000", 4200.0
    run.fraction = 0.04
    run.becomes("training", done=120)
    assert (ui.trainProgress.value, ui.trainProgress.format) == (40, "4.0 %")
    assert ui.trainStatus.text == "Training: iteration 120 of 3000 · about 1 h 10 min left"
    locked = (ui.dataEdit, ui.presetSelector, ui.iterationsEdit, ui.deviceSelector, ui.estimateButton)
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


def test_that_it_goes_on_without_slicer_can_be_said_at_any_time(
    widget: TrainingWidget, logic: FakeLogic, run: FakeRun, scene: Any
) -> None:
    run.becomes("training")
    assert widget.ui.outlivesBox.enabled
    widget.ui.outlivesBox.checked = True
    assert logic.goesOn
    other = parameter_set(scene, "Other")
    widget.setParameters(other)
    assert (widget.ui.outlivesBox.checked, logic.goesOn) == (False, True), "another parameter set has changed it"
    other.runFolder = str(run.folder)
    assert (widget.ui.outlivesBox.checked, logic.goesOn) == (True, True)
    widget.ui.outlivesBox.checked = False
    assert not logic.goesOn
    run.isOurs = False
    widget.setParameters(parameter_set(scene, "Third"))
    widget.panel.parameters.runFolder = str(run.folder)
    assert widget.ui.outlivesBox.checked, "one that was begun elsewhere goes on"
    assert widget.ui.outlivesBox.toolTip == "The training is going on. Pause it to change this."


def test_a_training_whose_parameter_set_is_deleted_is_shown_by_the_next_one(
    widget: TrainingWidget, run: FakeRun, folder: Path, scene: Any
) -> None:
    (folder / "events.jsonl").touch()
    run.becomes("training")
    widget.setParameters(None)
    widget.setParameters(parameter_set(scene, "Next"))
    assert widget.panel.parameters.runFolder == str(folder)
    assert widget.ui.trainButton.text == "Pause"
    run.becomes("finished")
    widget.setParameters(None)
    widget.setParameters(parameter_set(scene, "After its end"))
    assert widget.panel.parameters.runFolder == ""


def test_a_split_that_is_refused_can_be_replaced_until_the_run_has_its_own(
    widget: TrainingWidget, run: FakeRun, folder: Path
) -> None:
    run.becomes("failed", InputError("BAD_SPLIT", "This is no split.", "Give another one."))
    assert widget.ui.splitFileEdit.enabled
    (folder / "split.json").touch()
    run.becomes("interrupted")
    assert not widget.ui.splitFileEdit.enabled
    assert widget.ui.splitFileEdit.toolTip == "The run in this folder has its own split."


def test_what_a_run_leaves_out_stays_left_out_in_another_scene(
    widget: TrainingWidget, logic: FakeLogic, run: FakeRun, folder: Path, scene: Any, check: Callable[..., None]
) -> None:
    run.becomes("interrupted")
    data = widget.panel.parameters.data
    _write_config(logic, folder, exclude=["b"])
    widget.setParameters(parameter_set(scene, "Other"))
    widget.panel.parameters.data, widget.panel.parameters.runFolder = data, str(folder)
    check(*map(checked, "abc"), checked("d", fault="It is empty."))
    assert "2 to learn from" in widget.ui.dataMessageLabel.text
    assert "1 left out by you" in widget.ui.dataMessageLabel.text
    widget.ui.trainButton.click()
    assert json.loads(logic.orders[-1].settings["exclude"]) == ["b", "d"]


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
    type_in(ui.batchEdit, "4")
    ui.trainButton.click()
    _write_config(logic, folder, batch=4)
    logic.current.becomes("interrupted", done=5)
    assert logic.asked[-1] == str(folder / "config.yaml")
    assert (ui.presetSelector.currentText, ui.presetSelector.enabled) == ("As in the run folder", False)
    assert (ui.batchEdit.text, ui.batchEditLabel.font.bold()) == ("4", False)
    type_in(ui.iterationsEdit, "9000")
    ui.trainButton.click()
    assert logic.orders[-1].settings == {"iterations": "9000"}
    # The trainer writes what it was told; then it is no change any more.
    _write_config(logic, folder, batch=4, iterations=9000)
    os.utime(folder / "config.yaml", (1, 1))
    logic.current.becomes("interrupted", done=6)
    assert changedSettings(widget.panel.parameters) == {}
    ui.runFolderEdit.currentPath = str(folder.parent / "other")
    assert (ui.presetSelector.currentText, logic.asked[-1]) == ("small-cpu", "small-cpu")


def test_a_finished_run_wants_more_iterations(widget: TrainingWidget, run: FakeRun) -> None:
    run.becomes("finished", done=3000)
    assert widget.ui.messageLabel.text == "The training is finished: 3,000 iterations. Evaluate and use it below."
    assert widget.ui.trainButton.toolTip.startswith("This run is finished. Raise the iterations")
    type_in(widget.ui.iterationsEdit, "4000")
    assert widget.ui.trainButton.enabled
    widget.ui.trainButton.click()
    assert widget.logic.orders[-1].settings == {"iterations": "4000"}


def test_stop_now_asks_and_says_what_is_kept(widget: TrainingWidget, run: FakeRun) -> None:
    ui = widget.ui
    run.becomes("training", done=130, saved=100)
    ui.stopButton.click()
    assert run.isRunning, "it was ended without consent"
    widget.panel.dialogs.answers["confirm"] = True
    ui.stopButton.click()
    assert run.state == "stopped"
    assert ui.messageLabel.text == "Stopped. What was saved after 100 iterations is kept; Resume goes on from there."
    assert ui.trainButton.text == "Resume"


def test_a_run_of_a_shell_is_watched_and_can_be_paused(
    widget: TrainingWidget, logic: FakeLogic, folder: Path, tmp_path: Path
) -> None:
    made = tmp_path / "shell"
    made.mkdir()
    (made / "events.jsonl").touch()
    run = logic.runs[made] = FakeRun(made, state="training", isOurs=False)
    widget.ui.runFolderEdit.currentPath = str(made)
    assert widget.run.run is run
    assert widget.ui.trainButton.text == "Pause"
    assert widget.ui.stopButton.toolTip.startswith("This training was started elsewhere")
    widget.ui.trainButton.click()
    assert run.wasAskedToStop
    run.becomes("interrupted", done=20, saved=20)
    widget.panel.changed()
    run.becomes("training", done=21, saved=20)
    run.becomes("stopped", done=25, saved=20)
    assert widget.ui.messageLabel.text.startswith("This training has ended without a word")
    widget.ui.runFolderEdit.currentPath = str(folder)
    assert (widget.run.run, widget.ui.trainButton.text) == (None, "Start training")
    assert widget.ui.messageLabel.text == ""
    assert run.slots == [], "the run that is not shown any more is still listened to"


def test_a_folder_that_cannot_be_watched_is_told_once(widget: TrainingWidget, logic: FakeLogic, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    logic.refusal = InputError("NO_RUN", "There is no training run in it.", "Choose another folder.")
    widget.ui.runFolderEdit.currentPath = str(tmp_path)
    assert widget.ui.messageLabel.text == "<b>There is no training run in it.</b> Choose another folder."
    widget.panel.say("something else")
    widget.update_()
    assert widget.ui.messageLabel.text == "something else"

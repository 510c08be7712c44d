"""Failures of a training in the panel: each is told in words, and where there is a remedy, it is one click away."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from training_parts import OUT_OF_MEMORY, FakeLogic, FakeRun, type_in

from lckd.errors import InputError, LckdError, OutputError, UsageError
from lckd_training.config import TrainingConfig
from LCKDTrainingLib.Remedies import remediesFor
from LCKDTrainingLib.Settings import smaller
from LCKDTrainingLib.Widget import TrainingWidget


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
    ui = widget.ui
    places = {
        ui.trainButton: ui.messageLabel,
        ui.checkButton: ui.dataMessageLabel,
        ui.estimateButton: ui.estimateLabel,
    }
    for button, label in places.items():
        button.click()
        assert label.text == "<b>The Python packages were not installed.</b> Try it again."
    assert (logic.orders, logic.commands) == ([], [])


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
    type_in(ui.batchEdit, "2")
    type_in(ui.patchEdit, "48")
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
    assert "at a patch of BraTS_\u200b0001" in ui.messageLabel.text
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

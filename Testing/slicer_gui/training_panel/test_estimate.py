"""What a training will take: time and memory are estimated before it begins."""

from training_parts import OUT_OF_MEMORY, FakeLogic, type_in

from LCKDTrainingLib.Widget import TrainingWidget


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
    type_in(ui.batchEdit, "2")
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

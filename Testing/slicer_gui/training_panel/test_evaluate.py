"""Evaluations of a run: made, shown, compared with that of another run."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import qt
from training_parts import (
    FakeLogic,
    FakeRun,
    headers,
    nodes_of,
    shown_chart,
    temporary_models,
    texts,
    watched_run,
    write_evaluation,
)

from lckd.errors import InputError
from lckd.models import ModelCard
from lckd.models.store import METADATA
from lckd_training.evaluation.compare import read_evaluations, write_evaluations
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.UseSection import UseSection


@pytest.fixture
def saved(use: UseSection, panel: TrainingPanel, watched: FakeRun, tmp_path: Path) -> FakeRun:
    """The run that is shown has saved a checkpoint, and its data is known."""
    watched.save(2)
    panel.parameters.data = str(tmp_path)
    use.update()
    return watched


@pytest.fixture
def make_model(logic: FakeLogic, tiny_model: Path) -> Callable[[], Path]:
    """Makes the model that was asked for last; its card says that it was trained for two iterations."""

    def make() -> Path:
        model = logic.last.asked.model
        shutil.copytree(tiny_model, model)
        card = dataclasses.replace(ModelCard.read(model / METADATA), training={"iterations": 2})
        (model / METADATA).write_text(json.dumps(card.as_metadata()))
        logic.last.end()
        return model

    return make


def test_an_evaluation_says_what_it_waits_for(use: UseSection, panel: TrainingPanel, watched: FakeRun) -> None:
    assert panel.ui.evaluateButton.toolTip == "The run has saved no checkpoint yet."
    watched.save(2)
    use.update()
    assert panel.ui.evaluateButton.toolTip == "Choose the data of the run above."


def test_an_evaluation_is_made_of_a_model_that_is_gone_afterwards(
    panel: TrainingPanel, saved: FakeRun, logic: FakeLogic, make_model: Callable[[], Path], tmp_path: Path
) -> None:
    before = temporary_models()
    panel.ui.evaluateButton.click()
    model = make_model()
    asked = logic.last.asked
    assert (logic.last.what, asked.model, asked.data) == ("evaluate", model, str(tmp_path))
    assert asked.split == saved.folder / "split.json"
    assert asked.output == saved.folder / "evaluations" / "0000002"
    logic.last.tell("progress", fraction=0.5, case="c")
    assert panel.ui.evaluateProgress.value == 500
    write_evaluation(asked.output, 0.5)
    logic.last.end(InputError("SOME_CASES_FAILED", "1 of 5 cases cannot be used.", "See evaluation.json."))
    assert temporary_models() == before
    words = panel.ui.evaluateMessageLabel.text
    assert "2 iterations on 4 cases kept for testing" in words
    assert "1 of 5 cases cannot be used." in words
    assert "Not for clinical use." in words
    table = texts(panel.ui.subsetTable)
    assert len(table) == 16
    assert table[0] == ["FLAIR", "0.500", "0.500", "0.500", "4"]
    assert table[15][:2] == ["Mean of the subsets", "0.570"]
    picture = panel.ui.heatMapLabel.pixmap
    assert picture.width() == 2 * picture.height() >= 300, "the picture has lost its proportions"
    # Slicer's sections are at least as wide as their layout would like to be.
    wish = panel.ui.useSection.layout().sizeHint().width()
    panel.ui.heatMapLabel.setPixmap(qt.QPixmap(5000, 100))
    assert panel.ui.useSection.layout().sizeHint().width() == wish, "the picture makes the panel wide"


def test_a_run_without_test_cases_is_evaluated_on_those_that_elect_and_that_is_said(
    panel: TrainingPanel, saved: FakeRun, logic: FakeLogic, make_model: Callable[[], Path]
) -> None:
    (saved.folder / "split.json").write_text(json.dumps({"train": ["a"], "election": ["b"], "test": []}))
    panel.ui.evaluateButton.click()
    make_model()
    assert json.loads(logic.last.asked.split.read_text()) == {"train": [], "election": [], "test": ["b"]}
    write_evaluation(logic.last.asked.output, 0.5)
    logic.last.end()
    assert "flatter" in panel.ui.evaluateMessageLabel.text


def test_what_is_only_pretrained_is_neither_evaluated_nor_exported(
    panel: TrainingPanel, saved: FakeRun, use: UseSection
) -> None:
    ui = panel.ui
    saved.pretraining = 2
    use.update()
    for button in (ui.evaluateButton, ui.exportButton, ui.useButton):
        assert not button.enabled
        assert button.toolTip.endswith("first checkpoint after pre-training, which takes 2 iterations.")
    saved.save(3)
    use.update()
    assert all(button.enabled for button in (ui.evaluateButton, ui.exportButton, ui.useButton))


@pytest.mark.usefixtures("saved")
def test_a_cancelled_evaluation_leaves_nothing(panel: TrainingPanel) -> None:
    before = temporary_models()
    panel.ui.evaluateButton.click()
    assert panel.ui.evaluateButton.text == "Cancel"
    panel.ui.evaluateButton.click()
    assert panel.ui.evaluateMessageLabel.text == "The evaluation was cancelled."
    assert panel.ui.evaluateButton.text == "Evaluate"
    assert temporary_models() == before


def test_the_last_evaluation_of_a_run_is_shown_and_has_a_chart(
    use: UseSection, panel: TrainingPanel, logic: FakeLogic, scene: Any, tmp_path: Path
) -> None:
    other = logic.current = watched_run(tmp_path / "run-2")
    write_evaluation(other.folder / "evaluations" / "best", 0.25)
    use.update()
    assert texts(panel.ui.subsetTable)[0][1] == "0.250"
    assert "the best checkpoint" in panel.ui.evaluateMessageLabel.text
    panel.ui.subsetTable.cellDoubleClicked.emit(0, 0)
    assert shown_chart(scene).GetTitle() == "Dice by subset"
    count = len(nodes_of(scene, "vtkMRMLPlotChartNode"))
    panel.ui.subsetTable.cellDoubleClicked.emit(0, 0)
    assert len(nodes_of(scene, "vtkMRMLPlotChartNode")) == count


def test_a_damaged_evaluation_is_told_in_a_sentence(
    use: UseSection, panel: TrainingPanel, logic: FakeLogic, tmp_path: Path
) -> None:
    other = logic.current = watched_run(tmp_path / "run-2")
    file = write_evaluation(other.folder / "evaluations" / "best", 0.25) / "summary.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    use.update()
    assert "no readable file summary.csv" in panel.ui.evaluateMessageLabel.text
    assert not panel.ui.compareRunsButton.enabled


def test_two_runs_are_compared_in_words(
    use: UseSection, panel: TrainingPanel, logic: FakeLogic, watched: FakeRun, tmp_path: Path
) -> None:
    assert panel.ui.compareRunsButton.toolTip == "Evaluate the run first."
    own = write_evaluation(watched.folder / "evaluations" / "0000002", 0.5)
    other = write_evaluation(tmp_path / "baseline" / "evaluations" / "0000002", 0.52, rise=0.007)
    for run in (watched_run(tmp_path / "elsewhere"), watched):
        logic.current = run
        use.update()
    panel.dialogs.answers["folder"] = [str(tmp_path), str(own), str(tmp_path / "baseline")]
    panel.ui.compareRunsButton.click()
    assert "no readable file summary.csv" in panel.ui.evaluateMessageLabel.text
    panel.ui.compareRunsButton.click()
    assert "This is the evaluation that is shown." in panel.ui.evaluateMessageLabel.text
    panel.ui.compareRunsButton.click()
    assert logic.last.asked.evaluations == [str(own), str(other)]
    assert not panel.ui.compareRunsButton.enabled
    write_evaluations(read_evaluations([own, other]), logic.last.asked.output)
    logic.last.end()
    table = panel.ui.comparisonTable
    assert headers(table)[:3] == ["Region", "run-1", "baseline"]
    row = texts(table)[0]
    assert row[:4] == ["ET", "0.570", "0.569", "+0.001"]
    assert row[4].startswith("better on 8 of 15 subsets, p = 0.")
    assert row[4].endswith("over the subsets (t-test)")
    logic.current = watched_run(tmp_path / "between")
    use.update()
    assert texts(panel.ui.subsetTable) == []
    logic.current = watched
    use.update()
    assert texts(table)[0] == row, "the comparison is kept with the parameters"

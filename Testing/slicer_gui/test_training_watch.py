"""The sections that watch, evaluate and use a run: with commands that play along, and once with a real run."""

import csv
import dataclasses
import inspect
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import qt
import slicer
import vtk
from panel_parts import FakeClient, FakeDialogs, FakeRequirements, make_python_slicer
from phantoms import make_case, write_case
from training_parts import FakeCommand

from lckd.errors import InputError
from lckd.models import ModelCard
from lckd.models.store import METADATA
from lckd.sequences import subset_name, subsets_of
from lckd_training.watching.events import Election, History, Start, Step, Weights
from LCKDSegmentationLib.Logic import SegmentationLogic
from LCKDSegmentationLib.Terminology import segmentKind
from LCKDSegmentationLib.TumorSegments import divisionOf
from LCKDSegmentationLib.Views import TWO_UP_LAYOUT, comparisonSliceNodes, compositeOf, layoutOf
from LCKDTrainingLib import ModelExport, WatchSection
from LCKDTrainingLib.CaseNodes import readCase
from LCKDTrainingLib.LatestSegmentation import loadCase
from LCKDTrainingLib.Logic import TrainingLogic
from LCKDTrainingLib.Parameters import TrainingParameters
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.UseSection import UseSection

UI_FILE = Path(__file__).parents[2] / "LCKDTraining" / "Resources" / "UI" / "LCKDTraining.ui"
SEQUENCES, REGIONS = ("flair", "t1", "t1c", "t2"), ("ET", "TC", "WT")


class PlayedLogic:
    """Starts nothing; remembers what it was asked for."""

    def __init__(self) -> None:
        self.current: Any = None
        self.commands: list[FakeCommand] = []

    @property
    def last(self) -> FakeCommand:
        return self.commands[-1]

    def export(
        self,
        runFolder: str,
        model: str,
        onEvent: Any,
        onEnded: Any,
        evaluation: str = "",
        best: bool = False,
        overwrite: bool = False,
    ) -> FakeCommand:
        asked = SimpleNamespace(run=runFolder, model=Path(model), evaluation=evaluation, best=best, overwrite=overwrite)
        return self._command("export", asked, onEvent, onEnded)

    def evaluate(
        self, model: str, data: str, output: str, onEvent: Any, onEnded: Any, split: str = "", device: str = "auto"
    ) -> FakeCommand:
        asked = SimpleNamespace(model=Path(model), data=data, output=Path(output), split=Path(split))
        return self._command("evaluate", asked, onEvent, onEnded)

    def compare(self, evaluations: Any, output: str, onEvent: Any, onEnded: Any) -> FakeCommand:
        asked = SimpleNamespace(evaluations=evaluations, output=Path(output))
        return self._command("compare", asked, onEvent, onEnded)

    def addModel(self, model: str, onEvent: Any, onEnded: Any) -> FakeCommand:
        return self._command("addModel", Path(model), onEvent, onEnded)

    def _command(self, what: str, asked: Any, onEvent: Any, onEnded: Any) -> FakeCommand:
        self.commands.append(FakeCommand(what, asked, onEvent, onEnded))
        return self.last


class PlayedRun:
    """A run that is watched; `add` is what happens in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = History.of([Start(0, 100)])
        self.state, self.stage, self.fraction = "training", "Training: iteration 1 of 100", 0.01
        self.errorWords = ("", "")
        self.status: Any = None
        self.slots: list[Callable[[Any], None]] = []
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "split.json").write_text(json.dumps({"train": ["a"], "election": ["b"], "test": ["c"]}))

    @property
    def isRunning(self) -> bool:
        return self.state in ("preparing", "training")

    def connectChanged(self, slot: Callable[[Any], None]) -> None:
        self.slots.append(slot)

    def disconnectChanged(self, slot: Callable[[Any], None]) -> None:
        self.slots.remove(slot)

    def add(self, *events: Any) -> None:
        for event in events:
            self.history.add(event)
        for slot in list(self.slots):
            slot(self)

    def save(self, iterations: int) -> None:
        (self.folder / "checkpoints" / f"{iterations:07d}.pt").touch()


def make_panel(scene: Any, logic: Any) -> TrainingPanel:
    root = slicer.util.loadUI(str(UI_FILE))
    root.setMRMLScene(scene)
    panel = TrainingPanel(slicer.util.childWidgetVariables(root), logic, FakeDialogs(), FakeRequirements())
    panel.parameters = TrainingParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Training"))
    panel.ui.root = root
    return panel


@pytest.fixture
def logic() -> PlayedLogic:
    return PlayedLogic()


@pytest.fixture
def panel(scene: Any, logic: PlayedLogic) -> TrainingPanel:
    return make_panel(scene, logic)


@pytest.fixture
def played(panel: TrainingPanel, tmp_path: Path) -> Iterator[PlayedRun]:
    """A run that the logic watches."""
    run = panel.logic.current = PlayedRun(tmp_path / "run-1")
    return run


@pytest.fixture
def watch(panel: TrainingPanel, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchSection.WatchSection]:
    monkeypatch.setattr(WatchSection, "SHOW_MILLISECONDS", 50)
    section = WatchSection.WatchSection(panel, SegmentationLogic(FakeClient()))
    panel.changed = section.update
    yield section
    section.close()


@pytest.fixture
def use(panel: TrainingPanel, played: PlayedRun) -> Iterator[UseSection]:
    section = UseSection(panel)
    panel.changed = section.update
    section.update()
    yield section
    section.close()


def step(iteration: int, loss: float = 0.5) -> Step:
    return Step(iteration, loss, loss, 0.0, 1e-3, 0.1)


def election(iteration: int, teacher: str = "t1c") -> Election:
    dice = {sequence: dict.fromkeys(REGIONS, 0.5) for sequence in SEQUENCES}
    return Election(iteration, dice, {"ET": teacher, "TC": "t1c", "WT": "flair"})


def texts(table: Any) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def headers(table: Any) -> list[str]:
    return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]


def nodes_of(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def temporary_models() -> list[Path]:
    """Folders of models and cases in the application's temporary folder."""
    return sorted(Path(slicer.app.temporaryPath).glob("lckd-case-*"))


def test_fakes_take_what_the_real_logic_takes() -> None:
    for name in ("export", "evaluate", "compare", "addModel"):
        real, fake = (list(inspect.signature(getattr(cls, name)).parameters) for cls in (TrainingLogic, PlayedLogic))
        assert real == fake


def test_without_a_run_nothing_can_be_pressed_and_every_button_says_why(watch: Any, panel: TrainingPanel) -> None:
    watch.update()
    ui = panel.ui
    assert ui.runStateLabel.text.startswith("No run is watched.")
    charts = (ui.lossPlotButton, ui.dicePlotButton, ui.ratePlotButton, ui.teacherPlotButton, ui.weightsPlotButton)
    for button in (*charts, ui.latestButton):
        assert not button.enabled
        assert button.toolTip == "There is no run to watch."
    assert not ui.teacherTable.visible


def test_state_and_pace_are_told_in_words(watch: Any, panel: TrainingPanel, played: PlayedRun) -> None:
    played.status = SimpleNamespace(steps_per_second=0.5, seconds_left=125.0, memory_mb=2048.4, waiting=0.25)
    watch.update()
    assert panel.ui.runStateLabel.text == "Training: iteration 1 of 100 (1 %)"
    words = "2 seconds per iteration · about 2:05 left · 2,048 MB of memory · 25 % of the time waiting for data"
    assert panel.ui.throughputLabel.text == words
    played.state, played.errorWords = "failed", ("The disk is full.", "Free some space and resume.")
    for sentence in WatchSection.stateWords(played).split(". "):
        assert sentence
    assert WatchSection.stateWords(played).endswith("The disk is full. Free some space and resume.")
    for state in ("preparing", "finished", "interrupted", "stopped"):
        played.state = state
        assert WatchSection.stateWords(played)


def test_teachers_are_listed_by_election_and_changes_are_bold(
    watch: Any, panel: TrainingPanel, played: PlayedRun
) -> None:
    for iteration in range(10):
        played.history.add(election(iteration, "t2" if iteration == 9 else "t1c"))
    watch.update()
    table = panel.ui.teacherTable
    assert headers(table) == ["Region", *(str(iteration) for iteration in range(9, 1, -1))]
    assert texts(table)[0][:3] == ["ET", "T2 0.50", "T1c 0.50"]
    assert texts(table)[2][1] == "FLAIR 0.50"
    assert table.height < 5 * table.rowHeight(0) + 40, "there is room for rows that there are not"
    assert table.height > 3 * table.rowHeight(0) + 20
    bold = [[table.item(row, column).font().bold() for column in range(1, 9)] for row in range(3)]
    assert bold == [[True, *[False] * 7], [False] * 8, [False] * 8]
    played.history.elections.append(Election(11, {}, {"WT": "flair"}))
    assert WatchSection.teacherRows(played.history.elections[-1:])[0] == ["ET", "nobody"]


def test_the_column_of_regions_is_as_wide_as_its_words(watch: Any, panel: TrainingPanel, played: PlayedRun) -> None:
    table = panel.ui.teacherTable
    table.setFixedWidth(330)
    panel.ui.root.show()
    for iteration in range(8):
        played.history.add(election(iteration))
    watch.update()
    qt.QCoreApplication.processEvents()
    # Qt gives columns their width when it lays them out.
    table.grab()
    assert table.columnWidth(0) == max(table.horizontalHeader().sectionSizeHint(0), table.sizeHintForColumn(0))


def test_weights_are_listed_with_their_trend(watch: Any, panel: TrainingPanel, played: PlayedRun) -> None:
    for iteration, share in enumerate((0.25, 0.4)):
        row = dict(zip(SEQUENCES, (share, 0.25, 0.5 - share, 0.25), strict=True))
        played.history.add(Weights(iteration, dict.fromkeys(REGIONS, row)))
    watch.update()
    table = panel.ui.weightsTable
    assert headers(table) == ["Region", "FLAIR", "T1", "T1c", "T2"]
    assert texts(table)[1] == ["TC", "0.40 ↑", "0.25", "0.10 ↓", "0.25"]
    assert [table.item(0, column).font().bold() for column in range(1, 5)] == [True, False, False, False]


def test_a_chart_is_shown_in_the_layout_and_follows_the_run(
    watch: Any, panel: TrainingPanel, played: PlayedRun, scene: Any, wait_until: Any
) -> None:
    watch.update()
    assert panel.ui.lossPlotButton.toolTip == "The run has done no iteration yet."
    played.add(step(0), step(1))
    wait_until(lambda: panel.ui.lossPlotButton.enabled)
    panel.ui.lossPlotButton.click()
    (chart,) = nodes_of(scene, "vtkMRMLPlotChartNode")
    assert nodes_of(scene, "vtkMRMLPlotViewNode")[0].GetPlotChartNode() is chart
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    before = scene.GetNumberOfNodes()
    played.add(step(2, 9.0))
    wait_until(lambda: table.GetNumberOfRows() == 3)
    assert scene.GetNumberOfNodes() == before
    played.add(election(3))
    wait_until(lambda: panel.ui.dicePlotButton.enabled)
    panel.ui.teacherTable.cellDoubleClicked.emit(0, 1)
    assert nodes_of(scene, "vtkMRMLPlotViewNode")[0].GetPlotChartNode().GetTitle() == "Elected teachers: run-1"


def test_buttons_show_the_charts_of_teachers_and_weights(
    watch: Any, panel: TrainingPanel, played: PlayedRun, scene: Any
) -> None:
    watch.update()
    ui = panel.ui
    assert ui.teacherPlotButton.toolTip == "The run has not elected teachers yet."
    assert ui.weightsPlotButton.toolTip == "The run has told no weights yet."
    played.history.add(election(1))
    played.history.add(Weights(1, dict.fromkeys(REGIONS, dict.fromkeys(SEQUENCES, 0.25))))
    watch.update()
    titles = {
        ui.teacherPlotButton: "Elected teachers: run-1",
        ui.weightsPlotButton: "How much each sequence teaches: run-1",
    }
    for button, title in titles.items():
        button.click()
        assert nodes_of(scene, "vtkMRMLPlotViewNode")[0].GetPlotChartNode().GetTitle() == title


def test_what_is_shown_follows_at_most_once_in_the_interval_and_only_while_the_module_is_open(
    watch: Any, panel: TrainingPanel, played: PlayedRun, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[float] = []
    show = watch._show
    monkeypatch.setattr(watch, "_show", lambda: (shown.append(time.monotonic()), show()))
    watch.update()
    for iteration in range(200):
        played.add(step(iteration))
        qt.QCoreApplication.processEvents()
    wait_until(lambda: not watch._isStale)
    assert len(shown) >= 2
    assert min(np.diff(shown)) > 0.04
    count = len(shown)
    qt.QThread.msleep(120)
    qt.QCoreApplication.processEvents()
    watch.update()
    assert len(shown) == count, "nothing has changed, and yet it was shown again"
    panel.isEntered = False
    played.add(step(200))
    watch.update()
    assert len(shown) == count
    panel.isEntered = True
    watch.update()
    assert len(shown) == count + 1


@pytest.mark.parametrize("count", [5000, 100_000])
def test_the_event_loop_stands_still_for_a_moment_only(
    watch: Any, panel: TrainingPanel, played: PlayedRun, scene: Any, wait_until: Any, count: int
) -> None:
    for iteration in range(count):
        played.history.add(step(iteration))
        if iteration % 100 == 0:
            played.history.add(election(iteration))
    watch.update()
    for button in (panel.ui.lossPlotButton, panel.ui.dicePlotButton, panel.ui.ratePlotButton):
        button.click()
    gaps: list[float] = []
    for more in range(5):
        played.history.add(election(count + more))
        wait_until(lambda: not watch._timer.active)
        began = time.perf_counter()
        played.add(step(count + more, 0.1))
        gaps.append(time.perf_counter() - began)
        assert not watch._isStale
    print(f"{count} steps: longest gap {1000 * max(gaps):.1f} ms, shortest {1000 * min(gaps):.1f} ms")
    # The shortest, since the machine may do other things; the bound is generous.
    assert min(gaps) < 0.1


def test_another_run_is_followed_instead(watch: Any, panel: TrainingPanel, played: PlayedRun, tmp_path: Path) -> None:
    watch.update()
    other = panel.logic.current = PlayedRun(tmp_path / "run-2")
    other.state = "finished"
    watch.update()
    assert played.slots == []
    assert panel.ui.runStateLabel.text.startswith("The training is finished")
    watch.close()
    assert other.slots == []


def facts_of(name: str, folder: Path, **changed: Any) -> dict[str, Any]:
    files = {sequence: str(folder / f"{sequence}.nii.gz") for sequence in SEQUENCES}
    labels = str(folder / "seg.nii.gz")
    facts = {"case": name, "usable": True, "present": list(SEQUENCES), "files": files, "labels": labels}
    return {**facts, "convention": "brats2023", **changed}


def test_cases_with_a_label_are_offered_those_not_learned_from_first(
    watch: Any, panel: TrainingPanel, played: PlayedRun, tmp_path: Path
) -> None:
    watch.update()
    assert not panel.ui.latestCaseSelector.enabled
    for name in ("a", "b", "c", "d"):
        panel.dataCases[name] = facts_of(name, tmp_path)
    panel.dataCases["e"] = facts_of("e", tmp_path, labels=None)
    panel.dataCases["f"] = facts_of("f", tmp_path, usable=False)
    panel.dataCases["c"]["present"] = ["flair", "t1c"]
    panel.parameters.watchedCase = "c"
    watch.update()
    selector = panel.ui.latestCaseSelector
    offered = [selector.itemText(index) for index in range(selector.count)]
    assert offered == ["b (elects teachers)", "c (test)", "d", "a (learned from)"]
    assert selector.currentText == "c (test)"
    subsets = panel.ui.latestSubsetSelector
    assert [subsets.itemData(index) for index in range(subsets.count)] == ["flair", "t1c", "flair+t1c"]
    assert subsets.currentText == "FLAIR, T1c"
    selector.setCurrentIndex(0)
    selector.activated.emit(0)
    assert panel.parameters.watchedCase == "b"
    assert subsets.count == 15


def test_newest_segmentation_says_what_it_waits_for(watch: Any, panel: TrainingPanel, played: PlayedRun) -> None:
    watch.update()
    assert panel.ui.latestButton.toolTip == "The run has saved no checkpoint yet."
    played.save(2)
    watch.update()
    assert panel.ui.latestButton.toolTip == "Check the data first, so that its cases are known."
    panel.dataCases["b"] = facts_of("b", played.folder)
    watch.update()
    assert panel.ui.latestButton.enabled


def test_a_refused_or_cancelled_model_leaves_nothing(
    watch: Any, panel: TrainingPanel, played: PlayedRun, logic: PlayedLogic
) -> None:
    played.save(2)
    panel.dataCases["b"] = facts_of("b", played.folder)
    watch.update()
    before = temporary_models()
    panel.ui.latestButton.click()
    assert (logic.last.what, logic.last.asked.run, logic.last.asked.overwrite) == ("export", str(played.folder), True)
    assert panel.ui.latestButton.text == "Cancel"
    assert len(temporary_models()) == len(before) + 1
    logic.last.end(InputError("CHECKPOINT_DAMAGED", "The checkpoint cannot be read.", "Delete it."))
    assert "The checkpoint cannot be read." in panel.ui.watchMessageLabel.text
    assert temporary_models() == before
    panel.ui.latestButton.click()
    panel.ui.latestButton.click()
    assert panel.ui.watchMessageLabel.text == "The segmentation was cancelled."
    assert temporary_models() == before
    panel.ui.latestButton.click()
    logic.last.end()
    assert "cannot be shown: it is missing or damaged" in panel.ui.watchMessageLabel.text
    assert temporary_models() == before


def test_each_checkpoint_is_segmented_with_once_where_that_is_wanted(
    watch: Any, panel: TrainingPanel, played: PlayedRun, logic: PlayedLogic, wait_until: Any
) -> None:
    played.save(2)
    panel.dataCases["b"] = facts_of("b", played.folder)
    watch.update()
    panel.ui.latestAutoBox.checked = True
    assert len(logic.commands) == 1
    logic.last.end(InputError("CHECKPOINT_DAMAGED", "The checkpoint cannot be read.", "Delete it."))
    played.add(step(3))
    wait_until(lambda: not watch._isStale)
    assert len(logic.commands) == 1, "the same checkpoint again"
    played.save(4)
    played.add(step(4))
    wait_until(lambda: len(logic.commands) == 2)
    panel.isEntered = False
    watch.stop()
    played.save(6)
    played.add(step(5))
    qt.QThread.msleep(100)
    qt.QCoreApplication.processEvents()
    assert len(logic.commands) == 2, "it is segmented although nobody sees it"


@pytest.fixture
def trained_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A model whose card says that it was trained for two iterations."""
    made = tmp_path / "trained"
    shutil.copytree(tiny_model, made)
    card = ModelCard.read(made / METADATA)
    metadata = dataclasses.replace(card, training={"iterations": 2}).as_metadata()
    (made / METADATA).write_text(json.dumps(metadata))
    return made


def write_evaluation(folder: Path, dice: float, cases: int = 4, step: float = 0.01) -> Path:
    """What `lckd evaluate` writes: Dice rising by `step` from subset to subset."""
    folder.mkdir(parents=True)
    with (folder / "summary.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("subset", "region", "dice", "hd95_mm", "cases", "sensitivity"))
        for number, subset in enumerate(subsets_of()):
            for region in REGIONS:
                writer.writerow((subset_name(subset), region, dice + step * number, 3.5, cases, 0.5))
    picture = qt.QPixmap(800, 400)
    picture.fill(qt.Qt.red)
    picture.save(str(folder / "summary.png"))
    return folder


def test_an_evaluation_is_made_of_a_model_that_is_gone_afterwards(
    use: UseSection,
    panel: TrainingPanel,
    played: PlayedRun,
    logic: PlayedLogic,
    tmp_path: Path,
    trained_model: Path,
) -> None:
    assert panel.ui.evaluateButton.toolTip == "The run has saved no checkpoint yet."
    played.save(2)
    use.update()
    assert panel.ui.evaluateButton.toolTip == "Choose the data of the run above."
    panel.parameters.data = str(tmp_path)
    before = temporary_models()
    use.update()
    panel.ui.evaluateButton.click()
    model = logic.last.asked.model
    shutil.copytree(trained_model, model)
    logic.last.end()
    asked = logic.last.asked
    assert (logic.last.what, asked.model, asked.data) == ("evaluate", model, str(tmp_path))
    assert asked.split == played.folder / "split.json"
    assert asked.output == played.folder / "evaluations" / "0000002"
    logic.last.tell("progress", fraction=0.5, case="c")
    assert panel.ui.evaluateProgress.value == 500
    write_evaluation(asked.output, 0.5)
    logic.last.end(InputError("SOME_CASES_FAILED", "1 of 5 cases cannot be used.", "See evaluation.json."))
    assert temporary_models() == before
    words = panel.ui.evaluateMessageLabel.text
    assert "2 iterations on 4 cases that were kept for testing" in words
    assert "1 of 5 cases cannot be used." in words
    assert "Not for clinical use." in words
    table = texts(panel.ui.subsetTable)
    assert len(table) == 16
    assert table[0] == ["FLAIR", "0.500", "0.500", "0.500", "4"]
    assert table[15][:2] == ["Mean of the subsets", "0.570"]
    picture = panel.ui.heatMapLabel.pixmap
    assert picture.width() == 2 * picture.height() >= 300, "the picture has lost its proportions"


def test_a_run_without_test_cases_is_evaluated_on_those_that_elect_and_that_is_said(
    use: UseSection,
    panel: TrainingPanel,
    played: PlayedRun,
    logic: PlayedLogic,
    tmp_path: Path,
    trained_model: Path,
) -> None:
    (played.folder / "split.json").write_text(json.dumps({"train": ["a"], "election": ["b"], "test": []}))
    played.save(2)
    panel.parameters.data = str(tmp_path)
    use.update()
    panel.ui.evaluateButton.click()
    model = logic.last.asked.model
    shutil.copytree(trained_model, model)
    logic.last.end()
    assert json.loads(logic.last.asked.split.read_text()) == {"train": [], "election": [], "test": ["b"]}
    write_evaluation(logic.last.asked.output, 0.5)
    logic.last.end()
    assert "flatter" in panel.ui.evaluateMessageLabel.text


def test_a_cancelled_evaluation_leaves_nothing(
    use: UseSection, panel: TrainingPanel, played: PlayedRun, logic: PlayedLogic, tmp_path: Path
) -> None:
    played.save(2)
    panel.parameters.data, before = str(tmp_path), temporary_models()
    use.update()
    panel.ui.evaluateButton.click()
    assert panel.ui.evaluateButton.text == "Cancel"
    panel.ui.evaluateButton.click()
    assert panel.ui.evaluateMessageLabel.text == "The evaluation was cancelled."
    assert panel.ui.evaluateButton.text == "Evaluate"
    assert temporary_models() == before


def test_the_last_evaluation_of_a_run_is_shown_and_has_a_chart(
    use: UseSection, panel: TrainingPanel, scene: Any, tmp_path: Path
) -> None:
    other = panel.logic.current = PlayedRun(tmp_path / "run-2")
    write_evaluation(other.folder / "evaluations" / "best", 0.25)
    use.update()
    assert texts(panel.ui.subsetTable)[0][1] == "0.250"
    assert "the best checkpoint" in panel.ui.evaluateMessageLabel.text
    panel.ui.subsetTable.cellDoubleClicked.emit(0, 0)
    chart = nodes_of(scene, "vtkMRMLPlotViewNode")[0].GetPlotChartNode()
    assert chart.GetTitle() == "Dice by subset"
    count = len(nodes_of(scene, "vtkMRMLPlotChartNode"))
    panel.ui.subsetTable.cellDoubleClicked.emit(0, 0)
    assert len(nodes_of(scene, "vtkMRMLPlotChartNode")) == count


def test_a_damaged_evaluation_is_told_in_a_sentence(use: UseSection, panel: TrainingPanel, tmp_path: Path) -> None:
    other = panel.logic.current = PlayedRun(tmp_path / "run-2")
    file = write_evaluation(other.folder / "evaluations" / "best", 0.25) / "summary.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    use.update()
    assert "no readable file summary.csv" in panel.ui.evaluateMessageLabel.text
    assert not panel.ui.compareRunsButton.enabled


def test_two_runs_are_compared_in_words(
    use: UseSection, panel: TrainingPanel, logic: PlayedLogic, played: PlayedRun, tmp_path: Path
) -> None:
    from lckd_training.evaluation.compare import read_evaluations, write_evaluations

    assert panel.ui.compareRunsButton.toolTip == "Evaluate the run first."
    own = write_evaluation(played.folder / "evaluations" / "0000002", 0.5)
    other = write_evaluation(tmp_path / "baseline" / "evaluations" / "0000002", 0.52, step=0.007)
    panel.logic.current = PlayedRun(tmp_path / "elsewhere")
    use.update()
    panel.logic.current = played
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
    panel.logic.current = PlayedRun(tmp_path / "between")
    use.update()
    assert texts(panel.ui.subsetTable) == []
    panel.logic.current = played
    use.update()
    assert texts(table)[0] == row, "the comparison is kept with the parameters"


def test_a_model_needs_a_name_that_a_model_can_have(
    use: UseSection, panel: TrainingPanel, played: PlayedRun, tmp_path: Path
) -> None:
    played.save(2)
    use.update()
    ui = panel.ui
    assert ui.exportNameEdit.text == "run-1"
    assert ui.exportButton.enabled
    for bad in ("", "a b", "-a", "x" * 65):
        ui.exportNameEdit.text = bad
        assert not ui.useButton.enabled
        assert "name" in ui.exportButton.toolTip
    ui.exportNameEdit.text = "mine"
    panel.logic.current = PlayedRun(tmp_path / "second run!")
    panel.logic.current.save(1)
    use.update()
    assert ui.exportNameEdit.text == "mine", "a name that the user gave is replaced"
    assert ModelExport.modelName(tmp_path / "second run!") == "second-run"
    ui.bestBox.checked = True
    assert ui.exportButton.toolTip == "The run has no best checkpoint yet: it has elected no teachers."


def test_a_model_is_written_where_the_user_wants_it_with_its_scores(
    use: UseSection, panel: TrainingPanel, played: PlayedRun, logic: PlayedLogic, tmp_path: Path
) -> None:
    played.save(2)
    scores = write_evaluation(played.folder / "evaluations" / "0000002", 0.5)
    panel.logic.current = None
    use.update()
    panel.logic.current = played
    use.update()
    panel.ui.exportButton.click()
    assert logic.commands == [], "nothing was chosen"
    (tmp_path / "run-1").mkdir(exist_ok=True)
    panel.dialogs.answers |= {"folder": str(tmp_path), "confirm": [False, True]}
    panel.ui.exportButton.click()
    assert logic.commands == [], "what is there was to stay"
    panel.ui.exportButton.click()
    asked = logic.last.asked
    assert (asked.model, asked.overwrite, asked.evaluation) == (tmp_path / "run-1", True, str(scores))
    assert panel.ui.useButton.toolTip == "Wait until the model has been made."
    logic.last.end()
    assert panel.ui.exportMessageLabel.text.startswith(f"The model was written: {tmp_path / 'run-1'}")
    assert panel.ui.exportButton.enabled
    played.save(4)
    panel.dialogs.answers = {"folder": str(tmp_path / "new")}
    panel.ui.exportButton.click()
    assert logic.last.asked.evaluation == "", "the scores are of another checkpoint"
    logic.last.end(InputError("NO_CHECKPOINT", "There is no checkpoint.", "Choose a run."))
    assert "There is no checkpoint." in panel.ui.exportMessageLabel.text


@pytest.fixture
def segmentation_module(scene: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the modules that were gone to; going to LCKDSegmentation makes its panel."""
    from LCKDSegmentationLib.Parameters import SegmentationParameters
    from LCKDSegmentationLib.Widget import SegmentationWidget

    gone_to: list[str] = []

    def select(name: str) -> None:
        gone_to.append(name)
        made = SegmentationWidget(SegmentationLogic(FakeClient()), FakeDialogs(), FakeRequirements())
        made.setScene(scene)
        made.setParameters(SegmentationParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "LCKD")))
        made.enter()
        monkeypatch.setattr(slicer.modules, "LCKDSegmentationWidget", SimpleNamespace(panel=made), raising=False)

    monkeypatch.setattr(slicer.util, "selectModule", select)
    return gone_to


@pytest.mark.usefixtures("users_models")
def test_a_name_that_a_model_has_is_refused_before_anything_is_made(
    use: UseSection, panel: TrainingPanel, played: PlayedRun, logic: PlayedLogic
) -> None:
    played.save(2)
    panel.ui.exportNameEdit.text = "tiny"
    use.update()
    panel.ui.useButton.click()
    assert "There already is a model called tiny." in panel.ui.exportMessageLabel.text
    assert logic.commands == []
    assert panel.ui.useButton.enabled


def test_without_a_main_window_it_is_said_where_the_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from lckd.errors import UsageError

    def refuse(name: str) -> None:
        raise RuntimeError("Could not find moduleSelector in the main window")

    monkeypatch.setattr(slicer.util, "selectModule", refuse)
    with pytest.raises(UsageError, match="cannot be opened"):
        ModelExport.segmentWith("mine")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labeled cases."""
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate("abc"):
        write_case(root / name, make_case(seed))
    return root


def test_a_case_is_loaded_with_its_label_and_used_again(panel: TrainingPanel, scene: Any, data: Path) -> None:
    panel.dataCases = {name: facts_of(name, data / name) for name in "ab"}
    case = loadCase(panel, "a")
    assert case.volumes["t1c"].GetName() == "a T1c"
    assert divisionOf(case.label) == "tissues"
    assert case.label.GetDisplayNode().GetVisibility()
    assert slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID() == case.grid.GetID()
    before = scene.GetNumberOfNodes()
    assert loadCase(panel, "a").label is case.label
    assert scene.GetNumberOfNodes() == before
    other = loadCase(panel, "b")
    assert not case.label.GetDisplayNode().GetVisibility(), "the label of one case lies over another"
    assert other.label.GetDisplayNode().GetVisibility()


def test_a_label_lies_where_its_file_says_in_any_convention(scene: Any, data: Path, tmp_path: Path) -> None:
    import SimpleITK as sitk

    made = make_case(0, direction=(0, -1, 0, 1, 0, 0, 0, 0, 1))
    folder = write_case(tmp_path / "turned", made)
    array = sitk.GetArrayFromImage(made.labels)
    old = sitk.GetImageFromArray(np.where(array == 3, 4, array).astype(np.float64))
    old.CopyInformation(made.labels)
    sitk.WriteImage(old, str(folder / "seg.nii.gz"))
    case = readCase(scene, facts_of("turned", folder, convention="brats2021"), ["flair"])
    assert list(case.volumes) == ["flair"]
    for segment, value in (("NCR", 1), ("ED", 2), ("ET", 3)):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(case.label, segment, case.grid)
        assert np.array_equal(mask > 0, array == value)
    segment = case.label.GetSegmentation().GetSegment("ET")
    assert segment.GetColor() == pytest.approx(segmentKind("ET").color)
    value = vtk.mutable("")
    assert segment.GetTag("DICOM.SegmentAlgorithmType", value)
    assert value == "MANUAL"
    assert not segment.HasTag("DICOM.SegmentAlgorithmName")


def test_a_case_that_cannot_be_read_leaves_the_scene_as_it_was(scene: Any, data: Path, tmp_path: Path) -> None:
    before = scene.GetNumberOfNodes()
    facts = facts_of("a", data / "a")
    with pytest.raises(InputError, match=r"t2\.nii\.gz cannot be shown"):
        readCase(scene, {**facts, "files": {**facts["files"], "t2": str(tmp_path / "t2.nii.gz")}})
    with pytest.raises(InputError, match="several volumes in one"):
        readCase(scene, {**facts, "files": dict.fromkeys(SEQUENCES, "imagesTr/BRATS_001.nii.gz")})
    assert scene.GetNumberOfNodes() == before


@pytest.fixture(scope="module")
def run_folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of four iterations with two checkpoints; a folder to be copied, not to be changed."""
    from lckd_training.config import TrainingConfig
    from lckd_training.run.train import train

    folder = tmp_path_factory.mktemp("runs") / "first run"
    settings = ["iterations=4", "election_interval=2", "checkpoint_interval=2", "patch=16", "subsets_per_step=1"]
    config = TrainingConfig.preset("smoke").overridden([*settings, "election=[b]", "test=[c]"])
    train(data, config, folder)
    return folder


@pytest.fixture
def real(scene: Any, run_folder: Path, data: Path, tmp_path: Path) -> Iterator[TrainingPanel]:
    """A panel with the real logic, which watches the real run."""
    make_python_slicer(tmp_path)
    logic = TrainingLogic(lambda: sys.executable)
    logic.attach(str(run_folder))
    panel = make_panel(scene, logic)
    panel.parameters.data, panel.parameters.device = str(data), "cpu"
    panel.dataCases = {name: facts_of(name, data / name) for name in "abc"}
    yield panel
    logic.close()


def test_the_newest_segmentation_stands_beside_the_label(
    real: TrainingPanel, scene: Any, client: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    watch = WatchSection.WatchSection(real, SegmentationLogic(client))
    real.changed = watch.update
    real.parameters.watchedSubset = "flair+t1c"
    watch.update()
    before = temporary_models()
    real.ui.latestButton.click()
    wait_until(lambda: not watch.latest.isRunning, 120)
    assert real.ui.watchMessageLabel.text.startswith("b after 4 iterations. Dice to the label: ET "), (
        real.ui.watchMessageLabel.text
    )
    assert "Not for clinical use." in real.ui.watchMessageLabel.text
    assert temporary_models() == before
    assert manager.layout == TWO_UP_LAYOUT
    label, latest = sorted(nodes_of(scene, "vtkMRMLSegmentationNode"), key=lambda node: node.GetName() != "b label")
    first, second = comparisonSliceNodes(scene, 2)
    assert (first.GetLayoutLabel(), second.GetLayoutLabel()) == ("4 iterations", "Label")
    for node, shown, hidden in ((latest, first, second), (label, second, first)):
        assert node.GetDisplayNode().IsDisplayableInView(shown.GetID())
        assert not node.GetDisplayNode().IsDisplayableInView(hidden.GetID())
    assert compositeOf(scene, first).GetBackgroundVolumeID() == compositeOf(scene, second).GetBackgroundVolumeID()
    assert latest.GetAttribute("LCKD.Subset") == "flair+t1c"
    sha = latest.GetAttribute("LCKD.ModelSHA256")

    # An earlier checkpoint: another model in the same worker, and the same segmentation takes its result.
    (newest,) = real.logic.current.folder.glob("checkpoints/0000004.pt")
    newest.rename(tmp_path / newest.name)
    try:
        real.ui.latestButton.click()
        wait_until(lambda: not watch.latest.isRunning, 120)
    finally:
        (tmp_path / newest.name).rename(newest)
    assert real.ui.watchMessageLabel.text.startswith("b after 2 iterations.")
    assert len(nodes_of(scene, "vtkMRMLSegmentationNode")) == 2
    assert latest.GetAttribute("LCKD.ModelSHA256") != sha, "the worker has used the model of before"
    layoutOf(scene).SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    assert latest.GetDisplayNode().GetVisibility()
    assert latest.GetDisplayNode().IsDisplayableInView("vtkMRMLSliceNodeRed")
    assert not label.GetDisplayNode().GetVisibility()

    # The scene is closed in the middle, while the model is made and while it segments.
    for stage in range(2):
        real.ui.latestButton.click()
        if stage:
            wait_until(lambda: watch.latest._run is not None, 120)
        watch.stop()
        scene.Clear(0)
        assert not watch.latest.isRunning
        assert temporary_models() == before
        assert nodes_of(scene, "vtkMRMLSegmentationNode") == []
        real.parameters = TrainingParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Training"))
        watch.update()
    qt.QCoreApplication.processEvents()
    assert nodes_of(scene, "vtkMRMLSegmentationNode") == []
    watch.close()


def test_a_run_is_evaluated_added_and_used(
    real: TrainingPanel,
    scene: Any,
    wait_until: Any,
    segmentation_module: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lckd.models import list_models

    monkeypatch.setenv("LCKD_MODELS", str(tmp_path / "models"))
    use, before = UseSection(real), temporary_models()
    real.changed = use.update
    use.update()
    real.ui.evaluateButton.click()
    wait_until(lambda: real.ui.evaluateButton.text == "Evaluate", 120)
    words = real.ui.evaluateMessageLabel.text
    assert words.startswith("Mean Dice of 4 iterations on 1 cases that were kept for testing."), words
    assert len(texts(real.ui.subsetTable)) == 16
    assert not real.ui.heatMapLabel.pixmap.isNull()
    assert temporary_models() == before
    assert real.ui.exportNameEdit.text == "first-run"
    real.ui.useButton.click()
    wait_until(lambda: real.ui.useButton.enabled and bool(segmentation_module), 120)
    assert segmentation_module == ["LCKDSegmentation"]
    assert temporary_models() == before
    (entry,) = [entry for entry in list_models() if entry.name == "first-run"]
    assert len(entry.card.dice) == 15, "the card has no scores"
    chosen = slicer.modules.LCKDSegmentationWidget.panel
    assert chosen.panel.parameters.model == "first-run"
    assert chosen.models.entry.path == entry.path
    assert chosen.ui.modelSelector.currentText == "first-run"
    use.close()

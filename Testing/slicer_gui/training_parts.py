"""What the tests of the training panel share: fakes that do what the test says, made data, and what a user does."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qt
import slicer
from panel_parts import FakeDialogs, FakeRequirements

from lckd.errors import CancelledError, LckdError, OutOfMemoryError
from lckd.sequences import subset_name, subsets_of
from lckd_training.config import TrainingConfig
from lckd_training.watching.events import Checkpoint, Election, History, Start, Step
from lckd_training.watching.status import RunStatus, status_of
from LCKDSegmentationLib.EngineCommand import EngineCommand
from LCKDTrainingLib.Logic import TrainingLogic
from LCKDTrainingLib.Parameters import MODULE_NAME, TrainingParameters
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.TrainingRun import TrainingOrder, TrainingRun
from LCKDTrainingLib.Widget import UI_FILE

SEQUENCES, REGIONS = ("flair", "t1", "t1c", "t2"), ("ET", "TC", "WT")
OUT_OF_MEMORY = OutOfMemoryError("OUT_OF_MEMORY", "The training does not fit into the memory of cuda.", "Set less.")


@dataclass
class FakeCommand:
    """A command of the engine; the test says what it tells and how it ends."""

    what: str
    asked: Any
    onEvent: Callable[[dict[str, Any]], None]
    onEnded: Callable[[LckdError | None], None]

    def tell(self, event: str, **facts: Any) -> None:
        self.onEvent({"event": event, **facts})

    def end(self, error: LckdError | None = None) -> None:
        self.onEnded(error)

    def cancel(self) -> None:
        self.end(CancelledError())


@dataclass
class FakeRun:
    """A run folder that is watched; `becomes`, `add` and `save` are what happens in it."""

    folder: Path
    order: TrainingOrder | None = None
    state: str = "preparing"
    isOurs: bool = True
    stage: str = "Starting"
    fraction: float = 0.0
    errorWords: tuple[str, str] = ("", "")
    errorCode: str = ""
    wasAskedToStop: bool = False
    refusal: LckdError | None = None
    secondsLeft: float | None = None
    pretraining: int = 0
    slots: list[Callable[[Any], None]] = field(default_factory=list)
    history: History = field(default_factory=History)

    @property
    def status(self) -> RunStatus:
        return replace(status_of(self.history, {}, written=0.0, now=0.0), seconds_left=self.secondsLeft)

    @property
    def isRunning(self) -> bool:
        return self.state in ("preparing", "training")

    def requestStop(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.wasAskedToStop = True

    def kill(self) -> None:
        self.state = "stopped"
        self.tell()

    def connectChanged(self, slot: Callable[[Any], None]) -> None:
        self.slots.append(slot)

    def disconnectChanged(self, slot: Callable[[Any], None]) -> None:
        self.slots.remove(slot)

    def becomes(self, state: str, error: LckdError | None = None, done: int = 0, saved: int = 0) -> None:
        self.state = state
        self.errorCode, self.errorWords = (error.code, (error.message, error.action)) if error else ("", ("", ""))
        self.history.add(Start(done, 3000))
        self.history.checkpoints = [Checkpoint(saved)] if saved else []
        self.tell()

    def add(self, *events: Any) -> None:
        for event in events:
            self.history.add(event)
        self.tell()

    def save(self, iterations: int) -> None:
        """Write a checkpoint, of which there is only the file."""
        (self.folder / "checkpoints" / f"{iterations:07d}.pt").touch()

    def tell(self) -> None:
        for slot in list(self.slots):
            slot(self)


class FakeLogic:
    """Starts nothing; remembers what it was asked for."""

    def __init__(self, facts: list[dict[str, Any]]) -> None:
        self.facts = facts
        self.current: FakeRun | None = None
        self.commands: list[FakeCommand] = []
        self.orders: list[TrainingOrder] = []
        self.runs: dict[Path, FakeRun] = {}
        self.asked: list[str] = []
        self.refusal: LckdError | None = None
        self.isClosed = False
        self.goesOn = False

    @property
    def last(self) -> FakeCommand:
        return self.commands[-1]

    def check(self, data: str, onEvent: Any, onEnded: Any) -> FakeCommand:
        return self._command("check", data, onEvent, onEnded)

    def estimate(self, order: TrainingOrder, onEvent: Any, onEnded: Any) -> FakeCommand:
        return self._command("estimate", order, onEvent, onEnded)

    def presetNames(self) -> list[str]:
        return ["fast", "paper", "small-cpu"]

    def settings(self, preset: str, onSettings: Any, onError: Any) -> FakeCommand:
        """Answers at once, unless it is to refuse."""
        self.asked.append(preset)
        command = FakeCommand("settings", preset, onSettings, onError)
        if self.refusal is not None:
            command.end(self.refusal)
        else:
            onSettings([dict(one) for one in self.facts])
        return command

    def train(self, order: TrainingOrder, waitForCompletion: bool = False, onChanged: Any = None) -> FakeRun:
        if self.refusal is not None:
            raise self.refusal
        self.orders.append(order)
        folder = Path(order.runFolder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "events.jsonl").touch()
        self.current = self.runs[folder] = FakeRun(folder, order)
        self.goesOn = order.outlivesSlicer
        return self.current

    def outlives(self, run: FakeRun) -> bool:
        return not run.isOurs or self.goesOn

    def letOutlive(self, run: FakeRun, goesOn: bool) -> None:
        if run.isOurs:
            self.goesOn = goesOn

    def attach(self, folder: str) -> FakeRun:
        if self.refusal is not None:
            raise self.refusal
        self.current = self.runs.setdefault(Path(folder), FakeRun(Path(folder), state="stopped", isOurs=False))
        return self.current

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

    def close(self) -> None:
        self.isClosed = True

    def _command(self, what: str, asked: Any, onEvent: Any, onEnded: Any) -> FakeCommand:
        self.commands.append(FakeCommand(what, asked, onEvent, onEnded))
        return self.last


#: What the fakes imitate; `test_fakes` holds them against it.
IMITATED = {FakeLogic: TrainingLogic, FakeRun: TrainingRun, FakeCommand: EngineCommand}


def watched_run(folder: Path) -> FakeRun:
    """A training under way, with a case each to learn from, to elect with and to test."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "split.json").write_text(json.dumps({"train": ["a"], "election": ["b"], "test": ["c"]}))
    stage, history = "Training: iteration 1 of 100", History.of([Start(0, 100)])
    return FakeRun(folder, state="training", stage=stage, fraction=0.01, history=history)


def checked(
    name: str,
    folder: Path | None = None,
    label: bool = True,
    fault: str = "",
    present: tuple[str, ...] = SEQUENCES,
    convention: str = "brats2023",
) -> dict[str, Any]:
    """A case as ``lckd data check --json`` tells of it; by default its files are not there."""
    folder = folder or Path("/data") / name
    finding = {"kind": "fault", "code": "UNREADABLE", "file": f"{name}/t1c.nii.gz", "message": fault}
    return {
        "case": name,
        "usable": not fault,
        "present": list(present),
        "missing": [sequence for sequence in SEQUENCES if sequence not in present],
        "files": {sequence: str(folder / f"{sequence}.nii.gz") for sequence in present},
        "labels": str(folder / "seg.nii.gz") if label else None,
        "convention": convention if label else None,
        "volumes_ml": {"ET": 1.25, "TC": 2.5, "WT": 10.0} if label else {},
        "findings": [finding | {"action": "Copy the image again."}] if fault else [],
    }


def real_facts(preset: str) -> list[dict[str, Any]]:
    """What ``lckd train settings --json`` says."""
    from lckd_training.cli.settings_words import setting_facts

    return json.loads(json.dumps(setting_facts(TrainingConfig.preset(preset))))


FACTS = real_facts("small-cpu")


def step(iteration: int, loss: float = 0.5) -> Step:
    return Step(iteration, loss, loss, 0.0, 1e-3, 0.1)


def election(iteration: int, teacher: str = "t1c") -> Election:
    dice = {sequence: dict.fromkeys(REGIONS, 0.5) for sequence in SEQUENCES}
    return Election(iteration, dice, {"ET": teacher, "TC": "t1c", "WT": "flair"})


def write_evaluation(folder: Path, dice: float, rise: float = 0.01) -> Path:
    """What ``lckd evaluate`` writes: Dice that rises from subset to subset."""
    folder.mkdir(parents=True)
    with (folder / "summary.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("subset", "region", "dice", "hd95_mm", "cases", "sensitivity"))
        for number, subset in enumerate(subsets_of()):
            for region in REGIONS:
                writer.writerow((subset_name(subset), region, dice + rise * number, 3.5, 4, 0.5))
    picture = qt.QPixmap(800, 400)
    picture.fill(qt.Qt.red)
    picture.save(str(folder / "summary.png"))
    return folder


def parameter_set(scene: Any, name: str) -> TrainingParameters:
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", name)
    node.SetAttribute("ModuleName", MODULE_NAME)
    return TrainingParameters(node)


def make_panel(scene: Any, logic: Any) -> TrainingPanel:
    """What the sections share, without any section."""
    root = slicer.util.loadUI(str(UI_FILE))
    root.setMRMLScene(scene)
    panel = TrainingPanel(slicer.util.childWidgetVariables(root), logic, FakeDialogs(), FakeRequirements())
    panel.parameters = parameter_set(scene, "LCKD")
    panel.ui.root = root
    return panel


def type_in(edit: Any, text: str) -> None:
    """Write into a field and leave it, as a user does."""
    edit.setText(text)
    edit.editingFinished.emit()


def choose(selector: Any, index: int) -> None:
    """Choose an entry, as a user does."""
    selector.currentIndex = index
    selector.activated.emit(index)


def entries(selector: Any) -> list[str]:
    return [selector.itemText(index) for index in range(selector.count)]


def texts(table: Any) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def headers(table: Any) -> list[str]:
    return [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]


def nodes_of(scene: Any, kind: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def shown_chart(scene: Any) -> Any:
    """The chart in the first plot view."""
    return nodes_of(scene, "vtkMRMLPlotViewNode")[0].GetPlotChartNode()


def temporary_models() -> list[Path]:
    """Folders of models and cases in the application's temporary folder."""
    return sorted(Path(slicer.app.temporaryPath).glob("lckd-case-*"))

"""The section "Evaluate and use": the scores of a run from every subset, compared with another run's, and its model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LCKDSegmentationLib.About import disclaimer
from LCKDSegmentationLib.ChartViews import showChart
from LCKDSegmentationLib.Panel import Message, fillTable, prepareTable, setEnabledWithReason
from LCKDSegmentationLib.ProgressDisplay import ProgressDisplay
from LCKDSegmentationLib.RunButton import ButtonWords, RunButton
from LCKDSegmentationLib.Views import changeLayout, layoutOf

from .CheckpointWork import TemporaryModel, Work, ignore, newestCheckpoint, noNetwork, rolesOf, splitFor
from .EvaluationNodes import (
    EVALUATIONS,
    PICTURE,
    SUMMARY,
    Evaluation,
    addEvaluation,
    comparisonCells,
    comparisonHeaders,
    evaluationIn,
    readComparison,
    readEvaluation,
    subsetCells,
    subsetHeaders,
)
from .ModelExport import ModelExport
from .WatchSection import showAllRows
from .Wording import casesWords, iterationsWords

if TYPE_CHECKING:
    from lckd.errors import LckdError
    from LCKDSegmentationLib.EngineCommand import EngineCommand

    from .TrainingPanel import TrainingPanel

#: What the evaluation of a checkpoint is called that scored best on the cases that elect the teachers.
BEST = "best"
#: How wide the picture is before the panel has its size, in pixels.
_PICTURE_WIDTH = 360


class UseSection:
    """Evaluates and exports the run that the logic watches; what is under way goes on when the scene is closed."""

    def __init__(self, panel: TrainingPanel) -> None:
        self._panel = panel
        ui = panel.ui
        self.message = Message(ui.evaluateMessageLabel)
        self._run: Path | None = None
        #: The evaluation that is shown, and its charts once they are wanted.
        self._evaluation: Evaluation | None = None
        self._picture = qt.QPixmap()
        self._charts: Any = None
        #: The comparison that is under way.
        self._comparing: EngineCommand | None = None
        #: Why some cases were left out of the evaluation that is under way.
        self._doubt = ""
        words = ButtonWords(
            _("Evaluate"),
            _("Segment the test cases of the run from all 15 subsets of the sequences and compare with their labels."),
            _("Stop the evaluation; nothing is kept of it."),
            _("The evaluation is being stopped."),
        )
        progress = ProgressDisplay(ui.evaluateProgress, ui.evaluateStatus)
        self._button = RunButton(
            panel, ui.evaluateButton, progress, self.message, words, self._evaluateProblem, self._evaluate
        )
        self.export = ModelExport(panel, self._checkpointProblem, self._scores)
        prepareTable(ui.subsetTable, subsetHeaders())
        prepareTable(ui.comparisonTable, comparisonHeaders("", ""))
        ui.comparisonTable.wordWrap = True
        ui.subsetTable.toolTip = f"{ui.subsetTable.toolTip} {_('Double-click to see it as a chart.')}"
        # Else the panel could not become narrower than the picture: Slicer's sections take the wish of what they hold.
        ui.heatMapLabel.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Preferred)
        ui.subsetTable.connect("cellDoubleClicked(int,int)", self.showEvaluationChart)
        ui.compareRunsButton.connect("clicked(bool)", self.compareWithAnother)
        ui.bestBox.connect("toggled(bool)", self.update)
        self._showEvaluation(None)

    def update(self) -> None:
        """Show the last evaluation of the run that is watched now, and what the buttons do or why they do nothing."""
        run = self._panel.logic.current.folder if self._panel.logic.current is not None else None
        if run != self._run:
            self._take(run)
        self._fitPicture()
        self._updateButtons()

    def close(self) -> None:
        """The module ends: stop what is under way, and leave no process and no file behind."""
        for work in (self._button.run, self._comparing):
            if work is not None:
                work.cancel()
        self.export.close()

    def showEvaluationChart(self) -> None:
        """Show the evaluation as a chart, with its table in the scene."""
        evaluation, run = self._evaluation, self._run
        if evaluation is None or run is None:
            return
        if self._charts is None or self._charts.dice.chart.GetScene() is None:
            self._charts = addEvaluation(slicer.mrmlScene, evaluation, run.name)
        chart = self._charts.dice.chart
        self.message.try_(lambda: changeLayout(layoutOf(slicer.mrmlScene), lambda: showChart(chart)))

    def compareWithAnother(self) -> None:
        """Ask for another run, or its evaluation, and compare that of this run with it."""
        if self._compareProblem() or not self.message.try_(self._panel.requirements.ensure):
            return
        chosen = self._panel.dialogs.folder(_("Another run that was evaluated"))
        if chosen:
            self.message.try_(lambda: self._compare(evaluationIn(Path(chosen))))
        self._updateButtons()

    def _take(self, run: Path | None) -> None:
        """Another run is watched now."""
        self._run, self._doubt = run, ""
        self.export.take(run)
        self.message.say("")
        self._showEvaluation(None)
        if run is not None and any(run.glob(f"{EVALUATIONS}/*/{SUMMARY}")):
            self.message.try_(lambda: self._showEvaluation(readEvaluation(evaluationIn(run))))

    def _evaluate(self) -> None:
        run, parameters = self._run, self._panel.parameters
        assert run is not None
        assert parameters is not None
        logic, data, device = self._panel.logic, parameters.data, parameters.device or "auto"
        isBest, model = bool(self._panel.ui.bestBox.checked), TemporaryModel("checkpoint")
        split, made = splitFor(run, model.folder), {}
        work = Work(model, lambda error: self._endEvaluation(error, run, made.get("output")))
        self._doubt = ""

        def score() -> None:
            name = BEST if isBest else checkpointName(model.iterations())
            made["output"] = run / EVALUATIONS / name
            work.run(
                lambda end: logic.evaluate(
                    str(model.path),
                    data,
                    str(made["output"]),
                    self._showProgress,
                    lambda error: end(self._withoutDoubt(error)),
                    str(split),
                    device,
                ),
                work.end,
            )

        self._button.begin(work)
        work.start(
            lambda: work.run(lambda end: logic.export(str(run), str(model.path), ignore, end, best=isBest), score)
        )

    def _showProgress(self, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self._button.progress.show(float(event["fraction"]), _("Evaluating"))

    def _withoutDoubt(self, error: LckdError | None) -> LckdError | None:
        """Some cases could not be used, but the others were evaluated: that is no failure."""
        if error is None or error.code != "SOME_CASES_FAILED":
            return error
        self._doubt = f"{error.message} {error.action}"
        return None

    def _endEvaluation(self, error: LckdError | None, run: Path, output: Path | None) -> None:
        from lckd.errors import CancelledError

        self._button.end()
        if isinstance(error, CancelledError):
            self.message.say(_("The evaluation was cancelled."))
        elif error is not None:
            self.message.sayError(error)
        elif output is not None and run == self._run:
            self.message.try_(lambda: self._showEvaluation(readEvaluation(output)))
        self._panel.changed()

    def _showEvaluation(self, evaluation: Evaluation | None) -> None:
        """Fill the table, show the picture and the comparison that was made with it; None: show none."""
        ui = self._panel.ui
        self._evaluation, self._charts = evaluation, None
        fillTable(ui.subsetTable, subsetHeaders(), subsetCells(evaluation) if evaluation is not None else [])
        ui.subsetTable.setVisible(evaluation is not None)
        self._picture = qt.QPixmap(str(evaluation.folder / PICTURE)) if evaluation is not None else qt.QPixmap()
        ui.heatMapLabel.setPixmap(qt.QPixmap())
        ui.heatMapLabel.setVisible(not self._picture.isNull())
        self._fitPicture()
        ui.comparisonTable.setVisible(False)
        if evaluation is None:
            return
        self.message.say(
            " ".join(part for part in (self._evaluationWords(evaluation), self._doubt, disclaimer()) if part)
        )
        compared = list(self._panel.parameters.evaluationFolders) if self._panel.parameters is not None else []
        if len(compared) == 2 and Path(compared[0]) == evaluation.folder:
            other = Path(compared[1])
            if comparisonFolder(evaluation.folder, other).is_dir():
                self.message.try_(lambda: self._showComparison(evaluation.folder, other))

    def _fitPicture(self) -> None:
        """Make the picture as wide as the panel is now."""
        ui = self._panel.ui
        width = max(ui.evaluateButton.width, _PICTURE_WIDTH)
        shown = ui.heatMapLabel.pixmap
        if not self._picture.isNull() and (shown is None or shown.isNull() or shown.width() != width):
            ui.heatMapLabel.setPixmap(self._picture.scaledToWidth(width, qt.Qt.SmoothTransformation))

    def _evaluationWords(self, evaluation: Evaluation) -> str:
        assert self._run is not None
        cases = casesWords(max(evaluation.cases.values()))
        name = evaluation.folder.name
        state = iterationsWords(int(name)) if name.isdecimal() else name
        if name == BEST:
            state = _("the best checkpoint")
        hasTests = "test" in rolesOf(self._run).values()
        words = _("Mean Dice of {state} on {cases} kept for testing.")
        if not hasTests:
            words = _(
                "Mean Dice of {state} on {cases} kept for electing the teachers, since none was kept for testing: the"
                " election chose the network, so that this flatters it."
            )
        return words.format(state=state, cases=cases)

    def _compare(self, other: Path) -> None:
        from lckd.errors import UsageError

        assert self._evaluation is not None
        own = self._evaluation.folder
        if other.resolve() == own.resolve():
            message = _("This is the evaluation that is shown.")
            raise UsageError("FOLDER_TWICE", message, _("Choose another run that was evaluated on the same cases."))
        self.message.say(_("The evaluations are being compared…"))
        output = comparisonFolder(own, other)
        self._comparing = self._panel.logic.compare(
            [str(own), str(other)], str(output), ignore, lambda error: self._endComparison(error, own, other)
        )

    def _endComparison(self, error: LckdError | None, own: Path, other: Path) -> None:
        self._comparing = None
        if error is not None:
            self.message.sayError(error)
        elif self._evaluation is not None and self._evaluation.folder == own:
            self.message.try_(lambda: self._showComparison(own, other))
            if self._panel.parameters is not None:
                self._panel.parameters.evaluationFolders = [str(own), str(other)]
        self._panel.changed()

    def _showComparison(self, own: Path, other: Path) -> None:
        table, compared = self._panel.ui.comparisonTable, readComparison(comparisonFolder(own, other))
        names = evaluationNames(own, other)
        fillTable(table, comparisonHeaders(*names), comparisonCells(compared))
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(len(comparisonHeaders(*names)) - 1, qt.QHeaderView.Stretch)
        table.setVisible(True)
        # Once the columns have their width, by which the words are wrapped.
        qt.QTimer.singleShot(0, lambda: (table.resizeRowsToContents(), showAllRows(table)))
        words = _("Is {first} better than {second}? One-tailed tests; no p-value is corrected for their number.")
        self.message.say(f"{words.format(first=names[0], second=names[1])} {disclaimer()}")

    def _scores(self) -> str:
        """The folder of the evaluation of the chosen checkpoint; empty if there is none of all subsets."""
        evaluation = self._evaluation
        if evaluation is None or self._run is None or not evaluation.isComplete:
            return ""
        wanted = BEST if self._panel.ui.bestBox.checked else checkpointName(newestCheckpoint(self._run) or 0)
        return str(evaluation.folder) if evaluation.folder == self._run / EVALUATIONS / wanted else ""

    def _updateButtons(self) -> None:
        self._button.update()
        setEnabledWithReason(
            self._panel.ui.compareRunsButton,
            self._compareProblem(),
            _("Choose another run, or its evaluation, that was made on the same cases."),
        )
        self.export.update()

    def _checkpointProblem(self) -> str:
        run = self._panel.logic.current
        if self._run is None or run is None:
            return _("There is no run to evaluate or to make a model of.")
        if noNetwork(run):
            return noNetwork(run)
        if self._panel.ui.bestBox.checked and not (self._run / "checkpoints" / "best.pt").is_file():
            return _("The run has no best checkpoint yet: it has elected no teachers.")
        return ""

    def _evaluateProblem(self) -> str:
        parameters = self._panel.parameters
        if parameters is None:
            return self._panel.setProblem()
        if self._checkpointProblem():
            return self._checkpointProblem()
        if not parameters.data or not Path(parameters.data).exists():
            return _("Choose the data of the run above.")
        roles = set(rolesOf(self._run).values()) if self._run is not None else set()
        return "" if roles & {"test", "election"} else _("The run does not say which cases are kept for testing.")

    def _compareProblem(self) -> str:
        if self._comparing is not None:
            return _("Wait until the evaluations have been compared.")
        return "" if self._evaluation is not None else _("Evaluate the run first.")


def checkpointName(iterations: int) -> str:
    """Return what the evaluation of a checkpoint is called."""
    return f"{iterations:07d}"


def comparisonFolder(own: Path, other: Path) -> Path:
    """Return where the comparison of two evaluations is kept: with the first one."""
    name = re.sub(r"[^\w.]+", "-", "/".join(other.resolve().parts[-3:])).strip("-")
    return own / f"against-{name}"


def evaluationNames(own: Path, other: Path) -> tuple[str, str]:
    """Return what two evaluations are called: their runs, and the checkpoints where those are the same."""
    runs = [folder.parents[1].name if folder.parent.name == EVALUATIONS else folder.name for folder in (own, other)]
    if runs[0] != runs[1]:
        return runs[0], runs[1]
    return f"{runs[0]} {own.name}", f"{runs[1]} {other.name}"

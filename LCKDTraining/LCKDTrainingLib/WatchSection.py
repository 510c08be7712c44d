"""The section "Watch": how a run is doing, as words, tables and charts, and how it segments a case by now."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from LCKDSegmentationLib.ChartViews import showChart
from LCKDSegmentationLib.Panel import Message, fillTable, prepareTable, setEnabledWithReason
from LCKDSegmentationLib.Terminology import REGIONS
from LCKDSegmentationLib.Views import changeLayout, layoutOf

from .CheckpointWork import newestCheckpoint, noNetwork, rolesOf
from .LatestSegmentation import LatestSegmentation, Wish
from .WatchNodes import DICE, LOSSES, RATE, TEACHERS, WEIGHTS, showableChart, updateCharts
from .Wording import durationWords, iterationsWords

if TYPE_CHECKING:
    from lckd_training.watching.events import Election, Weights
    from lckd_training.watching.status import RunStatus
    from LCKDSegmentationLib.Logic import SegmentationLogic

    from .TrainingPanel import TrainingPanel
    from .TrainingRun import TrainingRun

#: What is shown follows the run no more often than this.
SHOW_MILLISECONDS = 1000
#: So many elections are in the table, the newest first.
SHOWN_ELECTIONS = 8
#: A weight has risen or fallen if it differs by more than this from where it was so many tellings before.
_TREND, _TREND_TELLINGS = 0.01, 10


class WatchSection:
    """Shows the run that the logic watches.

    :param segmentation: segments with the newest checkpoint; by default with the worker of this session
    """

    def __init__(self, panel: TrainingPanel, segmentation: SegmentationLogic | None = None) -> None:
        self._panel = panel
        self.message = Message(panel.ui.watchMessageLabel)
        self.latest = LatestSegmentation(panel, self.message, segmentation)
        self._run: TrainingRun | None = None
        self._isStale = True
        #: The checkpoint of which run was last segmented with, or tried to.
        self._tried: tuple[Path, int] | None = None
        self._shownCases: list[tuple[str, str]] = []
        self._shownSubsets: list[tuple[str, str]] = []
        self._latestWords = (panel.ui.latestButton.text, panel.ui.latestAutoBox.toolTip)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(SHOW_MILLISECONDS)
        self._timer.connect("timeout()", self._showIfDue)
        self._connect()
        self._show()

    def update(self) -> None:
        """Show the run that is watched now, the cases, and what the buttons do or why they do nothing."""
        run = self._panel.logic.current
        if run is not self._run:
            self.message.say("")
            self._follow(run)
        self._showIfDue()
        self._showCases()
        self._updateButtons()

    def stop(self) -> None:
        """End what is under way; for the end of the scene and of the module."""
        self.latest.stop()
        self.message.say("")
        self._isStale = True

    def close(self) -> None:
        """The module ends."""
        self.stop()
        self._timer.stop()
        self._follow(None)

    def showChartOf(self, key: str) -> None:
        """Show a chart of the run that is watched; it follows the run from now on."""
        run = self._run
        if run is not None and not self._chartProblem(key):
            scene = slicer.mrmlScene
            chart = showableChart(scene, run.folder, key, run.history)
            self.message.try_(lambda: changeLayout(layoutOf(scene), lambda: showChart(chart)))

    def _connect(self) -> None:
        ui = self._panel.ui
        self._chartButtons = {
            LOSSES: (ui.lossPlotButton, ui.lossPlotButton.toolTip),
            DICE: (ui.dicePlotButton, ui.dicePlotButton.toolTip),
            RATE: (ui.ratePlotButton, ui.ratePlotButton.toolTip),
            TEACHERS: (ui.teacherPlotButton, ui.teacherPlotButton.toolTip),
            WEIGHTS: (ui.weightsPlotButton, ui.weightsPlotButton.toolTip),
        }
        for key, (button, _toolTip) in self._chartButtons.items():
            button.connect("clicked(bool)", lambda _checked, key=key: self.showChartOf(key))
        for table, key in ((ui.teacherTable, TEACHERS), (ui.weightsTable, WEIGHTS)):
            prepareTable(table, [_("Region")])
            # Stretched, it would give way to the elections until nothing of it could be read.
            table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
            table.toolTip = f"{table.toolTip} {_('Double-click to see it over time, as a chart.')}"
            table.connect("cellDoubleClicked(int,int)", lambda _row, _column, key=key: self.showChartOf(key))
        ui.latestCaseSelector.connect("activated(int)", self._chooseCase)
        ui.latestSubsetSelector.connect("activated(int)", self._chooseSubset)
        ui.latestButton.connect("clicked(bool)", self.showLatestOrCancel)
        ui.latestAutoBox.connect("toggled(bool)", self._toggleAuto)

    def showLatestOrCancel(self) -> None:
        """Segment the chosen case with the newest checkpoint, or cancel that."""
        if self.latest.isRunning:
            self.latest.cancel()
        elif not self._latestProblem() and self.message.try_(self._panel.requirements.ensure):
            self.latest.comeBack()
            self._startLatest()
        self._updateButtons()

    def _toggleAuto(self, _isOn: bool) -> None:
        self.latest.comeBack()
        self._segmentIfNew()

    def _follow(self, run: TrainingRun | None) -> None:
        if self._run is not None:
            self._run.disconnectChanged(self._onChanged)
        self._run, self._isStale = run, True
        if run is not None:
            run.connectChanged(self._onChanged)
        # What is shown is of another run: not to be waited for.
        self._timer.stop()

    def _onChanged(self, _run: TrainingRun) -> None:
        self._isStale = True
        self._showIfDue()

    def _showIfDue(self) -> None:
        """Show what is new, unless nobody sees it or something was shown a moment ago."""
        if self._isStale and self._panel.isEntered and not self._timer.active:
            self._show()
            self._segmentIfNew()
            self._updateButtons()
            self._timer.start()

    def _show(self) -> None:
        self._isStale = False
        ui, run = self._panel.ui, self._run
        ui.runStateLabel.textFormat = qt.Qt.PlainText
        ui.runStateLabel.text = stateWords(run)
        ui.throughputLabel.text = throughputWords(run.status) if run is not None and run.state == "training" else ""
        ui.throughputLabel.setVisible(bool(ui.throughputLabel.text))
        self._showTeachers(run.history.elections[-SHOWN_ELECTIONS - 1 :] if run is not None else [])
        self._showWeights(run.history.weights[-_TREND_TELLINGS:] if run is not None else [])
        if run is not None:
            updateCharts(slicer.mrmlScene, run.folder, run.history)

    def _showTeachers(self, elections: list[Election]) -> None:
        """A row for each region, the newest election first; a teacher that is another one than before is bold."""
        ui, table = self._panel.ui, self._panel.ui.teacherTable
        shown = elections[-SHOWN_ELECTIONS:][::-1]
        fillTable(table, [_("Region"), *(str(one.iteration) for one in shown)], teacherRows(shown))
        for (column, (now, before)), (row, region) in itertools.product(
            enumerate(itertools.pairwise(elections[::-1]), start=1), enumerate(REGIONS)
        ):
            if now.teachers.get(region) != before.teachers.get(region):
                _makeBold(table.item(row, column))
        ui.teacherTableLabel.setVisible(bool(shown))
        table.setVisible(bool(shown))
        showAllRows(table)

    def _showWeights(self, weights: list[Weights]) -> None:
        """A row for each region; the largest weight is bold."""
        from lckd.sequences import SEQUENCES

        ui, table = self._panel.ui, self._panel.ui.weightsTable
        headers = [_("Region"), *(sequence.title for sequence in SEQUENCES)]
        fillTable(table, headers, weightRows(weights) if weights else [])
        for row, region in enumerate(REGIONS if weights else ()):
            values = [weights[-1].weights.get(region, {}).get(sequence.value, 0.0) for sequence in SEQUENCES]
            _makeBold(table.item(row, 1 + values.index(max(values))))
        ui.weightsTableLabel.setVisible(bool(weights))
        table.setVisible(bool(weights))
        showAllRows(table)

    def _updateButtons(self) -> None:
        ui = self._panel.ui
        for key, (button, toolTip) in self._chartButtons.items():
            setEnabledWithReason(button, self._chartProblem(key), toolTip)
        text, autoToolTip = self._latestWords
        ui.latestButton.text = _("Cancel") if self.latest.isRunning else text
        words = _("Segment the case with the newest checkpoint of the run and show it beside its label.")
        problem = self._latestProblem()
        toolTip = _("Stop it; nothing is added.") if self.latest.isRunning else words
        setEnabledWithReason(ui.latestButton, "" if self.latest.isRunning else problem, toolTip)
        ui.latestAutoBox.toolTip = f"{autoToolTip} {_('Now not: {reason}').format(reason=problem)}".strip()
        if not problem:
            ui.latestAutoBox.toolTip = autoToolTip
        for selector in (ui.latestCaseSelector, ui.latestSubsetSelector):
            selector.enabled = selector.count > 0

    def _chartProblem(self, key: str) -> str:
        if self._run is None:
            return _("There is no run to watch.")
        history = self._run.history
        if key in (DICE, TEACHERS):
            return "" if history.elections else self._notYet(_("The run has not elected teachers yet."))
        if key == WEIGHTS:
            return "" if history.weights else self._notYet(_("The run has told no weights yet."))
        return "" if history.steps else _("The run has done no iteration yet.")

    def _notYet(self, words: str) -> str:
        """Return why there are no teachers yet: in pre-training there are none."""
        assert self._run is not None
        if self._run.history.done >= self._run.pretraining:
            return words
        first = _("The first {iterations} are of pre-training, without teachers.")
        return first.format(iterations=iterationsWords(self._run.pretraining))

    def _latestProblem(self) -> str:
        """Return why no case can be segmented with the run; empty if one can."""
        if self._run is None:
            return _("There is no run to watch.")
        if noNetwork(self._run):
            return noNetwork(self._run)
        if not self._panel.dataCases:
            return _("Check the data first, so that its cases are known.")
        return "" if self._chosenCase() and self._chosenSubset() else _("There is no case with a label.")

    def _segmentIfNew(self) -> None:
        """Where that is wanted, segment with a checkpoint that was not yet segmented with."""
        run = self._run
        if not self._panel.ui.latestAutoBox.checked or run is None or self.latest.isRunning or self._latestProblem():
            return
        if self._tried != (run.folder, newestCheckpoint(run.folder)) and not self._panel.requirements.missing():
            self._startLatest()
            self._updateButtons()

    def _startLatest(self) -> None:
        assert self._run is not None
        folder, facts = self._run.folder, self._panel.dataCases[self._chosenCase()]
        self._tried = (folder, newestCheckpoint(folder) or 0)
        self.message.try_(lambda: self.latest.start(Wish(folder, facts, self._chosenSubset())))

    def _showCases(self) -> None:
        """Offer the cases with a label, those that the run does not learn from first."""
        ui, parameters = self._panel.ui, self._panel.parameters
        roles = rolesOf(self._run.folder) if self._run is not None else {}
        cases = caseItems(self._panel.dataCases, roles)
        wanted = parameters.watchedCase if parameters is not None else ""
        if cases != self._shownCases:
            self._shownCases = _fill(ui.latestCaseSelector, cases)
        ui.latestCaseSelector.currentIndex = max(0, ui.latestCaseSelector.findData(wanted)) if cases else -1
        subsets = subsetItems(self._panel.dataCases.get(self._chosenCase(), {}).get("present", []))
        wanted = parameters.watchedSubset if parameters is not None else ""
        if subsets != self._shownSubsets:
            self._shownSubsets = _fill(ui.latestSubsetSelector, subsets)
        place = ui.latestSubsetSelector.findData(wanted)
        ui.latestSubsetSelector.currentIndex = place if place >= 0 else len(subsets) - 1

    def _chosenCase(self) -> str:
        return _dataOf(self._panel.ui.latestCaseSelector)

    def _chosenSubset(self) -> str:
        return _dataOf(self._panel.ui.latestSubsetSelector)

    def _chooseCase(self, _index: int) -> None:
        if self._panel.parameters is not None:
            self._panel.parameters.watchedCase = self._chosenCase()
        self._panel.changed()

    def _chooseSubset(self, _index: int) -> None:
        if self._panel.parameters is not None:
            self._panel.parameters.watchedSubset = self._chosenSubset()


def showAllRows(table: qt.QTableWidget) -> None:
    """Make a table just as high as its rows, with room to scroll sidewards."""
    rows = sum(table.rowHeight(row) for row in range(table.rowCount))
    around = table.horizontalHeader().sizeHint.height() + 2 * table.frameWidth
    table.setFixedHeight(rows + around + table.horizontalScrollBar().sizeHint.height())


def stateWords(run: TrainingRun | None) -> str:
    """Return in a sentence how a run stands."""
    if run is None:
        return _("No run is watched. Start a training above, or choose the folder of a run.")
    done = iterationsWords(run.history.done)
    message, action = run.errorWords
    return {
        "preparing": run.stage,
        "training": f"{run.stage} ({round(100 * run.fraction)} %)",
        "finished": _("The training is finished after {iterations}.").format(iterations=done),
        "interrupted": _("The training is paused after {iterations}.").format(iterations=done),
        "failed": f"{_('The training has failed after {iterations}.').format(iterations=done)} {message} {action}",
        "stopped": _("The training stopped after {iterations}; it can be resumed.").format(iterations=done),
    }[run.state].strip()


def throughputWords(status: RunStatus | None) -> str:
    """Return how fast a run is, how long it will still take, and what memory it needs, as far as it tells."""
    if status is None or status.steps_per_second is None:
        return ""
    words = [_("{seconds:.3g} s per iteration").format(seconds=1 / status.steps_per_second)]
    if status.seconds_left is not None:
        words.append(_("about {time} left").format(time=durationWords(status.seconds_left)))
    if status.memory_mb is not None:
        words.append(_("{memory} MB of memory").format(memory=f"{status.memory_mb:,.0f}"))
    if status.waiting is not None:
        words.append(_("{percent} % of the time waiting for data").format(percent=round(100 * status.waiting)))
    return " · ".join(words)


def teacherRows(elections: list[Election]) -> list[list[str]]:
    """Return for each region who teaches it after each election, with the Dice of that sequence alone."""
    return [[region, *(_teacherWords(one, region) for one in elections)] for region in REGIONS]


def weightRows(weights: list[Weights]) -> list[list[str]]:
    """Return for each region the newest weight of each sequence, and whether it has risen or fallen of late."""
    from lckd.sequences import SEQUENCES

    now, before = weights[-1].weights, weights[0].weights

    def cell(region: str, sequence: str) -> str:
        value = now.get(region, {}).get(sequence)
        if value is None:
            return "–"
        change = value - before.get(region, {}).get(sequence, value)
        arrow = " ↑" if change > _TREND else " ↓" if change < -_TREND else ""
        return f"{value:.2f}{arrow}"

    return [[region, *(cell(region, sequence.value) for sequence in SEQUENCES)] for region in REGIONS]


def caseItems(cases: dict[str, dict[str, Any]], roles: dict[str, str]) -> list[tuple[str, str]]:
    """Return title and name of the cases with a label: those of the election, then of the test, then all others."""
    titles = {
        "election": _("{case} (elects teachers)"),
        "test": _("{case} (test)"),
        "train": _("{case} (learned from)"),
    }
    order = ["election", "test", "", "train"]
    names = [name for name, facts in cases.items() if facts["usable"] and facts["labels"]]
    names.sort(key=lambda name: order.index(roles.get(name, "")))
    return [(titles.get(roles.get(name, ""), "{case}").format(case=name), name) for name in names]


def subsetItems(present: list[str]) -> list[tuple[str, str]]:
    """Return title and name of all subsets of the sequences that a case has, the smallest first."""
    from lckd.sequences import Sequence, subset_name, subset_title, subsets_of

    subsets = subsets_of(Sequence(one) for one in present) if present else []
    return [(subset_title(subset), subset_name(subset)) for subset in subsets]


def _teacherWords(election: Election, region: str) -> str:
    from lckd.sequences import Sequence

    teacher = election.teachers.get(region)
    if not teacher:
        return _("nobody")
    dice = election.dice.get(teacher, {}).get(region)
    return f"{Sequence(teacher).title} {dice:.2f}" if dice is not None else str(Sequence(teacher).title)


def _makeBold(item: qt.QTableWidgetItem) -> None:
    font = item.font()
    font.setBold(True)
    item.setFont(font)


def _fill(selector: qt.QComboBox, items: list[tuple[str, str]]) -> list[tuple[str, str]]:
    selector.clear()
    for title, data in items:
        selector.addItem(title, data)
    return items


def _dataOf(selector: qt.QComboBox) -> str:
    return str(selector.itemData(selector.currentIndex) or "")

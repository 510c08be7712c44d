"""The section "Compare subsets": what changes when sequences are missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from .Panel import Message, Panel, fillTable, prepareTable
from .Parameters import NO_SUBSET, compareProblem, possibleSubsets, settingsOf, subsetsToCompare, usedVolumes
from .ProgressDisplay import ProgressDisplay
from .RunButton import ButtonWords, RunButton
from .Runs import CompareRun, Run

if TYPE_CHECKING:
    from .ComparisonNodes import Row

#: So many lines of the list of subsets are seen at least.
_SHOWN_SUBSETS = 7


class CompareSection:
    """Chooses subsets, runs the comparison and shows its table; `ComparisonViews` shows what a row stands for.

    Each parameter set has its own comparison.

    :param modelProblem: says why the model cannot be used; empty if it can
    :param onCompared: takes the comparison that is shown now, each time it has new rows; None if there is none
    """

    def __init__(
        self, panel: Panel, modelProblem: Callable[[], str], onCompared: Callable[[CompareRun | None], None]
    ) -> None:
        self._panel = panel
        self._modelProblem = modelProblem
        self._onCompared = onCompared
        self.message = Message(panel.ui.compareMessageLabel)
        self._runs: dict[str, CompareRun] = {}
        self._shownRun: CompareRun | None = None
        self._shownSubsets: tuple[list[str], list[str]] = ([], [])
        words = ButtonWords(
            _("Compare"),
            _("Segment from each ticked subset and compare the results."),
            _("Stop the comparison; what is in the table stays there."),
            _("The comparison is being stopped."),
        )
        progress = ProgressDisplay(panel.ui.compareProgress, panel.ui.compareStatus)
        self._button = RunButton(
            panel, panel.ui.compareButton, progress, self.message, words, self.problem, self._start
        )
        ui = panel.ui
        prepareTable(ui.compareTable, compareHeaders(), shownRows=9)
        ui.subsetList.setMinimumHeight(_SHOWN_SUBSETS * ui.subsetList.fontMetrics().height())
        ui.compareTable.setSelectionMode(qt.QAbstractItemView.ExtendedSelection)
        ui.subsetList.connect("itemChanged(QListWidgetItem*)", self._storeSubsets)
        ui.allSubsetsButton.connect("clicked(bool)", lambda: self._tickAll(True))
        ui.noSubsetsButton.connect("clicked(bool)", lambda: self._tickAll(False))

    @property
    def isRunning(self) -> bool:
        """Whether a comparison is under way."""
        return self._button.isRunning

    def problem(self) -> str:
        """Return why one cannot compare now; empty if one can."""
        parameters = self._panel.parameters
        if parameters is None:
            return self._panel.setProblem()
        if self._panel.logic.current is not None:
            return _("Wait for the end of the segmentation, or cancel it.")
        return compareProblem(parameters) or self._modelProblem()

    def update(self) -> None:
        """Show the subsets that are possible now, the comparison of this parameter set, and what the button does."""
        self._showSubsets()
        run = self._runs.get(self._key())
        if run is not self._shownRun:
            self._showRows(run)
        self._button.update()

    def stop(self) -> None:
        """Show nothing under way and no rows; for the end of the scene, where the logic has ended the run."""
        self._button.end()
        self._runs = {}
        self._showRows(None)

    def _start(self) -> None:
        parameters = self._panel.parameters
        run = self._panel.logic.compare(
            usedVolumes(parameters),
            subsetsToCompare(parameters),
            parameters.reference,
            settingsOf(parameters),
            waitForCompletion=False,
            onProgress=self._showProgress,
            onFinished=self._finish,
        )
        self._button.begin(run)
        self._runs[self._key()] = run
        self._showRows(run)

    def _key(self) -> str:
        """Which parameter set is shown."""
        return self._panel.parameters.parameterNode.GetID() if self._panel.parameters is not None else ""

    def _showProgress(self, run: Run) -> None:
        if run is not self._button.run:
            return
        self._button.progress.show(run.fraction, run.stage)
        if run is self._shownRun and len(run.outcome.rows) != self._panel.ui.compareTable.rowCount:
            self._showRows(run)

    def _finish(self, run: Run) -> None:
        if run is not self._button.run:
            return
        self._button.end()
        if run.isCancelled:
            self.message.say(_("The comparison was cancelled."))
        elif run.error is not None:
            self.message.sayError(run.error)
        else:
            basis = _("Dice and HD95 are to {basis}.").format(basis=run.outcome.basis)
            self.message.say(" ".join([_("The comparison is done."), basis, *run.warnings]))
        if run is self._shownRun:
            self._showRows(run)
        self._panel.changed()

    def _showRows(self, run: CompareRun | None) -> None:
        """Fill the table; rows that were selected stay selected, wherever they are now."""
        table, rows = self._panel.ui.compareTable, run.outcome.rows if run is not None else []
        isSame, selected = run is self._shownRun, set(selectedKeys(table))
        self._shownRun = run
        table.blockSignals(True)
        fillTable(table, compareHeaders(), [cellsOf(row) for row in rows])
        table.clearSelection()
        for number in range(table.rowCount):
            if isSame and keyOfRow(table, number) in selected:
                table.setRangeSelected(qt.QTableWidgetSelectionRange(number, 0, number, table.columnCount - 1), True)
        table.blockSignals(False)
        self._onCompared(run)

    def _showSubsets(self) -> None:
        """The list is made anew only when it is other than what is shown, so that it does not jump."""
        from lckd.sequences import parse_subset, subset_title

        parameters, ui = self._panel.parameters, self._panel.ui
        possible = possibleSubsets(parameters) if parameters is not None else []
        wanted = subsetsToCompare(parameters) if parameters is not None else []
        if (possible, wanted) == self._shownSubsets:
            return
        ui.subsetList.blockSignals(True)
        ui.subsetList.clear()
        for subset in possible:
            item = qt.QListWidgetItem(subset_title(parse_subset(subset)))
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setCheckState(qt.Qt.Checked if subset in wanted else qt.Qt.Unchecked)
            ui.subsetList.addItem(item)
        ui.subsetList.blockSignals(False)
        self._shownSubsets = (possible, wanted)

    def _tickAll(self, ticked: bool) -> None:
        ui = self._panel.ui
        ui.subsetList.blockSignals(True)
        for row in range(ui.subsetList.count):
            ui.subsetList.item(row).setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
        ui.subsetList.blockSignals(False)
        self._storeSubsets()

    def _storeSubsets(self) -> None:
        """All is stored as an empty list, so that it stays all when another sequence is chosen."""
        possible = self._shownSubsets[0]
        items = [self._panel.ui.subsetList.item(row) for row in range(len(possible))]
        pairs = zip(possible, items, strict=True)
        ticked = [subset for subset, item in pairs if item.checkState() == qt.Qt.Checked]
        self._shownSubsets = (possible, ticked)
        if self._panel.parameters is not None:
            self._panel.parameters.compareSubsets = [] if ticked == possible else ticked or [NO_SUBSET]
        self._panel.changed()


def compareHeaders() -> list[str]:
    """Return the titles of the table's columns."""
    return [_("Sequences"), _("Region"), _("Volume (mL)"), _("Dice"), _("HD95 (mm)")]


def cellsOf(row: Row) -> list[str]:
    """Return one row of the table as texts."""
    from lckd.sequences import parse_subset, subset_title

    numbers = (number(row.volume_ml, 2), number(row.dice, 3), number(row.hd95_mm, 1))
    return [subset_title(parse_subset(row.subset)), row.region, *numbers]


def number(value: float, digits: int) -> str:
    """Return a number as text; a dash where there is none, as for the distance to something empty."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def keyOfRow(table: qt.QTableWidget, row: int) -> tuple[str, str]:
    """Return sequences and region of a row."""
    return table.item(row, 0).text(), table.item(row, 1).text()


def selectedKeys(table: qt.QTableWidget) -> list[tuple[str, str]]:
    """Return sequences and region of each selected row, from top to bottom."""
    return [keyOfRow(table, row) for row in sorted({item.row() for item in table.selectedItems()})]

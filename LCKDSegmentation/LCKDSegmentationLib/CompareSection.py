"""The section "Compare subsets": what changes when sequences are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from .Panel import Panel, fillTable, prepareTable
from .Parameters import compareProblem, possibleSubsets, settingsOf, subsetsToCompare, usedVolumes
from .ProgressDisplay import ProgressDisplay
from .RunButton import ButtonWords, RunButton
from .Runs import CompareRun, Run

if TYPE_CHECKING:
    from .ComparisonNodes import Row


class CompareSection:
    """Chooses subsets, runs the comparison and shows its table; `ComparisonViews` shows what a row stands for.

    :param modelProblem: says why the model cannot be used; empty if it can
    :param onCompared: takes a comparison that has new rows
    """

    def __init__(self, panel: Panel, modelProblem: Callable[[], str], onCompared: Callable[[CompareRun], None]) -> None:
        self._panel = panel
        self._modelProblem = modelProblem
        self._onCompared = onCompared
        self._shownSubsets: list[str] = []
        words = ButtonWords(
            _("Compare"),
            _("Segment from each ticked subset and compare the results."),
            _("Stop the comparison; what is in the table stays there."),
            _("The comparison is being stopped."),
        )
        progress = ProgressDisplay(panel.ui.compareProgress, panel.ui.compareStatus)
        self._button = RunButton(panel, panel.ui.compareButton, progress, words, self.problem, self._start)
        ui = panel.ui
        prepareTable(ui.compareTable, compareHeaders())
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
        if self._panel.parameters is None:
            return _("There is no scene.")
        if self._panel.logic.current is not None:
            return _("Wait for the end of the segmentation, or cancel it.")
        if not self._ticked() and possibleSubsets(self._panel.parameters):
            return _("Tick at least one subset.")
        return compareProblem(self._panel.parameters) or self._modelProblem()

    def update(self) -> None:
        """Show the subsets that are possible now, and what the button does."""
        self._showSubsets()
        self._button.update()

    def stop(self) -> None:
        """Show nothing under way and no rows; for the end of the scene, where the logic has ended the run."""
        self._button.end()
        fillTable(self._panel.ui.compareTable, compareHeaders(), [])

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
        self._showRows(run)

    def _showProgress(self, run: Run) -> None:
        if run is not self._button.run:
            return
        self._button.progress.show(run.fraction, run.stage)
        if len(run.outcome.rows) != self._panel.ui.compareTable.rowCount:
            self._showRows(run)

    def _finish(self, run: Run) -> None:
        if run is not self._button.run:
            return
        self._button.end()
        if run.isCancelled:
            self._panel.say(_("The comparison was cancelled."))
        elif run.error is not None:
            self._panel.sayError(run.error)
        else:
            basis = _("Dice and HD95 are to {basis}.").format(basis=run.outcome.basis)
            self._panel.say(" ".join([_("The comparison is done."), basis, *run.warnings]))
        self._showRows(run)
        self._panel.changed()

    def _showRows(self, run: CompareRun) -> None:
        fillTable(self._panel.ui.compareTable, compareHeaders(), [cellsOf(row) for row in run.outcome.rows])
        self._onCompared(run)

    def _showSubsets(self) -> None:
        """The list is made anew only when other subsets are possible, so that it does not jump."""
        from lckd.sequences import parse_subset, subset_title

        parameters, ui = self._panel.parameters, self._panel.ui
        possible = possibleSubsets(parameters) if parameters is not None else []
        wanted = subsetsToCompare(parameters) if parameters is not None else []
        if possible == self._shownSubsets and (not self._ticked() or self._ticked() == wanted):
            return
        ui.subsetList.blockSignals(True)
        ui.subsetList.clear()
        for subset in possible:
            item = qt.QListWidgetItem(subset_title(parse_subset(subset)))
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setCheckState(qt.Qt.Checked if subset in wanted else qt.Qt.Unchecked)
            ui.subsetList.addItem(item)
        ui.subsetList.blockSignals(False)
        self._shownSubsets = possible

    def _ticked(self) -> list[str]:
        items = [self._panel.ui.subsetList.item(row) for row in range(len(self._shownSubsets))]
        pairs = zip(self._shownSubsets, items, strict=True)
        return [subset for subset, item in pairs if item.checkState() == qt.Qt.Checked]

    def _tickAll(self, ticked: bool) -> None:
        ui = self._panel.ui
        ui.subsetList.blockSignals(True)
        for row in range(len(self._shownSubsets)):
            ui.subsetList.item(row).setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
        ui.subsetList.blockSignals(False)
        self._storeSubsets()

    def _storeSubsets(self) -> None:
        """All is stored as an empty list, so that it stays all when another sequence is chosen."""
        if self._panel.parameters is not None:
            ticked = self._ticked()
            self._panel.parameters.compareSubsets = [] if ticked == self._shownSubsets else ticked
        self._panel.changed()


def compareHeaders() -> list[str]:
    """Return the titles of the table's columns."""
    return [_("Sequences"), _("Region"), _("Volume (mL)"), _("Dice"), _("HD95 (mm)")]


def cellsOf(row: Row) -> list[str]:
    """Return one row of the table as texts."""
    from lckd.sequences import parse_subset, subset_title

    numbers = (f"{row.volume_ml:.2f}", f"{row.dice:.3f}", f"{row.hd95_mm:.1f}")
    return [subset_title(parse_subset(row.subset)), row.region, *numbers]


def gridOf(run: CompareRun) -> slicer.vtkMRMLScalarVolumeNode:
    """Return the volume on whose voxels the results of a comparison lie."""
    from .SceneExport import gridVolume

    return gridVolume(run.job.inputs, run.job.grid)

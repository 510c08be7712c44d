"""What the rows of a comparison stand for: segmentations in the views, side by side, differences, charts, a file."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from .ChartViews import saveChart, showChart
from .CompareSection import gridOf
from .Panel import Panel, setEnabledWithReason
from .Runs import CompareRun
from .VolumeFiles import writing

REGIONS = ("ET", "TC", "WT")


class ComparisonViews:
    """Shows the rows that are selected in the table of a comparison."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._run: CompareRun | None = None
        self._shown: dict[str, slicer.vtkMRMLSegmentationNode] = {}
        ui = panel.ui
        ui.differenceRegion.addItems(list(REGIONS))
        ui.compareTable.connect("itemSelectionChanged()", self.showSelected)
        ui.differenceButton.connect("clicked(bool)", self.showDifference)
        ui.twoUpButton.connect("clicked(bool)", lambda: self.showSideBySide(2))
        ui.fourUpButton.connect("clicked(bool)", lambda: self.showSideBySide(4))
        ui.diceChartButton.connect("clicked(bool)", lambda: self._show("dice"))
        ui.importanceChartButton.connect("clicked(bool)", lambda: self._show("importance"))
        ui.exportButton.connect("clicked(bool)", self.export)
        self.update()

    def take(self, run: CompareRun) -> None:
        """Show a comparison, from now on, as far as it is done."""
        if run is not self._run:
            self._run, self._shown = run, {}
        self.update()

    def forget(self) -> None:
        """Show nothing; the scene is gone."""
        self._run, self._shown = None, {}
        self.update()

    @property
    def selected(self) -> list[str]:
        """The subsets of the selected rows, from top to bottom."""
        items = self._panel.ui.compareTable.selectedItems()
        rows = self._run.outcome.rows if self._run is not None else []
        numbers = sorted({item.row() for item in items})
        return list(dict.fromkeys(rows[number].subset for number in numbers if number < len(rows)))

    def update(self) -> None:
        """Show what can be done with the rows that are selected."""
        ui, count = self._panel.ui, len(self.selected)
        nodes = self._run.outcome.nodes if self._run is not None else None
        two = "" if count == 2 else _("Select a row of each of two subsets first.")
        several = "" if count >= 2 else _("Select rows of two or more subsets first.")
        done = "" if nodes is not None else _("Compare subsets first.")
        some = "" if self._run is not None and self._run.outcome.rows else _("Compare subsets first.")
        noChart = done or ("" if nodes is not None and nodes.importance else _("The full set was not compared."))
        words = _("Show where the segmentations of the two selected rows differ.")
        setEnabledWithReason(ui.differenceButton, two, words)
        setEnabledWithReason(ui.twoUpButton, several, _("Show the first two selected rows in linked slice views."))
        setEnabledWithReason(ui.fourUpButton, several, _("Show the first four selected rows in linked slice views."))
        setEnabledWithReason(ui.diceChartButton, done, _("Show the Dice of each subset as a chart."))
        setEnabledWithReason(ui.importanceChartButton, noChart, _("Show what each sequence is worth as a chart."))
        setEnabledWithReason(ui.exportButton, some, _("Save the table (CSV) or the chart of the Dice (PNG) as a file."))
        ui.importanceLabel.text = self._importanceWords() if nodes is not None else ""
        ui.importanceLabel.setVisible(nodes is not None)

    def showSelected(self) -> None:
        """Show the segmentation of the selected row in all views, and no other one of the comparison."""
        self.update()
        subsets = self.selected
        if len(subsets) == 1:
            self._panel.try_(lambda: self._showAlone(subsets[0]))

    def showDifference(self) -> None:
        """Show where the segmentations of two subsets differ, for the chosen region."""
        from .ComparisonNodes import addDifference

        run, subsets = self._run, self.selected
        if run is None or len(subsets) != 2:
            return
        files = [run.outcome.folders[subset] / "segmentation.nrrd" for subset in subsets]
        region = REGIONS[self._panel.ui.differenceRegion.currentIndex]

        def show() -> None:
            grid = gridOf(run)
            node = addDifference(grid.GetScene(), grid, (files[0], files[1]), (subsets[0], subsets[1]), region)
            self._hideAll()
            self._showInAllViews(node)

        self._panel.try_(show)

    def showSideBySide(self, count: int) -> None:
        """Show the first selected subsets in a layout of two or four linked slice views."""
        self._panel.try_(lambda: self._showSideBySide(self.selected[:count], count))

    def export(self) -> None:
        """Save the table as CSV, with the columns of ``lckd compare``, or the chart of the Dice as PNG."""
        run = self._run
        if run is None:
            return
        table, chart = _("Table (*.csv)"), _("Chart of the Dice (*.png)")
        filters = [table, *([chart] if run.outcome.nodes is not None else [])]
        target = Path(self._panel.dialogs.saveFile(_("Save the comparison"), ";;".join(filters)))
        if not target.name:
            return
        if target.suffix.lower() == ".png" and run.outcome.nodes is not None:
            action = functools.partial(saveChart, run.outcome.nodes.dice.chart, target)
        else:
            target = target.with_suffix(".csv")
            action = functools.partial(writeRows, run, target)
        if self._panel.try_(action):
            self._panel.say(_("Written: {path}").format(path=target))

    def _showAlone(self, subset: str) -> None:
        node = self._segmentationOf(subset)
        self._hideAll()
        self._showInAllViews(node)

    def _showSideBySide(self, subsets: list[str], count: int) -> None:
        from . import Views

        grid = gridOf(self._run)
        scene = grid.GetScene()
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        Views.registerLayouts(layout)
        layout.SetViewArrangement(Views.TWO_UP_LAYOUT if count == 2 else Views.FOUR_UP_LAYOUT)
        nodes = [self._segmentationOf(subset) for subset in subsets]
        self._hideAll()
        panels = [Views.Panel(grid, node, _title(subset)) for node, subset in zip(nodes, subsets, strict=True)]
        sliceNodes = Views.comparisonSliceNodes(scene, count)
        Views.showPanels(scene, sliceNodes, panels)
        Views.jumpToTumor(sliceNodes, nodes[0])

    def _segmentationOf(self, subset: str) -> slicer.vtkMRMLSegmentationNode:
        """The segmentation of a subset, brought into the scene when it is first wanted."""
        node = self._shown.get(subset)
        if node is None or node.GetScene() is None:
            division = self._panel.parameters.division.value
            node = self._panel.logic.importSubset(self._run, subset, division)
            self._shown[subset] = node
        return node

    def _hideAll(self) -> None:
        """Hide every segmentation that this module made, so that one sees what one has asked for."""
        scene = gridOf(self._run).GetScene()
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            node = scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
            isOurs = node.GetAttribute("LCKD.Model") or node.GetAttribute("LCKD.Difference")
            if isOurs and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(False)

    def _showInAllViews(self, node: slicer.vtkMRMLSegmentationNode) -> None:
        from .Views import showEverywhere

        showEverywhere(node)
        node.GetDisplayNode().SetVisibility(True)

    def _show(self, which: str) -> None:
        nodes = self._run.outcome.nodes if self._run is not None else None
        chart = getattr(nodes, which) if nodes is not None else None
        if chart is not None:
            showChart(chart.chart)

    def _importanceWords(self) -> str:
        """For each region the sequence whose loss costs most."""
        from lckd.sequences import Sequence

        from .ComparisonNodes import importance

        losses = importance(self._run.outcome.rows)
        if not losses:
            return ""
        lines = [_("What costs most Dice when it is taken away:")]
        for region in REGIONS:
            worst = max(losses, key=lambda sequence: losses[sequence][region])
            lines.append(f"{region}: {Sequence(worst).title} ({losses[worst][region]:+.3f})")
        return "\n".join(lines)


def writeRows(run: CompareRun, path: Path) -> None:
    """Write the rows of a comparison as CSV (subset, region, volume_ml, dice, hd95_mm), whole or not at all.

    :raises OutputError: it cannot be written
    """
    from .ComparisonNodes import COLUMNS

    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, column) for column in COLUMNS] for row in run.outcome.rows)


def _title(subset: str) -> str:
    from lckd.sequences import parse_subset, subset_title

    return subset_title(parse_subset(subset))

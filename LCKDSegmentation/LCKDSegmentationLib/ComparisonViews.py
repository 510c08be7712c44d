"""What the rows of a comparison stand for: segmentations in the views, side by side, differences, charts, a file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from .ChartViews import completeCharts, labelShownCharts, saveChart, showChart, stopLabeling
from .Panel import Message, Panel, setEnabledWithReason
from .Runs import CompareRun
from .TumorSegments import TISSUES
from .VolumeFiles import writing

REGIONS = ("ET", "TC", "WT")


class ComparisonViews:
    """Shows the rows that are selected in the table of a comparison."""

    def __init__(self, panel: Panel, message: Message) -> None:
        self._panel = panel
        self._message = message
        self._run: CompareRun | None = None
        #: The segmentations that are in the scene already, by subset.
        self._shown: dict[str, slicer.vtkMRMLSegmentationNode] = {}
        #: The layout that is followed, with the observer.
        self._layout: tuple[slicer.vtkMRMLLayoutNode, int] | None = None
        ui = panel.ui
        ui.differenceRegion.addItems(list(REGIONS))
        ui.compareTable.connect("itemSelectionChanged()", self.showSelected)
        ui.differenceButton.connect("clicked(bool)", self.showDifference)
        ui.twoUpButton.connect("clicked(bool)", lambda: self.showSideBySide(2))
        ui.fourUpButton.connect("clicked(bool)", lambda: self.showSideBySide(4))
        ui.formerLayoutButton.connect("clicked(bool)", self.showFormerLayout)
        ui.diceChartButton.connect("clicked(bool)", lambda: self._show("dice"))
        ui.importanceChartButton.connect("clicked(bool)", lambda: self._show("importance"))
        menu = qt.QMenu(ui.exportButton)
        self._actions = [qt.QAction(_("Table (CSV)…"), menu), qt.QAction(_("Chart of the Dice (PNG)…"), menu)]
        for action, slot in zip(self._actions, (self.exportTable, self.exportChart), strict=True):
            action.connect("triggered()", slot)
            menu.addAction(action)
        ui.exportButton.setMenu(menu)
        self.update()

    def followLayout(self, scene: slicer.vtkMRMLScene) -> None:
        """Make the layouts for comparison known, and from now on tidy up when the user leaves them.

        To be called when there is a panel and when a scene was loaded; again is harmless. `stopFollowing` ends it.
        """
        from .Views import registerLayouts

        self.stopFollowing()
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        if layout is not None:
            registerLayouts(layout)
            self._layout = (layout, layout.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLayoutModified))
        # Not before the application's own controllers know of the scene.
        qt.QTimer.singleShot(0, lambda: self._restoreCharts(scene))
        self.update()

    def stopFollowing(self) -> None:
        """Leave the layout and the views of charts alone from now on."""
        stopLabeling()
        if self._layout is not None:
            self._layout[0].RemoveObserver(self._layout[1])
            self._layout = None

    def _restoreCharts(self, scene: slicer.vtkMRMLScene) -> None:
        if self._layout is not None:
            completeCharts(scene)
            labelShownCharts()

    def take(self, run: CompareRun | None) -> None:
        """Show a comparison, from now on, as far as it is done; None: show none."""
        if run is not self._run:
            self._run, self._shown = run, {}
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
        noWayBack = "" if self._isLayoutChanged else _("Show segmentations side by side or a chart first.")
        words = _("Go back to the views before side by side and charts.")
        setEnabledWithReason(ui.formerLayoutButton, noWayBack, words)
        setEnabledWithReason(ui.diceChartButton, done, _("Show the Dice of each subset as a chart."))
        setEnabledWithReason(ui.importanceChartButton, noChart, _("Show what each sequence is worth as a chart."))
        self._actions[1].enabled = nodes is not None
        setEnabledWithReason(ui.exportButton, some, _("Save the table (CSV) or the chart of the Dice (PNG) as a file."))
        ui.importanceLabel.text = self._importanceWords() if nodes is not None else ""
        ui.importanceLabel.setVisible(nodes is not None)

    def showSelected(self) -> None:
        """Show the segmentation of the selected row in all views, and no other one of the comparison."""
        self.update()
        subsets = self.selected
        if len(subsets) == 1:
            self._message.try_(lambda: self._showOne(subsets[0]))

    def _showOne(self, subset: str) -> None:
        from .Views import allSliceNodes, jumpToTumor, showAlone

        parameters = self._panel.parameters
        isFirst = not self._shown and (parameters is None or parameters.segmentation is None)
        node = self._segmentationOf(subset)
        showAlone(node)
        if isFirst:
            # Nothing has moved the views to the tumor yet.
            jumpToTumor(allSliceNodes(node.GetScene()), node)

    def showDifference(self) -> None:
        """Show where the segmentations of two subsets differ, for the chosen region."""
        from .ComparisonNodes import addDifference
        from .Views import showAlone

        run, subsets = self._run, self.selected
        if run is None or len(subsets) != 2:
            return
        files = [run.outcome.folders[subset] / "segmentation.nrrd" for subset in subsets]
        region = REGIONS[self._panel.ui.differenceRegion.currentIndex]

        def show() -> None:
            showAlone(addDifference(run.job.scene, gridOf(run), (files[0], files[1]), (subsets[0], subsets[1]), region))

        if self._message.try_(show):
            words = _("{region}: white is in both, orange only in {first}, blue only in {second}.")
            self._message.say(words.format(region=region, first=_title(subsets[0]), second=_title(subsets[1])))

    def showSideBySide(self, count: int) -> None:
        """Show the first selected subsets in a layout of two or four linked slice views."""
        self._message.try_(lambda: self._showSideBySide(self.selected[:count], count))

    def showFormerLayout(self) -> None:
        """Go back to the layout before side by side and charts."""
        from .Views import showFormerLayout

        if self._layout is not None:
            showFormerLayout(self._layout[0])

    def exportTable(self) -> None:
        """Save the table as CSV, with the columns of ``lckd compare``."""
        run, title = self._run, _("Save the table")
        self._export(title, _("Table (*.csv)"), "csv", lambda target: writeRows(run, target))

    def exportChart(self) -> None:
        """Save the chart of the Dice as PNG."""
        run, title = self._run, _("Save the chart")
        self._export(title, _("Picture (*.png)"), "png", lambda target: saveChart(run.outcome.nodes.dice.chart, target))

    def _export(self, title: str, filter: str, suffix: str, write: Callable[[Path], None]) -> None:
        target = self._panel.dialogs.saveFile(title, filter, suffix)
        if target and self._message.try_(lambda: write(Path(target))):
            self._message.say(_("Written: {path}").format(path=target))

    def _showSideBySide(self, subsets: list[str], count: int) -> None:
        from . import Views

        grid, scene = gridOf(self._run), self._run.job.scene
        layout = Views.layoutOf(scene)
        if self._layout is None:
            self.followLayout(scene)
        Views.showSideBySide(layout, Views.TWO_UP_LAYOUT if count == 2 else Views.FOUR_UP_LAYOUT)
        nodes = [self._segmentationOf(subset) for subset in subsets]
        Views.showAlone(nodes[0])
        panels = [Views.Panel(grid, node, barTitle(subset)) for node, subset in zip(nodes, subsets, strict=True)]
        sliceNodes = Views.comparisonSliceNodes(scene, count)
        Views.showPanels(scene, sliceNodes, panels)
        center = Views.jumpToTumor(sliceNodes, nodes[0])
        # New views have no size before the event loop ran.
        qt.QTimer.singleShot(0, lambda: self._fit(sliceNodes, center))

    def _fit(self, sliceNodes: list[slicer.vtkMRMLSliceNode], center: tuple[float, float, float] | None) -> None:
        """Show the whole image in each view for comparison, as large as it can be."""
        from .Views import alignWithFirst, jumpTo

        logic = slicer.app.applicationLogic().GetSliceLogic(sliceNodes[0])
        if logic is None or not self._isSideBySide or any(node.GetScene() is None for node in sliceNodes):
            return
        logic.FitSliceToBackground()
        alignWithFirst(sliceNodes)
        jumpTo(sliceNodes, center)

    @property
    def _isSideBySide(self) -> bool:
        from .Views import isSideBySide

        return self._layout is not None and isSideBySide(self._layout[0])

    @property
    def _isLayoutChanged(self) -> bool:
        from .Views import isChanged

        return self._layout is not None and isChanged(self._layout[0])

    def _onLayoutModified(self, layout: slicer.vtkMRMLLayoutNode, _event: str) -> None:
        from .Views import leaveSideBySide

        scene = layout.GetScene()
        if scene is not None and not scene.IsBatchProcessing() and not self._isSideBySide:
            leaveSideBySide(scene)
        self.update()

    def _segmentationOf(self, subset: str) -> slicer.vtkMRMLSegmentationNode:
        """The segmentation of a subset, brought into the scene when it is first wanted."""
        node = self._shown.get(subset)
        if node is None or node.GetScene() is None:
            parameters = self._panel.parameters
            division = parameters.division.value if parameters is not None else TISSUES
            node = self._panel.logic.importSubset(self._run, subset, division)
            self._shown[subset] = node
        return node

    def _show(self, which: str) -> None:
        from .Views import changeLayout, layoutOf

        nodes = self._run.outcome.nodes if self._run is not None else None
        chart = getattr(nodes, which) if nodes is not None else None
        if chart is not None:
            self._message.try_(lambda: changeLayout(layoutOf(self._run.job.scene), lambda: showChart(chart.chart)))

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


def gridOf(run: CompareRun) -> slicer.vtkMRMLScalarVolumeNode:
    """Return the volume on whose voxels the results of a comparison lie.

    :raises InputError: it was deleted
    """
    from lckd.errors import InputError

    volume = run.job.gridVolume
    if volume.GetScene() is not run.job.scene:
        raise InputError(
            "RESULT_ELSEWHERE",
            _("The volume on whose voxels these results lie was deleted."),
            _("Load it again and run the comparison again."),
        )
    return volume


def writeRows(run: CompareRun, path: Path) -> None:
    """Write the rows of a comparison as CSV (subset, region, volume_ml, dice, hd95_mm), whole or not at all.

    :raises OutputError: it cannot be written
    """
    from .ComparisonNodes import COLUMNS

    with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, column) for column in COLUMNS] for row in run.outcome.rows)


def barTitle(subset: str) -> str:
    """Return the title of a subset as short as the bar of a slice view needs it: ``F+T1c``."""
    from lckd.sequences import SEQUENCES, parse_subset

    from .ComparisonNodes import shortTitle

    return _("all four") if parse_subset(subset) == SEQUENCES else shortTitle(subset)


def _title(subset: str) -> str:
    from lckd.sequences import parse_subset, subset_title

    return subset_title(parse_subset(subset))

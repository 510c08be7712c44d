"""The comparison of subsets as nodes: a table of all rows, plot charts, and the difference of two segmentations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import UsageError
from lckd.sequences import Sequence, parse_subset, subset_name, subset_title

from .ChartViews import TICKS_ATTRIBUTE
from .SceneTree import placeBeside, placeInFolder, subjectHierarchy
from .SegmentationNodes import Segment, checkOnGrid, setDisplay, setSegments
from .Terminology import REGIONS, labelsOf, segmentKind
from .VolumeFiles import readVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("subset", "region", "volume_ml", "dice", "hd95_mm")
#: Colors of a difference: told apart with every color vision.
_ONLY_A, _ONLY_B, _BOTH = (0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.8, 0.8, 0.8)


@dataclass(frozen=True)
class Row:
    """One region as segmented from one subset (``flair+t1c``); `dice` and `hd95_mm` to what it is compared with."""

    subset: str
    region: str
    volume_ml: float
    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class Chart:
    """A plot chart with its table and one series for each region."""

    chart: slicer.vtkMRMLPlotChartNode
    table: slicer.vtkMRMLTableNode
    series: list[slicer.vtkMRMLPlotSeriesNode]


@dataclass(frozen=True)
class ComparisonNodes:
    """What a comparison added to the scene. `importance` is None if no subset lacks just one sequence of the fullest.

    `item` is the one item of the subject hierarchy whose deletion removes it all.
    """

    table: slicer.vtkMRMLTableNode
    dice: Chart
    importance: Chart | None
    item: int


def rowOf(values: Mapping[str, Any]) -> Row:
    """Return a row from its values by column, as the worker gives them."""
    return Row(str(values["subset"]), str(values["region"]), *(float(values[column]) for column in COLUMNS[2:]))


def addComparison(
    scene: slicer.vtkMRMLScene, rows: list[Row], basis: str, parent: int | None = None
) -> ComparisonNodes:
    """Add the table of a comparison and its charts: Dice by subset, and what each sequence is worth.

    :param rows: three regions for each subset
    :param basis: what the subsets are compared with, in words
    :param parent: item of the subject hierarchy to put the folder under, such as a study; None: the scene
    :raises UsageError: there is no row
    """
    if not rows:
        raise UsageError("NOTHING_TO_COMPARE", _("No subset was compared."), _("Choose at least one subset."))
    table = addRowsTable(scene, rows)
    dice = _addChart(
        scene,
        _("Dice by subset"),
        [subset_title(parse_subset(subset)) for subset in _subsets(rows)],
        [shortTitle(subset) for subset in _subsets(rows)],
        {region: [_dice(rows, subset, region) for subset in _subsets(rows)] for region in REGIONS},
        (_("Sequences"), _("Dice to {basis}").format(basis=basis)),
    )
    dice.chart.SetYAxisRangeAuto(False)
    dice.chart.SetYAxisRange(0.0, 1.0)
    losses = importance(rows)
    chart = _addImportanceChart(scene, losses) if losses else None
    nodes = [table, dice.chart, dice.table, *dice.series]
    if chart:
        nodes += [chart.chart, chart.table, *chart.series]
    under = subjectHierarchy(scene).GetSceneItemID() if parent is None else parent
    return ComparisonNodes(table, dice, chart, placeInFolder(nodes, under, _("Comparison of subsets")))


def addRowsTable(scene: slicer.vtkMRMLScene, rows: list[Row]) -> slicer.vtkMRMLTableNode:
    """Add a table with the columns of ``subsets.csv``, one row for each region of each subset."""
    values = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    table = _addTable(scene, _("Comparison of subsets (table)"), values)
    titles = (_("Sequences"), _("Region"), _("Volume (mL)"), _("Dice"), _("HD95 (mm)"))
    for name, title in zip(COLUMNS, titles, strict=True):
        table.SetColumnTitle(name, title)
    table.SetColumnUnitLabel("volume_ml", "mL")
    table.SetColumnUnitLabel("hd95_mm", "mm")
    table.SetUseColumnTitleAsColumnHeader(True)
    return table


def importance(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return how much Dice each region loses when one sequence is taken away from the fullest subset; negative: gains.

    Sequences whose removal was not compared are left out. The engine's `importance`, without importing the engine.
    """
    subsets = _subsets(rows)
    full = parse_subset(max(subsets, key=lambda subset: subset.count("+")))
    losses = {}
    for sequence in full:
        without = subset_name(one for one in full if one != sequence)
        if without in subsets:
            losses[sequence.value] = {
                region: _dice(rows, subset_name(full), region) - _dice(rows, without, region) for region in REGIONS
            }
    return losses


def addDifference(
    scene: slicer.vtkMRMLScene,
    grid: slicer.vtkMRMLScalarVolumeNode,
    files: tuple[Path, Path],
    subsets: tuple[str, str],
    region: str,
) -> slicer.vtkMRMLSegmentationNode:
    """Add the difference of two results for one region: segments ``onlyA``, ``onlyB`` and ``both``.

    :param grid: the volume on whose voxels both lie
    :param files: the label maps of A and B (1 NCR/NET, 2 ED, 3 ET)
    :param subsets: the sequences A and B were made from, ``flair+t1c``
    :param region: ET, TC or WT
    :raises InputError: a label map is missing or damaged, or lies elsewhere
    """
    first, second = (_regionMask(path, grid, region) for path in files)
    titles = [subset_title(parse_subset(subset)) for subset in subsets]
    # Names become descriptions in DICOM, where Slicer's exporter takes ASCII only; so they are not translated.
    name = f"{region}: {titles[0]} against {titles[1]}"
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    setDisplay(node)
    entry = segmentKind(region).entry
    segments = {
        1: Segment("onlyA", f"only {titles[0]}", _ONLY_A, entry),
        2: Segment("onlyB", f"only {titles[1]}", _ONLY_B, entry),
        3: Segment("both", "both", _BOTH, entry),
    }
    setSegments(node, grid, [(first + 2 * second, segments)], "LCKD")
    node.SetAttribute("LCKD.Difference", f"{region} {subsets[0]} {subsets[1]}")
    placeBeside(node, grid)
    return node


def _regionMask(path: Path, grid: slicer.vtkMRMLScalarVolumeNode, region: str) -> NDArray[Any]:
    """1 where a region is, else 0."""
    import numpy as np

    labels, _matrix = readVolume(path)
    checkOnGrid(labels, grid, path.name)
    return np.isin(labels, labelsOf(region)).astype(np.uint8)


def _addImportanceChart(scene: slicer.vtkMRMLScene, losses: Mapping[str, Mapping[str, float]]) -> Chart:
    return _addChart(
        scene,
        _("What each sequence is worth"),
        [_("without {sequence}").format(sequence=Sequence(one).title) for one in losses],
        [Sequence(one).title for one in losses],
        {region: [loss[region] for loss in losses.values()] for region in REGIONS},
        (_("Sequence taken away"), _("Loss of Dice")),
    )


def _addChart(
    scene: slicer.vtkMRMLScene,
    title: str,
    labels: list[str],
    ticks: list[str],
    values: Mapping[str, list[float]],
    axes: tuple[str, str],
) -> Chart:
    """Add a bar chart with one group for each label and one bar for each region; `ticks` stand below the groups."""
    # The table comes first: without words of its own it would take the name of the chart.
    table = _addTable(scene, _("{chart} (values)").format(chart=title), {"label": labels, "tick": ticks, **values})
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(title))
    series = []
    for region in values:
        # Its name is what the legend says.
        one = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", region)
        one.SetAndObserveTableNodeID(table.GetID())
        one.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
        one.SetLabelColumnName("label")
        one.SetYColumnName(region)
        one.SetColor(*segmentKind(region).color)
        chart.AddAndObservePlotSeriesNodeID(one.GetID())
        series.append(one)
    chart.SetTitle(title)
    chart.SetAttribute(TICKS_ATTRIBUTE, "tick")
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(-0.6, len(labels) - 0.4)
    chart.SetXAxisTitle(axes[0])
    chart.SetYAxisTitle(axes[1])
    chart.SetLegendVisibility(True)
    return Chart(chart, table, series)


def _addTable(scene: slicer.vtkMRMLScene, name: str, columns: Mapping[str, list[Any]]) -> slicer.vtkMRMLTableNode:
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    for column, values in columns.items():
        array = vtk.vtkStringArray() if isinstance(values[0], str) else vtk.vtkDoubleArray()
        array.SetName(column)
        for value in values:
            array.InsertNextValue(value)
        table.AddColumn(array)
    table.SetLocked(True)
    return table


def shortTitle(subset: str) -> str:
    """Return the title of a subset as short as an axis needs it: ``F+T1c``."""
    return "+".join("F" if one is Sequence.FLAIR else one.title for one in parse_subset(subset))


def _subsets(rows: Iterable[Row]) -> list[str]:
    """The subsets in the order of the rows."""
    return list(dict.fromkeys(row.subset for row in rows))


def _dice(rows: list[Row], subset: str, region: str) -> float:
    return next(row.dice for row in rows if (row.subset, row.region) == (subset, region))

"""The course of a run as plot charts over tables of the scene, which are filled anew in place while the run goes on.

The nodes are not saved with the scene: the run folder tells the same, and charts are made of it again in a moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.sequences import SEQUENCES
from lckd_training.watching.events import History
from LCKDSegmentationLib.ChartViews import TICKS_ATTRIBUTE
from LCKDSegmentationLib.SceneTree import itemOf, subjectHierarchy
from LCKDSegmentationLib.Terminology import REGIONS, segmentKind

#: The charts that there are.
LOSSES, DICE, RATE, TEACHERS, WEIGHTS = "losses", "dice", "rate", "teachers", "weights"
#: The most points that a series has; fewer are drawn of a run with more iterations.
MAX_POINTS = 500
#: A point of a loss is the mean of at most so many iterations: single ones jump too much to be read.
MEAN_ITERATIONS = 20
#: How far an axis goes beyond the largest value, in parts of it: so that its point is seen, or has room for the legend.
_MARGIN, _ROOM = 1.05, 1.3
#: What a chart belongs to, as attributes of its nodes, and where it was last said that its axes begin and end.
_RUN, _KIND, _AXES = "LCKD.TrainingRun", "LCKD.TrainingChart", "LCKD.TrainingChartAxes"
#: Told apart with every color vision (Okabe, Ito), on the light ground of charts.
_GRAY, _BLUE, _ORANGE = (0.35, 0.35, 0.35), (0.0, 0.45, 0.70), (0.90, 0.62, 0.0)
_SEQUENCE_COLORS = dict(zip(SEQUENCES, (_BLUE, _ORANGE, (0.0, 0.62, 0.45), (0.80, 0.47, 0.65)), strict=True))
#: By how much the points of the regions lie beside the middle of their sequence.
_BESIDE = dict(zip(REGIONS, (-0.2, 0.0, 0.2), strict=True))

Color = tuple[float, float, float]
Range = tuple[float, float]
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Series:
    """One line of a chart: the column with its values, its name in the legend, its color and line style."""

    column: str
    name: str
    color: Color
    line: int = slicer.vtkMRMLPlotSeriesNode.LineStyleSolid


@dataclass(frozen=True)
class ChartKind:
    """What a chart shows.

    Attributes:
        title: of the chart.
        axes: what stands beside the horizontal and the vertical axis.
        series: its lines.
        columns: makes the columns of the table, all of one length, the first of them the horizontal values; NaN where
            there is no value.
        hasMarkers: whether each point is marked.
        horizontal, vertical: where the axes begin and end; None: they follow the values.
        hasRoom: whether the horizontal axis goes on behind the newest values, where a long legend would cover them.
        onSide: whether time runs upwards; the first column then holds it, and a series its horizontal values.
    """

    title: str
    axes: tuple[str, str]
    series: Sequence[Series]
    columns: Callable[[History], Columns]
    hasMarkers: bool = True
    horizontal: Range | None = None
    vertical: Range | None = None
    hasRoom: bool = False
    onSide: bool = False


def chartKind(key: str) -> ChartKind:
    """Return what a chart shows.

    :param key: `LOSSES`, `DICE`, `RATE`, `TEACHERS` or `WEIGHTS`
    """
    done = _("Iterations done")
    regions = [Series(region, region, segmentKind(region).color) for region in REGIONS]
    if key == LOSSES:
        words = _("Loss, mean of up to {count} iterations").format(count=MEAN_ITERATIONS)
        series = (("loss", _("all"), _GRAY), ("task", _("segmentation"), _BLUE), ("ckd", _("distillation"), _ORANGE))
        return ChartKind(_("Losses"), (done, words), [Series(*one) for one in series], _losses, hasMarkers=False)
    if key == RATE:
        title = _("Learning rate")
        return ChartKind(title, (done, title), [Series("rate", title, _BLUE)], _rates, hasMarkers=False)
    if key == DICE:
        whole = [Series(f"all-{region}", f"{_('all')} {region}", _GRAY, _LINES[region]) for region in REGIONS]
        title, score = _("Dice on the cases that elect the teachers"), _("Dice")
        return ChartKind(title, (done, score), [*_pairs(), *whole], _dice, vertical=(0.0, 1.0), hasRoom=True)
    if key == WEIGHTS:
        title, share = _("How much each sequence teaches"), _("Weight")
        return ChartKind(title, (done, share), _pairs(), _weights, vertical=(0.0, 1.0), hasRoom=True)
    ends = (-0.6, len(SEQUENCES) - 0.4)
    axes = (_("Teacher"), done)
    return ChartKind(_("Elected teachers"), axes, regions, _teachers, horizontal=ends, onSide=True)


def chartOf(scene: slicer.vtkMRMLScene, run: Path, key: str) -> slicer.vtkMRMLPlotChartNode | None:
    """Return a chart of a run with its table; None if there is none, or the user has deleted a part of it."""
    charts = _nodesOf(scene, run, key, "vtkMRMLPlotChartNode")
    complete = len(charts) == 1 and charts[0].GetNumberOfPlotSeriesNodes() == len(chartKind(key).series)
    return charts[0] if complete and _tableOf(charts[0]) is not None else None


def showableChart(scene: slicer.vtkMRMLScene, run: Path, key: str, history: History) -> slicer.vtkMRMLPlotChartNode:
    """Return a chart of a run as it is now; it is added where there is none, all of a run's in one folder."""
    chart = chartOf(scene, run, key)
    if chart is None:
        for className in ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"):
            for left in _nodesOf(scene, run, key, className):
                scene.RemoveNode(left)
        chart = _addChart(scene, run, key)
    # Where the user has zoomed, the axes follow the values again.
    chart.RemoveAttribute(_AXES)
    _fill(chart, chartKind(key), history)
    return chart


def updateCharts(scene: slicer.vtkMRMLScene, run: Path, history: History) -> int:
    """Fill the charts of a run that are in the scene with what is known now; return how many have changed."""
    charts = {key: chartOf(scene, run, key) for key in (LOSSES, DICE, RATE, TEACHERS, WEIGHTS)}
    return sum(_fill(chart, chartKind(key), history) for key, chart in charts.items() if chart is not None)


def shownPlaces(count: int) -> list[int]:
    """Return which of so many values are shown, at most `MAX_POINTS`: every 1st, 2nd, 4th, 8th, … and the newest.

    What is shown stays where it is as values are added, until every second is left out.
    """
    stride = 1
    while count > (MAX_POINTS - 1) * stride:
        stride *= 2
    places = list(range(stride - 1, count, stride))
    return places if not count or places[-1:] == [count - 1] else [*places, count - 1]


def _losses(history: History) -> Columns:
    steps, places = history.steps, shownPlaces(len(history.steps))
    begins = [0, *(place + 1 for place in places)]
    parts = [
        steps[max(begin, place + 1 - MEAN_ITERATIONS) : place + 1] for begin, place in zip(begins, places, strict=False)
    ]
    return {
        "iteration": [part[-1].iteration + 1 for part in parts],
        "loss": [sum(step.loss for step in part) / len(part) for part in parts],
        "task": [sum(step.loss_task for step in part) / len(part) for part in parts],
        "ckd": [sum(step.loss_ckd for step in part) / len(part) for part in parts],
    }


def _rates(history: History) -> Columns:
    steps = [history.steps[place] for place in shownPlaces(len(history.steps))]
    return {"iteration": [step.iteration + 1 for step in steps], "rate": [step.lr for step in steps]}


def _dice(history: History) -> Columns:
    shown = [history.elections[place] for place in shownPlaces(len(history.elections))]
    columns: Columns = {"iteration": [one.iteration for one in shown]}
    for sequence in SEQUENCES:
        for region in REGIONS:
            column = _pair(sequence.value, region)
            columns[column] = [_number(one.dice.get(sequence.value, {}).get(region)) for one in shown]
    for region in REGIONS:
        columns[f"all-{region}"] = [_number((one.full or {}).get(region)) for one in shown]
    return columns


def _weights(history: History) -> Columns:
    shown = [history.weights[place] for place in shownPlaces(len(history.weights))]
    columns: Columns = {"iteration": [one.iteration for one in shown]}
    for sequence in SEQUENCES:
        for region in REGIONS:
            column = _pair(sequence.value, region)
            columns[column] = [_number(one.weights.get(region, {}).get(sequence.value)) for one in shown]
    return columns


def _teachers(history: History) -> Columns:
    """The sequences are places on the horizontal axis, with their names below, as `ChartViews` puts them there."""
    shown = [history.elections[place] for place in shownPlaces(len(history.elections))]
    places = {sequence.value: float(sequence.index) for sequence in SEQUENCES}
    # There are at least as many rows as names.
    empty = [math.nan] * max(0, len(SEQUENCES) - len(shown))
    columns: Columns = {"iteration": [*(one.iteration for one in shown), *empty]}
    for region in REGIONS:
        teachers = [places.get(one.teachers.get(region) or "", math.nan) + _BESIDE[region] for one in shown]
        columns[region] = [*teachers, *empty]
    titles = [sequence.title for sequence in SEQUENCES]
    columns["tick"] = [*titles, *[""] * (len(columns["iteration"]) - len(titles))]
    return columns


_LINES = dict(
    zip(
        REGIONS,
        (
            slicer.vtkMRMLPlotSeriesNode.LineStyleSolid,
            slicer.vtkMRMLPlotSeriesNode.LineStyleDash,
            slicer.vtkMRMLPlotSeriesNode.LineStyleDot,
        ),
        strict=True,
    )
)


def _pairs() -> list[Series]:
    """One line for each sequence and region: the color is of the sequence, the kind of line of the region."""
    return [
        Series(_pair(sequence.value, region), f"{sequence.title} {region}", color, _LINES[region])
        for sequence, color in _SEQUENCE_COLORS.items()
        for region in REGIONS
    ]


def _pair(sequence: str, region: str) -> str:
    return f"{sequence}-{region}"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _addChart(scene: slicer.vtkMRMLScene, run: Path, key: str) -> slicer.vtkMRMLPlotChartNode:
    kind = chartKind(key)
    title = f"{kind.title}: {run.name}"
    table = _addNode(scene, "vtkMRMLTableNode", scene.GenerateUniqueName(_("{chart} (values)").format(chart=title)))
    for name, values in kind.columns(History()).items():
        array = vtk.vtkStringArray() if values and isinstance(values[0], str) else vtk.vtkDoubleArray()
        array.SetName(name)
        table.AddColumn(array)
    table.SetLocked(True)
    chart = _addNode(scene, "vtkMRMLPlotChartNode", scene.GenerateUniqueName(title))
    series = [_addSeries(scene, table, kind, one) for one in kind.series]
    for one in series:
        chart.AddAndObservePlotSeriesNodeID(one.GetID())
    _describe(chart, kind, title)
    nodes = [chart, table, *series]
    for node in nodes:
        node.SetAttribute(_RUN, str(run))
        node.SetAttribute(_KIND, key)
    _place(nodes, _("Training: {run}").format(run=run.name))
    return chart


def _addNode(scene: slicer.vtkMRMLScene, className: str, name: str) -> Any:
    node = scene.CreateNodeByClass(className)
    node.UnRegister(None)
    node.SetName(name)
    node.SetSaveWithScene(False)
    return scene.AddNode(node)


def _addSeries(
    scene: slicer.vtkMRMLScene, table: slicer.vtkMRMLTableNode, kind: ChartKind, wanted: Series
) -> slicer.vtkMRMLPlotSeriesNode:
    # Its name is what the legend says.
    node = _addNode(scene, "vtkMRMLPlotSeriesNode", wanted.name)
    columns = ("iteration", wanted.column)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetPlotType(node.PlotTypeScatter)
    node.SetXColumnName(columns[kind.onSide])
    node.SetYColumnName(columns[not kind.onSide])
    node.SetColor(*wanted.color)
    node.SetLineStyle(wanted.line)
    node.SetMarkerStyle(node.MarkerStyleCircle if kind.hasMarkers else node.MarkerStyleNone)
    return node


def _describe(chart: slicer.vtkMRMLPlotChartNode, kind: ChartKind, title: str) -> None:
    chart.SetTitle(title)
    chart.SetXAxisTitle(kind.axes[0])
    chart.SetYAxisTitle(kind.axes[1])
    chart.SetLegendVisibility(len(kind.series) > 1)
    chart.SetXAxisRangeAuto(False)
    chart.SetYAxisRangeAuto(False)
    if kind.onSide:
        chart.SetAttribute(TICKS_ATTRIBUTE, "tick")


def _place(nodes: Sequence[slicer.vtkMRMLNode], name: str) -> None:
    """Put nodes into the folder of this name: deleting it deletes all charts of the run."""
    tree = subjectHierarchy(nodes[0].GetScene())
    folder = tree.GetItemChildWithName(tree.GetSceneItemID(), name)
    for node in nodes:
        tree.SetItemParent(itemOf(node), folder or tree.CreateFolderItem(tree.GetSceneItemID(), name))
        folder = tree.GetItemParent(itemOf(node))


def _fill(chart: slicer.vtkMRMLPlotChartNode, kind: ChartKind, history: History) -> bool:
    """Put the values of now into the table of a chart; return whether any is other than before."""
    table, columns = _tableOf(chart).GetTable(), kind.columns(history)
    changed = [
        array
        for name, values in columns.items()
        if (array := table.GetColumnByName(name)) is not None and _fillColumn(array, values)
    ]
    # Each series tells the chart that its table has changed, but the view is to be drawn once.
    modifying = chart.StartModify()
    for array in changed:
        array.Modified()
    if changed:
        table.Modified()
    if chart.GetAttribute(_AXES) in (None, _shownAxes(chart)):
        horizontal, vertical = _axesOf(kind, columns)
        chart.SetXAxisRange(*horizontal)
        chart.SetYAxisRange(*vertical)
        chart.SetAttribute(_AXES, _shownAxes(chart))
    chart.EndModify(modifying)
    return bool(changed)


def _axesOf(kind: ChartKind, columns: Columns) -> tuple[Range, Range]:
    """Return where the axes begin and end.

    It is said for every axis: a view fits those that are left to it when it first shows a chart, and never again.
    """
    times, values = columns["iteration"], [value for one in kind.series for value in columns[one.column]]
    across, upwards = (values, times) if kind.onSide else (times, values)
    horizontal = kind.horizontal or _span(across, _ROOM if kind.hasRoom else _MARGIN)
    return horizontal, kind.vertical or _span(upwards, _MARGIN)


def _span(values: Sequence[float], room: float) -> Range:
    known = [value for value in values if math.isfinite(value)]
    return min([0.0, *known]), room * max([0.0, *known]) or 1.0


def _shownAxes(chart: slicer.vtkMRMLPlotChartNode) -> str:
    """Where the axes begin and end now, which is also where the user has zoomed to."""
    return f"{chart.GetXAxisRange()} {chart.GetYAxisRange()}"


def _fillColumn(array: vtk.vtkAbstractArray, values: Sequence[Any]) -> bool:
    changed = array.GetNumberOfValues() != len(values)
    array.SetNumberOfValues(len(values))
    for place, value in enumerate(values):
        if changed or not _isSame(array.GetValue(place), value):
            array.SetValue(place, value)
            changed = True
    return changed


def _isSame(before: Any, now: Any) -> bool:
    return bool(before == now) or (before != before and now != now)


def _tableOf(chart: slicer.vtkMRMLPlotChartNode) -> slicer.vtkMRMLTableNode | None:
    series = chart.GetNthPlotSeriesNode(0)
    return series.GetTableNode() if series is not None else None


def _nodesOf(scene: slicer.vtkMRMLScene, run: Path, key: str, className: str) -> list[Any]:
    nodes = (scene.GetNthNodeByClass(index, className) for index in range(scene.GetNumberOfNodesByClass(className)))
    wanted: Mapping[str, str] = {_RUN: str(run), _KIND: key}
    return [node for node in nodes if all(node.GetAttribute(name) == value for name, value in wanted.items())]

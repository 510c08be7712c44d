"""Charts in the layout of the application, what stands below their bars, and their pictures as files.

The application's view of charts takes the labels of a series for tool tips only, so they are put on its axis here.
"""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _

from .VolumeFiles import writing

#: Attribute of a chart of bars: the column of its tables with what stands below each group of bars.
TICKS_ATTRIBUTE = "LCKD.Ticks"
_ANGLE = 50
#: Views of charts that are followed already, with the observer, by address.
_followed: dict[str, tuple[slicer.vtkMRMLPlotViewNode, int]] = {}


def showChart(chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Show a chart in the layout, as the application's own module Plots does."""
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    labelShownCharts()


def labelShownCharts() -> None:
    """Write below the bars what they stand for, in all views, now and when a view shows another chart.

    Again is harmless; `stopLabeling` ends it.
    """
    for widget in _plotWidgets():
        viewNode = widget.mrmlPlotViewNode()
        address = viewNode.GetAddressAsString("")
        if address not in _followed:
            tag = viewNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_arguments: labelShownCharts())
            _followed[address] = (viewNode, tag)
        labelBars(widget.plotView().chart(), viewNode.GetPlotChartNode())


def completeCharts(scene: slicer.vtkMRMLScene) -> None:
    """Give charts of ours back what they lost when a scene was loaded.

    The application's controller of a chart takes away those of its series that come into the scene after it noticed
    the chart.
    """
    series = _nodesOf(scene, "vtkMRMLPlotSeriesNode")
    for chart in _nodesOf(scene, "vtkMRMLPlotChartNode"):
        shown = chart.GetNthPlotSeriesNode(0)
        if chart.GetAttribute(TICKS_ATTRIBUTE) is None or shown is None:
            continue
        wanted = [one.GetID() for one in series if one.GetTableNodeID() == shown.GetTableNodeID()]
        if wanted != [chart.GetNthPlotSeriesNodeID(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]:
            chart.RemoveAllPlotSeriesNodeIDs()
            for seriesID in wanted:
                chart.AddAndObservePlotSeriesNodeID(seriesID)


def stopLabeling() -> None:
    """Leave the views of charts alone from now on."""
    for viewNode, tag in _followed.values():
        viewNode.RemoveObserver(tag)
    _followed.clear()


def labelBars(drawn: vtk.vtkChartXY, chart: slicer.vtkMRMLPlotChartNode | None) -> None:
    """Write below each group of bars what it stands for; for a chart that is not ours, put the numbers back."""
    axis = drawn.GetAxis(vtk.vtkAxis.BOTTOM)
    text = axis.GetLabelProperties()
    labels = _ticksOf(chart)
    if labels is not None:
        places = vtk.vtkDoubleArray()
        for place in range(labels.GetNumberOfValues()):
            places.InsertNextValue(place)
        axis.SetCustomTickPositions(places, labels)
        text.SetOrientation(_ANGLE)
        text.SetJustificationToRight()
        # Inside, it would cover the bars of the last group.
        drawn.GetLegend().SetInline(False)
    elif text.GetOrientation() == _ANGLE:
        axis.SetCustomTickPositions(None, None)
        text.SetOrientation(0)
        text.SetJustificationToCentered()
        drawn.GetLegend().SetInline(True)
    if drawn.GetScene() is not None:
        drawn.GetScene().SetDirty(True)


def saveChart(chart: slicer.vtkMRMLPlotChartNode, path: Path) -> None:
    """Show a chart in the layout and save its picture as PNG, as large as it is on screen.

    :raises OutputError: no view shows it, or the file cannot be written
    """
    from lckd.errors import OutputError

    showChart(chart)
    # The layout makes its views now, and they take their size.
    slicer.app.processEvents()
    shown = (one for one in _plotWidgets() if one.mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID())
    widget = next(shown, None)
    if widget is None:
        raise OutputError(
            "CHART_NOT_SHOWN",
            _("The chart is shown in no view, so that there is no picture to save."),
            _("Choose a layout with a plot view and save again, or save the table instead."),
        )
    savePicture(widget.plotView().renderWindow(), path)


def savePicture(window: vtk.vtkRenderWindow, path: Path) -> None:
    """Write what a window shows as a PNG file, whole or not at all.

    :raises OutputError: it cannot be written
    """
    window.Render()
    picture = vtk.vtkWindowToImageFilter()
    picture.SetInput(window)
    picture.ReadFrontBufferOff()
    picture.Update()
    writer = vtk.vtkPNGWriter()
    writer.SetInputData(picture.GetOutput())
    writer.WriteToMemoryOn()
    writer.Write()
    with writing(path) as temporary:
        temporary.write_bytes(memoryview(writer.GetResult()))


def _nodesOf(scene: slicer.vtkMRMLScene, className: str) -> list[slicer.vtkMRMLNode]:
    return [scene.GetNthNodeByClass(index, className) for index in range(scene.GetNumberOfNodesByClass(className))]


def _plotWidgets() -> list[slicer.qMRMLPlotWidget]:
    """The views of charts that were made so far."""
    manager = slicer.app.layoutManager()
    return [manager.plotWidget(index) for index in range(manager.plotViewCount)] if manager is not None else []


def _ticksOf(chart: slicer.vtkMRMLPlotChartNode | None) -> vtk.vtkStringArray | None:
    """What stands below the bars of a chart of ours; None if it is not one or its table was deleted."""
    column = chart.GetAttribute(TICKS_ATTRIBUTE) if chart is not None else None
    series = chart.GetNthPlotSeriesNode(0) if column else None
    table = series.GetTableNode() if series is not None else None
    return table.GetTable().GetColumnByName(column) if table is not None else None

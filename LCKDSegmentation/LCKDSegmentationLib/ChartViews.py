"""Charts in the layout of the application, and their pictures as files."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _

from .VolumeFiles import writing


def showChart(chart: slicer.vtkMRMLPlotChartNode) -> None:
    """Show a chart in the layout, as the application's own module Plots does."""
    slicer.modules.plots.logic().ShowChartInLayout(chart)


def saveChart(chart: slicer.vtkMRMLPlotChartNode, path: Path) -> None:
    """Show a chart in the layout and save its picture as PNG, as large as it is on screen.

    :raises OutputError: no view shows it, or the file cannot be written
    """
    from lckd.errors import OutputError

    showChart(chart)
    # The layout makes its views now, and they take their size.
    slicer.app.processEvents()
    manager = slicer.app.layoutManager()
    widgets = [manager.plotWidget(index) for index in range(manager.plotViewCount)] if manager is not None else []
    widget = next((one for one in widgets if one.mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID()), None)
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

"""The picture of a plot chart node: drawn with VTK's charts, as Slicer's plot view does."""

from __future__ import annotations

from typing import Any

import numpy as np

SIZE = (800, 420)


def draw(chart: Any, size: tuple[int, int] = SIZE) -> np.ndarray:
    """What a plot view of `size` (width, height) pixels shows of a chart: colors (height, width, 3)."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    view = vtk.vtkContextView()
    view.GetRenderWindow().SetOffScreenRendering(True)
    view.GetRenderWindow().SetMultiSamples(0)
    view.GetRenderWindow().SetSize(*size)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    drawn = vtk.vtkChartXY()
    view.GetScene().AddItem(drawn)
    drawn.SetTitle(chart.GetTitle())
    drawn.SetShowLegend(chart.GetLegendVisibility())
    drawn.GetLegend().SetHorizontalAlignment(vtk.vtkChartLegend.RIGHT)
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        _add_series(drawn, chart.GetNthPlotSeriesNode(number))
    _label_axes(drawn, chart)
    grab = vtk.vtkWindowToImageFilter()
    view.GetRenderWindow().Render()
    grab.SetInput(view.GetRenderWindow())
    grab.ReadFrontBufferOff()
    grab.Update()
    return vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(size[1], size[0], 3)[::-1].copy()


def _add_series(drawn: Any, series: Any) -> None:
    """Bars or a line, in the color of the series."""
    plot = _add_bars(drawn, series) if series.GetPlotType() == series.PlotTypeBar else _add_line(drawn, series)
    plot.SetLabel(series.GetName())
    plot.SetColor(*(round(255 * part) for part in series.GetColor()), 255)


def _add_line(drawn: Any, series: Any) -> Any:
    """A line through the rows of the table of a series; styles have the same numbers in MRML as in VTK."""
    import vtk

    line = drawn.AddPlot(vtk.vtkChart.LINE)
    line.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
    line.SetWidth(series.GetLineWidth())
    line.GetPen().SetLineType(series.GetLineStyle())
    line.SetMarkerStyle(series.GetMarkerStyle())
    line.SetMarkerSize(series.GetMarkerSize())
    return line


def _add_bars(drawn: Any, series: Any) -> Any:
    """One bar for each row of the table of a series."""
    import vtk

    values = series.GetTableNode().GetTable().GetColumnByName(series.GetYColumnName())
    table, places, heights = vtk.vtkTable(), vtk.vtkDoubleArray(), vtk.vtkDoubleArray()
    places.SetName("place")
    heights.SetName(series.GetYColumnName())
    for row in range(values.GetNumberOfTuples()):
        places.InsertNextValue(row)
        heights.InsertNextValue(values.GetValue(row))
    table.AddColumn(places)
    table.AddColumn(heights)
    bars = drawn.AddPlot(vtk.vtkChart.BAR)
    bars.SetInputData(table, 0, 1)
    return bars


def _label_axes(drawn: Any, chart: Any) -> None:
    """Titles, ranges, and what the module writes below the bars."""
    import vtk

    from LCKDSegmentationLib.ChartViews import labelBars

    bottom, left = drawn.GetAxis(vtk.vtkAxis.BOTTOM), drawn.GetAxis(vtk.vtkAxis.LEFT)
    bottom.SetTitle(chart.GetXAxisTitle())
    left.SetTitle(chart.GetYAxisTitle())
    if not chart.GetXAxisRangeAuto():
        bottom.SetRange(*chart.GetXAxisRange())
        bottom.SetBehavior(vtk.vtkAxis.FIXED)
    if not chart.GetYAxisRangeAuto():
        left.SetRange(*chart.GetYAxisRange())
        left.SetBehavior(vtk.vtkAxis.FIXED)
    labelBars(drawn, chart)

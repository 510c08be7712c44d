"""What stands below the bars of a chart, drawn by VTK's own chart."""

from __future__ import annotations

import numpy as np
import pytest

SIZE = (420, 300)


@pytest.fixture
def drawn(scene):
    """An empty chart in a window."""
    import vtk

    view = vtk.vtkContextView()
    view.GetRenderWindow().SetOffScreenRendering(True)
    view.GetRenderWindow().SetSize(*SIZE)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    chart = vtk.vtkChartXY()
    view.GetScene().AddItem(chart)
    return chart, view


def comparison(scene):
    from LCKDSegmentationLib.ComparisonNodes import addComparison, rowOf

    dice = {"flair": 0.5, "t1c": 0.6, "flair+t1c": 0.9}
    values = [
        {"subset": subset, "region": region, "volume_ml": 1, "dice": value, "hd95_mm": 1}
        for subset, value in dice.items()
        for region in ("ET", "TC", "WT")
    ]
    return addComparison(scene, [rowOf(value) for value in values], "the full set")


def ticks(chart) -> list[str]:
    import vtk

    labels = chart.GetAxis(vtk.vtkAxis.BOTTOM).GetTickLabels()
    return [labels.GetValue(index) for index in range(labels.GetNumberOfValues())]


def below_the_axis(view) -> int:
    """How many pixels are dark in the lower third of the window."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    view.GetRenderWindow().Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(view.GetRenderWindow())
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(SIZE[1], SIZE[0], 3)
    return int(np.count_nonzero(pixels[5:100].max(axis=2) < 100))


def test_bars_say_what_they_stand_for(scene, drawn):
    import vtk

    from LCKDSegmentationLib.ChartViews import labelBars

    chart, view = drawn
    nodes = comparison(scene)
    chart.AddPlot(vtk.vtkChart.BAR).SetInputData(nodes.dice.table.GetTable(), "ET", "ET")
    chart.GetAxis(vtk.vtkAxis.BOTTOM).SetBehavior(vtk.vtkAxis.FIXED)
    chart.GetAxis(vtk.vtkAxis.BOTTOM).SetRange(*nodes.dice.chart.GetXAxisRange())
    plain = below_the_axis(view)
    labelBars(chart, nodes.dice.chart)
    assert ticks(chart) == ["F", "T1c", "F+T1c"]
    assert below_the_axis(view) != plain
    assert ticks(chart) == ["F", "T1c", "F+T1c"], "drawing has taken the labels away"
    labelBars(chart, nodes.importance.chart)
    assert ticks(chart) == ["FLAIR", "T1c"]


@pytest.mark.parametrize("with_chart", [True, False])
def test_other_charts_get_their_numbers_back(scene, drawn, with_chart):
    import vtk

    from LCKDSegmentationLib.ChartViews import labelBars

    chart, view = drawn
    axis = chart.GetAxis(vtk.vtkAxis.BOTTOM)
    nodes = comparison(scene)
    chart.AddPlot(vtk.vtkChart.BAR).SetInputData(nodes.dice.table.GetTable(), "ET", "ET")
    chart.SetShowLegend(True)
    plain = below_the_axis(view)
    assert plain > 0
    labelBars(chart, nodes.dice.chart)
    assert below_the_axis(view) != plain
    assert not chart.GetLegend().GetInline(), "it covers bars"
    assert axis.GetLabelProperties().GetOrientation() != 0
    labelBars(chart, scene.AddNewNodeByClass("vtkMRMLPlotChartNode") if with_chart else None)
    assert axis.GetLabelProperties().GetOrientation() == 0
    assert below_the_axis(view) == plain
    assert "F+T1c" not in ticks(chart)
    assert chart.GetLegend().GetInline()


def test_labels_that_another_module_has_put_stay(scene, drawn):
    import vtk

    from LCKDSegmentationLib.ChartViews import labelBars

    chart, _view = drawn
    places, labels = vtk.vtkDoubleArray(), vtk.vtkStringArray()
    places.InsertNextValue(0.5)
    labels.InsertNextValue("mine")
    chart.GetAxis(vtk.vtkAxis.BOTTOM).SetCustomTickPositions(places, labels)
    labelBars(chart, None)
    assert ticks(chart) == ["mine"]


def test_a_chart_whose_table_was_deleted_has_no_labels(scene, drawn):
    from LCKDSegmentationLib.ChartViews import labelBars

    nodes = comparison(scene)
    scene.RemoveNode(nodes.dice.table)
    labelBars(drawn[0], nodes.dice.chart)
    assert "F" not in ticks(drawn[0])


def test_a_chart_gets_back_the_series_that_it_lost_while_a_scene_was_loaded(scene):
    from LCKDSegmentationLib.ChartViews import completeCharts

    def shown(chart) -> list[str]:
        return [chart.GetNthPlotSeriesNode(index).GetName() for index in range(chart.GetNumberOfPlotSeriesNodes())]

    dice, other = comparison(scene).dice.chart, comparison(scene).dice.chart
    of_the_user = scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    of_the_user.AddAndObservePlotSeriesNodeID(dice.GetNthPlotSeriesNodeID(1))
    dice.RemoveNthPlotSeriesNodeID(0)
    completeCharts(scene)
    assert shown(dice) == shown(other) == ["ET", "TC", "WT"]
    assert shown(of_the_user) == ["TC"]

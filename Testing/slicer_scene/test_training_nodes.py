"""The course of a run as tables and plot charts of a real scene."""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path

import numpy as np
import pytest
from real_scene import items_below, node_ids

from lckd_training.watching.events import Election, History, Start, Step, Weights

RUN = Path("/runs/first")
SEQUENCES, REGIONS = ("flair", "t1", "t1c", "t2"), ("ET", "TC", "WT")


def step(iteration: int, loss: float = 0.5) -> Step:
    return Step(iteration, loss, loss / 2, loss / 4, 1e-3 / (iteration + 1), 0.1)


def election(iteration: int, teacher: str = "t1c", dice: float = 0.5) -> Election:
    scores = {sequence: dict.fromkeys(REGIONS, dice) for sequence in SEQUENCES}
    return Election(iteration, scores, {"ET": teacher, "TC": "t1", "WT": "flair"}, dict.fromkeys(REGIONS, dice + 0.1))


def column(chart, name: str) -> list:
    array = chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable().GetColumnByName(name)
    return [array.GetValue(index) for index in range(array.GetNumberOfValues())]


@pytest.fixture
def history() -> History:
    """Five iterations and two elections."""
    made = History.of([Start(0, 100), *(step(iteration, 1.0) for iteration in range(5))])
    made.elections += [election(2), election(4, "t2", 0.7)]
    return made


def test_few_values_are_all_shown_and_of_many_the_newest_always():
    from LCKDTrainingLib.WatchNodes import MAX_POINTS, shownPlaces

    assert shownPlaces(0) == []
    assert shownPlaces(3) == [0, 1, 2]
    for count in (MAX_POINTS - 1, MAX_POINTS, 5000, 99_999, 100_000):
        places = shownPlaces(count)
        assert MAX_POINTS / 2 <= len(places) <= MAX_POINTS
        assert places[-1] == count - 1
        assert set(places[:-1]) <= set(shownPlaces(count + 1)) or len(shownPlaces(count + 1)) < len(places)


def test_losses_are_means_of_the_last_iterations_before_each_point(scene):
    from LCKDTrainingLib.WatchNodes import LOSSES, MEAN_ITERATIONS, showableChart, shownPlaces

    values = np.random.default_rng(1).random(20_000)
    made = History.of(step(iteration, float(value)) for iteration, value in enumerate(values))
    chart = showableChart(scene, RUN, LOSSES, made)
    assert column(chart, "iteration") == [place + 1 for place in shownPlaces(len(values))]
    place = shownPlaces(len(values))[100]
    assert column(chart, "loss")[100] == pytest.approx(values[place + 1 - MEAN_ITERATIONS : place + 1].mean())
    newest = column(chart, "loss")[-1]
    before = shownPlaces(len(values))[-2]
    assert newest == pytest.approx(values[max(before + 1, len(values) - MEAN_ITERATIONS) :].mean())
    assert column(chart, "task")[7] == pytest.approx(column(chart, "loss")[7] / 2)


def test_a_chart_says_what_it_shows(scene, history):
    from LCKDTrainingLib.WatchNodes import DICE, showableChart

    chart = showableChart(scene, RUN, DICE, history)
    assert chart.GetTitle().endswith("first")
    assert (chart.GetXAxisTitle(), chart.GetYAxisTitle()) == ("Iterations done", "Dice")
    assert column(chart, "iteration") == [2, 4]
    assert chart.GetXAxisRange()[1] > 5, "the legend covers the newest values"
    assert column(chart, "t1c-WT") == [0.5, 0.7]
    assert column(chart, "all-WT") == pytest.approx([0.6, 0.8])
    names = [chart.GetNthPlotSeriesNode(index).GetName() for index in range(chart.GetNumberOfPlotSeriesNodes())]
    assert names[:4] == ["FLAIR ET", "FLAIR TC", "FLAIR WT", "T1 ET"]
    assert len(names) == 15
    looks = [chart.GetNthPlotSeriesNode(index) for index in range(12)]
    assert len({(one.GetColor(), one.GetLineStyle()) for one in looks}) == 12, "two lines cannot be told apart"


def test_charts_are_filled_in_place_and_the_view_is_told_once(scene, history):
    import vtk

    from LCKDTrainingLib.WatchNodes import DICE, LOSSES, TEACHERS, showableChart, updateCharts

    charts = {key: showableChart(scene, RUN, key, history) for key in (LOSSES, DICE, TEACHERS)}
    before, told = node_ids(scene), []
    for key, chart in charts.items():
        chart.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_arguments, key=key: told.append(key))
    history.add(step(5, 3.0))
    assert updateCharts(scene, RUN, history) == 1
    assert told == [LOSSES], "a chart without news was drawn again, or one several times"
    assert column(charts[LOSSES], "loss")[-1] == 3.0
    assert updateCharts(scene, RUN, history) == 0
    history.add(election(6, "flair"))
    assert updateCharts(scene, RUN, history) == 2
    assert sorted(told) == [DICE, LOSSES, TEACHERS]
    assert node_ids(scene) == before


def test_a_run_that_is_taken_up_again_has_what_it_does_again_once(scene, history):
    from LCKDTrainingLib.WatchNodes import LOSSES, showableChart, updateCharts

    chart = showableChart(scene, RUN, LOSSES, history)
    history.add(Start(3, 100))
    history.add(step(3, 9.0))
    updateCharts(scene, RUN, history)
    assert column(chart, "iteration") == [1, 2, 3, 4]
    assert column(chart, "loss")[-1] == 9.0


def test_teachers_stand_above_the_names_of_their_sequences(scene, history):
    import vtk

    from LCKDSegmentationLib.ChartViews import labelBars
    from LCKDTrainingLib.WatchNodes import TEACHERS, showableChart, updateCharts

    chart = showableChart(scene, RUN, TEACHERS, history)
    assert [round(place) for place in column(chart, "ET")[:2]] == [SEQUENCES.index("t1c"), SEQUENCES.index("t2")]
    assert len({place % 1 for name in REGIONS for place in column(chart, name)[:1]}) == 3, "regions hide each other"
    drawn = vtk.vtkChartXY()
    labelBars(drawn, chart)
    assert ticks(drawn)[:4] == ["FLAIR", "T1", "T1c", "T2"]
    history.elections[0] = Election(2, {}, {"WT": "flair"})
    for iteration in range(6, 30, 2):
        history.add(election(iteration))
    updateCharts(scene, RUN, history)
    assert math.isnan(column(chart, "ET")[0]), "nobody teaches a region that no sequence finds yet"
    labelBars(drawn, chart)
    assert ticks(drawn)[:5] == ["FLAIR", "T1", "T1c", "T2", ""]


def ticks(drawn) -> list[str]:
    import vtk

    labels = drawn.GetAxis(vtk.vtkAxis.BOTTOM).GetTickLabels()
    return [labels.GetValue(index) for index in range(labels.GetNumberOfValues())]


def test_learned_weights_have_a_chart(scene, history):
    from LCKDTrainingLib.WatchNodes import WEIGHTS, showableChart

    rows = {region: dict(zip(SEQUENCES, (0.1, 0.2, 0.3, 0.4), strict=True)) for region in REGIONS}
    history.add(Weights(3, rows))
    chart = showableChart(scene, RUN, WEIGHTS, history)
    assert [column(chart, f"{sequence}-TC") for sequence in SEQUENCES] == [[0.1], [0.2], [0.3], [0.4]]
    assert chart.GetYAxisRange() == (0.0, 1.0)


KEYS = ("losses", "dice", "rate", "teachers", "weights")


@pytest.mark.parametrize("key", KEYS)
def test_a_view_of_a_chart_shows_what_is_added_to_it(scene, history, key):
    import vtk

    from LCKDTrainingLib.WatchNodes import showableChart, updateCharts

    history.add(Weights(3, {region: dict.fromkeys(SEQUENCES, 0.25) for region in REGIONS}))
    chart = showableChart(scene, RUN, key, history)
    view, drawn = empty_view()
    draw(view, drawn, chart)
    for iteration in range(5, 80):
        history.add(step(iteration, 2.0 + iteration))
    history.add(election(80, "t2"))
    history.add(Weights(80, {region: dict.fromkeys(SEQUENCES, 0.75) for region in REGIONS}))
    assert updateCharts(scene, RUN, history) > 0
    draw(view, drawn, chart)
    times = drawn.GetAxis(vtk.vtkAxis.LEFT if key == "teachers" else vtk.vtkAxis.BOTTOM)
    assert (times.GetMinimum(), times.GetMaximum() >= 80) == (0.0, True)
    if key == "losses":
        assert drawn.GetAxis(vtk.vtkAxis.LEFT).GetMaximum() > column(chart, "loss")[-1]


def test_axes_that_the_user_has_changed_stay_until_the_chart_is_asked_for_again(scene, history):
    from LCKDTrainingLib.WatchNodes import LOSSES, showableChart, updateCharts

    chart = showableChart(scene, RUN, LOSSES, history)
    chart.SetXAxisRange(1.0, 2.0)  # as the view does where the user zooms
    history.add(step(90))
    assert updateCharts(scene, RUN, history) == 1
    assert chart.GetXAxisRange() == (1.0, 2.0)
    showableChart(scene, RUN, LOSSES, history)
    assert chart.GetXAxisRange()[1] > 90


@pytest.mark.parametrize("key", KEYS)
def test_every_chart_is_drawn_also_of_a_run_that_has_just_begun(scene, history, key):
    from LCKDTrainingLib.WatchNodes import showableChart, updateCharts

    chart = showableChart(scene, RUN, key, History())
    empty = colored_pixels(chart)
    history.add(Weights(3, {region: dict.fromkeys(SEQUENCES, 0.25) for region in REGIONS}))
    history.add(Weights(4, {region: dict.fromkeys(SEQUENCES, 0.75) for region in REGIONS}))
    updateCharts(scene, RUN, history)
    assert colored_pixels(chart) > empty + 20


def colored_pixels(chart) -> int:
    """How many pixels lines and markers of a chart have."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    view, drawn = empty_view()
    draw(view, drawn, chart)
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(view.GetRenderWindow())
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).astype(int)
    return int(np.count_nonzero(pixels[:, 0] - pixels[:, 1] > 50))


def empty_view():
    import vtk

    view, drawn = vtk.vtkContextView(), vtk.vtkChartXY()
    view.GetRenderWindow().SetOffScreenRendering(True)
    view.GetRenderWindow().SetSize(300, 200)
    view.GetScene().AddItem(drawn)
    return view, drawn


def draw(view, drawn, chart) -> None:
    """Do what Slicer's view of charts does when its chart has changed (qMRMLPlotView::updateWidgetFromMRML)."""
    import vtk

    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        plot = drawn.GetPlot(index) or drawn.AddPlot(vtk.vtkChart.LINE)
        plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        plot.SetMarkerStyle(vtk.vtkPlotPoints.CIRCLE)
        plot.SetColorF(1.0, 0.0, 0.0)
    across, upwards = (
        (chart.GetXAxisRangeAuto(), chart.GetXAxisRange()),
        (chart.GetYAxisRangeAuto(), chart.GetYAxisRange()),
    )
    places = (
        (vtk.vtkAxis.BOTTOM, across),
        (vtk.vtkAxis.TOP, across),
        (vtk.vtkAxis.LEFT, upwards),
        (vtk.vtkAxis.RIGHT, upwards),
    )
    for place, (isAuto, ends) in places:
        drawn.GetAxis(place).SetBehavior(vtk.vtkAxis.AUTO if isAuto else vtk.vtkAxis.FIXED)
        if not isAuto:
            drawn.GetAxis(place).SetUnscaledRange(*ends)
    view.GetScene().SetDirty(True)
    view.GetRenderWindow().Render()


def test_deleting_one_folder_deletes_all_charts_of_a_run(scene, history):
    from LCKDSegmentationLib.SceneTree import subjectHierarchy
    from LCKDTrainingLib.WatchNodes import DICE, LOSSES, chartOf, showableChart, updateCharts

    tree = subjectHierarchy(scene)
    before = node_ids(scene)
    for key in (LOSSES, DICE):
        showableChart(scene, RUN, key, history)
    other = showableChart(scene, Path("/runs/second"), LOSSES, history)
    folder = tree.GetItemParent(tree.GetItemByDataNode(chartOf(scene, RUN, LOSSES)))
    assert tree.GetItemName(folder) == "Training: first"
    assert len(items_below(tree, folder)) == (2 + 3) + (2 + 15)
    tree.RemoveItem(folder)
    assert chartOf(scene, RUN, LOSSES) is None
    assert updateCharts(scene, RUN, history) == 0, "what the user has deleted comes back"
    assert chartOf(scene, Path("/runs/second"), LOSSES) is other
    tree.RemoveItem(tree.GetItemParent(tree.GetItemByDataNode(other)))
    assert node_ids(scene) == before


def test_a_chart_of_which_a_part_was_deleted_is_made_anew(scene, history):
    from LCKDTrainingLib.WatchNodes import LOSSES, chartOf, showableChart, updateCharts

    for part in ("GetTableNode", None):
        chart = showableChart(scene, RUN, LOSSES, history)
        series = chart.GetNthPlotSeriesNode(1)
        scene.RemoveNode(getattr(series, part)() if part else series)
        assert chartOf(scene, RUN, LOSSES) is None
        assert updateCharts(scene, RUN, history) == 0
    made = showableChart(scene, RUN, LOSSES, history)
    assert column(made, "loss")
    for name, count in (("vtkMRMLPlotChartNode", 1), ("vtkMRMLPlotSeriesNode", 3), ("vtkMRMLTableNode", 1)):
        assert scene.GetNumberOfNodesByClass(name) == count


def test_charts_are_not_saved_with_the_scene(scene, history):
    from LCKDSegmentationLib.SceneTree import subjectHierarchy
    from LCKDTrainingLib.WatchNodes import LOSSES, TEACHERS, showableChart

    for key in (LOSSES, TEACHERS):
        showableChart(scene, RUN, key, history)
    scene.SetSaveToXMLString(1)
    scene.Commit()
    saved = scene.GetSceneXMLString()
    assert "<Plot" not in saved
    assert "<Table" not in saved
    assert str(RUN) not in saved
    scene.Clear(0)
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(saved)
    scene.Import()
    scene.SetLoadFromXMLString(0)
    assert scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 0
    showableChart(scene, RUN, LOSSES, history)
    tree = subjectHierarchy(scene)
    folders = [name for name in items_below(tree, tree.GetSceneItemID()) if name.startswith("Training: ")]
    assert folders == ["Training: first"], "the folder of the saved scene is there twice"


@pytest.mark.parametrize("count", [5000, 100_000])
def test_an_update_takes_a_few_milliseconds_however_long_the_run(scene, count):
    from LCKDTrainingLib.WatchNodes import DICE, LOSSES, RATE, TEACHERS, showableChart, updateCharts

    made = History.of(step(iteration) for iteration in range(count))
    made.elections += [election(iteration) for iteration in range(0, count, 100)]
    for key in (LOSSES, DICE, RATE, TEACHERS):
        showableChart(scene, RUN, key, made)
    seconds = []
    for more in itertools.islice(itertools.count(count), 5):
        made.add(step(more, 0.1))
        made.add(election(more, "t2"))
        began = time.perf_counter()
        assert updateCharts(scene, RUN, made) == 4
        seconds.append(time.perf_counter() - began)
    # The quickest, since the machine may do other things; the bound is generous.
    assert min(seconds) < 0.1

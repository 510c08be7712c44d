"""Charts of a run that is watched."""

from collections.abc import Callable
from typing import Any

from training_parts import REGIONS, SEQUENCES, FakeRun, election, nodes_of, shown_chart, step

from lckd_training.watching.events import Weights
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.WatchSection import WatchSection


def test_a_chart_is_shown_in_the_layout_and_follows_the_run(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun, scene: Any, wait_until: Callable[..., None]
) -> None:
    watch.update()
    assert panel.ui.lossPlotButton.toolTip == "The run has done no iteration yet."
    watched.add(step(0), step(1))
    wait_until(lambda: panel.ui.lossPlotButton.enabled)
    panel.ui.lossPlotButton.click()
    (chart,) = nodes_of(scene, "vtkMRMLPlotChartNode")
    assert shown_chart(scene) is chart
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    before = scene.GetNumberOfNodes()
    watched.add(step(2, 9.0))
    wait_until(lambda: table.GetNumberOfRows() == 3)
    assert scene.GetNumberOfNodes() == before
    watched.add(election(3))
    wait_until(lambda: panel.ui.dicePlotButton.enabled)
    panel.ui.teacherTable.cellDoubleClicked.emit(0, 1)
    assert shown_chart(scene).GetTitle() == "Elected teachers: run-1"


def test_buttons_show_the_charts_of_teachers_and_weights(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun, scene: Any
) -> None:
    watch.update()
    ui = panel.ui
    assert ui.teacherPlotButton.toolTip == "The run has not elected teachers yet."
    assert ui.weightsPlotButton.toolTip == "The run has told no weights yet."
    watched.history.add(election(1))
    watched.history.add(Weights(1, dict.fromkeys(REGIONS, dict.fromkeys(SEQUENCES, 0.25))))
    watch.update()
    titles = {
        ui.teacherPlotButton: "Elected teachers: run-1",
        ui.weightsPlotButton: "How much each sequence teaches: run-1",
    }
    for button, title in titles.items():
        button.click()
        assert shown_chart(scene).GetTitle() == title

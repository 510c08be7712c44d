"""A run is watched: its state and pace, its teachers and weights, and how often what is shown follows."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qt
from training_parts import REGIONS, SEQUENCES, FakeRun, election, headers, step, texts, watched_run

from lckd_training.watching.events import Election, Weights
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.WatchSection import WatchSection, stateWords, teacherRows


def test_without_a_run_nothing_can_be_pressed_and_every_button_says_why(
    watch: WatchSection, panel: TrainingPanel
) -> None:
    watch.update()
    ui = panel.ui
    assert ui.runStateLabel.text.startswith("No run is watched.")
    charts = (ui.lossPlotButton, ui.dicePlotButton, ui.ratePlotButton, ui.teacherPlotButton, ui.weightsPlotButton)
    for button in (*charts, ui.latestButton):
        assert not button.enabled
        assert button.toolTip == "There is no run to watch."
    assert not ui.teacherTable.visible


def test_state_and_pace_are_told_in_words(watch: WatchSection, panel: TrainingPanel, watched: FakeRun) -> None:
    for iteration in range(40):
        watched.history.add(replace(step(iteration), seconds=2.0, seconds_data=0.5, memory_mb=2048.4))
    watched.secondsLeft = 125.0
    watch.update()
    assert panel.ui.runStateLabel.text == "Training: iteration 1 of 100 (1 %)"
    words = "2 s per iteration · about 2 min left · 2,048 MB of memory · 25 % of the time waiting for data"
    assert panel.ui.throughputLabel.text == words
    states = ("preparing", "training", "finished", "interrupted", "stopped")
    told = {stateWords(replace(watched, state=state)) for state in states}
    assert len(told - {""}) == len(states), "two states are told alike"
    failed = replace(watched, state="failed", errorWords=("The disk is full.", "Free some space and resume."))
    words = "The training has failed after 40 iterations. The disk is full. Free some space and resume."
    assert stateWords(failed) == words


def test_in_pretraining_there_are_no_teachers_and_no_segmentation(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun
) -> None:
    watched.pretraining = 3
    watched.add(step(0))
    watched.save(1)
    watch.update()
    ui = panel.ui
    for button in (ui.dicePlotButton, ui.teacherPlotButton, ui.weightsPlotButton):
        assert button.toolTip == "The first 3 iterations are of pre-training, without teachers."
    words = "The run can segment from its first checkpoint after pre-training, which takes 3 iterations."
    assert ui.latestButton.toolTip == words
    watched.add(step(1), step(2))
    watched.save(4)
    watch.update()
    assert ui.teacherPlotButton.toolTip == "The run has not elected teachers yet."
    assert ui.latestButton.toolTip == "Check the data first, so that its cases are known."


def test_teachers_are_listed_by_election_and_changes_are_bold(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun
) -> None:
    for iteration in range(10):
        watched.history.add(election(iteration, "t2" if iteration == 9 else "t1c"))
    watch.update()
    table = panel.ui.teacherTable
    assert headers(table) == ["Region", *(str(iteration) for iteration in range(9, 1, -1))]
    assert texts(table)[0][:3] == ["ET", "T2 0.50", "T1c 0.50"]
    assert texts(table)[2][1] == "FLAIR 0.50"
    assert table.height < 5 * table.rowHeight(0) + 40, "there is room for rows that there are not"
    assert table.height > 3 * table.rowHeight(0) + 20
    bold = [[table.item(row, column).font().bold() for column in range(1, 9)] for row in range(3)]
    assert bold == [[True, *[False] * 7], [False] * 8, [False] * 8]
    watched.history.elections.append(Election(11, {}, {"WT": "flair"}))
    assert teacherRows(watched.history.elections[-1:])[0] == ["ET", "nobody"]


def test_the_column_of_regions_is_as_wide_as_its_words(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun
) -> None:
    table = panel.ui.teacherTable
    table.setFixedWidth(330)
    panel.ui.root.show()
    for iteration in range(8):
        watched.history.add(election(iteration))
    watch.update()
    qt.QCoreApplication.processEvents()
    # Qt gives columns their width when it lays them out.
    table.grab()
    assert table.columnWidth(0) == max(table.horizontalHeader().sectionSizeHint(0), table.sizeHintForColumn(0))


def test_weights_are_listed_with_their_trend(watch: WatchSection, panel: TrainingPanel, watched: FakeRun) -> None:
    for iteration, share in enumerate((0.25, 0.4)):
        row = dict(zip(SEQUENCES, (share, 0.25, 0.5 - share, 0.25), strict=True))
        watched.history.add(Weights(iteration, dict.fromkeys(REGIONS, row)))
    watch.update()
    table = panel.ui.weightsTable
    assert headers(table) == ["Region", "FLAIR", "T1", "T1c", "T2"]
    assert texts(table)[1] == ["TC", "0.40 ↑", "0.25", "0.10 ↓", "0.25"]
    assert [table.item(0, column).font().bold() for column in range(1, 5)] == [True, False, False, False]


def test_another_run_is_followed_instead(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun, tmp_path: Path
) -> None:
    watch.update()
    other = panel.logic.current = watched_run(tmp_path / "run-2")
    other.state = "finished"
    watch.update()
    assert watched.slots == []
    assert panel.ui.runStateLabel.text.startswith("The training is finished")
    watch.close()
    assert other.slots == []


def test_what_is_shown_follows_at_most_once_in_the_interval_and_only_while_the_module_is_open(
    watch: WatchSection,
    panel: TrainingPanel,
    watched: FakeRun,
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[float] = []
    show = watch._show
    monkeypatch.setattr(watch, "_show", lambda: (shown.append(time.monotonic()), show()))
    watch.update()
    for iteration in range(200):
        watched.add(step(iteration))
        qt.QCoreApplication.processEvents()
    wait_until(lambda: not watch._isStale)
    assert len(shown) >= 2
    assert min(np.diff(shown)) > 0.04
    count = len(shown)
    qt.QThread.msleep(120)
    qt.QCoreApplication.processEvents()
    watch.update()
    assert len(shown) == count, "nothing has changed, and yet it was shown again"
    panel.isEntered = False
    watched.add(step(200))
    watch.update()
    assert len(shown) == count
    panel.isEntered = True
    watch.update()
    assert len(shown) == count + 1


@pytest.mark.parametrize("count", [5000, 100_000])
def test_the_event_loop_stands_still_for_a_moment_only(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun, wait_until: Callable[..., None], count: int
) -> None:
    for iteration in range(count):
        watched.history.add(step(iteration))
        if iteration % 100 == 0:
            watched.history.add(election(iteration))
    watch.update()
    for button in (panel.ui.lossPlotButton, panel.ui.dicePlotButton, panel.ui.ratePlotButton):
        button.click()
    gaps: list[float] = []
    for more in range(5):
        watched.history.add(election(count + more))
        wait_until(lambda: not watch._timer.active)
        began = time.perf_counter()
        watched.add(step(count + more, 0.1))
        gaps.append(time.perf_counter() - began)
        assert not watch._isStale
    print(f"{count} steps: longest gap {1000 * max(gaps):.1f} ms, shortest {1000 * min(gaps):.1f} ms")
    # The shortest, since the machine may do other things; the bound is generous.
    assert min(gaps) < 0.1

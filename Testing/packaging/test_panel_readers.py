"""What the panels of both modules read from files."""

import json
from pathlib import Path

import pytest

from LCKDSegmentationLib.ModelCard import findModelCards, readModelCard
from LCKDTrainingLib.RunEvents import EVENTS_FILE, readRunEvents


def write_card(folder: Path, metadata: object) -> Path:
    file = folder / "Models" / "small" / "configs" / "metadata.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(metadata), encoding="utf-8")
    return file


def test_card_is_found_and_read_with_the_fullest_subset_first(tmp_path: Path) -> None:
    dice = {"t1c": {"ET": 0.5, "TC": 0.5, "WT": 0.25}, "flair+t1+t1c+t2": {"ET": 1, "TC": 0.75, "WT": 0.5}}
    write_card(tmp_path, {"name": "Small", "version": "1.0", "data_source": "29 cases", "lckd": {"dice": dice}})
    (file,) = findModelCards(tmp_path)
    card = readModelCard(file)
    assert (card.name, card.version, card.dataSource) == ("Small", "1.0", "29 cases")
    assert card.subsets == ["flair+t1+t1c+t2", "t1c"]
    assert card.expectedDice["t1c"]["WT"] == 0.25


@pytest.mark.parametrize("metadata", [{}, {"lckd": None}, {"lckd": {"dice": [1]}}, {"lckd": {"dice": {"t1": None}}}])
def test_card_without_figures_is_read(tmp_path: Path, metadata: dict) -> None:
    card = readModelCard(write_card(tmp_path, metadata))
    assert card.name == "small"
    assert card.expectedDice == {}


def test_region_that_was_not_measured_is_left_out(tmp_path: Path) -> None:
    card = readModelCard(write_card(tmp_path, {"lckd": {"dice": {"t1": {"ET": None, "WT": 0.5}}}}))
    assert card.expectedDice == {"t1": {"WT": 0.5}}


def test_card_that_is_no_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        readModelCard(write_card(tmp_path, [1]))


def test_folder_without_models_has_no_card(tmp_path: Path) -> None:
    assert findModelCards(tmp_path) == []


def write_events(folder: Path, *events: object, tail: str = "") -> None:
    text = "".join(json.dumps(event) + "\n" for event in events)
    (folder / EVENTS_FILE).write_text(text + tail, encoding="utf-8")


def test_run_shows_the_last_steps_and_the_last_election(tmp_path: Path) -> None:
    elections = [
        {"event": "election", "iteration": 2, "dice": {"flair": {"WT": 0.6}}, "teachers": {"WT": "flair"}},
        {"event": "election", "iteration": 4, "dice": {"t2": {"WT": 0.7}}, "teachers": {"WT": "t2", "ET": "t1c"}},
    ]
    steps = [{"event": "step", "iteration": i, "loss": 1 / i} for i in (1, 2, 3, 4)]
    write_events(tmp_path, *steps, *elections, {"event": "stage", "name": "validation"})
    run = readRunEvents(tmp_path)
    assert [step["iteration"] for step in run.lastSteps(2)] == [4, 3]
    assert run.teachers() == {"WT": ("t2", 0.7), "ET": ("t1c", None)}


def test_step_done_again_after_a_resume_replaces_the_first(tmp_path: Path) -> None:
    write_events(tmp_path, *({"event": "step", "iteration": i, "loss": loss} for i, loss in ((1, 3), (2, 2), (1, 1))))
    assert [(step["iteration"], step["loss"]) for step in readRunEvents(tmp_path).lastSteps(9)] == [(2, 2), (1, 1)]


def test_line_that_is_being_written_is_not_read_yet(tmp_path: Path) -> None:
    write_events(tmp_path, {"event": "step", "iteration": 1, "loss": 1}, tail='{"event": "st')
    assert len(readRunEvents(tmp_path).steps) == 1


def test_folder_without_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        readRunEvents(tmp_path)
    write_events(tmp_path, [1])
    with pytest.raises(ValueError, match="JSON object"):
        readRunEvents(tmp_path)

"""What the panel of the training module reads from files."""

import json
from pathlib import Path

import pytest

from LCKDTrainingLib.RunEvents import EVENTS_FILE, readRunEvents


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

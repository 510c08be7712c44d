"""What the run folder of a training tells about itself, read with the standard library while the training goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EVENTS_FILE = "events.jsonl"


@dataclass
class RunEvents:
    """Training steps by iteration, and the last election of teachers.

    After a resume iterations appear again; the later line counts.
    """

    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    election: dict[str, Any] | None = None

    def lastSteps(self, number: int) -> list[dict[str, Any]]:
        """Return the latest steps, the newest first."""
        return [self.steps[iteration] for iteration in sorted(self.steps, reverse=True)[:number]]

    def teachers(self) -> dict[str, tuple[str, float | None]]:
        """Return for each region the sequence elected last to teach it, and its Dice where the run states it."""
        if self.election is None:
            return {}
        dice = self.election.get("dice", {})
        return {
            region: (sequence, dice.get(sequence, {}).get(region))
            for region, sequence in self.election.get("teachers", {}).items()
        }


def readRunEvents(runFolder: Path) -> RunEvents:
    """Read the events of a run.

    :raises OSError: there is no readable ``events.jsonl`` in the folder
    :raises ValueError: a line that was written completely is not a JSON object
    :raises KeyError: a step does not say its iteration
    """
    run = RunEvents()
    for event in _events(runFolder / EVENTS_FILE):
        if event.get("event") == "step":
            run.steps[int(event["iteration"])] = event
        elif event.get("event") == "election":
            run.election = event
    return run


def _events(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return  # the training is writing this line just now
            event = json.loads(line)
            if not isinstance(event, dict):
                raise ValueError(f"line {number} of {file} is not a JSON object")
            yield event

"""Orders of short trainings, and whether their processes are alive."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from LCKDTrainingLib.Logic import TrainingLogic
from LCKDTrainingLib.TrainingRun import TrainingOrder

QUICK = {
    "patch": "16",
    "iterations": "5000",
    "election_interval": "5000",
    "checkpoint_interval": "5000",
    "election": "[b]",
    "subsets_per_step": "1",
    "warmup_iterations": "0",
}
Make = Callable[..., TrainingLogic]
NEEDS_SHELL = pytest.mark.skipif(
    os.name == "nt", reason="the programs that stand for Slicer's Python are shell scripts"
)


def order(data: Path, run: Path, resume: bool = False, outlives: bool = False, **settings: str) -> TrainingOrder:
    return TrainingOrder(str(data), str(run), "smoke", QUICK | settings, "cpu", "", resume, outlives)


def is_there(group: int) -> bool:
    """Whether a process of a group is alive."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(int(line.split()[0]) == group and "Z" not in line.split()[1] for line in listed.splitlines())

"""Short training runs in the tests of the trainer: their settings, their command, and what they leave."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from phantoms import make_case, write_case

from lckd.sequences import SEQUENCES, parse_subset
from lckd_training.config import TrainingConfig
from lckd_training.run.folder import RunFolder

SMOKE = TrainingConfig.preset("smoke").overridden(
    ["iterations=6", "election_interval=2", "checkpoint_interval=2", "election=[b]", "patch=16", "subsets_per_step=1"]
)


def write_three_cases(root: Path) -> Path:
    """Labeled cases a, b and c, of which the last has two sequences only."""
    for seed, name in enumerate("abc"):
        write_case(root / name, make_case(seed), SEQUENCES if name != "c" else parse_subset("flair,t1c"))
    return root


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in RunFolder(run).events.read_text().splitlines()]
    return [event for event in lines if event["event"] == kind]


def losses(run: Path) -> dict[int, tuple[float, ...]]:
    """By iteration; what was done again after a resumption counts."""
    return {e["iteration"]: (e["loss"], e["loss_task"], e["loss_ckd"], e["lr"]) for e in events(run, "step")}


def weights(run: Path) -> torch.Tensor:
    state = RunFolder(run).load_checkpoint()
    assert state is not None
    return torch.cat([value.flatten() for value in state["objective"].values()])


def command(data: Path, run: Path, config: TrainingConfig) -> list[str]:
    run.mkdir(exist_ok=True)
    preset = run.with_suffix(".yaml")
    preset.write_text(config.to_yaml())
    return ["lckd", "train", "--data", str(data), "--preset", str(preset), "-o", str(run)]


def wait_for_steps(run: Path, process: subprocess.Popen[Any], count: int) -> None:
    """Wait until a training in another process has done so many steps; it may be writing the last line now."""
    deadline = time.monotonic() + 300
    while not (RunFolder(run).events.exists() and _steps_so_far(run) >= count):
        assert process.poll() is None, process.communicate()[1] or "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _steps_so_far(run: Path) -> int:
    return sum('"step"' in line for line in RunFolder(run).events.read_text().splitlines() if line.endswith("}"))

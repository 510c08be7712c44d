"""What a training will take, by a few real iterations of it."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from lckd.device import choose_device, describe_device, is_out_of_memory
from lckd.predictor import Predictor

from ..config import TrainingConfig
from ..data.cache import prepare_cases
from ..data.cases import find_labeled
from ..distributed import Group
from ..method.election import count_votes
from .folder import RunFolder
from .reporter import Reporter
from .train import out_of_memory
from .trainer import Trainer

#: Iterations that are timed after those that warm up.
ITERATIONS, WARM_UP = 8, 2
#: Cases that are prepared for it.
CASES = 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a training will take on this computer, while nothing else runs on it.

    Attributes:
        device: where it was timed, in words.
        seconds_per_iteration: of the loop, data included.
        seconds_per_election_case: of an election.
        seconds: of the whole run.
        memory_mb: most that was used: on a GPU of its memory, else of the computer's.
        memory_free_mb: what is free on the GPU besides; None elsewhere.
        iterations: of the whole run.
        cases: labeled cases at hand.
    """

    device: str
    seconds_per_iteration: float
    seconds_per_election_case: float
    seconds: float
    memory_mb: float | None
    memory_free_mb: float | None
    iterations: int
    cases: int


def estimate(data: Path, config: TrainingConfig, device: str = "auto") -> Estimate:
    """Train for a few iterations on a few of the cases, and forget it.

    Args:
        data: folder of cases, or a CSV file that lists them.
        config: every setting.
        device: name of a device.

    Raises:
        InputError: no usable cases.
        OutOfMemoryError: the settings need more memory than there is.
    """
    group = Group(choose_device(device))
    files = find_labeled(data, config.exclude)
    with tempfile.TemporaryDirectory(prefix="lckd-estimate-") as name:
        cases = prepare_cases(files[:CASES], Path(name) / "cache")
        try:
            return _measure(config, RunFolder(Path(name)), cases, len(files), group)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(group.device) from error


def _measure(config: TrainingConfig, folder: RunFolder, cases: list[Any], count: int, group: Group) -> Estimate:
    marks, memory = [time.perf_counter()], []

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            marks.append(time.perf_counter())
            memory.append(event["memory_mb"])

    # Without a warm-up of the rate, checkpoint or election in so few iterations.
    every = max(ITERATIONS + WARM_UP, config.election_interval)
    short = dataclasses.replace(
        config,
        iterations=ITERATIONS + WARM_UP,
        election_interval=every + 1,
        checkpoint_interval=every + 1,
        pretraining_iterations=0,
        start_from="",
    )
    trainer = Trainer(short, folder, cases, cases[:1], group, Reporter(folder, listen))
    trainer.run()
    started = time.perf_counter()
    half = trainer.optimization.dtype is not None
    count_votes(Predictor(trainer.optimization.average, group.device, half=half), cases[:1])
    election = time.perf_counter() - started
    steps = [after - before for before, after in zip(marks[WARM_UP:-1], marks[WARM_UP + 1 :], strict=True)]
    step = statistics.median(steps)
    electing = len(config.election) or max(1, round(config.election_share * (count - len(config.test))))
    elections = config.iterations // config.election_interval
    known = [value for value in memory if value is not None]
    return Estimate(
        device=describe_device(group.device),
        seconds_per_iteration=round(step, 4),
        seconds_per_election_case=round(election, 3),
        seconds=round(config.iterations * step + elections * electing * election, 1),
        memory_mb=max(known) if known else None,
        memory_free_mb=_free_mb(group.device),
        iterations=config.iterations,
        cases=count,
    )


def _free_mb(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    return round(torch.cuda.mem_get_info(device)[0] / 2**20, 1)

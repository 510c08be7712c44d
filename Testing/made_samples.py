"""Samples for the tests of `PatchLoader`, drawn by functions that its processes can import."""

import os
import signal
import time
from dataclasses import dataclass

import torch

from lckd.errors import InputError
from lckd.sequences import Sequence
from lckd_training.data.cases import TrainingCase


@dataclass(frozen=True)
class MadeSample:
    """A slice (H, W) of a case, and who drew it."""

    iteration: int
    image: torch.Tensor
    process: int
    threads: int


@dataclass(frozen=True)
class SliceDraw:
    """Draws slices of a case; at some iterations it is refused, or the process is killed."""

    case: TrainingCase
    refuse_at: int | None = None
    die_at: int | None = None
    seconds: float = 0.0

    def __call__(self, iteration: int) -> MadeSample:
        time.sleep(self.seconds)
        if iteration == self.refuse_at:
            raise InputError("MADE_ERROR", "The sample is refused.", "Draw another.")
        if iteration == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        image = self.case.images[Sequence.T1C]
        return MadeSample(
            iteration,
            torch.from_numpy(image[iteration % len(image)].astype("float32")),
            os.getpid(),
            torch.get_num_threads(),
        )

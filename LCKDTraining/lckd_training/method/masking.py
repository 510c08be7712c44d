"""What is hidden of a sample in pre-training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lckd.sequences import SEQUENCES, Subset

#: Edge of a hidden cube in voxels.
CUBE = 16


@dataclass(frozen=True)
class Hiding:
    """What is hidden of a sample.

    Attributes:
        left: the sequences of which something is left.
        hidden: bool (B, 4, D, H, W) in the order of `SEQUENCES`; all of a sequence that is not among `left`.
    """

    left: Subset
    hidden: Tensor

    def to(self, device: torch.device) -> Hiding:
        """The same on a device."""
        return Hiding(self.left, self.hidden.to(device))


def draw_hiding(left: Subset, batch: int, patch: Iterable[int], share: float, rng: np.random.Generator) -> Hiding:
    """Hide cubes, drawn for each sequence on its own, and the sequences that are not left.

    Args:
        left: the sequences that are not hidden altogether.
        batch: number of patches.
        patch: their size D, H, W; multiples of `CUBE`.
        share: of the cubes that is hidden, in the mean.
        rng: draws them.
    """
    cubes = rng.random((batch, len(SEQUENCES), *(length // CUBE for length in patch))) < share
    cubes[:, [sequence.index for sequence in SEQUENCES if sequence not in left]] = True
    hidden = torch.from_numpy(cubes)
    for axis in (2, 3, 4):
        hidden = hidden.repeat_interleave(CUBE, axis)
    return Hiding(left, hidden)

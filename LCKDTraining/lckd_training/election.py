"""Teacher election: which sequence alone segments each region best (Eq. 1), and who teaches (Eq. 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lckd.labels import REGIONS, Region
from lckd.network import LCKDNetwork
from lckd.sequences import SEQUENCES, Sequence, Subset, subset_of

if TYPE_CHECKING:
    from .data import TrainingCase

#: Summed Dice and number of deciding cases, (4 sequences, 3 regions, 2).
Votes = NDArray[np.float64]


def count_votes(network: LCKDNetwork, cases: list[TrainingCase]) -> Votes:
    """Single-sequence Dice of each case, each sequence encoded once; an empty region does not vote."""
    votes = np.zeros((len(SEQUENCES), len(REGIONS), 2))
    with torch.inference_mode():
        for case in cases:
            regions = torch.from_numpy(np.array(case.regions))
            for sequence in case.present:
                volume = torch.from_numpy(np.asarray(case.images[sequence], dtype=np.float32))[None, None]
                logits = network.decode(network.encode({sequence: _padded(volume, network.stride)}))
                found = (logits > 0)[0, :, : regions.shape[1], : regions.shape[2], : regions.shape[3]]
                both = (found & regions).sum(dim=(1, 2, 3))
                total = found.sum(dim=(1, 2, 3)) + regions.sum(dim=(1, 2, 3))
                decides = regions.flatten(1).any(dim=1)
                votes[sequence.index, :, 0] += (2 * both / total * decides).numpy()
                votes[sequence.index, :, 1] += decides.numpy()
    return votes


def mean_dice(votes: Votes) -> dict[Sequence, dict[Region, float]]:
    """Mean Dice by sequence and region; 0 where no case decides."""
    mean = votes[..., 0] / np.maximum(votes[..., 1], 1)
    return {s: {r: float(mean[s.index, k]) for k, r in enumerate(REGIONS)} for s in SEQUENCES}


def elect(dice: Mapping[Sequence, Mapping[Region, float]]) -> dict[Region, Sequence]:
    """Eq. 1: for each region the sequence with the highest Dice; a tie goes to the first in the sequences' order."""
    return {region: max(SEQUENCES, key=lambda sequence: dice[sequence][region]) for region in REGIONS}


def teacher_set(teachers: Mapping[Region, Sequence], several: bool = True) -> Subset:
    """Eq. 2: all elected sequences (LCKD-m), or only the most frequent one (LCKD-s)."""
    if several:
        return subset_of(teachers.values())
    return (Counter(teachers.values()).most_common(1)[0][0],)


def _padded(volume: Tensor, stride: tuple[int, int, int]) -> Tensor:
    after = [-length % step for length, step in zip(volume.shape[2:], stride, strict=True)]
    return functional.pad(volume, (0, after[2], 0, after[1], 0, after[0]))

"""Teacher election: which sequence alone segments each region best (Eq. 1), and who teaches (Eq. 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lckd.geometry import Grid
from lckd.labels import REGIONS, Region
from lckd.predictor import Predictor
from lckd.prepare import PreparedCase
from lckd.sequences import SEQUENCES, Sequence, Subset, subset_of

from .losses import Teaching

if TYPE_CHECKING:
    from ..data.cases import TrainingCase

#: Summed Dice and number of deciding cases, (4 sequences and all together, 3 regions, 2).
Votes = NDArray[np.float64]


@dataclass(frozen=True)
class Election:
    """Dice on the election cases; a region that none of them has is left out.

    Attributes:
        single: with one sequence alone, by sequence and region.
        full: with all sequences of each case, by region.
    """

    single: Mapping[Sequence, Mapping[Region, float]]
    full: Mapping[Region, float]

    @property
    def score(self) -> float:
        """Mean of the single-sequence Dice and the Dice of all together; the highest is of the best checkpoint."""
        single = [value for row in self.single.values() for value in row.values()]
        return float((np.mean(single) + np.mean(list(self.full.values()))) / 2) if single else 0.0


def count_votes(predictor: Predictor, cases: list[TrainingCase], soft: bool = False) -> Votes:
    """Dice of each case with each sequence alone and with all; each is encoded once. An empty region does not vote.

    Args:
        predictor: with the network, as it segments in use.
        cases: never trained on.
        soft: Dice of the probabilities (authors' code) instead of decided voxels.
    """
    votes = np.zeros((len(SEQUENCES) + 1, len(REGIONS), 2))
    for case in cases:
        regions, full = np.asarray(case.regions), subset_of(case.present)
        singles: dict[Subset, list[int]] = {(sequence,): [sequence.index] for sequence in case.present}
        wanted = singles | {full: [*singles.get(full, []), len(SEQUENCES)]}
        decides = regions.any(axis=(1, 2, 3))
        for subset, probabilities in predictor.predict(_prepared(case), wanted).items():
            found = probabilities if soft else probabilities > 0.5
            both = (found * regions).sum(axis=(1, 2, 3), dtype=np.float64)
            total = (found.sum(axis=(1, 2, 3), dtype=np.float64) + regions.sum(axis=(1, 2, 3))).clip(1)
            for row in wanted[subset]:
                votes[row, :, 0] += 2 * both / total * decides
                votes[row, :, 1] += decides
    return votes


def count_up(votes: Votes) -> Election:
    """The mean Dice of all votes."""
    decided = [(k, region) for k, region in enumerate(REGIONS) if votes[-1, k, 1]]
    mean = votes[..., 0] / np.maximum(votes[..., 1], 1)
    single = {s: {r: float(mean[s.index, k]) for k, r in decided if votes[s.index, k, 1]} for s in SEQUENCES}
    return Election(single, {r: float(mean[-1, k]) for k, r in decided})


def elect(election: Election, before: Mapping[Region, Sequence] | None = None) -> dict[Region, Sequence]:
    """Eq. 1: for each region the sequence with the highest Dice.

    A tie leaves the teacher of before, or goes to the first in the sequences' order. A region that no case had, or that
    no sequence finds yet, keeps its teacher, or has none.
    """
    teachers = dict(before or {})
    for region in REGIONS:
        dice = {s: row[region] for s, row in election.single.items() if row.get(region, 0.0) > 0}
        best = [sequence for sequence, value in dice.items() if value == max(dice.values())]
        if best and teachers.get(region) not in best:
            teachers[region] = best[0]
    return {region: teachers[region] for region in REGIONS if region in teachers}


def teaching(teachers: Mapping[Region, Sequence], several: bool = True) -> Teaching:
    """Eq. 2: all elected sequences teach fully (LCKD-m), or only the most frequent one (LCKD-s)."""
    if several or not teachers:
        return dict.fromkeys(subset_of(teachers.values()), 1.0)
    return {Counter(teachers.values()).most_common(1)[0][0]: 1.0}


def _prepared(case: TrainingCase) -> PreparedCase:
    arrays = {sequence: np.asarray(image, dtype=np.float32) for sequence, image in case.images.items()}
    shape = case.regions.shape[1:]
    brain = np.any([array != 0 for array in arrays.values()], axis=0)
    return PreparedCase(arrays, brain, Grid(shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))

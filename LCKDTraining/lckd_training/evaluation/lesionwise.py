"""Scores by lesion: the definition of the official package of the BraTS challenges (PyPI `BraTS-evaluation`).

A lesion is a 26-connected component of a region. Each lesion of the reference is paired with at most one that was
segmented, so that the sum of the pairs' Dice is largest (Kuhn-Munkres); lesions that do not overlap are no pair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from lckd.metrics import EMPTY_HD95_MM, surface_distances_mm

_NEIGHBORS_26 = ndimage.generate_binary_structure(3, 3)
#: A pair needs at least this Dice.
MIN_PAIR_DICE = 1e-6


@dataclass(frozen=True)
class LesionScores:
    """How the lesions of one region were found.

    Attributes:
        found: lesions of the reference that have a partner.
        missed: lesions of the reference without one.
        false: segmented lesions without one.
        dice: mean Dice of the pairs; 0 without any pair, 1 where neither mask has a lesion.
        hd95_mm: mean HD95 of the pairs in mm; 373.13 without any pair, 0 where neither mask has a lesion.
    """

    found: int
    missed: int
    false: int
    dice: float
    hd95_mm: float

    @property
    def f1(self) -> float:
        """Detection: 2·found / (2·found + missed + false); 1 where there is nothing to find and nothing false."""
        total = 2 * self.found + self.missed + self.false
        return 2 * self.found / total if total else 1.0


def lesion_scores(
    mask: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> LesionScores:
    """Compare a segmented region with its reference lesion by lesion.

    Args:
        mask, reference: the region (D, H, W), as segmented and as it is.
        spacing: of the voxels in mm, in (x, y, z) order as in a `Grid`.
    """
    either = mask | reference
    if not either.any():
        return LesionScores(0, 0, 0, 1.0, 0.0)
    box = ndimage.find_objects(either.view(np.uint8))[0]
    segmented, segmented_count = ndimage.label(mask[box], _NEIGHBORS_26)
    true, true_count = ndimage.label(reference[box], _NEIGHBORS_26)
    dice = _dice_of_pairs(segmented, true, segmented_count, true_count)
    pairs = _best_pairs(dice)
    missed, false = true_count - len(pairs), segmented_count - len(pairs)
    if not pairs:
        return LesionScores(0, missed, false, 0.0, EMPTY_HD95_MM)
    distances = [pooled_hd95_mm(segmented == column + 1, true == row + 1, spacing) for row, column in pairs]
    mean_dice = float(np.mean([dice[pair] for pair in pairs]))
    return LesionScores(len(pairs), missed, false, mean_dice, float(np.mean(distances)))


def pooled_hd95_mm(first: NDArray[np.bool_], second: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """95th percentile of the surface distances of both directions taken together, in mm; no mask may be empty.

    This is the HD95 of `BraTS-evaluation`; `lckd.metrics.hd95_mm` takes the larger of the directions' percentiles.
    """
    return float(np.percentile(np.concatenate(surface_distances_mm(first, second, spacing)), 95))


def _dice_of_pairs(
    segmented: NDArray[np.int32], true: NDArray[np.int32], segmented_count: int, true_count: int
) -> NDArray[np.float64]:
    """Dice (true lesions, segmented lesions) of every pair, from one count of the voxels by both labels."""
    shape = (true_count + 1, segmented_count + 1)
    codes = true.ravel().astype(np.int64) * shape[1] + segmented.ravel()
    table = np.bincount(codes, minlength=math.prod(shape)).reshape(shape)
    sizes = table.sum(axis=1)[1:, None] + table.sum(axis=0)[None, 1:]
    return 2 * table[1:, 1:] / sizes


def _best_pairs(dice: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Row and column of each pair of the assignment whose Dice are largest in sum."""
    # As in the package, a pair that does not overlap costs a little more than one that hardly does.
    cost = np.where(dice >= MIN_PAIR_DICE, 1 - dice, 1 + MIN_PAIR_DICE)
    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if dice[r, c] >= MIN_PAIR_DICE]

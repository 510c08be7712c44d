"""Dice and HD95 between two masks, with the conventions of BraTS for empty ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: HD95 where exactly one of the masks is empty: the diagonal of a 240×240×155 volume of 1 mm, in mm.
EMPTY_HD95_MM = 373.13


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Dice of two masks of one shape; 1 if both are empty, 0 if one is."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 1.0 if total == 0 else 2.0 * np.count_nonzero(first & second) / total


def hd95_mm(first: NDArray[np.bool_], second: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """95th percentile of the surface distance, the larger of both directions, in mm.

    Args:
        first, second: masks (D, H, W).
        spacing: of the voxels in mm, in (x, y, z) order as in a `Grid`.

    Returns:
        0 if both are empty, 373.13 if one is (BraTS up to 2022).
    """
    if not first.any() or not second.any():
        return 0.0 if first.any() == second.any() else EMPTY_HD95_MM
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    box = _common_box(first | second)
    masks = [torch.from_numpy(np.ascontiguousarray(mask[box]))[None, None] for mask in (first, second)]
    distance = compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing[::-1])
    return float(distance)


def _common_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box around a mask with one voxel to spare, so that a surface at its side stays one."""
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(0, int(used[0]) - 1), int(used[-1]) + 2))
    return tuple(box)

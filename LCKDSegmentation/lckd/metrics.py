"""Dice and HD95 between two masks, with the conventions of BraTS for empty ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

#: HD95 where exactly one of the masks is empty: the diagonal of a 240×240×155 volume of 1 mm, in mm.
EMPTY_HD95_MM = 373.13


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Dice of two masks of one shape; 1 if both are empty, 0 if one is."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 1.0 if total == 0 else float(2 * np.count_nonzero(first & second) / total)


def hd95_mm(first: NDArray[np.bool_], second: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """95th percentile of the surface distance, the larger of both directions, in mm.

    Equal to MONAI's `compute_hausdorff_distance(percentile=95)`, without the import of torch and MONAI. A surface is
    the centers of the voxels of a mask that have one of their six neighbors outside it.

    Args:
        first, second: masks (D, H, W).
        spacing: of the voxels in mm, in (x, y, z) order as in a `Grid`.

    Returns:
        0 if both are empty, 373.13 if one is (BraTS up to 2022).
    """
    if not first.any() or not second.any():
        return 0.0 if first.any() == second.any() else EMPTY_HD95_MM
    forth, back = surface_distances_mm(first, second, spacing)
    return float(max(np.percentile(forth, 95), np.percentile(back, 95)))


def surface_distances_mm(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in mm of each surface voxel of one mask to the nearest of the other: of the first's, of the second's.

    Args:
        first, second: masks (D, H, W), neither of them empty.
        spacing: of the voxels in mm, in (x, y, z) order as in a `Grid`.
    """
    surfaces = _surface_mm(first, spacing), _surface_mm(second, spacing)
    trees = [KDTree(surface) for surface in surfaces]
    return trees[1].query(surfaces[0])[0], trees[0].query(surfaces[1])[0]


def _surface_mm(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Positions (n, 3) in mm from the first voxel of the array, in (z, y, x) order, of a mask's surface."""
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    inside = mask[box]
    surface = np.argwhere(inside & ~ndimage.binary_erosion(inside)) + [part.start for part in box]
    return surface * np.asarray(spacing[::-1])

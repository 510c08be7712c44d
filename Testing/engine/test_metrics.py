"""Dice and HD95 against values worked out by hand and against MONAI."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from lckd.metrics import EMPTY_HD95_MM, dice, hd95_mm

UNIT = (1.0, 1.0, 1.0)


def box(*spans: tuple[int, int], shape: tuple[int, int, int] = (20, 22, 24)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def test_dice_of_two_overlapping_cubes():
    """4³ = 64 voxels each, 2·4·4 = 32 shared."""
    assert dice(box((2, 6), (2, 6), (2, 6)), box((4, 8), (2, 6), (2, 6))) == pytest.approx(2 * 32 / 128)


@pytest.mark.parametrize("spacing", [UNIT, (0.5, 2.0, 3.0)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hd95_of_shifted_plates_is_the_shift(axis, spacing):
    """Two plates one voxel thick: every point of one is three voxels from the other."""
    spans = [(2, 12), (2, 12), (2, 12)]
    spans[axis] = (4, 5)
    first = box(*spans)
    second = np.roll(first, 3, axis)
    assert hd95_mm(first, second, spacing) == pytest.approx(3 * spacing[2 - axis])


def test_hd95_is_a_percentile_and_the_worse_direction():
    """A plate of 10 x 10 voxels against the plate and 10 voxels 8 mm above it: 10 of 110 distances are 8, else 0."""
    plate = box((2, 3), (2, 12), (2, 12))
    with_spur = plate | box((10, 11), (2, 3), (2, 12))
    assert hd95_mm(plate, with_spur, UNIT) == pytest.approx(8.0)
    assert hd95_mm(with_spur, plate, UNIT) == pytest.approx(8.0)
    with_dot = plate | box((10, 11), (2, 3), (2, 4))  # 2 of 102: below the 95th percentile
    assert hd95_mm(plate, with_dot, UNIT) == 0.0


def test_inner_surfaces_count():
    """The wall takes indices 2, 3 and 4: the surface around the hole is two steps from the one surface of the cube."""
    cube = box((2, 15), (2, 15), (2, 15))
    hollow = cube & ~box((5, 12), (5, 12), (5, 12))
    assert hd95_mm(cube, hollow, UNIT) == pytest.approx(2.0)


def test_empty_masks():
    empty, full = np.zeros((20, 22, 24), dtype=bool), box((2, 6), (2, 6), (2, 6))
    assert (dice(empty, empty), hd95_mm(empty, empty, UNIT)) == (1.0, 0.0)
    for first, second in ((empty, full), (full, empty)):
        assert (dice(first, second), hd95_mm(first, second, UNIT)) == (0.0, 373.13)
    assert round(np.sqrt(240**2 + 240**2 + 155**2), 2) == EMPTY_HD95_MM


def test_equal_masks():
    mask = box((0, 20), (3, 7), (20, 24))  # touches the border
    assert (dice(mask, mask), hd95_mm(mask, mask, UNIT)) == (1.0, 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_monai(seed):
    from monai.metrics import compute_dice
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    spacing = UNIT if seed == 0 else tuple(rng.uniform(0.4, 5.0, 3).tolist())
    # Smooth blobs that touch the border and fall into several parts.
    first, second = (ndimage.gaussian_filter(rng.normal(size=(20, 22, 24)), 2, mode="wrap") > 0.03 for _ in range(2))
    tensors = [torch.from_numpy(mask)[None, None] for mask in (first, second)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI's, about itself
        theirs = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=spacing[::-1])
    assert hd95_mm(first, second, spacing) == pytest.approx(float(theirs), rel=1e-5)
    assert dice(first, second) == pytest.approx(float(compute_dice(*tensors, include_background=True)), rel=1e-5)


def test_views_and_transposed_masks_are_taken():
    first, second = box((2, 6), (3, 9), (4, 8)), box((3, 8), (3, 8), (4, 9))
    straight = hd95_mm(first, second, (1.0, 2.0, 3.0))
    assert hd95_mm(first.T, second.T, (3.0, 2.0, 1.0)) == pytest.approx(straight)

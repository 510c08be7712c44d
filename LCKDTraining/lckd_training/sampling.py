"""Training samples: which sequences are there, where the patch is cut, how it is varied.

Every draw comes from a generator seeded by (seed, iteration, rank), so that a resumed run goes on exactly as it would
have without the interruption, with no random state to save.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandAffined,
    RandBiasField,
    RandFlipd,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensity,
    RandShiftIntensity,
    RandSimulateLowResolution,
)
from numpy.typing import NDArray
from torch import Tensor

from lckd.sequences import Sequence, Subset, subset_of

from .data import TrainingCase

#: Patches that will be turned or scaled are cut larger by this factor, so that their corners are not empty.
DEFORM_MARGIN = 1.3
DEFORM_PROBABILITY = 0.3


@dataclass(frozen=True)
class Sample:
    """One patch: images (1, 1, D, H, W) of the drawn sequences, and regions (1, 3, D, H, W) in {0, 1}."""

    images: Mapping[Sequence, Tensor]
    regions: Tensor


def draw_present(available: Subset, rng: np.random.Generator, count_rng: np.random.Generator | None = None) -> Subset:
    """The paper's law of missing sequences: how many are dropped, uniformly, then which.

    `count_rng` draws how many; processes that share it have equally much to encode, and wait less for each other.
    """
    keep = len(available) - int((count_rng or rng).integers(0, len(available)))
    return subset_of(available[index] for index in rng.choice(len(available), keep, replace=False))


def draw_patch(case: TrainingCase, present: Subset, edge: int, tumor_share: float, rng: np.random.Generator) -> Sample:
    """A varied patch of the present sequences, centered on a tumor voxel with the given probability."""
    deform = rng.random() < DEFORM_PROBABILITY
    size = 16 * round(edge * DEFORM_MARGIN / 16) if deform else edge
    start = _patch_start(case, size, tumor_share, rng)
    stack = np.stack([_cut(case.images[sequence], start, size) for sequence in present]).astype(np.float32)
    regions = np.stack([_cut(region, start, size) for region in case.regions]).astype(np.float32)
    data = {"image": torch.from_numpy(stack), "regions": torch.from_numpy(regions)}
    seed = int(rng.integers(2**31))
    varied = _spatial(edge, deform).set_random_state(seed)(data)
    image, labels = _plain(varied["image"]), _plain(varied["regions"])
    images = {}
    for number, sequence in enumerate(present):
        patch = image[number : number + 1]
        # Fields and gains act on intensities, which are not negative.
        lowest = patch.min()
        changed = _plain(_intensity().set_random_state(seed + 1 + number)(patch - lowest)) + lowest
        images[sequence] = (changed * (patch != 0))[None].float().contiguous()
    return Sample(images, labels[None].float().contiguous())


def _plain(tensor: Tensor) -> Tensor:
    """Without MONAI's metadata, which every later operation would carry along."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _spatial(edge: int, deform: bool) -> Compose:
    keys = ("image", "regions")
    steps: list[Callable[[Any], Any]] = [RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3)]
    if deform:
        steps.append(
            RandAffined(
                keys,
                spatial_size=(edge,) * 3,
                prob=1.0,
                rotate_range=(0.3,) * 3,
                scale_range=(0.15,) * 3,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            )
        )
    return Compose(steps)


def _intensity() -> Compose:
    return Compose(
        [
            RandBiasField(degree=3, coeff_range=(0.0, 0.1), prob=0.3),
            RandScaleIntensity(0.2, prob=0.5),
            RandShiftIntensity(0.3, prob=0.5),
            RandAdjustContrast(prob=0.4, gamma=(0.6, 1.7), retain_stats=True),
            # Each axis has its own width: thick slices and other scanners' sharpness.
            RandGaussianSmooth((0.25, 1.5), (0.25, 1.5), (0.25, 1.5), prob=0.2),
            RandSimulateLowResolution(prob=0.15, zoom_range=(0.4, 1.0)),
            RandGaussianNoise(prob=0.2, std=0.15),
        ]
    )


def _patch_start(case: TrainingCase, size: int, tumor_share: float, rng: np.random.Generator) -> NDArray[np.int_]:
    """Lowest corner of a cube: around a tumor voxel, or anywhere; kept inside the volume where that is larger."""
    shape = np.asarray(case.regions.shape[1:])
    highest = np.maximum(shape - size, 0)
    if len(case.tumor) and rng.random() < tumor_share:
        center = case.tumor[rng.integers(len(case.tumor))]
        jitter = rng.integers(-size // 6, size // 6 + 1, size=3)
        return np.clip(center + jitter - size // 2, 0, highest)
    return rng.integers(0, highest + 1)


def _cut(array: NDArray, start: NDArray[np.int_], size: int) -> NDArray:
    """A cube, padded with zeros at the far side where the volume ends."""
    part = array[tuple(slice(low, low + size) for low in start)]
    missing = [(0, size - length) for length in part.shape]
    return np.pad(part, missing) if any(after for _, after in missing) else part

"""How training patches are varied, on MONAI's transforms. Labels are of the nearest voxel; outside is background."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
from torch import Tensor

KEYS = ("image", "regions")


@dataclass(frozen=True)
class Deformation:
    """How often a patch is turned and scaled, how far, and by how much larger it is cut for that."""

    probability: float
    rotation: float
    scale: float
    margin: float


#: By the name of the augmentation. Rotation is in radians.
DEFORMATIONS: Mapping[str, Deformation] = {
    "strong": Deformation(probability=0.3, rotation=0.3, scale=0.15, margin=1.3),
    "light": Deformation(probability=0.5, rotation=0.0, scale=0.1, margin=1.1),
    "none": Deformation(probability=0.0, rotation=0.0, scale=0.0, margin=1.0),
}


def vary_space(
    image: Tensor, regions: Tensor, patch: tuple[int, int, int], name: str, deform: bool, seed: int
) -> tuple[Tensor, Tensor]:
    """Mirror, and where asked for turn and scale, image and regions alike.

    Args:
        image: (N, D, H, W).
        regions: (3, D, H, W) in {0, 1}.
        patch: size of the result.
        name: of the augmentation.
        deform: turn and scale, too.
        seed: of what is random.
    """
    data = {"image": image, "regions": regions}
    if name != "none":
        data = _spatial(patch, DEFORMATIONS[name] if deform else None).set_random_state(seed)(data)
    return _plain(data["image"]), _plain(data["regions"])


def vary_intensity(image: Tensor, name: str, seed: int) -> Tensor:
    """Vary the intensities of one sequence (1, D, H, W); what is 0, outside the brain, stays so."""
    if name != "strong":
        return image
    # Fields and gains act on intensities, which are not negative.
    lowest = image.min()
    changed = _plain(_intensity().set_random_state(seed)(image - lowest)) + lowest
    return changed * (image != 0)


def _plain(tensor: Tensor) -> Tensor:
    """Without MONAI's metadata, which every later operation would carry along."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _spatial(patch: tuple[int, int, int], deformation: Deformation | None) -> Compose:
    steps: list[Callable[[Any], Any]] = [RandFlipd(KEYS, prob=0.5, spatial_axis=axis) for axis in range(3)]
    if deformation is not None:
        steps.append(
            RandAffined(
                KEYS,
                spatial_size=patch,
                prob=1.0,
                rotate_range=(deformation.rotation,) * 3,
                scale_range=(deformation.scale,) * 3,
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

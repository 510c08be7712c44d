"""What the four sequences show of an anatomy and its tumor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lckd.labels import LabelConvention, Tissue
from lckd.sequences import SEQUENCES, Sequence

from .anatomy import Anatomy
from .fields import Mask, Volume, fractal_noise, smooth_noise

#: Intensity of pure tissue without noise, about 100 for white matter in T1. The ratios are chosen so that, after
#: z-scoring in the brain, each tissue lies between the 15th and 85th percentile of 28 cases of BraTS 2021.
#: "edema" is all infiltrated tissue: outside T1c, the enhancing rim looks like it. "solid" and "fluid" are necrosis.
INTENSITIES: dict[Sequence, dict[str, float]] = {
    Sequence.FLAIR: {"wm": 85, "gm": 95, "csf": 28, "edema": 134, "solid": 129, "fluid": 97},
    Sequence.T1: {"wm": 110, "gm": 84, "csf": 38, "edema": 94, "solid": 84, "fluid": 62},
    Sequence.T1C: {"wm": 110, "gm": 88, "csf": 40, "edema": 88, "solid": 84, "fluid": 58},
    Sequence.T2: {"wm": 58, "gm": 84, "csf": 195, "edema": 118, "solid": 132, "fluid": 172},
}
#: What contrast agent adds to T1c, in the enhancing rim and in vessels.
_RIM_ENHANCEMENT, _VESSEL_ENHANCEMENT = 75.0, 65.0


def render_sequences(
    anatomy: Anatomy,
    labels: NDArray[np.uint8],
    bias: float,
    noise: float,
    rng: np.random.Generator,
    necrosis: float = 1.0,
    healthy: Mapping[Sequence, Volume] | None = None,
) -> dict[Sequence, NDArray[np.int16]]:
    """The four sequences (D, H, W), at least 1 in the brain and 0 outside.

    Args:
        anatomy: tissue fractions after the mass effect.
        labels: tumor on the same grid, as in BraTS 2023.
        bias: standard deviation of the logarithm of the receive field.
        noise: standard deviation of the Rician noise, as a fraction of the intensity of white matter.
        rng: source of texture, bias and noise.
        necrosis: how much of its contrast necrosis has outside T1c; 0: it looks like the edema around it.
        healthy: real images of the brain without tumor in the units of `INTENSITIES`, which are kept as they are beside
            the tumor; None: they are made of the tissues.
    """
    value = {name: number for number, name in LabelConvention.BRATS2023.values.items()}
    tumor = _soft(labels > 0)
    infiltrated = tumor * np.clip(0.9 + 0.1 * fractal_noise(anatomy.shape, 10, 3, rng), 0.5, 1.1)
    necrotic = _soft(labels == value[Tissue.NCR])
    fluid = np.clip(0.45 + 0.5 * fractal_noise(anatomy.shape, 9, 3, rng), 0, 1)
    enhancement = _rim(labels == value[Tissue.ET], rng)
    if healthy is None:
        enhancement += _vessels(anatomy, rng)
    images = {}
    for sequence in SEQUENCES:
        jitter = {tissue: mean * rng.normal(1, 0.02) for tissue, mean in INTENSITIES[sequence].items()}
        image = render_tissues(anatomy, jitter) if healthy is None else healthy[sequence].copy()
        image += infiltrated * (jitter["edema"] - image)
        visible = necrotic if sequence is Sequence.T1C else necrosis * necrotic
        image += visible * (jitter["solid"] + fluid * (jitter["fluid"] - jitter["solid"]) - image)
        if sequence is Sequence.T1C:
            image += enhancement
        acquired = _acquire(image, anatomy.brain, bias, noise * INTENSITIES[sequence]["wm"], rng)
        if healthy is not None:
            # Real images have noise of their own.
            acquired = tumor * acquired + (1 - tumor) * image
        images[sequence] = np.where(anatomy.brain, np.maximum(np.rint(acquired), 1), 0).astype(np.int16)
    return images


def render_tissues(anatomy: Anatomy, intensities: Mapping[str, float]) -> Volume:
    """The image of a brain without tumor, noise, and vessels, in which each tissue has its intensity."""
    return anatomy.wm * intensities["wm"] + anatomy.gm * intensities["gm"] + anatomy.csf * intensities["csf"]


def _rim(rim: Mask, rng: np.random.Generator) -> Volume:
    """What contrast agent adds to the enhancing tumor, here more and there less."""
    return _RIM_ENHANCEMENT * np.clip(1 + 0.35 * fractal_noise(rim.shape, 7, 2, rng), 0.4, 1.8) * _soft(rim)


def _vessels(anatomy: Anatomy, rng: np.random.Generator) -> Volume:
    """What contrast agent adds to vessels in the sulci and to the sagittal sinus."""
    # The zero set of a smooth field is a surface; two of them meet in curves, thin and winding as vessels are.
    first, second = (smooth_noise(anatomy.shape, 9, rng) for _ in range(2))
    vessels = np.exp(-(first**2 + second**2) / 0.02) * np.clip(2.5 * (anatomy.csf + 0.4 * anatomy.gm) - 0.5, 0, 1)
    x, _, z = anatomy.origin
    height = z + np.arange(anatomy.shape[0])[:, None, None]
    side = (x + np.arange(anatomy.shape[2])).astype(np.float32)
    sinus = np.exp(-((side / 2.5) ** 2)) * np.exp(-((anatomy.depth / 3.5) ** 2)) * (height > 10)
    return _VESSEL_ENHANCEMENT * np.maximum(vessels, sinus)


def _acquire(image: Volume, brain: Mask, bias: float, sigma: float, rng: np.random.Generator) -> Volume:
    """The image as a scanner gives it: texture, blur, receive field, Rician noise."""
    shape = image.shape
    textured = image * (1 + 0.04 * fractal_noise(shape, 8, 3, rng))
    # Dividing by the blurred mask keeps the rim of the brain from darkening.
    weight = ndimage.gaussian_filter(brain.astype(np.float32), 0.5)
    blurred = ndimage.gaussian_filter(textured * brain, 0.5) / np.maximum(weight, 1e-3)
    field = blurred * np.exp(bias * smooth_noise(shape, 80, rng))
    real, imaginary = (sigma * rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    return np.hypot(field + real, imaginary)


def _soft(mask: Mask) -> Volume:
    """The mask with edges blurred as by partial volume."""
    return ndimage.gaussian_filter(mask.astype(np.float32), 0.7)

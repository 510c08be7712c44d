"""The glioma of a phantom: core with necrosis and rim, mass effect, and edema along the white matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from lckd.labels import LabelConvention, Tissue

from .anatomy import Anatomy, pushed_anatomy
from .fields import Mask, Volume, fractal_noise, largest_component, smooth_noise

#: Where cores may begin: the cerebral hemispheres, height in mm above the template's origin (anterior commissure).
_HEIGHT_MM = (0.0, 48.0)
#: Speed at which edema spreads in pure tissue; it follows white matter and spares cortex.
_WM_SPEED, _GM_SPEED = 1.0, 0.1
#: Logarithm of how much faster the edema of greatest eccentricity spreads to its side than across.
_SIDEDNESS = 3.0
#: The front of the edema is not followed any longer; by then it has passed some 40 mm of white matter.
_LAST_ARRIVAL = 40.0
#: Cores and edema stay out of voxels with more fluid than this.
_FLUID = 0.5


@dataclass(frozen=True)
class TumorPlan:
    """What is drawn for one tumor: radius in mm, edema in mL, push as a fraction of the radius, enhancing or not, and
    how much the edema keeps to one side of the core, from 0 to 1.
    """

    radius: float
    edema_ml: float
    mass_effect: float
    enhancing: bool
    eccentricity: float = 0.0


def grow_tumor(anatomy: Anatomy, plan: TumorPlan, rng: np.random.Generator) -> tuple[Anatomy, NDArray[np.uint8]]:
    """Place a tumor in the brain.

    Returns:
        The anatomy after the mass effect, and labels (D, H, W) as in BraTS 2023.
    """
    center = _choose_center(anatomy, plan.radius, rng)
    level = _core_level(anatomy, center, plan.radius, rng)
    pushed = pushed_anatomy(anatomy, _mass_effect(anatomy, center, level, plan))
    tissue = pushed.brain & (pushed.csf < _FLUID)
    core = largest_component((level < plan.radius) & tissue)
    necrosis = core & _necrosis(level, plan, rng)
    sided = _sided(anatomy, center, plan.eccentricity, rng) if plan.eccentricity else None
    edema = _edema(pushed, core, plan.edema_ml, rng, sided)
    value = {name: number for number, name in LabelConvention.BRATS2023.values.items()}
    labels = np.zeros(anatomy.shape, dtype=np.uint8)
    labels[edema] = value[Tissue.ED]
    labels[core] = value[Tissue.ET]
    labels[necrosis] = value[Tissue.NCR]
    return pushed, labels


def _choose_center(anatomy: Anatomy, radius: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """A voxel in white matter, deep enough that most of the core is inside the brain and on one side of the falx."""
    x, _, z = anatomy.origin
    height = z + np.arange(anatomy.shape[0])[:, None, None]
    side = np.abs(x + np.arange(anatomy.shape[2]))
    allowed = (anatomy.wm > 0.7) & (anatomy.depth > 0.8 * radius) & (side > 0.9 * radius)
    allowed &= (height > _HEIGHT_MM[0]) & (height < _HEIGHT_MM[1])
    candidates = np.argwhere(allowed)
    return candidates[rng.integers(len(candidates))]


def _core_level(anatomy: Anatomy, center: NDArray[np.int64], radius: float, rng: np.random.Generator) -> Volume:
    """Lobulated distance from the center in mm; the core is where it is below `radius`."""
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    stretch = np.exp(rng.uniform(-0.2, 0.2, size=3))
    stretch /= np.prod(stretch) ** (1 / 3)
    offsets = anatomy.offsets_from(center)
    squared = np.zeros(anatomy.shape, dtype=np.float32)
    for axis, factor in zip(axes.astype(np.float32), stretch.astype(np.float32), strict=True):
        along = axis[0] * offsets[0] + axis[1] * offsets[1] + axis[2] * offsets[2]
        squared += (along / factor) ** 2
    lobes = fractal_noise(anatomy.shape, 0.9 * radius, 3, rng)
    return np.sqrt(squared) + np.float32(0.17 * radius) * lobes


def _mass_effect(anatomy: Anatomy, center: NDArray[np.int64], level: Volume, plan: TumorPlan) -> list[Volume]:
    """Where each voxel's tissue lay before the core grew: nearer the center, fading outward and toward the skull."""
    offsets = anatomy.offsets_from(center)
    distance = np.sqrt(offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2).clip(1)
    excess = np.maximum(level - np.float32(plan.radius), 0)
    push = np.float32(plan.mass_effect) * np.minimum(distance, np.float32(plan.radius))
    push *= np.exp(-excess / np.float32(1.2 * plan.radius)) * np.clip(anatomy.depth / 12, 0, 1)
    return [-push * offset / distance for offset in offsets]


def _necrosis(level: Volume, plan: TumorPlan, rng: np.random.Generator) -> Mask:
    """All of a core without enhancement; else its inside, behind a rim of varying, here and there vanishing width."""
    if not plan.enhancing:
        return np.ones(level.shape, dtype=bool)
    thickness = rng.uniform(3.0, 5.5) * (1 + 0.7 * smooth_noise(level.shape, 0.55 * plan.radius, rng))
    rough = 0.8 * fractal_noise(level.shape, 5, 2, rng)
    return level + rough < plan.radius - thickness


def _sided(anatomy: Anatomy, center: NDArray[np.int64], eccentricity: float, rng: np.random.Generator) -> Volume:
    """Factor of the edema's speed: faster to one side of the core, drawn at random, than to the other."""
    direction = rng.standard_normal(3).astype(np.float32)
    offsets = anatomy.offsets_from(center)
    along = sum(part * offset for part, offset in zip(direction, offsets, strict=True))
    distance = np.sqrt(sum(offset**2 for offset in offsets)).clip(1) * np.linalg.norm(direction)
    return np.exp(np.float32(_SIDEDNESS * eccentricity) * along / distance)


def _edema(
    anatomy: Anatomy, core: Mask, volume_ml: float, rng: np.random.Generator, sided: Volume | None = None
) -> Mask:
    """The `volume_ml` of tissue around the core that a front reaches first, running along white matter in fingers."""
    fingers = np.exp(np.float32(0.7) * fractal_noise(anatomy.shape, 12, 2, rng))
    speed = (_WM_SPEED * anatomy.wm**2 + _GM_SPEED * anatomy.gm) * fingers
    if sided is not None:
        speed = speed * sided
    tissue = anatomy.brain & (anatomy.csf < _FLUID)
    speed = np.where(tissue, speed, 0).astype(np.float32)
    arrival = _front_arrival(speed, core)
    reached = np.sort(arrival[tissue & ~core], axis=None)
    last = reached[min(int(volume_ml * 1000), reached.size - 1)]
    soft = ndimage.gaussian_filter((arrival < last).astype(np.float32), 1.0)
    return largest_component((soft > 0.5) & tissue | core) & ~core


def _front_arrival(speed: Volume, start: Mask) -> Volume:
    """Time at which a front that leaves `start` with the local `speed` (mm per unit of time) reaches each voxel."""
    marching = sitk.FastMarchingImageFilter()
    marching.SetStoppingValue(_LAST_ARRIVAL)
    surface = start & ~ndimage.binary_erosion(start)
    marching.SetTrialPoints([tuple(map(int, point[::-1])) for point in np.argwhere(surface)])
    arrival = sitk.GetArrayFromImage(marching.Execute(sitk.GetImageFromArray(speed)))
    return np.where(start, 0, np.minimum(arrival, _LAST_ARRIVAL)).astype(np.float32)

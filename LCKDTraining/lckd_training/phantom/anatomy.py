"""The healthy brain of a phantom: the ICBM152 2009a template, deformed at random.

Fonov V, et al. Unbiased average age-appropriate atlases for pediatric studies. NeuroImage 2011;54:313-327.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from lckd.errors import InputError
from lckd.images import itk_name

from .fields import Mask, Volume, fractal_noise, largest_component, smooth_noise

#: Room in mm around the template brain, for the deformation.
_MARGIN = 10
#: The template is an average of 152 brains; raising its tissue fractions to this power undoes much of the blur.
_SHARPENING = 2.2


@dataclass(frozen=True)
class Anatomy:
    """A brain on a 1 mm grid (D, H, W) in LPS: tissue fractions that sum to 1 inside `brain` and are 0 outside.

    `depth` is the distance in mm to the surface of the brain (negative outside), `origin` the position (x, y, z) in mm
    of the first voxel.
    """

    brain: Mask
    wm: Volume
    gm: Volume
    csf: Volume
    depth: Volume
    origin: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        depth, height, width = self.brain.shape
        return depth, height, width

    def offsets_from(self, center: NDArray[np.int64]) -> list[Volume]:
        """Distance of each voxel from `center` (voxels, along D, H, W), one broadcastable array an axis."""
        grids = np.meshgrid(*[np.arange(size, dtype=np.float32) for size in self.shape], indexing="ij", sparse=True)
        return [grid - np.float32(middle) for grid, middle in zip(grids, center, strict=True)]


@functools.lru_cache(maxsize=2)
def load_template(scale: float = 1.0) -> Anatomy:
    """The template brain, cropped with room for deformation, as nilearn carries it.

    Args:
        scale: size of the brain as a fraction of the template's; the grid stays that of 1 mm.

    Raises:
        InputError: nilearn or its template files are not installed.
    """
    if scale != 1:
        return _shrunk(load_template(), scale)
    t1, gm, wm = (_read_map(name) for name in ("t1", "gm", "wm"))
    mask = sitk.GetArrayFromImage(t1) > 0
    corners = np.argwhere(mask)
    low = corners.min(axis=0) - _MARGIN
    box = tuple(slice(a, b) for a, b in zip(low, corners.max(axis=0) + 1 + _MARGIN, strict=True))
    white, gray = (sitk.GetArrayFromImage(image)[box].astype(np.float32) / 255 for image in (wm, gm))
    brain = _without_stubs(mask[box], white + gray)
    return Anatomy(
        brain=brain,
        wm=white * brain,
        gm=gray * brain,
        csf=np.clip(1 - white - gray, 0, 1) * brain,
        depth=depth_of(brain),
        origin=t1.TransformIndexToPhysicalPoint([int(start) for start in low[::-1]]),
    )


def individual_anatomy(template: Anatomy, amplitude_mm: float, rng: np.random.Generator) -> Anatomy:
    """The template after a smooth random deformation of about `amplitude_mm`, with wider or narrower sulci."""
    shape = template.shape
    displacement = [
        np.float32(amplitude_mm) * (smooth_noise(shape, 45, rng) + np.float32(0.4) * fractal_noise(shape, 14, 2, rng))
        for _ in shape
    ]
    brain = warp(template.brain.astype(np.float32), displacement) > 0.5
    sulci = np.float32(rng.uniform(1.0, 1.6)) * np.exp(np.float32(0.35) * smooth_noise(shape, 8, rng))
    wm, gm = (warp(fraction, displacement) for fraction in (template.wm, template.gm))
    # Voxels at the rim that the deformation left without tissue are fluid; sulci are a little wider or narrower.
    csf = np.clip(1 - wm - gm, 1e-3, 1) * sulci
    wm, gm, csf = (fraction**_SHARPENING * brain for fraction in (wm, gm, csf))
    total = np.where(brain, wm + gm + csf, np.float32(1))
    return Anatomy(brain, wm / total, gm / total, csf / total, depth_of(brain), template.origin)


def pushed_anatomy(anatomy: Anatomy, displacement: list[Volume]) -> Anatomy:
    """The anatomy with its tissues drawn from `displacement` voxels away, inside an unchanged brain surface."""
    wm, gm = (warp(fraction, displacement) * anatomy.brain for fraction in (anatomy.wm, anatomy.gm))
    csf = np.clip(1 - wm - gm, 0, 1) * anatomy.brain
    return Anatomy(anatomy.brain, wm, gm, csf, anatomy.depth, anatomy.origin)


def warp(volume: Volume, displacement: list[Volume]) -> Volume:
    """`volume` sampled linearly at each voxel's position plus `displacement` (three arrays, voxels); 0 outside."""
    grids = np.meshgrid(*[np.arange(size, dtype=np.float32) for size in volume.shape], indexing="ij", sparse=True)
    positions = [grid + shift for grid, shift in zip(grids, displacement, strict=True)]
    return ndimage.map_coordinates(volume, positions, order=1, mode="constant", output=np.float32)


def _shrunk(full: Anatomy, scale: float) -> Anatomy:
    """The brain at a fraction of its size, as if each voxel were as much smaller."""
    margins = [[_MARGIN] * 2] * 3
    brain, wm, gm, csf = (
        np.pad(ndimage.zoom(volume, scale, order=1, grid_mode=True, mode="grid-constant"), margins)
        for volume in (full.brain.astype(np.float32), full.wm, full.gm, full.csf)
    )
    inside = largest_component(brain > 0.5)
    total = np.where(inside, np.maximum(wm + gm + csf, 1e-3), np.float32(1))
    # A voxel's center, not its corner, is its position.
    x, y, z = (scale * start + (1 - scale) / 2 - _MARGIN for start in full.origin)
    wm, gm, csf = (volume * inside / total for volume in (wm, gm, csf))
    return Anatomy(inside, wm, gm, csf, depth_of(inside), (x, y, z))


def _without_stubs(mask: Mask, tissue: Volume) -> Mask:
    """The template's brain mask without its thin appendages of fluid: spinal canal, basal cisterns, nerve sheaths."""
    return largest_component(ndimage.binary_opening(mask, iterations=4) | (mask & (tissue > 0.5)))


def depth_of(brain: Mask) -> Volume:
    """Distance in mm to the surface of a brain on a 1 mm grid, negative outside."""
    image = sitk.GetImageFromArray(brain.astype(np.uint8))
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False)
    return sitk.GetArrayFromImage(distance).astype(np.float32)


def _read_map(name: str) -> sitk.Image:
    path = _template_folder() / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise InputError(
            "TEMPLATE_MISSING",
            f"The brain template file {path.name} that phantoms are made from is not where nilearn should keep it.",
            "Reinstall it: pip install --force-reinstall nilearn",
        )
    # The template's lowest plane cuts through the brain stem: room is added before the box is cut.
    return sitk.ConstantPad(
        sitk.DICOMOrient(sitk.ReadImage(itk_name(path, InputError)), "LPS"), [_MARGIN] * 3, [_MARGIN] * 3
    )


def _template_folder() -> Path:
    # nilearn is found, not imported: importing it takes seconds and needs pandas and scikit-learn.
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise InputError(
            "TEMPLATE_MISSING",
            "The brain template that phantoms are made from is not installed.",
            "Run: pip install nilearn",
        )
    return Path(spec.origin).parent / "datasets" / "data"

"""Synthetic glioma cases in which each region is visible in known sequences only.

The brain is the ICBM152 2009a template that nilearn carries, deformed at random; in it grows a tumor with necrosis, an
enhancing rim and edema. The rim differs from the edema around it in T1c alone; edema shows in FLAIR and T2, necrosis in
all, or, if so set, in T1c alone. One call of :func:`generate_phantom` is one patient who does not exist.
In place of the template, a real brain may be the background.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from lckd.errors import OutputError, UsageError
from lckd.images import itk_name
from lckd.sequences import Sequence

from .anatomy import individual_anatomy, load_template
from .background import Background
from .contrast import render_sequences
from .tumor import TumorPlan, grow_tumor

__all__ = ["Phantom", "PhantomSettings", "generate_phantom", "write_phantom"]

#: How BraTS 2023 ends the file names.
_SUFFIXES = {Sequence.T1: "t1n", Sequence.T1C: "t1c", Sequence.T2: "t2w", Sequence.FLAIR: "t2f"}
#: Background voxels kept around the brain.
_MARGIN = 3


@dataclass(frozen=True)
class PhantomSettings:
    """From what range phantoms are drawn; pairs are least and most.

    Attributes:
        core_radius_mm: radius of a ball as large as the tumor core.
        edema_ml: volume of the edema in mL.
        enhancing: probability that the core enhances; without it the whole core is label 1.
        mass_effect: how far tissue is pushed at the core's surface, as a fraction of its radius.
        deformation_mm: amplitude of the random deformation of the brain.
        eccentricity: how much the edema keeps to one side of the core; 0: the core is in its middle, where it could be
            guessed without being seen.
        bias: standard deviation of the logarithm of the receive field.
        noise: standard deviation of the Rician noise, as a fraction of white matter.
        necrosis: how much of its contrast necrosis has outside T1c; 0: only T1c shows the tumor core.
        scale: size of the brain as a fraction of the template's, for small and quick cases; the voxels stay 1 mm, and
            the tumor's sizes and the deformation are what the other settings say.

    Raises:
        UsageError: a range is empty or a value is out of bounds.
    """

    core_radius_mm: tuple[float, float] = (13.0, 20.0)
    edema_ml: tuple[float, float] = (25.0, 75.0)
    enhancing: float = 0.9
    mass_effect: tuple[float, float] = (0.15, 0.45)
    deformation_mm: float = 2.5
    eccentricity: float = 0.0
    bias: float = 0.08
    noise: float = 0.03
    necrosis: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        bounds = {"core_radius_mm": (3, 25), "edema_ml": (0, 200), "mass_effect": (0, 0.8)}
        for name, (least, most) in bounds.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise _bad_setting(name, f"two numbers in order between {least:g} and {most:g}")
        for name, most in {
            "enhancing": 1,
            "deformation_mm": 5,
            "bias": 0.5,
            "noise": 0.3,
            "necrosis": 1,
            "eccentricity": 1,
        }.items():
            if not 0 <= getattr(self, name) <= most:
                raise _bad_setting(name, f"a number between 0 and {most:g}")
        if not 0.3 <= self.scale <= 1:
            raise _bad_setting("scale", "a number between 0.3 and 1")

    @staticmethod
    def scaled(scale: float) -> PhantomSettings:
        """The default ranges for a brain of that size: lengths and volumes go with it.

        Raises:
            UsageError: `scale` is out of bounds.
        """
        full = PhantomSettings(scale=scale)
        (least_mm, most_mm), (least_ml, most_ml) = full.core_radius_mm, full.edema_ml
        return replace(
            full,
            core_radius_mm=(least_mm * scale, most_mm * scale),
            edema_ml=(least_ml * scale**3, most_ml * scale**3),
            deformation_mm=full.deformation_mm * scale,
        )

    @staticmethod
    def separable(scale: float = 1.0) -> PhantomSettings:
        """Ranges for tumors whose regions must be seen, since they cannot be guessed: for studies of the method.

        Only T1c shows the core, and the edema around it, which FLAIR and T2 show, lies to one side.

        Raises:
            UsageError: `scale` is out of bounds.
        """
        core_mm, edema_ml = (10.0 * scale, 15.0 * scale), (30.0 * scale**3, 70.0 * scale**3)
        typical = PhantomSettings.scaled(scale)
        return replace(typical, core_radius_mm=core_mm, edema_ml=edema_ml, necrosis=0.0, eccentricity=1.0)


@dataclass(frozen=True)
class Phantom:
    """One synthetic case: int16 images and uint8 labels (1 NCR, 2 ED, 3 ET) on one 1 mm grid in LPS."""

    sequences: dict[Sequence, sitk.Image]
    labels: sitk.Image


def generate_phantom(
    seed: int, settings: PhantomSettings = PhantomSettings(), background: Background | None = None
) -> Phantom:
    """Make the synthetic case of a seed: the same on every call (to rounding, on every machine).

    Args:
        seed: which case, 0 or more.
        settings: from what range it is drawn.
        background: the real brain that the tumor grows in; it is not deformed, nor pushed by the tumor. None: the
            template, deformed.

    Raises:
        InputError: nilearn, whose template is used, is not installed.
        UsageError: `seed` is negative.
    """
    if seed < 0:
        raise UsageError("BAD_SEED", f"The seed {seed} is negative.", "Give a whole number from 0 up.")
    # One stream a part, so that a change of one part leaves the others as they were.
    plan_rng, brain_rng, tumor_rng, image_rng = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    plan = TumorPlan(
        radius=plan_rng.uniform(*settings.core_radius_mm),
        edema_ml=plan_rng.uniform(*settings.edema_ml),
        mass_effect=plan_rng.uniform(*settings.mass_effect),
        enhancing=bool(plan_rng.random() < settings.enhancing),
        eccentricity=settings.eccentricity,
    )
    if background is None:
        healthy = individual_anatomy(load_template(settings.scale), settings.deformation_mm, brain_rng)
        bias, real = settings.bias, None
    else:
        healthy, plan = background.anatomy, replace(plan, mass_effect=0.0)
        bias, real = 0.0, background.images
    anatomy, labels = grow_tumor(healthy, plan, tumor_rng)
    arrays = render_sequences(anatomy, labels, bias, settings.noise, image_rng, settings.necrosis, real)
    box = _brain_box(anatomy.brain)
    origin = tuple(start + part.start for start, part in zip(anatomy.origin, reversed(box), strict=True))
    images = {sequence: _image(array[box], origin) for sequence, array in arrays.items()}
    return Phantom(images, _image(labels[box], origin))


def write_phantom(phantom: Phantom, folder: Path, name: str) -> None:
    """Write the case as BraTS 2023 names it: ``<name>-t1n.nii.gz``, ``-t1c``, ``-t2w``, ``-t2f``, ``-seg``.

    Each file appears whole or not at all; existing ones are replaced.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    files = {suffix: phantom.sequences[sequence] for sequence, suffix in _SUFFIXES.items()}
    files["seg"] = phantom.labels
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, image in files.items():
            _write_atomically(image, folder / f"{name}-{suffix}.nii.gz")
    except (OSError, RuntimeError) as error:
        raise OutputError(
            "PHANTOM_UNWRITABLE",
            f"The synthetic case {name} could not be written to {folder}.",
            "Choose a folder that exists or can be made, and that has room and may be written to.",
        ) from error


def _write_atomically(image: sitk.Image, path: Path) -> None:
    # The temporary name keeps the suffix, which tells SimpleITK the format.
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        sitk.WriteImage(image, itk_name(partial, OutputError), useCompression=True, compressionLevel=9)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _brain_box(brain: NDArray[np.bool_]) -> tuple[slice, ...]:
    (box,) = ndimage.find_objects(brain.astype(np.uint8))
    return tuple(
        slice(max(part.start - _MARGIN, 0), min(part.stop + _MARGIN, size))
        for part, size in zip(box, brain.shape, strict=True)
    )


def _image(array: NDArray[np.generic], origin: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(origin)
    return image


def _bad_setting(name: str, expected: str) -> UsageError:
    return UsageError("BAD_PHANTOM_SETTING", f"The phantom setting {name} is out of bounds.", f"Give {expected}.")

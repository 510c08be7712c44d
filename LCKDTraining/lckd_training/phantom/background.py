"""A real brain as the background of a phantom: the hemisphere opposite the tumor, and its mirror image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from lckd.case import Case
from lckd.discovery import CaseFiles
from lckd.errors import InputError
from lckd.labels import REGIONS, Region
from lckd.prepare import prepare
from lckd.sequences import SEQUENCES, Sequence, missing_from, subset_title

from ..data.cases import read_regions
from .anatomy import Anatomy, depth_of, load_template
from .contrast import INTENSITIES, render_tissues
from .fields import Mask, Volume

#: Tumor in mL that the other hemisphere may have, by a segmentation that is never exact.
_MOST_TUMOR_ML = 0.1


@dataclass(frozen=True)
class Background:
    """A brain without tumor.

    Attributes:
        anatomy: its tissue fractions, as far as T1 tells them.
        images: (D, H, W) on the grid of the anatomy, 0 outside the brain, in the units of `contrast.INTENSITIES`.
    """

    anatomy: Anatomy
    images: Mapping[Sequence, Volume]


def load_background(files: CaseFiles) -> Background:
    """The half of a labeled case's brain that is free of tumor, with its mirror image in place of the other half.

    Raises:
        InputError: a sequence or the segmentation is missing, or there is tumor in both halves.
    """
    missing = missing_from(files.images)
    if missing:
        raise _refused(files, "SEQUENCE_MISSING", f"has no {subset_title(missing)}, and all four sequences are needed")
    prepared = prepare(Case.from_found(files))
    tumor = read_regions(files, prepared.grid)[REGIONS.index(Region.WT)]
    total = _plane(prepared.brain)
    low = np.arange(tumor.shape[2]) < total / 2
    keep_low = tumor[..., low].sum() <= tumor[..., ~low].sum()
    if tumor[..., low if keep_low else ~low].sum() > 1000 * _MOST_TUMOR_ML:
        raise _refused(files, "TUMOR_IN_BOTH_HALVES", "has tumor in both halves of the brain")
    brain = _mirrored(prepared.brain, total, keep_low)
    images = {sequence: _mirrored(prepared.arrays[sequence], total, keep_low) for sequence in SEQUENCES}
    wm, gm, csf = (_soft(tissue, brain) for tissue in _tissues(images[Sequence.T1], brain))
    anatomy = Anatomy(brain, wm, gm, csf, depth_of(brain), _origin(brain, total))
    images = {s: _rescaled(image, render_tissues(anatomy, INTENSITIES[s]), brain) for s, image in images.items()}
    return Background(anatomy, images)


def backgrounds_in_turn(files: Iterable[CaseFiles], tell: Callable[[InputError], None]) -> Iterator[Background]:
    """One background after the other, again from the first after the last; never ends.

    Args:
        files: labeled cases.
        tell: told of each case that cannot be used, once.

    Raises:
        InputError: there is none that can be used.
    """
    usable = list(files)
    while usable:
        for case in list(usable):
            try:
                background = load_background(case)
            except InputError as error:
                usable.remove(case)
                tell(error)
            else:
                yield background
    message = "None of the cases has a hemisphere without tumor that could be a background."
    action = "Give labeled cases with all four sequences, and with tumor in one half of the brain only."
    raise InputError("NO_BACKGROUND", message, action)


def _plane(brain: Mask) -> int:
    """The sum of the columns that lie opposite each other: where the brain equals its mirror image best."""
    columns = np.flatnonzero(brain.any(axis=(0, 1)))
    middle = columns[0] + columns[-1]
    half = brain[::2, ::2].astype(np.float32)

    def overlap(total: int) -> float:
        low, high = max(0, total - half.shape[2] + 1), min(half.shape[2] - 1, total)
        part = half[..., low : high + 1]
        return float((part * part[..., ::-1]).sum())

    reach = half.shape[2] // 8
    return max(range(middle - reach, middle + reach + 1), key=overlap)


def _mirrored(volume: NDArray, total: int, keep_low: bool) -> NDArray:
    """The half on one side of the plane, with its mirror image on the other; as wide as that needs."""
    columns = np.arange(volume.shape[2])
    kept = columns[columns <= total / 2] if keep_low else columns[columns >= total / 2]
    mirror = total - kept
    low = min(int(mirror.min()), int(kept.min()))
    width = max(int(mirror.max()), int(kept.max())) - low + 1
    result = np.zeros((*volume.shape[:2], width), volume.dtype)
    result[..., kept - low] = volume[..., kept]
    result[..., mirror - low] = volume[..., kept]
    return result


def _tissues(t1: Volume, brain: Mask) -> tuple[Mask, Mask, Mask]:
    """White matter, gray matter and fluid: the bright, the medium and the dark voxels of T1 (Otsu's thresholds)."""
    otsu = sitk.OtsuMultipleThresholdsImageFilter()
    otsu.SetNumberOfThresholds(2)
    otsu.Execute(sitk.GetImageFromArray(t1[brain][None]))
    dark, bright = otsu.GetThresholds()
    return brain & (t1 > bright), brain & (t1 > dark) & (t1 <= bright), brain & (t1 <= dark)


def _soft(tissue: Mask, brain: Mask) -> Volume:
    """The fraction of a tissue, blurred as by partial volume; of all tissues it sums to 1 in the brain."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), 0.7)
    return ndimage.gaussian_filter(tissue.astype(np.float32), 0.7) / np.maximum(weight, 1e-3) * brain


def _rescaled(image: Volume, tissues: Volume, brain: Mask) -> Volume:
    """The image with mean and standard deviation, in the brain, of one that is made of its tissues."""
    real, made = image[brain], tissues[brain]
    scaled = made.mean() + (image - real.mean()) * (made.std() / real.std())
    return (np.maximum(scaled, 1) * brain).astype(np.float32)


def _origin(brain: Mask, total: int) -> tuple[float, float, float]:
    """The position of the first voxel: the mirror plane at x = 0, the middle of the brain where the template's is."""
    template = load_template()
    middle = [np.mean(np.flatnonzero(brain.any(axis=axes))) for axes in ((1, 2), (0, 2))]
    wanted = [np.mean(np.flatnonzero(template.brain.any(axis=axes))) for axes in ((1, 2), (0, 2))]
    z, y = (
        round(float(start + there - here))
        for start, there, here in zip(template.origin[:0:-1], wanted, middle, strict=True)
    )
    return -(brain.shape[2] - 1) / 2, float(y), float(z)


def _refused(files: CaseFiles, code: str, reason: str) -> InputError:
    return InputError(code, f"{files.name} {reason}.", "It is left out as a background.")

"""Region probabilities → label map, volumes and files on the user's own voxels."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from .geometry import Grid, coincide, resample
from .labels import REGIONS, LabelConvention, Region, labels_from_regions
from .postprocess import NO_CLEANUP, Cleanup, clean
from .predictor import Probabilities, nested
from .prepare import PreparedCase
from .sequences import Subset

THRESHOLD = 0.5


@dataclass(frozen=True)
class Segmentation:
    """The segmentation of one subset of a case's sequences, on the voxels of the reference volume.

    Attributes:
        subset: the sequences it was made from.
        regions: nested masks (3, D, H, W) in the order ET, TC, WT.
        grid: the geometry of the reference volume.
        cleaned: what the clean-up did, in words.
        source: nested region probabilities (3, D', H', W') as the network gave them, on the canonical grid.
        source_grid: the canonical grid.
    """

    subset: Subset
    regions: NDArray[np.bool_]
    grid: Grid
    cleaned: list[str]
    source: Probabilities
    source_grid: Grid

    @functools.cached_property
    def probabilities(self) -> Probabilities:
        """Nested region probabilities (3, D, H, W) on the reference volume's voxels, 0 outside the brain's box."""
        return _moved(self.source, self.source_grid, self.grid)

    @property
    def volumes_ml(self) -> dict[Region, float]:
        """Volume of each region in milliliters."""
        return {
            region: round(float(np.count_nonzero(mask)) * self.grid.voxel_volume_ml, 3)
            for region, mask in zip(REGIONS, self.regions, strict=True)
        }

    def label_image(self, convention: LabelConvention = LabelConvention.BRATS2023) -> sitk.Image:
        """The label map as an image with exactly the reference volume's geometry."""
        return self.grid.image(labels_from_regions(self.regions, convention))

    def probability_image(self, region: Region) -> sitk.Image:
        """Probability of one region, 0 to 1, with the reference volume's geometry."""
        return self.grid.image(self.probabilities[REGIONS.index(region)])

    def uncertainty_image(self) -> sitk.Image:
        """Voxelwise entropy in bits, 0 (sure) to 1 (undecided), the highest of the three regions."""
        p = np.clip(self.probabilities, 1e-6, 1 - 1e-6)
        entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
        return self.grid.image(entropy.max(axis=0).astype(np.float32))


def put_back(
    probabilities: Probabilities,
    prepared: PreparedCase,
    reference: Grid,
    subset: Subset,
    cleanup: Cleanup = NO_CLEANUP,
) -> Segmentation:
    """Move probabilities from the canonical grid to the reference volume's voxels and decide each voxel there."""
    probabilities = nested(probabilities)
    if coincide(prepared.grid, reference):
        # Deciding and copying commute, and masks are lighter to copy.
        decided = [resample(mask, prepared.grid, reference, "nearest") for mask in probabilities > THRESHOLD]
        regions = np.stack(decided)
    else:
        regions = _decided(probabilities, prepared.grid, reference)
    regions, cleaned = clean(regions, reference.voxel_volume_ml, cleanup)
    return Segmentation(subset, regions, reference, cleaned, probabilities, prepared.grid)


def _decided(probabilities: Probabilities, source: Grid, target: Grid) -> NDArray[np.bool_]:
    """Which voxels of another grid are more likely inside than not; only those around the whole tumor are computed."""
    regions = np.zeros((len(probabilities), *target.shape), dtype=bool)
    found = ndimage.find_objects((probabilities[-1] > THRESHOLD).view(np.uint8))
    if not found:
        return regions
    # The tumor's voxels reach over their centers by one voxel, and further by the smoothing before a coarser grid.
    reach = 1 + 2 * max(target.spacing) / min(source.spacing)
    low, high = np.array([(part.start, part.stop) for part in reversed(found[0])]).T
    start, stop = target.box_around(source.corners(low - reach, high + reach), margin=1)
    if (stop > start).all():
        (x, y, z), part = (slice(a, b) for a, b in zip(start, stop, strict=True)), target.part(start, stop)
        regions[:, z, y, x] = _moved(probabilities, source, part) > THRESHOLD
    return regions


def _moved(probabilities: Probabilities, source: Grid, target: Grid) -> Probabilities:
    return nested(np.stack([resample(channel, source, target) for channel in probabilities]))

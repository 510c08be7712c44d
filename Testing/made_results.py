"""Results of the engine made by hand, for tests of what is shown and compared; no network is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import SimpleITK as sitk

from lckd.case import Case
from lckd.engine import Result
from lckd.geometry import Grid
from lckd.labels import LabelConvention, regions_from_labels
from lckd.segmentation import Segmentation
from lckd.sequences import SEQUENCES, Sequence, missing_from, subset_of


def make_segmentation(labels: np.ndarray, grid: Grid, subset: Iterable[Sequence] = SEQUENCES) -> Segmentation:
    """A segmentation that is sure of these labels (D, H, W; BraTS 2023)."""
    regions = regions_from_labels(labels, LabelConvention.BRATS2023)
    return Segmentation(subset_of(subset), regions, grid, [], regions.astype(np.float32), grid)


def make_result(
    labels: np.ndarray, images: Mapping[Sequence, sitk.Image], subset: Iterable[Sequence] | None = None
) -> Result:
    """A result with these labels (D, H, W; BraTS 2023) on the voxels of the case's reference sequence."""
    case = Case.from_images(images, name="Secret^Name")
    segmentation = make_segmentation(labels, Grid.of(case.reference), case.present if subset is None else subset)
    report = {
        "case": case.name,
        "model": {"name": "tiny", "sha256": "0" * 64},
        "imputed": [sequence.value for sequence in missing_from(segmentation.subset)],
        "warnings": ["Something the user must know."],
    }
    return Result(case, segmentation, report)

"""What is measured of a segmentation against its reference, and the conventions where something is empty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lckd.labels import REGIONS, Region
from lckd.metrics import dice, hd95_mm
from lckd.reference import Reference
from lckd.segmentation import Segmentation
from lckd.sequences import Subset, subset_name, subsets_of

from .lesionwise import LesionScores, lesion_scores

CASE_COLUMNS = ("case", "subset", "region", "dice", "hd95_mm", "sensitivity")
CASE_LESION_COLUMNS = (
    "lesions_found",
    "lesions_missed",
    "lesions_false",
    "lesion_f1",
    "lesion_dice",
    "lesion_hd95_mm",
)
#: Behind subset, region, dice, hd95_mm and cases, which others rely on.
SUMMARY_COLUMNS = ("subset", "region", "dice", "hd95_mm", "cases", "sensitivity")
SUMMARY_LESION_COLUMNS = ("lesion_f1", "lesion_dice", "lesion_hd95_mm")

CONVENTIONS = {
    "dice": "1 if both masks are empty, 0 if one is",
    "hd95_mm": "the larger of the 95th percentiles of both directions; 0 if both masks are empty, 373.13 if one is",
    "sensitivity": "share of the reference's voxels that were segmented; empty where the reference is",
}
LESION_CONVENTIONS = {
    "lesions": "26-connected components, paired one to one by the largest sum of Dice (BraTS-evaluation)",
    "lesion_f1": "2·found / (2·found + missed + false); 1 where there is no lesion in either mask",
    "lesion_dice": "mean over the pairs; 0 if there is none, 1 where there is no lesion in either mask",
    "lesion_hd95_mm": "mean over the pairs, both directions taken together; 373.13 if there is none, "
    "0 where there is no lesion in either mask",
}


@dataclass(frozen=True)
class Score:
    """One region of one case as segmented from one subset.

    Attributes:
        case: name of the case.
        subset: the sequences.
        region: the region.
        dice: 0 to 1.
        hd95_mm: in mm.
        sensitivity: share of the reference's voxels that were segmented; NaN where the reference has none.
        lesions: the scores by lesion, where they were asked for.
    """

    case: str
    subset: Subset
    region: Region
    dice: float
    hd95_mm: float
    sensitivity: float
    lesions: LesionScores | None = None

    def cells(self) -> tuple[object, ...]:
        """The values of `CASE_COLUMNS`, and of `CASE_LESION_COLUMNS` where there are any."""
        names = (self.case, subset_name(self.subset), self.region.value)
        cells = (*names, round(self.dice, 6), round(self.hd95_mm, 4), _cell(self.sensitivity, 6))
        if self.lesions is None:
            return cells
        one = self.lesions
        return (*cells, one.found, one.missed, one.false, *_rounded(one.f1, one.dice, one.hd95_mm))


@dataclass(frozen=True)
class MeanScore:
    """Means over the cases of one subset and region; sensitivity over those whose reference is not empty.

    Attributes:
        cases: how many cases have this subset.
        lesion_f1, lesion_dice, lesion_hd95_mm: None unless they were measured.
    """

    subset: Subset
    region: Region
    dice: float
    hd95_mm: float
    sensitivity: float
    cases: int
    lesion_f1: float | None = None
    lesion_dice: float | None = None
    lesion_hd95_mm: float | None = None

    def cells(self) -> tuple[object, ...]:
        """The values of `SUMMARY_COLUMNS`, and of `SUMMARY_LESION_COLUMNS` where there are any."""
        names = (subset_name(self.subset), self.region.value)
        cells = (*names, round(self.dice, 6), round(self.hd95_mm, 4), self.cases, _cell(self.sensitivity, 6))
        if self.lesion_f1 is None or self.lesion_dice is None or self.lesion_hd95_mm is None:
            return cells
        return (*cells, *_rounded(self.lesion_f1, self.lesion_dice, self.lesion_hd95_mm))


def score_result(case: str, one: Segmentation, reference: Reference, lesionwise: bool = False) -> list[Score]:
    """Compare one subset's segmentation with the reference: its regions in the order ET, TC, WT.

    Args:
        case: name of the case.
        one: the segmentation.
        reference: on the same voxels.
        lesionwise: also by lesion.
    """
    spacing = one.grid.spacing
    return [
        Score(
            case,
            one.subset,
            region,
            dice(mask, true),
            hd95_mm(mask, true, spacing),
            sensitivity(mask, true),
            lesion_scores(mask, true, spacing) if lesionwise else None,
        )
        for region, mask, true in zip(REGIONS, one.regions, reference.regions, strict=True)
    ]


def sensitivity(mask: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Share of the reference's voxels that are in the mask; NaN where the reference has none: nothing can be missed."""
    count = np.count_nonzero(reference)
    return float(np.count_nonzero(mask & reference) / count) if count else float("nan")


def mean_scores(scores: Iterable[Score]) -> list[MeanScore]:
    """Mean over the cases for each subset and region, in the order of the subsets."""
    grouped: Mapping[tuple[Subset, Region], list[Score]] = defaultdict(list)
    for score in scores:
        grouped[score.subset, score.region].append(score)
    order = [(subset, region) for subset in subsets_of() for region in REGIONS]
    return [_mean(*key, grouped[key]) for key in order if key in grouped]


def _mean(subset: Subset, region: Region, scores: list[Score]) -> MeanScore:
    known = [score.sensitivity for score in scores if not np.isnan(score.sensitivity)]
    lesions = [score.lesions for score in scores if score.lesions is not None]
    return MeanScore(
        subset,
        region,
        float(np.mean([score.dice for score in scores])),
        float(np.mean([score.hd95_mm for score in scores])),
        float(np.mean(known)) if known else float("nan"),
        len(scores),
        *np.mean([(one.f1, one.dice, one.hd95_mm) for one in lesions], axis=0).tolist() if lesions else (),
    )


def _cell(value: float, digits: int) -> float | str:
    """A number of a table; empty where it is not defined."""
    return "" if np.isnan(value) else round(value, digits)


def _rounded(f1: float, dice: float, hd95_mm: float) -> tuple[float, float, float]:
    return round(f1, 6), round(dice, 6), round(hd95_mm, 4)

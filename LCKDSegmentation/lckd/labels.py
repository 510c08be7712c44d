"""The three regions, and what the numbers in a label file mean (the only place that knows)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Region(str, enum.Enum):
    """A region of the tumor; nested, ET ⊆ TC ⊆ WT. The order is that of the network's outputs."""

    ET = "ET"
    TC = "TC"
    WT = "WT"

    @property
    def title(self) -> str:  # type: ignore[override]
        """The name in words."""
        return {"ET": "enhancing tumor", "TC": "tumor core", "WT": "whole tumor"}[self.value]


REGIONS: tuple[Region, ...] = tuple(Region)


class Tissue(str, enum.Enum):
    """What one label stands for. RC, the resection cavity, belongs to no region."""

    NCR = "NCR"
    ED = "ED"
    ET = "ET"
    RC = "RC"


#: The tissues each region is made of.
REGION_TISSUES: Mapping[Region, frozenset[Tissue]] = {
    Region.ET: frozenset({Tissue.ET}),
    Region.TC: frozenset({Tissue.ET, Tissue.NCR}),
    Region.WT: frozenset({Tissue.ET, Tissue.NCR, Tissue.ED}),
}


class LabelConvention(str, enum.Enum):
    """A data set's numbering of the tissues."""

    BRATS2023 = "brats2023"
    BRATS2021 = "brats2021"
    BRATS2024 = "brats2024"
    MSD = "msd"

    @property
    def values(self) -> Mapping[int, Tissue]:
        """Label value to tissue."""
        return _VALUES[self]


_VALUES: dict[LabelConvention, dict[int, Tissue]] = {
    LabelConvention.BRATS2023: {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET},
    LabelConvention.BRATS2021: {1: Tissue.NCR, 2: Tissue.ED, 4: Tissue.ET},
    LabelConvention.BRATS2024: {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET, 4: Tissue.RC},
    LabelConvention.MSD: {1: Tissue.ED, 2: Tissue.NCR, 3: Tissue.ET},
}


def convention_of(labels: NDArray[np.integer], known: LabelConvention | None = None) -> LabelConvention:
    """The convention of a label array: the one known from its origin, checked, or the only one that its values allow.

    A 4 means ET up to BraTS 2021 and resection cavity in 2024, so it is never guessed; 3 and 4 together are 2024.

    Args:
        labels: label array of any shape.
        known: what the file's origin (layout, option) says, if anything.

    Raises:
        InputError: a value is not in the known convention, or the values do not decide.
    """
    present = {int(value) for value in np.unique(labels)} - {0}
    if known is not None:
        _check_values(present, known)
        return known
    if {3, 4} <= present:
        _check_values(present, LabelConvention.BRATS2024)
        return LabelConvention.BRATS2024
    if 4 in present:
        raise InputError(
            "LABELS_AMBIGUOUS",
            "The label 4 means enhancing tumor in BraTS up to 2021 and resection cavity in BraTS 2024.",
            "Say which with --reference-labels brats2021 or brats2024.",
        )
    _check_values(present, LabelConvention.BRATS2023)
    return LabelConvention.BRATS2023


def _check_values(present: set[int], convention: LabelConvention) -> None:
    unknown = sorted(present - set(convention.values))
    if unknown:
        allowed = ", ".join(f"{value} {tissue.value}" for value, tissue in convention.values.items())
        raise InputError(
            "LABELS_UNKNOWN",
            f"The label file has the value {unknown[0]}, which {convention.value} does not know ({allowed}).",
            "Give a segmentation with these labels, or name its convention with --reference-labels.",
        )


def regions_from_labels(labels: NDArray[np.integer], convention: LabelConvention) -> NDArray[np.bool_]:
    """Label array (D, H, W) to nested region masks (3, D, H, W) in the order ET, TC, WT."""
    masks = np.zeros((len(REGIONS), *labels.shape), dtype=bool)
    for row, region in zip(masks, REGIONS, strict=True):
        for value, tissue in convention.values.items():
            if tissue in REGION_TISSUES[region]:
                row |= labels == value
    return masks


def labels_from_regions(
    regions: NDArray[np.bool_], convention: LabelConvention = LabelConvention.BRATS2023
) -> NDArray[np.uint8]:
    """Nested region masks (3, D, H, W) in the order ET, TC, WT to a label array (D, H, W)."""
    value = {tissue: number for number, tissue in convention.values.items()}
    enhancing, core, whole = regions
    labels = np.zeros(whole.shape, dtype=np.uint8)
    labels[whole] = value[Tissue.ED]
    labels[core] = value[Tissue.NCR]
    labels[enhancing] = value[Tissue.ET]
    return labels

"""What a reference segmentation holds, and whether it belongs to the images beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lckd.discovery import AUTOMATIC_LABELS
from lckd.errors import InputError
from lckd.geometry import Grid, coincide
from lckd.images import image_stem
from lckd.labels import REGION_TISSUES, REGIONS, LabelConvention, Region, Tissue, convention_of
from lckd.reference import MIN_INSIDE, read_labels, share_inside
from lckd.sequences import REFERENCE_PREFERENCE, Sequence

from .findings import Finding, fault, note, shown
from .geometry import overlap, same


@dataclass(frozen=True)
class LabelCheck:
    """What a segmentation holds.

    Attributes:
        convention: what its numbers mean.
        volumes_ml: of each region.
        findings: what is to be said of it.
        digest: hash of the tumor's voxels, the same whatever the numbering; None if there is no tumor.
    """

    convention: LabelConvention
    volumes_ml: Mapping[Region, float]
    findings: list[Finding]
    digest: str | None = None


def check_labels(path: Path, grids: Mapping[Sequence, Grid], known: LabelConvention | None, root: Path) -> LabelCheck:
    """Read a segmentation and compare it with the images of its case.

    Args:
        path: the label file.
        grids: of the images.
        known: what its numbers mean, if the origin says so.
        root: the folder that is checked.

    Raises:
        InputError: the file is refused, or its values have no meaning or an ambiguous one.
    """
    labels, own = read_labels(path)
    counts = _count(labels)
    convention = _convention(set(counts), known)
    tissues = {convention.values[value]: count for value, count in counts.items()}
    volumes = {region: _volume_ml(region, tissues, own) for region in REGIONS}
    findings = [
        *_place(labels, own, grids, shown(path, root)),
        *_remarks(path, counts, volumes, known, shown(path, root)),
    ]
    digest = _digest(labels, convention) if volumes[Region.WT] else None
    return LabelCheck(convention, volumes, findings, digest)


def _digest(labels: NDArray[np.integer], convention: LabelConvention) -> str:
    order = list(Tissue)
    tissues = np.zeros(labels.shape, np.uint8)
    for value, tissue in convention.values.items():
        tissues[labels == value] = 1 + order.index(tissue)
    return hashlib.sha256(str(tissues.shape).encode() + tissues.tobytes()).hexdigest()


def _count(labels: NDArray[np.integer]) -> dict[int, int]:
    """How many voxels each label has, 0 aside."""
    values, counts = np.unique(labels[labels != 0], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _convention(values: set[int], known: LabelConvention | None) -> LabelConvention:
    """As `convention_of`, with a word on files that hold 3 and 4.

    Raises:
        InputError: as there, or LABELS_MIXED.
    """
    if known is not None and {3, 4} <= values and not {3, 4} <= set(known.values):
        enhancing = next(value for value, tissue in known.values.items() if tissue is Tissue.ET)
        raise InputError(
            "LABELS_MIXED",
            f"The segmentation holds both 3 and 4, while {known.value} has {enhancing} alone for enhancing tumor.",
            f"Make both {enhancing} if both are enhancing tumor; if 4 is a resection cavity, list the cases in a CSV "
            "file with brats2024 in the column convention.",
        )
    return convention_of(np.array(sorted(values), dtype=np.int32), known)


def _volume_ml(region: Region, tissues: Mapping[Tissue, int], grid: Grid) -> float:
    voxels = sum(tissues.get(tissue, 0) for tissue in REGION_TISSUES[region])
    return round(voxels * grid.voxel_volume_ml, 3)


def _place(labels: NDArray[np.integer], own: Grid, grids: Mapping[Sequence, Grid], file: str) -> list[Finding]:
    """Whether it lies where the images are."""
    reference = next((grids[sequence] for sequence in REFERENCE_PREFERENCE if sequence in grids), None)
    if reference is None or same(own, reference):
        return []
    if share_inside(labels, own, reference) < MIN_INSIDE:
        return [
            fault(
                "LABELS_ELSEWHERE",
                "The segmentation does not lie where the images are.",
                "Put the segmentation of these images there.",
                file,
            )
        ]
    if not any(coincide(own, grid) and overlap(own, grid) for grid in grids.values()):
        return [
            fault(
                "LABELS_OTHER_VOXELS",
                "The segmentation lies on other voxels than each of the images.",
                "Resample it to the voxels of one of them, to the nearest voxel.",
                file,
            )
        ]
    return []


def _remarks(
    path: Path, counts: Mapping[int, int], volumes: Mapping[Region, float], known: LabelConvention | None, file: str
) -> list[Finding]:
    remarks = []
    if not volumes[Region.WT]:
        remarks.append(
            note("NO_TUMOR", "The segmentation shows no tumor.", "Nothing is to be done if there is none.", file)
        )
    if set(counts) == {1} and not volumes[Region.ET] and volumes[Region.TC]:
        message = "The segmentation holds the label 1 alone, which is read as tumor core without edema."
        remarks.append(note("ONE_LABEL", message, "If it is a mask of the whole tumor, leave the case out.", file))
    if known is None and {3, 4} <= set(counts):
        message = "The segmentation holds 3 and 4, so it is read as BraTS 2024: 3 enhancing tumor, 4 resection cavity."
        remarks.append(note("READ_AS_2024", message, "Make them one if both are enhancing tumor.", file))
    if image_stem(path).endswith(AUTOMATIC_LABELS):
        message = "The segmentation is automatic, and nobody has corrected it."
        remarks.append(note("AUTOMATIC_LABELS", message, "Train on it, but do not score with it.", file))
    return remarks

"""A reference segmentation: read from its file and moved to the voxels of a result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .errors import InputError
from .geometry import Grid, resample
from .images import ImageFile, read_image
from .labels import LabelConvention, convention_of, regions_from_labels

#: At least this part of the reference's tumor must lie within the result's volume.
MIN_INSIDE = 0.5
_LABEL_RANGE = (-(2**15), 2**15)


@dataclass(frozen=True)
class Reference:
    """A reference segmentation: name of its file, nested region masks (3, D, H, W) in the order ET, TC, WT."""

    name: str
    regions: NDArray[np.bool_]


def read_reference(path: Path, grid: Grid, convention: LabelConvention | None = None) -> Reference:
    """The regions of a label file on the voxels of `grid` (nearest voxel).

    Args:
        path: 3-D image of labels.
        grid: where the masks shall lie.
        convention: what the numbers mean; None: decided by the values (a 4 is never guessed).

    Raises:
        InputError: the file is refused, holds no labels, does not say what they mean, or lies elsewhere in space.
    """
    labels, own = read_labels(path)
    known = convention_of(labels, convention)
    if share_inside(labels, own, grid) < MIN_INSIDE:
        raise InputError(
            "REFERENCE_ELSEWHERE",
            f"The reference segmentation {path.name} does not lie where the images are.",
            "Choose the segmentation that belongs to these images.",
        )
    return Reference(path.name, regions_from_labels(resample(labels, own, grid, "nearest"), known))


def read_labels(path: Path) -> tuple[NDArray[np.integer], Grid]:
    """A label file as whole numbers (D, H, W), and the grid on which they lie.

    Raises:
        InputError: the file is refused, or its values are not whole numbers.
    """
    image = read_image(ImageFile(path))
    return _whole_numbers(sitk.GetArrayFromImage(image), path), Grid.of(image)


def _whole_numbers(array: NDArray, path: Path) -> NDArray[np.integer]:
    """The labels as integers; some programs store them as floating-point numbers."""
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return array
    labels = np.rint(np.clip(array, *_LABEL_RANGE)).astype(np.int32)
    if not np.array_equal(labels, array):
        raise InputError(
            "NOT_LABELS",
            f"The reference segmentation {path.name} holds values that are not whole numbers.",
            "Give a label map, not an image or a probability map.",
        )
    return labels


def share_inside(labels: NDArray[np.integer], own: Grid, target: Grid) -> float:
    """Which part of the labeled voxels' centers (of all voxels' corners, if none is labeled) lies in `target`."""
    points = np.argwhere(labels)[:, ::-1] @ own.matrix.T + np.asarray(own.origin) if labels.any() else own.corners()
    index = (points - np.asarray(target.origin)) @ np.linalg.inv(target.matrix).T
    inside = (index >= -0.5).all(axis=1) & (index <= np.asarray(target.size) - 0.5).all(axis=1)
    return float(inside.mean())

"""Anatomical planes through a segmentation, for pictures: only the slices shown are resampled.

Planes follow the voxel axes nearest to the patient's axes, as in Slicer's slice views rotated to the volume. They are
seen in radiological convention: the patient's right on the left of axial and coronal planes, anterior on the left of
sagittal ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .geometry import Grid
from .sequences import Sequence

#: Axes of the patient in LPS order: left-right, anterior-posterior, inferior-superior.
_X, _Y, _Z = range(3)


@dataclass(frozen=True)
class View:
    """How a plane is seen: its normal, the patient's axes to the right and down, and the letters at its sides."""

    name: str
    normal: int
    right: int
    down: int
    letters: tuple[str, str, str, str]  # left, right, top, bottom

    @property
    def upside_down(self) -> bool:
        """Whether the axis that points down in the picture points up in the patient (superior)."""
        return self.down == _Z


VIEWS = (
    View("Axial", _Z, _X, _Y, ("R", "L", "A", "P")),
    View("Coronal", _Y, _X, _Z, ("R", "L", "S", "I")),
    View("Sagittal", _X, _Y, _Z, ("A", "P", "S", "I")),
)


@dataclass(frozen=True)
class Plane:
    """One plane as it is seen.

    Attributes:
        view: which plane.
        images: intensities (rows, columns) of each present sequence, float32.
        regions: nested masks (3, rows, columns) in the order ET, TC, WT.
        pixel_mm: height and width of a pixel.
    """

    view: View
    images: Mapping[Sequence, NDArray[np.float32]]
    regions: NDArray[np.bool_]
    pixel_mm: tuple[float, float]


def planes_through(images: Mapping[Sequence, sitk.Image], regions: NDArray[np.bool_], grid: Grid) -> list[Plane]:
    """The axial, coronal and sagittal plane with the largest whole tumor; without any, those through the middle.

    Args:
        images: the sequences, each on its own grid.
        regions: nested masks (3, D, H, W) in the order ET, TC, WT, on `grid`.
        grid: where the planes lie.
    """
    axes, signs = _anatomical_axes(grid)
    planes = []
    for view in VIEWS:
        axis = axes[view.normal]
        index = _largest_slice(regions[-1], axis)
        slab = _slab(grid, axis, index)
        masks = np.take(regions, [index], axis=3 - axis)
        planes.append(
            Plane(
                view,
                {key: _as_seen(_on_slab(image, slab), view, axes, signs) for key, image in images.items()},
                np.stack([_as_seen(mask, view, axes, signs) for mask in masks]),
                (grid.spacing[axes[view.down]], grid.spacing[axes[view.right]]),
            )
        )
    return planes


def _anatomical_axes(grid: Grid) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """For each axis of the patient (L, P, S) the voxel axis (x, y, z) nearest to it, and whether it runs against it."""
    cosines = np.asarray(grid.direction).reshape(3, 3)
    axes = max(itertools.permutations(range(3)), key=lambda order: sum(abs(cosines[k, order[k]]) for k in range(3)))
    x, y, z = axes
    signs = tuple(1 if cosines[k, axis] >= 0 else -1 for k, axis in enumerate(axes))
    return (x, y, z), signs  # type: ignore[return-value]


def _largest_slice(mask: NDArray[np.bool_], axis: int) -> int:
    """Index along a voxel axis (x, y, z) of the slice of a mask (D, H, W) with most voxels; the middle if none has."""
    others = tuple(other for other in range(3) if other != 2 - axis)
    counts = np.count_nonzero(mask, axis=others)
    return int(counts.argmax()) if counts.any() else len(counts) // 2


def _slab(grid: Grid, axis: int, index: int) -> Grid:
    """The part of a grid that is one slice."""
    size = [1 if other == axis else length for other, length in enumerate(grid.size)]
    origin = np.asarray(grid.origin) + grid.matrix[:, axis] * index
    return Grid(tuple(size), grid.spacing, tuple(origin.tolist()), grid.direction)  # type: ignore[arg-type]


def _on_slab(image: sitk.Image, slab: Grid) -> NDArray[np.float32]:
    """An image interpolated on one slice (D, H, W, one of them 1), 0 outside it."""
    frame = (slab.size, sitk.Transform(), sitk.sitkLinear, slab.origin, slab.spacing, slab.direction)
    return sitk.GetArrayFromImage(sitk.Resample(image, *frame, 0.0, sitk.sitkFloat32))


def _as_seen(array: NDArray, view: View, axes: tuple[int, int, int], signs: tuple[int, int, int]) -> NDArray:
    """A slice (D, H, W) as rows and columns of the picture."""
    patient = array.transpose(2, 1, 0).transpose(axes)
    patient = patient[tuple(slice(None, None, sign) for sign in signs)]
    picture = np.take(patient, 0, axis=view.normal)
    # The axes that are left are in ascending order, and in every view `right` comes before `down`.
    picture = picture.T
    return picture[::-1] if view.upside_down else picture

"""Voxel grids in physical space, and moving arrays from one grid to another.

Physical coordinates are LPS in millimeters, as in SimpleITK and DICOM. Grid tuples are in (x, y, z) order, arrays in
(z, y, x), written (D, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

#: Two voxel centers closer than this fraction of a voxel are the same point; headers round.
ALIGNMENT_TOLERANCE = 1e-2

IDENTITY_DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a 3-D image lie: size in voxels, spacing in mm, origin in mm (LPS), direction row-major."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...] = IDENTITY_DIRECTION

    @staticmethod
    def of(image: sitk.Image) -> Grid:
        """The grid of a 3-D image."""
        return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (D, H, W) of an array on this grid."""
        return self.size[::-1]

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return float(np.prod(self.spacing)) / 1000.0

    @property
    def matrix(self) -> NDArray[np.float64]:
        """3×3 matrix from index steps (x, y, z) to millimeters."""
        return np.asarray(self.direction).reshape(3, 3) * np.asarray(self.spacing)

    def corners(self, start: NDArray | None = None, stop: NDArray | None = None) -> NDArray[np.float64]:
        """Physical positions (8, 3) of the corner voxel centers of the index box [start, stop), default all."""
        low = np.zeros(3) if start is None else np.asarray(start, dtype=float)
        high = (np.asarray(self.size, dtype=float) if stop is None else np.asarray(stop, dtype=float)) - 1
        choice = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        return np.where(choice, high, low) @ self.matrix.T + np.asarray(self.origin)

    def box_around(self, positions: NDArray, margin: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """Smallest index box [start, stop) (x, y, z) with all positions (n, 3) in mm and `margin` voxels around."""
        index = (positions - np.asarray(self.origin)) @ np.linalg.inv(self.matrix).T
        start = np.clip(np.floor(index.min(0) - margin), 0, self.size).astype(int)
        return start, np.clip(np.ceil(index.max(0) + margin) + 1, start, self.size).astype(int)

    def part(self, start: NDArray, stop: NDArray) -> Grid:
        """The grid of the voxels of an index box [start, stop) (x, y, z)."""
        origin = np.asarray(self.origin) + self.matrix @ start
        return Grid(tuple((stop - start).tolist()), self.spacing, tuple(origin.tolist()), self.direction)

    def image(self, array: NDArray) -> sitk.Image:
        """An image of `array` (D, H, W) with exactly this geometry."""
        image = sitk.GetImageFromArray(np.ascontiguousarray(array))
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image


@dataclass(frozen=True)
class _Alignment:
    """How voxel indices (x, y, z) of a target map to those of a source.

    Along target axis k the index of source axis ``axes[k]`` is ``signs[k]`` × target index + ``offset[axes[k]]``.
    """

    axes: tuple[int, int, int]
    signs: tuple[int, int, int]
    offset: tuple[int, int, int]


def _alignment(source: Grid, target: Grid) -> _Alignment | None:
    """How the target's voxels index the source's, when every voxel center of one is one of the other."""
    inverse = np.linalg.inv(source.matrix)
    steps = inverse @ target.matrix
    offset = inverse @ (np.asarray(target.origin) - np.asarray(source.origin))
    rounded = np.rint(steps)
    is_permutation = np.array_equal(np.abs(rounded).sum(0), np.ones(3)) and np.array_equal(
        np.abs(rounded).sum(1), np.ones(3)
    )
    drift = np.abs(steps - rounded) @ np.asarray(target.size) + np.abs(offset - np.rint(offset))
    if not is_permutation or drift.max() > ALIGNMENT_TOLERANCE:
        return None
    axes = np.abs(rounded).argmax(0)
    signs = rounded[axes, range(3)]
    return _Alignment(*(tuple(values.astype(int).tolist()) for values in (axes, signs, np.rint(offset))))


def _copy_aligned(array: NDArray, alignment: _Alignment, target: Grid, outside: float) -> NDArray:
    """Resample by copying: transpose, flip, crop and pad. Exact."""
    by_xyz = array.transpose(2, 1, 0).transpose(alignment.axes)
    result = np.full(target.size, outside, dtype=array.dtype)
    take, put = [], []
    for axis, (source_axis, sign) in enumerate(zip(alignment.axes, alignment.signs, strict=True)):
        length, first = by_xyz.shape[axis], alignment.offset[source_axis]
        index = first + sign * np.arange(target.size[axis])
        inside = np.flatnonzero((index >= 0) & (index < length))
        if inside.size == 0:
            return np.full(target.shape, outside, dtype=array.dtype)
        start, stop = int(index[inside[0]]), int(index[inside[-1]]) + sign
        take.append(slice(start, None if stop < 0 else stop, sign))
        put.append(slice(int(inside[0]), int(inside[-1]) + 1))
    result[tuple(put)] = by_xyz[tuple(take)]
    return np.ascontiguousarray(result.transpose(2, 1, 0))


def coincide(source: Grid, target: Grid) -> bool:
    """Whether the voxel centers of one grid are those of the other, so that moving an array is an exact copy."""
    return _alignment(source, target) is not None


def resample(
    array: NDArray,
    source: Grid,
    target: Grid,
    interpolation: Literal["linear", "nearest"] = "linear",
    outside: float = 0.0,
) -> NDArray:
    """Move an array (D, H, W) from one grid to another in physical space.

    Where the voxel centers coincide (permuted or flipped axes, crops, pads) the values are copied exactly. Otherwise
    they are interpolated; going to a coarser grid by a third or more, the array is first smoothed against aliasing.
    """
    alignment = _alignment(source, target)
    if alignment is not None:
        return _copy_aligned(array, alignment, target, outside)
    image = source.image(array.astype(np.float32) if interpolation == "linear" else array)
    if interpolation == "linear":
        image = _smooth_before_shrinking(image, min(target.spacing))
    method = sitk.sitkLinear if interpolation == "linear" else sitk.sitkNearestNeighbor
    frame = (target.size, sitk.Transform(), method, target.origin, target.spacing, target.direction)
    return sitk.GetArrayFromImage(sitk.Resample(image, *frame, float(outside), image.GetPixelID()))


def _smooth_before_shrinking(image: sitk.Image, spacing: float) -> sitk.Image:
    sigmas = [
        0.4 * np.sqrt(max(spacing**2 - own**2, 0.0)) if own < 0.75 * spacing else 0.0 for own in image.GetSpacing()
    ]
    for axis, sigma in enumerate(sigmas):
        if sigma > 0:
            smooth = sitk.RecursiveGaussianImageFilter()
            smooth.SetDirection(axis)
            smooth.SetSigma(float(sigma))
            image = smooth.Execute(image)
    return image

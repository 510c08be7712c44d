"""Arrays of one value a voxel: smooth random fields for deformation, tumor shape, texture and bias; and masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: A float32 array (D, H, W).
Volume = NDArray[np.floating]
Mask = NDArray[np.bool_]


def smooth_noise(shape: tuple[int, ...], spacing: float, rng: np.random.Generator) -> Volume:
    """Random field of zero mean and unit variance: a cubic B-spline with normal coefficients.

    Args:
        shape: grid (D, H, W).
        spacing: distance of the control points in voxels; details are about this large.
        rng: source of the coefficients.
    """
    bases = [_spline_basis(size, spacing) for size in shape]
    field = rng.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
    for basis in bases:
        # Each product consumes the first axis and appends the grid axis, so the order of the axes is kept.
        field = np.tensordot(field, basis, axes=(0, 1))
    # 151/315 is the mean over the grid of the sum of squared cubic B-spline weights along one axis.
    return np.ascontiguousarray(field / np.float32((151 / 315) ** (len(shape) / 2)))


def fractal_noise(shape: tuple[int, ...], spacing: float, octaves: int, rng: np.random.Generator) -> Volume:
    """Sum of `octaves` smooth fields, each with half the spacing and half the amplitude of the last; unit variance."""
    amplitudes = 0.5 ** np.arange(octaves)
    amplitudes /= np.sqrt(np.sum(amplitudes**2))
    total = np.zeros(shape, dtype=np.float32)
    for octave, amplitude in enumerate(amplitudes):
        total += np.float32(amplitude) * smooth_noise(shape, spacing / 2**octave, rng)
    return total


def largest_component(mask: Mask) -> Mask:
    """The largest set of voxels of the mask that touch each other by faces."""
    components, count = ndimage.label(mask)
    if count < 2:
        return mask
    return np.equal(components, 1 + np.argmax(np.bincount(components.ravel())[1:]))


def _spline_basis(size: int, spacing: float) -> Volume:
    """Weights (size, control points) of the uniform cubic B-spline at the integers 0 … size − 1."""
    position = np.arange(size) / spacing
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    basis = np.zeros((size, int(first[-1]) + 4), dtype=np.float32)
    np.put_along_axis(basis, first[:, None] + np.arange(4), weights, axis=1)
    return basis

"""Dividing a volume into overlapping windows (the only sliding window of the project)."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence as Items
from dataclasses import dataclass

import torch
from torch import Tensor

#: Neighboring windows share at least this part of their length.
OVERLAP = 0.25
MAX_WINDOWS_PER_AXIS = 12
#: Shortest side of a window along an axis that is divided: below, a window sees too little around a voxel.
MIN_LENGTH = 64


@dataclass(frozen=True)
class Window:
    """A part of a volume: index ranges [start, start + size) along D, H, W; it may reach past the far end."""

    start: tuple[int, int, int]
    size: tuple[int, int, int]

    def cut(self, volume: Tensor) -> Tensor:
        """This part of a volume (…, D, H, W), padded with zeros where it reaches past the end."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.start, self.size, strict=True))
        part = volume[..., z, y, x]
        after = [wanted - has for wanted, has in zip(self.size, part.shape[-3:], strict=True)]
        return torch.nn.functional.pad(part, (0, after[2], 0, after[1], 0, after[0])) if any(after) else part

    def inside(self, shape: Items[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where this window lies in a volume of that shape, and which part of the window that is."""
        stops = [min(a + n, length) for a, n, length in zip(self.start, self.size, shape, strict=True)]
        there = tuple(slice(a, stop) for a, stop in zip(self.start, stops, strict=True))
        return there, tuple(slice(0, part.stop - part.start) for part in there)


def plan_windows(shape: Items[int], stride: Items[int], max_voxels: int) -> list[Window]:
    """Windows of one size that cover a volume with the fewest voxels in all.

    Args:
        shape: D, H, W of the volume.
        stride: what the sizes of a window must be multiples of.
        max_voxels: most voxels of one window, but sides of divided axes are not made shorter than 64.
    """
    counts = itertools.product(range(1, MAX_WINDOWS_PER_AXIS + 1), repeat=3)
    best: tuple[int, int, tuple[int, ...], tuple[int, ...]] | None = None
    for count in counts:
        size = tuple(_window_length(n, k, step) for n, k, step in zip(shape, count, stride, strict=True))
        voxels, number = size[0] * size[1] * size[2], count[0] * count[1] * count[2]
        long_enough = all(length >= MIN_LENGTH for length, parts in zip(size, count, strict=True) if parts > 1)
        if voxels <= max_voxels and long_enough and (best is None or (voxels * number, number) < best[:2]):
            best = (voxels * number, number, size, count)
    size, count = best[2:] if best else _smallest(shape, stride)
    starts = [_starts(n, k, length) for n, k, length in zip(shape, count, size, strict=True)]
    return [Window(start, size) for start in itertools.product(*starts)]  # type: ignore[arg-type]


def _smallest(shape: Items[int], stride: Items[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Size and number of the smallest windows that still see enough."""
    size = [
        min(_window_length(n, 1, step), step * -(-MIN_LENGTH // step)) for n, step in zip(shape, stride, strict=True)
    ]
    count = [max(1, math.ceil((n / s - OVERLAP) / (1 - OVERLAP))) for n, s in zip(shape, size, strict=True)]
    return tuple(size), tuple(count)


def _window_length(length: int, count: int, step: int) -> int:
    """Shortest multiple of `step` with which `count` overlapping windows cover `length`."""
    needed = length / (count - (count - 1) * OVERLAP)
    return step * -(-int(-(-needed // 1)) // step)


def _starts(length: int, count: int, size: int) -> list[int]:
    room = max(0, length - size)
    return sorted({round(room * number / max(1, count - 1)) for number in range(count)})


@functools.lru_cache(maxsize=2)
def importance(size: tuple[int, int, int]) -> Tensor:
    """Gaussian weights (D, H, W) of a window's voxels, highest in the middle (MONAI's map, σ = 1/8 of the length)."""
    from monai.data.utils import compute_importance_map

    return compute_importance_map(size, mode="gaussian", sigma_scale=0.125)

"""Optional clean-up of a segmentation; everything is off by default and named in the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Cleanup:
    """What to clean up.

    Attributes:
        min_component_ml: connected parts of the whole tumor smaller than this are removed; 0: none.
        min_enhancing_ml: with less enhancing tumor than this in all, it becomes tumor core; 0: never.
    """

    min_component_ml: float = 0.0
    min_enhancing_ml: float = 0.0


NO_CLEANUP = Cleanup()


def clean(regions: NDArray[np.bool_], voxel_ml: float, cleanup: Cleanup) -> tuple[NDArray[np.bool_], list[str]]:
    """Clean nested region masks (3, D, H, W) in the order ET, TC, WT; returns them and what was done, in words."""
    enhancing, core, whole = regions
    done = []
    if cleanup.min_component_ml > 0:
        # 26-connected: a part that touches another by a corner belongs to it.
        parts, count = ndimage.label(whole, structure=np.ones((3, 3, 3)))
        small = np.bincount(parts.ravel(), minlength=count + 1) * voxel_ml < cleanup.min_component_ml
        small[0] = False
        keep = ~small[parts]
        enhancing, core, whole = enhancing & keep, core & keep, whole & keep
        done.append(f"removed {int(small.sum())} parts smaller than {cleanup.min_component_ml:g} mL")
    volume = float(enhancing.sum()) * voxel_ml
    if 0 < volume < cleanup.min_enhancing_ml:
        enhancing = np.zeros_like(enhancing)
        done.append(
            f"enhancing tumor of {volume:.2f} mL, below {cleanup.min_enhancing_ml:g} mL, relabeled as tumor core"
        )
    return np.stack([enhancing, core, whole]), done

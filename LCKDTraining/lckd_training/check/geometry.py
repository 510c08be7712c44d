"""Do the images of a case lie in one place?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lckd.discovery import CaseFiles
from lckd.geometry import ALIGNMENT_TOLERANCE, Grid, coincide
from lckd.sequences import REFERENCE_PREFERENCE, Sequence, subset_title

from .findings import Finding, fault, note, shown


def check_grids(grids: Mapping[Sequence, Grid], files: CaseFiles, root: Path) -> list[Finding]:
    """Compare the grid of each sequence with that of the one on which results lie.

    Grids that are not the same are a note, since every case is resampled; grids that share no place are a fault.
    """
    reference = next((sequence for sequence in REFERENCE_PREFERENCE if sequence in grids), None)
    if reference is None:
        return []
    own = grids[reference]
    apart = [sequence for sequence, grid in grids.items() if not overlap(grid, own)]
    findings = [
        fault(
            "NO_OVERLAP",
            f"{sequence.title} does not overlap with {reference.title} in space.",
            "Put images of the same examination there, or register them first.",
            shown(files.images[sequence].path, root),
        )
        for sequence in apart
    ]
    other = [s for s, grid in grids.items() if s not in apart and not same(grid, own)]
    if other:
        interpolated = [sequence for sequence in other if not coincide(grids[sequence], own)]
        message = f"Other grids than that of {reference.title}: {subset_title(other)}."
        message += f" Interpolated for training: {subset_title(interpolated)}." if interpolated else ""
        findings.append(note("GRIDS_DIFFER", message, "Nothing is to be done if the images are aligned."))
    return findings


def overlap(first: Grid, second: Grid) -> bool:
    """Whether the boxes around two grids share a place."""
    margin = max(*first.spacing, *second.spacing) / 2
    a, b = first.corners(), second.corners()
    return bool((a.min(0) <= b.max(0) + margin).all() and (b.min(0) <= a.max(0) + margin).all())


def same(first: Grid, second: Grid) -> bool:
    """Whether two grids have the same voxels in the same order, but for the rounding of headers."""
    tolerance = ALIGNMENT_TOLERANCE * min(first.spacing)
    return first.size == second.size and np.allclose(first.corners(), second.corners(), rtol=0, atol=tolerance)

"""Case → aligned, normalized arrays on the canonical grid.

The canonical grid is LPS-aligned with 1 mm voxels whose centers coincide with those of the reference sequence where
that is possible, cropped to the brain with a margin. Inputs that are already such a grid (BraTS) are copied, not
interpolated; others are interpolated linearly within the brain. Intensities: inside the brain of each sequence, clipped
to its 0.1 and 99.9 percentiles and z-scored; outside the brain 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from .case import Case
from .errors import InputError
from .geometry import IDENTITY_DIRECTION, Grid, coincide, resample
from .metrics import dice
from .sequences import Sequence, Subset, subset_of, subset_title

SPACING_MM = 1.0
MARGIN_MM = 1
CLIP_PERCENTILES = (0.1, 99.9)
#: Below this share of one value on the faces of the volume, the background is not uniform: the head is not stripped.
UNIFORM_BACKGROUND_SHARE = 0.05
#: No brain is larger: more than this beside a uniform background is a head, or noise.
MAX_BRAIN_ML = 2500
#: A slice with less than this part of the largest one's foreground is not brain but a few stray voxels.
STRAY_SHARE = 1e-3
#: Two sequences must share at least this part of the larger one's brain box.
MIN_OVERLAP = 0.25
#: Less is no brain, but a wrong spacing.
MIN_BRAIN_ML = 10
#: Brains of aligned sequences overlap at least so much (Dice), also where one has thick slices.
MIN_BRAIN_DICE = 0.8
#: Ringing around a resampled brain goes at most this far below the background, as a share of the brain's intensities;
#: above it, the brain begins.
MAX_RINGING, RINGING_CUT = 0.2, 0.1
#: Ringing has faded to less than this share at the faces of a volume; noise has not.
RINGING_FLOOR = 1e-3
#: More than any head measures, in mm; a header that says so has the wrong spacing.
MAX_LENGTH_MM = 500


@dataclass(frozen=True)
class PreparedCase:
    """What the network sees.

    Attributes:
        arrays: one float32 array (D, H, W) for each present sequence, z-scored, 0 outside the brain.
        brain: bool (D, H, W), union of the brains of the present sequences.
        grid: the canonical grid of these arrays.
        history: what was done, in order, in plain words.
        warnings: what the user should know.
    """

    arrays: Mapping[Sequence, NDArray[np.float32]]
    brain: NDArray[np.bool_]
    grid: Grid
    history: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def present(self) -> Subset:
        """The sequences at hand."""
        return subset_of(self.arrays)


@dataclass(frozen=True)
class _Foreground:
    """Where the head is in one native volume: mask (D, H, W), index box (x, y, z), and what it was told by."""

    mask: NDArray[np.bool_]
    start: NDArray[np.int_]
    stop: NDArray[np.int_]
    stripped: bool
    ringing: bool = False


def prepare(case: Case) -> PreparedCase:
    """Bring the sequences of a case onto one canonical grid, crop to the brain, normalize.

    Raises:
        InputError: the sequences do not overlap in space, or a volume has no foreground.
    """
    natives = {sequence: sitk.GetArrayViewFromImage(image) for sequence, image in case.images.items()}
    grids = {sequence: Grid.of(image) for sequence, image in case.images.items()}
    foregrounds = {sequence: _find_foreground(natives[sequence], grids[sequence], sequence) for sequence in natives}
    boxes = {sequence: _physical_box(grids[sequence], foregrounds[sequence]) for sequence in natives}
    _check_overlap(boxes)
    target = _canonical_grid(Grid.of(case.reference), np.stack(list(boxes.values())))

    arrays, masks = {}, {}
    for sequence, native in natives.items():
        values, mask = _move(native, foregrounds[sequence].mask, grids[sequence], target)
        if not mask.any():
            raise _empty(sequence)
        arrays[sequence], masks[sequence] = _normalize(values, mask), mask
    brain = np.logical_or.reduce(list(masks.values()))
    history = [
        f"moved to an LPS grid of {SPACING_MM:g} mm, cropped to the brain with {MARGIN_MM} mm margin: "
        f"{'×'.join(map(str, target.size))} voxels; {_moved_how(grids, target)}",
        f"clipped to the {CLIP_PERCENTILES[0]} and {CLIP_PERCENTILES[1]} percentiles in the brain, z-scored there",
    ]
    ringing = [sequence for sequence in natives if foregrounds[sequence].ringing]
    if ringing:
        history.append(f"faint ringing around the brain left out in {subset_title(ringing)}")
    unstripped = [sequence for sequence in natives if not foregrounds[sequence].stripped]
    return PreparedCase(arrays, brain, target, history, _doubts(masks, unstripped))


def _doubts(masks: Mapping[Sequence, NDArray[np.bool_]], unstripped: list[Sequence]) -> list[str]:
    """What is odd about the brains that were found, for the user to know."""
    doubts = []
    if unstripped:
        doubts.append(
            f"The skull seems to be still in {subset_title(unstripped)}. The model expects brain-extracted images; "
            "the result may be wrong."
        )
    (first, mask), *others = masks.items()
    apart = [sequence for sequence, other in others if dice(mask, other) < MIN_BRAIN_DICE]
    if apart and not unstripped:
        doubts.append(
            f"The brain in {subset_title(apart)} does not lie on that in {first.title}. If the images are not aligned, "
            "the result is wrong; register them first."
        )
    volume = np.count_nonzero(mask) * SPACING_MM**3 / 1000
    if volume < MIN_BRAIN_ML:
        doubts.append(
            f"By its voxel spacing the brain has only {volume:.1f} mL. Check the spacing in the image's header."
        )
    return doubts


def _moved_how(grids: Mapping[Sequence, Grid], target: Grid) -> str:
    copied = [sequence for sequence, grid in grids.items() if coincide(grid, target)]
    interpolated = [sequence for sequence in grids if sequence not in copied]
    parts = [(copied, "copied voxel by voxel"), (interpolated, "interpolated linearly")]
    return ", ".join(f"{subset_title(subset)} {how}" for subset, how in parts if subset)


def _move(
    array: NDArray, mask: NDArray[np.bool_], grid: Grid, target: Grid
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The values inside the brain, and where it is, on another grid; no background is mixed into its outer voxels."""
    if coincide(grid, target):
        inside = resample(mask, grid, target, outside=False)
        return resample(array, grid, target)[inside].astype(np.float32), inside
    weight = resample(mask.astype(np.float32), grid, target)
    inside = weight > 0.5
    values = resample(np.where(mask, array, array.dtype.type(0)), grid, target)
    return values[inside].astype(np.float32) / weight[inside], inside


def _find_foreground(array: NDArray, grid: Grid, sequence: Sequence) -> _Foreground:
    """Tell head from background: everything but the value that fills the faces, or an Otsu threshold if none does."""
    faces = np.concatenate([np.take(array, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    values, counts = np.unique(faces, return_counts=True)
    background, uniform = float(values[counts.argmax()]), counts.max() >= UNIFORM_BACKGROUND_SHARE * faces.size
    brain = _without_ringing(array, faces)
    if brain is not None:
        return _Foreground(brain, *_bounding_box(brain), stripped=True, ringing=True)
    mask = array != background
    stripped = bool(uniform and np.count_nonzero(mask) * grid.voxel_volume_ml <= MAX_BRAIN_ML)
    if not stripped:
        otsu = sitk.OtsuThresholdImageFilter()
        otsu.Execute(sitk.GetImageFromArray(array.astype(np.float32)))
        background = float(otsu.GetThreshold())
        mask = array > background
    if not mask.any():
        raise _empty(sequence)
    return _Foreground(mask, *_bounding_box(mask), stripped=stripped)


def _without_ringing(array: NDArray, faces: NDArray) -> NDArray[np.bool_] | None:
    """The brain without what splines and sinc leave around it when a stripped image is resampled; None: it has none.

    Such ringing goes to both sides of a background that is nearly uniform, but by little beside the brain's own
    intensities. Noise in the air fills the whole volume; z-scores go far below the background.
    """
    background = float(np.median(faces))
    if array.min() >= background:
        return None
    high = float(np.percentile(array, 99.5)) - background
    quiet = np.abs(faces - background) < RINGING_FLOOR * high
    if quiet.mean() < 0.5 or background - float(np.percentile(array, 0.1)) > MAX_RINGING * high:
        return None
    brain = ndimage.binary_opening(array > background + RINGING_CUT * high)
    return ndimage.binary_fill_holes(brain) if brain.any() else None


def _empty(sequence: Sequence) -> InputError:
    return InputError("EMPTY_IMAGE", f"The {sequence.title} image shows nothing.", "Choose another image.")


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Index box [start, stop) in (x, y, z) order around the true voxels of a (D, H, W) mask, but for a few strays."""
    counts = [np.count_nonzero(mask, axis=other) for other in ((0, 1), (0, 2), (1, 2))]
    spans = [np.flatnonzero(count >= max(1, STRAY_SHARE * count.max())) for count in counts]
    return np.array([span[0] for span in spans]), np.array([span[-1] + 1 for span in spans])


def _physical_box(grid: Grid, foreground: _Foreground) -> NDArray[np.float64]:
    """Lowest and highest LPS position (2, 3) of the foreground's voxel centers."""
    corners = grid.corners(foreground.start, foreground.stop)
    return np.stack([corners.min(0), corners.max(0)])


def _check_overlap(boxes: Mapping[Sequence, NDArray[np.float64]]) -> None:
    """Refuse sequences that show different places: they are not aligned, whatever the names say."""
    items = list(boxes.items())
    for number, (first, box_a) in enumerate(items):
        for second, box_b in items[number + 1 :]:
            shared = np.clip(np.minimum(box_a[1], box_b[1]) - np.maximum(box_a[0], box_b[0]), 0, None).prod()
            larger = max((box[1] - box[0]).prod() for box in (box_a, box_b))
            if shared == 0:
                raise InputError(
                    "NO_OVERLAP",
                    f"{first.title} and {second.title} do not overlap in space.",
                    "Choose images of the same examination, or register them first.",
                )
            if shared < MIN_OVERLAP * larger:
                raise InputError(
                    "FIELD_OF_VIEW",
                    f"{first.title} and {second.title} show very different parts of the head "
                    f"(only {100 * shared / larger:.0f} % of the larger field is shared).",
                    "Choose images of the whole head, or register them first.",
                )


def _canonical_grid(reference: Grid, boxes: NDArray[np.float64]) -> Grid:
    """The 1 mm LPS grid around all boxes (n, 2, 3) whose centers fall on the reference's first voxel center."""
    anchor = np.asarray(reference.corners()).min(0)
    low = np.floor((boxes[:, 0].min(0) - anchor) / SPACING_MM - 1e-3).astype(int) - MARGIN_MM
    high = np.ceil((boxes[:, 1].max(0) - anchor) / SPACING_MM + 1e-3).astype(int) + MARGIN_MM
    size = tuple(int(length) for length in high - low + 1)
    if max(size) * SPACING_MM > MAX_LENGTH_MM:
        raise InputError(
            "FIELD_OF_VIEW",
            f"By its voxel spacing, the head is {max(size) * SPACING_MM / 10:.0f} cm long.",
            "Correct the spacing in the image's header.",
        )
    origin = tuple(float(value) for value in anchor + SPACING_MM * low)
    return Grid(size, (SPACING_MM,) * 3, origin, IDENTITY_DIRECTION)  # type: ignore[arg-type]


def _normalize(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """An array of the mask's shape: its values robustly clipped and z-scored inside, 0 outside."""
    values = np.clip(values, *np.percentile(values, CLIP_PERCENTILES))
    spread = float(values.std())
    result = np.zeros(mask.shape, dtype=np.float32)
    result[mask] = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return result

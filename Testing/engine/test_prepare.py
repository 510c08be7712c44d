"""From a case to normalized arrays on the canonical grid."""

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_case
from scipy import ndimage

from lckd.case import Case
from lckd.errors import InputError
from lckd.geometry import IDENTITY_DIRECTION, Grid, resample
from lckd.metrics import dice
from lckd.prepare import MARGIN_MM, prepare
from lckd.sequences import SEQUENCES, Sequence

T1, T1C = Sequence.T1, Sequence.T1C


def array_of(case, sequence=T1):
    return sitk.GetArrayFromImage(case.images[sequence]).astype(np.float32)


def case_of(array, like=None, sequence=T1):
    image = sitk.GetImageFromArray(array)
    if like is not None:
        image.CopyInformation(like)
    return Case.from_images({sequence: image})


def where(prepared, grid):
    """Index (z, y, x) of the canonical grid's first voxel in a grid of the same voxels."""
    steps = (np.asarray(prepared.grid.origin) - grid.origin) / grid.spacing
    assert np.allclose(steps, np.rint(steps))
    return np.rint(steps).astype(int)[::-1]


@pytest.fixture(scope="module")
def made():
    return make_case()


def test_the_brain_lies_in_the_grid_with_a_margin(made):
    prepared = prepare(Case.from_images(made.images))
    brain = array_of(made) != 0
    assert np.count_nonzero(prepared.brain) == np.count_nonzero(brain)
    at = np.argwhere(prepared.brain)
    assert (at.min(0) >= MARGIN_MM).all()
    assert (np.asarray(prepared.grid.shape) - 1 - at.max(0) >= MARGIN_MM).all()
    assert (np.asarray(prepared.grid.shape) <= at.max(0) - at.min(0) + 1 + 2 * (MARGIN_MM + 1)).all()
    assert prepared.grid.spacing == (1.0, 1.0, 1.0)
    assert prepared.grid.direction == IDENTITY_DIRECTION
    assert prepared.present == SEQUENCES


def test_an_input_like_brats_is_copied_not_interpolated(made):
    prepared = prepare(Case.from_images(made.images))
    assert "copied voxel by voxel" in prepared.history[0]
    assert "interpolated" not in prepared.history[0]
    native = np.pad(array_of(made), 10)
    z, y, x = where(prepared, Grid.of(made.images[T1])) + 10
    d, h, w = prepared.grid.shape
    native = native[z : z + d, y : y + h, x : x + w]
    inside = native != 0
    assert np.array_equal(inside, prepared.arrays[T1] != 0)
    # One shift and one scale turn every voxel that was not clipped into the input: nothing was mixed.
    values, result = native[inside], prepared.arrays[T1][inside]
    kept = (result > result.min()) & (result < result.max())
    scale, shift = np.polyfit(result[kept], values[kept], 1)
    assert np.abs(result[kept] * scale + shift - values[kept]).max() < 1e-2


def test_intensities_are_clipped_and_z_scored_in_the_brain(made):
    array = array_of(made)
    array[24, 28, 24], array[24, 28, 26] = 1e6, -1e6
    prepared = prepare(case_of(array))
    values = prepared.arrays[T1][prepared.brain]
    assert values.mean() == pytest.approx(0, abs=1e-4)
    assert values.std() == pytest.approx(1, abs=1e-4)
    assert np.abs(values).max() < 10
    assert not prepared.arrays[T1][~prepared.brain].any()
    assert prepared.arrays[T1].dtype == np.float32


@pytest.mark.parametrize("scale", [1.0, 1e-4, 37.5])
@pytest.mark.parametrize(
    ("background", "offset", "dtype"),
    [(0, 0, np.float32), (-1000, 0, np.int16), (0, -550, np.float32), (-3.14159265358979, -550, np.float64)],
)
def test_any_background_value_gives_the_same_arrays(made, background, offset, dtype, scale):
    """Also 0 amid values around 0, as in z-scored data, and a value that float32 does not have."""
    if dtype == np.int16 and scale != 1:
        scale = 1
    array = array_of(made)
    expected = prepare(case_of(array))
    changed = np.where(array != 0, (array + offset + 0.25) * scale, background).astype(dtype)
    prepared = prepare(case_of(changed))
    assert prepared.grid == expected.grid
    assert np.array_equal(prepared.brain, expected.brain)
    assert np.abs(prepared.arrays[T1] - expected.arrays[T1]).max() < 5e-3
    assert prepared.warnings == []


def head(size=64):
    """A head with skull and scalp, and noise in the air around it."""
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*[np.arange(size) - size / 2] * 3, indexing="ij")
    radius = np.sqrt(z**2 + y**2 + x**2) / (size / 2)
    signal = np.select([radius < 0.6, radius < 0.68, radius < 0.8], [600, 100, 900], 0)
    return np.hypot(signal + rng.normal(0, 12, radius.shape), rng.normal(0, 12, radius.shape)).astype(np.int16), radius


@pytest.mark.parametrize("masked", [False, True])
def test_a_head_with_its_skull_gives_a_warning(masked):
    """Whether the air is noisy, or zero but the head too large for a brain."""
    array, radius = head()
    image = sitk.GetImageFromArray(np.where(masked & (radius > 0.85), 0, array))
    image.SetSpacing((3.4, 3.4, 3.4))
    prepared = prepare(Case.from_images({T1: image}))
    assert len(prepared.warnings) == 1
    assert "skull" in prepared.warnings[0]
    assert "T1" in prepared.warnings[0]
    # The box is that of the head, not of the noise around it.
    assert np.abs(np.asarray(prepared.grid.size) - 0.8 * 64 * 3.4 - 2 * MARGIN_MM).max() < 6
    assert prepared.arrays[T1][prepared.brain].mean() == pytest.approx(0, abs=1e-4)


def test_a_tightly_cropped_brain_is_not_taken_for_a_head(made):
    array = array_of(made)[12:36, 10:46, 12:36]
    faces = np.concatenate([np.take(array, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    assert 0.05 < (faces == 0).mean() < 0.5
    prepared = prepare(case_of(array))
    assert prepared.warnings == []
    assert np.count_nonzero(prepared.brain) == np.count_nonzero(array)


def test_stray_voxels_do_not_enlarge_the_box(made):
    array = np.pad(array_of(made), 60)
    expected = prepare(case_of(array))
    for index in ((2, 3, 4), (160, 160, 160), (50, 100, 5), (7, 170, 90)):
        array[index] = 1e-3
    prepared = prepare(case_of(array))
    assert prepared.grid == expected.grid
    assert np.array_equal(prepared.brain, expected.brain)


@pytest.mark.parametrize("spacing", [0.5, 0.7, 1.3, (0.9, 0.9, 3.0)])
def test_the_brain_mask_survives_another_spacing(spacing):
    """Smoothing and interpolation spread intensities beyond the brain; the mask must not follow."""
    spacing = (spacing,) * 3 if isinstance(spacing, float) else spacing
    made = make_case(spacing=spacing)
    prepared = prepare(Case.from_images({T1: made.images[T1]}))
    native_ml = np.count_nonzero(array_of(made)) * np.prod(spacing) / 1000
    assert np.count_nonzero(prepared.brain) / 1000 == pytest.approx(native_ml, rel=0.05)
    assert "interpolated linearly" in prepared.history[0]
    assert prepared.arrays[T1][prepared.brain].std() == pytest.approx(1, abs=1e-3)


def test_no_background_is_mixed_into_the_rim_of_the_brain(made):
    """Else the rim would be dark, as dark as necrosis, wherever an image is resampled."""
    image = sitk.Image(made.images[T1])
    image.SetSpacing((1.3, 1.3, 1.3))
    prepared = prepare(Case.from_images({T1: image}))
    rim = prepared.brain & ~ndimage.binary_erosion(prepared.brain)
    inner = prepared.arrays[T1][prepared.brain & ~rim]
    assert np.median(prepared.arrays[T1][rim]) == pytest.approx(np.median(inner), abs=0.1)


def test_without_t1c_the_grid_is_that_of_the_other_reference(made):
    images = {s: sitk.Image(made.images[s]) for s in (Sequence.T2, Sequence.FLAIR)}
    images[Sequence.FLAIR].SetOrigin([value + 0.4 for value in images[Sequence.FLAIR].GetOrigin()])
    prepared = prepare(Case.from_images(images))
    assert prepared.present == (Sequence.FLAIR, Sequence.T2)
    assert prepared.history[0].endswith("FLAIR copied voxel by voxel, T2 interpolated linearly")


@pytest.mark.parametrize("dtype", [sitk.sitkInt16, sitk.sitkFloat32])
def test_ringing_around_a_resampled_brain_is_no_brain(made, dtype):
    """As a spline leaves it where a stripped image is turned, e.g. by registration."""
    turn = sitk.Euler3DTransform()
    turn.SetCenter(made.images[T1].TransformContinuousIndexToPhysicalPoint([n / 2 for n in made.images[T1].GetSize()]))
    turn.SetRotation(0.05, 0.0, 0.05)
    truth = sitk.Resample(made.images[T1] != 0, turn, sitk.sitkNearestNeighbor)
    turned = sitk.Resample(sitk.Cast(made.images[T1], dtype), turn, sitk.sitkBSpline)
    prepared = prepare(Case.from_images({T1: turned}))
    true = resample(sitk.GetArrayFromImage(truth) != 0, Grid.of(truth), prepared.grid, "nearest")
    assert dice(prepared.brain, true) > 0.97
    assert prepared.warnings == []
    assert prepared.history[-1] == "faint ringing around the brain left out in T1"


def test_brains_that_do_not_lie_on_each_other_give_a_warning(made):
    images = dict(made.images)
    images[T1] = sitk.Image(images[T1])
    images[T1].SetOrigin([value + 10 for value in images[T1].GetOrigin()])
    warnings = prepare(Case.from_images(images)).warnings
    assert len(warnings) == 1
    assert "in T1 does not lie on that in FLAIR" in warnings[0]


def test_a_brain_of_impossible_size_gives_a_warning(made):
    image = sitk.Image(made.images[T1])
    image.SetSpacing((0.4, 0.4, 0.4))
    warnings = prepare(Case.from_images({T1: image})).warnings
    assert len(warnings) == 1
    assert "mL" in warnings[0]


def test_sequences_of_other_places_are_refused(made):
    images = dict(made.images)
    images[T1] = sitk.Image(images[T1])
    images[T1].SetOrigin((500.0, 0.0, 0.0))
    with pytest.raises(InputError) as refused:
        prepare(Case.from_images(images))
    assert refused.value.code == "NO_OVERLAP"
    assert "T1" in refused.value.message


def test_an_impossible_spacing_is_refused_before_memory_is_used(made):
    image = sitk.Image(made.images[T1])
    image.SetSpacing((1.0, 1.0, 4000.0))
    with pytest.raises(InputError) as refused:
        prepare(Case.from_images({T1: image}))
    assert refused.value.code == "FIELD_OF_VIEW"

"""Moving arrays between grids, in physical space."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import TUMOR_CENTER, make_case
from scipy import ndimage

from lckd.case import Case
from lckd.geometry import IDENTITY_DIRECTION, Grid, coincide, resample
from lckd.prepare import prepare
from lckd.segmentation import put_back
from lckd.sequences import SEQUENCES, Sequence

AXES = [
    tuple(np.diag(signs)[:, axes].ravel().astype(float))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
PLAIN = Grid((12, 14, 10), (1.0, 1.0, 1.0), (-5.0, 7.0, 3.0))


def rotation(degrees, axis=(1.0, 2.0, 3.0)):
    versor = sitk.VersorTransform()
    versor.SetRotation(axis, float(np.deg2rad(degrees)))
    return versor.GetMatrix()


def turned(grid, direction, pad=0):
    """A grid of the given direction whose voxel centers are those of `grid` and `pad` more on each side."""
    matrix = np.asarray(direction).reshape(3, 3)
    corners = grid.corners(np.full(3, -pad), np.asarray(grid.size) + pad)
    in_axes = corners @ matrix / grid.spacing[0]
    size = np.rint(in_axes.max(0) - in_axes.min(0)).astype(int) + 1
    origin = matrix @ (in_axes.min(0) * grid.spacing[0])
    return Grid(tuple(size.tolist()), grid.spacing, tuple(origin.tolist()), tuple(direction))


@pytest.mark.parametrize("direction", AXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_permuted_and_flipped_axes_are_copied_exactly(direction, dtype):
    array = (np.random.default_rng(0).normal(size=PLAIN.shape) * 100).astype(dtype)
    other = turned(PLAIN, direction, pad=2)
    moved = resample(array, PLAIN, other, outside=7)
    assert coincide(PLAIN, other)
    assert (moved.dtype, moved.shape) == (array.dtype, other.shape)
    assert np.array_equal(resample(moved, other, PLAIN), array)
    assert (moved[resample(np.ones_like(array), PLAIN, other) == 0] == 7).all()

    # Each value is where ITK says that this physical point is.
    image, index = other.image(moved), (3, 5, 2)
    point = PLAIN.image(array).TransformIndexToPhysicalPoint(index)
    assert image[image.TransformPhysicalPointToIndex(point)] == array[index[::-1]]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(-20, 20)] * 3), st.tuples(*[st.integers(1, 25)] * 3), st.sampled_from(AXES), st.booleans()
)
def test_crops_and_pads_equal_a_literal_lookup(shift, size, direction, labels):
    array = np.random.default_rng(1).integers(1, 100, PLAIN.shape).astype(np.int16)
    origin = tuple(o + s for o, s in zip(PLAIN.origin, shift, strict=True))
    other = Grid(size, PLAIN.spacing, origin, direction)
    moved = resample(array, PLAIN, other, "nearest" if labels else "linear", outside=-1)
    image = PLAIN.image(array)
    frame = (other.size, sitk.Transform(), sitk.sitkNearestNeighbor, other.origin, other.spacing, other.direction)
    assert np.array_equal(moved, sitk.GetArrayFromImage(sitk.Resample(image, *frame, -1.0, image.GetPixelID())))


def test_a_shift_of_a_fraction_of_a_voxel_is_interpolated_not_copied():
    array = np.random.default_rng(2).normal(size=PLAIN.shape).astype(np.float32)
    for shift, same in ((1e-4, True), (0.05, False), (0.2, False), (0.5, False)):
        other = Grid(PLAIN.size, PLAIN.spacing, (PLAIN.origin[0] + shift, *PLAIN.origin[1:]))
        assert coincide(PLAIN, other) is same
        moved = resample(array, PLAIN, other)
        expected = array if same else (1 - shift) * array[..., :-1] + shift * array[..., 1:]
        assert np.allclose(moved[..., : expected.shape[-1]], expected, atol=1e-5)


def test_a_slightly_different_spacing_adds_up_to_another_grid():
    long = Grid((200, 8, 8), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert coincide(long, Grid(long.size, (1.00001, 1.0, 1.0), long.origin))
    assert not coincide(long, Grid(long.size, (1.001, 1.0, 1.0), long.origin))
    assert not coincide(long, Grid(long.size, long.spacing, long.origin, rotation(0.1)))


def blob(grid, center, radius):
    """A ball around a physical point, as probabilities with a soft surface."""
    axes = np.meshgrid(*[np.arange(length) for length in grid.size], indexing="ij")
    points = np.stack(axes, -1) @ grid.matrix.T + grid.origin
    distance = np.linalg.norm(points - center, axis=-1).transpose(2, 1, 0)
    return np.clip(0.5 + (radius - distance) / 2, 0, 1).astype(np.float32)


GRIDS = {
    "anisotropic": Grid((48, 40, 12), (0.9, 1.1, 4.0), (-20.0, -22.0, -24.0)),
    "oblique": Grid((44, 44, 44), (1.0, 1.0, 1.0), (-20.0, -10.0, -30.0), rotation(20)),
    "oblique anisotropic flipped": Grid(
        (50, 46, 16),
        (0.8, 0.9, 3.0),
        (24.0, -22.0, -18.0),
        tuple((np.reshape(rotation(15), (3, 3)) * [-1, 1, 1]).ravel()),
    ),
    "fine": Grid((90, 90, 90), (0.5, 0.5, 0.5), (-22.0, -22.0, -22.0)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_blob_keeps_its_place_and_size_there_and_back(name):
    grid, canonical = GRIDS[name], Grid((60, 60, 60), (1.0, 1.0, 1.0), (-30.0, -30.0, -30.0))
    middle = np.asarray(grid.corners()).mean(0)
    center, radius = middle + np.array([2.3, -1.7, 0.6]), 7.0
    probability = blob(grid, center, radius)
    there = resample(probability, grid, canonical)
    back = resample(there, canonical, grid)
    for array, where in ((there, canonical), (back, grid)):
        at = np.argwhere(array > 0.5)[:, ::-1]
        found = (at @ where.matrix.T + where.origin).mean(0)
        assert np.linalg.norm(found - center) < 0.5
        volume = len(at) * where.voxel_volume_ml
        assert volume == pytest.approx(np.count_nonzero(probability > 0.5) * grid.voxel_volume_ml, rel=0.12)


def test_shrinking_smooths_instead_of_skipping_voxels():
    fine = Grid((64, 64, 64), (0.4, 0.4, 0.4), (0.0, 0.0, 0.0))
    coarse = Grid((12, 12, 12), (2.0, 2.0, 2.0), (1.0, 1.0, 1.0))
    noise = np.random.default_rng(3).normal(size=fine.shape).astype(np.float32)
    assert resample(noise, fine, coarse).std() < 0.1


def oriented(direction, spacing=(1.0, 1.0, 1.0), origin=(11.3, -7.7, 5.1)):
    return make_case(direction=direction, spacing=spacing, origin=origin)


@pytest.mark.parametrize(
    ("direction", "spacing", "exact"),
    [
        (IDENTITY_DIRECTION, (1.0, 1.0, 1.0), True),
        (AXES[3], (1.0, 1.0, 1.0), True),
        (AXES[19], (1.0, 1.0, 1.0), True),
        (AXES[46], (1.0, 1.0, 1.0), True),
        (AXES[30], (0.9, 1.2, 1.5), False),
        (rotation(17), (1.0, 1.0, 1.0), False),
        (rotation(33, (3.0, 1.0, -1.0)), (0.95, 0.95, 2.0), False),
    ],
)
def test_a_label_map_returns_to_the_voxels_of_the_reference(direction, spacing, exact):
    made = oriented(direction, spacing)
    case = Case.from_images(made.images)
    prepared = prepare(case)
    truth = sitk.GetArrayFromImage(made.labels)
    regions = np.stack([truth == 3, np.isin(truth, (1, 3)), truth > 0]).astype(np.float32)
    reference = Grid.of(case.reference)
    there = np.stack([resample(region, reference, prepared.grid) for region in regions])
    result = put_back(there, prepared, reference, case.present)

    image = result.label_image()
    for geometry in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(image, geometry)() == getattr(case.reference, geometry)()
    found = sitk.GetArrayFromImage(image)
    if exact:
        assert np.array_equal(found, truth)
    else:
        assert 2 * ((found > 0) & (truth > 0)).sum() / ((found > 0).sum() + (truth > 0).sum()) > 0.93

    # The tumor is where it was put, to half a voxel.
    center = np.asarray(made.labels.GetSize()) // 2 + TUMOR_CENTER
    expected = made.labels.TransformIndexToPhysicalPoint(center.tolist())
    at = np.argwhere(there[1] > 0.5)[:, ::-1]
    placed = (at @ prepared.grid.matrix.T + prepared.grid.origin).mean(0)
    assert np.linalg.norm(placed - expected) < 0.5 * max(spacing)


def test_sequences_on_different_grids_come_out_aligned():
    made = make_case()
    plain = Grid.of(made.images[Sequence.T1C])
    others = {
        Sequence.FLAIR: turned(plain, AXES[13]),
        Sequence.T1: Grid((60, 70, 30), (0.9, 0.9, 2.0), (-23.0, 26.0, 6.0)),
        Sequence.T2: turned(plain, rotation(12), pad=3),
    }
    images = dict(made.images)
    for sequence, grid in others.items():
        array = resample(sitk.GetArrayFromImage(made.images[sequence]), plain, grid, "nearest")
        images[sequence] = grid.image(array)
    alike = prepare(Case.from_images(made.images))
    mixed = prepare(Case.from_images(images))
    assert set(mixed.arrays) == set(SEQUENCES)
    assert mixed.history[0].endswith("FLAIR, T1c copied voxel by voxel, T1, T2 interpolated linearly")
    for sequence in SEQUENCES:
        expected = ndimage.gaussian_filter(alike.arrays[sequence], 1.5)
        found = ndimage.gaussian_filter(resample(mixed.arrays[sequence], mixed.grid, alike.grid), 1.5)
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
        for axis, shift in itertools.product(range(3), (-1, 1)):
            there = np.abs(np.roll(found, shift, axis) - expected).sum()
            assert np.abs(found - expected).sum() < there

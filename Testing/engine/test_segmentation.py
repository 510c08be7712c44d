"""From probabilities to the user's voxels: volumes, labels, uncertainty, and the optional clean-up."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from made_results import make_segmentation
from phantoms import make_case
from scipy import ndimage

from lckd import segmentation as segmentation_module
from lckd.case import Case
from lckd.geometry import IDENTITY_DIRECTION, Grid, resample
from lckd.labels import REGIONS, LabelConvention, Region
from lckd.postprocess import Cleanup, clean
from lckd.prepare import prepare
from lckd.segmentation import Segmentation, put_back
from lckd.sequences import SEQUENCES

ANISOTROPIC = Grid((12, 14, 10), (0.5, 1.0, 4.0), (-3.0, 5.0, 7.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))


def nested_blocks(grid: Grid) -> np.ndarray:
    """Labels of BraTS 2023: 2 x 2 x 2 voxels ET in 4 x 4 x 4 TC in 6 x 6 x 6 WT."""
    labels = np.zeros(grid.shape, np.uint8)
    for value, low, high in ((2, 1, 7), (1, 2, 6), (3, 3, 5)):
        labels[low:high, low:high, low:high] = value
    return labels


def test_volumes_in_milliliters_on_anisotropic_voxels():
    segmentation = make_segmentation(nested_blocks(ANISOTROPIC), ANISOTROPIC)
    # A voxel of 0.5 x 1 x 4 mm is 0.002 mL.
    assert segmentation.volumes_ml == {Region.ET: 0.016, Region.TC: 0.128, Region.WT: 0.432}


@pytest.mark.parametrize(
    ("convention", "values"),
    [(LabelConvention.BRATS2023, (1, 2, 3)), (LabelConvention.BRATS2021, (1, 2, 4)), (LabelConvention.MSD, (2, 1, 3))],
)
def test_label_image_in_each_convention(convention, values):
    labels = nested_blocks(ANISOTROPIC)
    image = make_segmentation(labels, ANISOTROPIC).label_image(convention)
    assert Grid.of(image) == ANISOTROPIC
    assert image.GetPixelID() == sitk.sitkUInt8
    necrosis, edema, enhancing = values
    expected = np.select([labels == 1, labels == 2, labels == 3], [necrosis, edema, enhancing], 0)
    assert np.array_equal(sitk.GetArrayFromImage(image), expected)


def test_uncertainty_is_the_entropy_of_the_least_sure_region():
    probabilities = np.zeros((3, *ANISOTROPIC.shape), np.float32)
    probabilities[2, 0, 0, 0] = 0.5
    probabilities[:, 0, 0, 1] = 0.01, 0.25, 1.0
    probabilities[:, 0, 0, 2] = 1.0
    image = Segmentation(
        SEQUENCES, probabilities > 0.5, ANISOTROPIC, [], probabilities, ANISOTROPIC
    ).uncertainty_image()
    assert Grid.of(image) == ANISOTROPIC
    entropy = sitk.GetArrayFromImage(image)
    assert entropy.dtype == np.float32
    assert entropy.min() >= 0
    assert entropy.max() <= 1
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert entropy[0, 0, :4] == pytest.approx([1.0, quarter, 0.0, 0.0], abs=1e-3)


def test_probability_image_of_each_region():
    probabilities = np.sort(np.random.default_rng(0).random((3, *ANISOTROPIC.shape)).astype(np.float32), axis=0)
    segmentation = Segmentation(SEQUENCES, probabilities > 0.5, ANISOTROPIC, [], probabilities, ANISOTROPIC)
    for channel, region in zip(probabilities, REGIONS, strict=True):
        image = segmentation.probability_image(region)
        assert Grid.of(image) == ANISOTROPIC
        assert np.array_equal(sitk.GetArrayFromImage(image), channel)


@pytest.mark.parametrize("direction", [IDENTITY_DIRECTION, (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)])
def test_put_back_on_the_users_voxels(direction):
    """Probabilities that say exactly where the labels are come back as these labels, whatever the orientation."""
    made = make_case(direction=direction)
    case = Case.from_images(made.images)
    prepared = prepare(case)
    moved = sitk.Resample(
        made.labels,
        prepared.grid.size,
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        prepared.grid.origin,
        prepared.grid.spacing,
        prepared.grid.direction,
    )
    labels = sitk.GetArrayFromImage(moved)
    probabilities = np.stack([labels == 3, labels % 2 == 1, labels > 0]).astype(np.float32)
    segmentation = put_back(probabilities, prepared, Grid.of(case.reference), case.present)
    image = segmentation.label_image()
    assert Grid.of(image) == Grid.of(case.reference)
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(made.labels))
    assert segmentation.cleaned == []


@pytest.mark.parametrize("spacing", [(0.45, 0.45, 0.9), (1.3, 0.8, 3.0), (2.5, 2.5, 2.5)])
def test_only_the_surroundings_of_the_tumor_are_computed_and_nothing_is_lost(monkeypatch, spacing):
    case = Case.from_images(make_case().images)
    prepared = prepare(case)
    noise = np.random.default_rng(3).random((3, *prepared.grid.shape)).astype(np.float32)
    probabilities = np.sort(np.stack([ndimage.gaussian_filter(channel, 3) for channel in noise]), axis=0)
    probabilities += 0.5 - np.median(probabilities[-1])
    probabilities[:, :15] = probabilities[:, 20:] = 0.3
    angle = np.deg2rad(15)
    direction = (np.cos(angle), -np.sin(angle), 0.0, np.sin(angle), np.cos(angle), 0.0, 0.0, 0.0, 1.0)
    size = tuple(int(length / step) for length, step in zip(prepared.grid.size, spacing, strict=True))
    target = Grid(size, spacing, tuple(value - 3.0 for value in prepared.grid.origin), direction)
    computed = []
    monkeypatch.setattr(segmentation_module, "resample", lambda *a: computed.append(a[2].size) or resample(*a))
    regions = put_back(probabilities, prepared, target, case.present).regions
    everywhere = np.stack([resample(channel, prepared.grid, target) for channel in probabilities]) > 0.5
    assert np.array_equal(regions, everywhere)
    assert regions[-1].any()
    assert computed
    assert all(part[2] < size[2] for part in computed)


def test_no_tumor_is_put_back_as_none():
    case = Case.from_images(make_case().images)
    prepared = prepare(case)
    nothing = np.zeros((3, *prepared.grid.shape), dtype=np.float32)
    grid = Grid((9, 8, 7), (3.0, 3.0, 3.0), prepared.grid.origin)
    assert not put_back(nothing, prepared, grid, case.present).regions.any()


def test_put_back_keeps_regions_nested():
    case = Case.from_images(make_case().images)
    prepared = prepare(case)
    probabilities = np.random.default_rng(0).random((3, *prepared.grid.shape)).astype(np.float32)
    enhancing, core, whole = put_back(probabilities, prepared, Grid.of(case.reference), case.present).regions
    assert enhancing.any()
    assert not (enhancing & ~core).any()
    assert not (core & ~whole).any()


def two_parts() -> np.ndarray:
    """Region masks: a part of 6 x 6 x 6 with core and enhancing tumor, a part of 2 x 2 x 2 that is all three."""
    masks = np.zeros((3, 20, 20, 20), bool)
    for mask, (low, high) in zip(masks, ((3, 5), (2, 6), (1, 7)), strict=True):
        mask[low:high, low:high, low:high] = True
    masks[:, 12:14, 12:14, 12:14] = True
    return masks


def test_clean_up_is_off_by_default():
    masks = two_parts()
    cleaned, done = clean(masks, 0.001, Cleanup())
    assert np.array_equal(cleaned, masks)
    assert done == []


def test_small_parts_are_removed_from_all_regions():
    masks = two_parts()
    before = masks.copy()
    cleaned, done = clean(masks, 0.001, Cleanup(min_component_ml=0.009))
    assert not cleaned[:, 10:].any()
    assert np.array_equal(cleaned[:, :10], masks[:, :10])
    assert done == ["removed 1 parts smaller than 0.009 mL"]
    assert np.array_equal(masks, before)  # the input is left as it is


def test_parts_of_exactly_the_volume_stay_and_spacing_counts():
    masks = two_parts()
    for voxel_ml, threshold in ((0.001, 0.008), (0.01, 0.079)):
        cleaned, _ = clean(masks, voxel_ml, Cleanup(min_component_ml=threshold))
        assert np.array_equal(cleaned, masks)


def test_parts_that_touch_by_a_corner_are_one():
    masks = two_parts()
    masks[2, 7:12, 7:12, 7:12] = np.eye(5, dtype=bool)[:, :, None] & np.eye(5, dtype=bool)[:, None, :]
    assert np.array_equal(clean(masks, 0.001, Cleanup(min_component_ml=0.009))[0], masks)


def test_little_enhancing_tumor_becomes_core():
    masks = two_parts()  # 8 + 8 voxels ET
    cleaned, done = clean(masks, 0.001, Cleanup(min_enhancing_ml=0.017))
    assert not cleaned[0].any()
    assert np.array_equal(cleaned[1:], masks[1:])
    assert len(done) == 1
    assert "0.02 mL" in done[0]
    assert np.array_equal(clean(masks, 0.001, Cleanup(min_enhancing_ml=0.016))[0], masks)


def test_clean_up_in_order_keeps_regions_nested():
    """Without the small part, the enhancing tumor is below the volume too."""
    (enhancing, core, whole), done = clean(two_parts(), 0.001, Cleanup(min_component_ml=0.009, min_enhancing_ml=0.01))
    assert not enhancing.any()
    assert core.sum() == 64
    assert whole.sum() == 216
    assert not (core & ~whole).any()
    assert len(done) == 2


def test_nothing_to_clean():
    empty = np.zeros((3, 8, 8, 8), bool)
    cleaned, done = clean(empty, 0.001, Cleanup(1.0, 1.0))
    assert not cleaned.any()
    assert done == ["removed 0 parts smaller than 1 mL"]


def test_clean_up_is_applied_and_told():
    case = Case.from_images(make_case().images)
    prepared = prepare(case)
    probabilities = np.zeros((3, *prepared.grid.shape), np.float32)
    probabilities[:, 20:22, 20:22, 20:22] = 0.9
    result = put_back(probabilities, prepared, Grid.of(case.reference), case.present, Cleanup(min_component_ml=0.1))
    assert not result.regions.any()
    assert result.cleaned == ["removed 1 parts smaller than 0.1 mL"]
    assert result.volumes_ml[Region.WT] == 0

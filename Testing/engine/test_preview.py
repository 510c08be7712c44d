"""The preview: colors where the labels are, in the patient's orientation, and what it says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from made_results import make_result
from phantoms import make_case
from PIL import Image

from lckd.errors import OutputError
from lckd.geometry import IDENTITY_DIRECTION, Grid
from lckd.labels import REGIONS, Tissue
from lckd.planes import planes_through
from lckd.preview import TISSUE_COLORS, draw_preview, footer_lines, header_lines, overlay, write_preview
from lckd.sequences import SEQUENCES, Sequence, parse_subset

#: Turned 20 degrees about the patient's left-right axis, and 10 about the inferior-superior one.
OBLIQUE = tuple(
    (
        np.array([[np.cos(0.17), -np.sin(0.17), 0], [np.sin(0.17), np.cos(0.17), 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, np.cos(0.35), -np.sin(0.35)], [0, np.sin(0.35), np.cos(0.35)]])
    ).ravel()
)


def labels_of(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def is_colored(picture: np.ndarray) -> np.ndarray:
    return picture.max(axis=-1) != picture.min(axis=-1)


def all_orientations():
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            direction = np.zeros((3, 3))
            direction[axes, range(3)] = signs
            yield tuple(direction.ravel())


def test_overlay_colors_exactly_the_labels():
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    labels = np.zeros((40, 50), np.uint8)
    labels[5:35, 5:45], labels[10:30, 10:40], labels[15:25, 15:30] = 2, 3, 1
    picture = overlay(gray, labels)
    assert np.array_equal(is_colored(picture), labels > 0)
    assert np.array_equal(picture[labels == 0], np.repeat(gray[labels == 0][:, None], 3, axis=1))
    # Outlines are opaque, fills let the gray levels through.
    for at, tissue in (((5, 20), Tissue.ED), ((10, 20), Tissue.ET), ((15, 20), Tissue.NCR)):
        assert tuple(picture[at]) == TISSUE_COLORS[tissue]
    inside = picture[18:22, 18:27].astype(int)
    assert np.allclose(inside, 0.7 * gray[18:22, 18:27, None] + 0.3 * np.array(TISSUE_COLORS[Tissue.NCR]), atol=1)


def patient_corner_case(direction: tuple[float, ...], spacing=(1.0, 1.5, 2.5)):
    """Images whose intensity is the position in LPS, and a tumor towards the left, posterior and superior."""
    size = (20, 24, 28)
    grid = Grid(size, spacing, (10.0, -20.0, 30.0), direction)
    z, y, x = np.indices(grid.shape)
    position = np.stack([x, y, z], axis=-1) @ grid.matrix.T + np.asarray(grid.origin)
    low, high = position.min(axis=(0, 1, 2)), position.max(axis=(0, 1, 2))
    regions = np.zeros((3, *grid.shape), bool)
    regions[:] = (position > low + 0.6 * (high - low)).all(-1) & (position < low + 0.9 * (high - low)).all(-1)
    images = dict(zip(SEQUENCES, (grid.image(position[..., k].astype(np.float32)) for k in range(3)), strict=False))
    return grid, images, regions


@pytest.mark.parametrize("direction", list(all_orientations()))
def test_planes_are_seen_in_radiological_convention(direction):
    """In every orientation of the voxels: L grows to the right, P down in axial planes; S grows upwards."""
    grid, images, regions = patient_corner_case(direction)
    planes = {plane.view.name: plane for plane in planes_through(images, regions, grid)}
    left, posterior, superior = SEQUENCES[:3]  # the images whose values are these coordinates
    for name, to_the_right, downwards in (
        ("Axial", (left, 1), (posterior, 1)),
        ("Coronal", (left, 1), (superior, -1)),
        ("Sagittal", (posterior, 1), (superior, -1)),
    ):
        plane = planes[name]
        height, width = plane.pixel_mm
        steps = np.diff(plane.images[to_the_right[0]], axis=1), np.diff(plane.images[downwards[0]], axis=0)
        assert np.allclose(steps[0], to_the_right[1] * width, atol=1e-3)
        assert np.allclose(steps[1], downwards[1] * height, atol=1e-3)
    assert planes["Axial"].view.letters == ("R", "L", "A", "P")
    assert planes["Coronal"].view.letters == ("R", "L", "S", "I")
    assert planes["Sagittal"].view.letters == ("A", "P", "S", "I")
    # The tumor is left and posterior: right and low in the axial plane; superior: high in the others.
    rows, columns = np.nonzero(planes["Axial"].regions[2])
    assert rows.mean() > 0.6 * planes["Axial"].regions.shape[1]
    assert columns.mean() > 0.6 * planes["Axial"].regions.shape[2]
    assert np.nonzero(planes["Coronal"].regions[2])[0].mean() < 0.4 * planes["Coronal"].regions.shape[1]


def test_planes_show_the_largest_whole_tumor():
    made = make_case(size=(40, 44, 36))
    labels = np.zeros((36, 44, 40), np.uint8)
    labels[10:20, 10:20, 10:20] = 2
    labels[13, 9:22, 9:22], labels[9:22, 17, 9:22], labels[9:22, 9:22, 11] = 2, 2, 2  # the widest slices
    result = make_result(labels, made.images)
    segmentation = result.segmentation
    axial, coronal, sagittal = planes_through(made.images, segmentation.regions, segmentation.grid)
    arrays = {sequence: sitk.GetArrayFromImage(image) for sequence, image in made.images.items()}
    for sequence in SEQUENCES:
        assert np.allclose(axial.images[sequence], arrays[sequence][13])
        assert np.allclose(coronal.images[sequence], arrays[sequence][::-1, 17])
        assert np.allclose(sagittal.images[sequence], arrays[sequence][::-1, :, 11])
    assert np.array_equal(axial.regions[2], labels[13] > 0)
    assert np.array_equal(coronal.regions[2], labels[::-1, 17] > 0)
    assert np.array_equal(sagittal.regions[2], labels[::-1, :, 11] > 0)


def test_sequences_on_other_grids_are_shown_at_the_same_place():
    grid, images, regions = patient_corner_case(IDENTITY_DIRECTION, (1.0, 1.0, 1.0))
    other = Grid((50, 40, 30), (0.7, 1.2, 1.6), (5.0, -25.0, 25.0), IDENTITY_DIRECTION)
    z, _, _ = np.indices(other.shape)
    moved = images | {Sequence.T1C: other.image((z * 1.6 + 25.0).astype(np.float32))}
    for plane, same in zip(planes_through(moved, regions, grid), planes_through(images, regions, grid), strict=True):
        assert np.allclose(plane.images[Sequence.T1C], same.images[Sequence.T1C], atol=1e-3)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0)])
@pytest.mark.parametrize("direction", [IDENTITY_DIRECTION, OBLIQUE])
def test_colors_appear_in_every_panel_of_the_right_size(spacing, direction):
    """In the drawn picture: colored pixels in proportion to the tumor's area in each plane, in square mm."""
    made = make_case(spacing=spacing, direction=direction)
    labels = labels_of(made.labels)
    result = make_result(labels, made.images)
    planes = planes_through(made.images, result.segmentation.regions, result.segmentation.grid)
    areas_mm2 = [np.count_nonzero(plane.regions[2]) * np.prod(plane.pixel_mm) for plane in planes]
    # Colored are, from top to bottom, the warning in the header, the tumor in three rows of panels, and the footer.
    used = np.concatenate([[False], (colored := is_colored(np.asarray(draw_preview(result)))).any(axis=1), [False]])
    starts, stops = np.flatnonzero(used[1:] & ~used[:-1])[1:4], np.flatnonzero(~used[1:] & used[:-1])[1:4]
    counts = [np.count_nonzero(colored[start:stop]) for start, stop in zip(starts, stops, strict=True)]
    pixels_per_mm2 = np.array(counts) / areas_mm2 / len(SEQUENCES)
    assert np.allclose(pixels_per_mm2, pixels_per_mm2[0], rtol=0.05)
    assert pixels_per_mm2[0] > 1


def test_enlarging_invents_no_tissue():
    """Enhancing tumor alone: the colors of the other tissues are in the legend only."""
    made = make_case(spacing=(0.8, 0.8, 3.0))
    picture = np.asarray(draw_preview(make_result(np.where(labels_of(made.labels) == 3, 3, 0), made.images)))
    count = {tissue: int((picture == color).all(axis=-1).sum()) for tissue, color in TISSUE_COLORS.items()}
    assert count[Tissue.NCR] == count[Tissue.ED] == 13 * 13
    assert count[Tissue.ET] > 2 * 13 * 13


def test_one_column_for_each_sequence_used():
    made = make_case()
    labels = labels_of(made.labels)
    two = make_result(labels, made.images, parse_subset("flair,t1c"))
    four = make_result(labels, made.images)
    counts = [is_colored(np.asarray(draw_preview(result))).sum() for result in (two, four)]
    assert draw_preview(four).width > draw_preview(two).width
    # Text is the same but for one line; the colored tumor is there twice as often.
    assert 1.7 < counts[1] / counts[0] < 2.1


def test_header_says_what_was_used_missing_and_found():
    made = make_case()
    labels = labels_of(made.labels)
    result = make_result(labels, made.images, parse_subset("flair,t1c"))
    text = [line.text for line in header_lines(result)]
    assert "sequences: FLAIR, T1c" in text
    assert "missing, imputed: T1, T2" in text
    assert "model: tiny" in text
    assert "Something the user must know." in text
    volumes = " ".join(text)
    for region, milliliters in zip(REGIONS, [(labels == 3).sum(), (labels % 2).sum(), (labels > 0).sum()], strict=True):
        assert f"{region.value} {milliliters / 1000:.1f} mL" in volumes
    assert not any("imputed" in line.text for line in header_lines(make_result(labels, made.images)))
    assert any("Not for clinical use" in line.text for line in footer_lines())


def test_no_identifier_is_shown_or_stored(tmp_path):
    made = make_case()
    result = make_result(labels_of(made.labels), made.images)
    assert "Secret" in result.case.name
    assert not any("Secret" in line.text for line in [*header_lines(result), *footer_lines()])
    write_preview(result, tmp_path / "preview.png")
    content = (tmp_path / "preview.png").read_bytes()
    assert b"Secret" not in content
    with Image.open(tmp_path / "preview.png") as picture:
        assert not picture.text  # type: ignore[attr-defined]


def test_without_tumor_the_middle_is_shown():
    made = make_case(size=(40, 44, 36))
    labels = np.zeros((36, 44, 40), np.uint8)
    result = make_result(labels, made.images)
    axial, coronal, sagittal = planes_through(made.images, result.segmentation.regions, result.segmentation.grid)
    t2 = sitk.GetArrayFromImage(made.images[Sequence.T2])
    assert np.allclose(axial.images[Sequence.T2], t2[18])
    assert np.allclose(coronal.images[Sequence.T2], t2[::-1, 22])
    assert np.allclose(sagittal.images[Sequence.T2], t2[::-1, :, 20])
    assert draw_preview(result).height > 400


def test_written_whole_or_not_at_all(tmp_path):
    made = make_case()
    result = make_result(labels_of(made.labels), made.images, parse_subset("t2"))
    write_preview(result, tmp_path / "new" / "preview.png")
    with Image.open(tmp_path / "new" / "preview.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert picture.size == draw_preview(result).size
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["preview.png"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_preview(result, tmp_path / "file" / "preview.png")

"""Reading and preparing real MRI (LCKD_DATA); without it, these tests are taken out and the summary says so."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from lckd.case import Case
from lckd.discovery import case_paths, find_case
from lckd.geometry import Grid, coincide, resample
from lckd.images import ImageFile, read_image
from lckd.labels import LabelConvention, convention_of, regions_from_labels
from lckd.prepare import MARGIN_MM, prepare
from lckd.segmentation import put_back
from lckd.sequences import SEQUENCES, Sequence

FLAIR, T1, T1C, T2 = SEQUENCES
CASES = {
    "brats2021/BraTS2021_01646": (FLAIR, T1C),
    "brats2021/BraTS2021_00003": SEQUENCES,
    "upenn_gbm/UPENN-GBM-00086_11": SEQUENCES,
}
real_mri = pytest.mark.real_mri


@pytest.fixture(scope="module")
def read(real_data):
    """Each case, read and prepared once."""
    known = {}

    def get(name):
        if name not in known:
            case = Case.from_folder(real_data / name)
            known[name] = case, prepare(case)
        return known[name]

    return get


def truth_of(case):
    return sitk.GetArrayFromImage(read_image(ImageFile(case.labels)))


@real_mri
@pytest.mark.parametrize("name", CASES)
def test_a_real_case_is_found_with_its_sequences_and_labels(read, name):
    case, prepared = read(name)
    assert case.name == Path(name).name
    assert case.present == prepared.present == CASES[name]
    assert case.grid_sequence == T1C
    assert case.convention == LabelConvention.BRATS2021
    labels = truth_of(case)
    assert convention_of(labels, case.convention) == LabelConvention.BRATS2021
    assert set(np.unique(labels)) <= {0, 1, 2, 4}


@real_mri
@pytest.mark.parametrize("name", CASES)
def test_a_real_case_is_copied_and_its_brain_lies_inside(read, name):
    case, prepared = read(name)
    assert prepared.warnings == []
    assert "copied voxel by voxel" in prepared.history[0]
    assert "interpolated" not in prepared.history[0]
    at = np.argwhere(prepared.brain)
    assert (at.min(0) >= MARGIN_MM - 3).all()
    assert 0.9e6 < len(at) < 2.2e6
    assert np.prod(prepared.grid.shape) < 0.7 * 240 * 240 * 155
    for sequence, image in case.images.items():
        assert coincide(Grid.of(image), prepared.grid)
        native = resample(sitk.GetArrayFromImage(image), Grid.of(image), prepared.grid)
        array = prepared.arrays[sequence]
        inside = native != 0
        assert not array[~inside].any()
        assert array[inside].mean() == pytest.approx(0, abs=1e-3)
        assert array[inside].std() == pytest.approx(1, abs=1e-3)
        low, high = np.percentile(native[inside], (1, 99))
        kept = inside & (native > low) & (native < high)
        scale, shift = np.polyfit(array[kept][::97], native[kept][::97], 1)
        assert np.abs(array[kept] * scale + shift - native[kept]).max() < 0.01


@real_mri
@pytest.mark.parametrize("name", CASES)
def test_the_reference_segmentation_comes_back_unchanged(read, name):
    case, prepared = read(name)
    labels, reference = truth_of(case), Grid.of(case.reference)
    regions = regions_from_labels(labels, LabelConvention.BRATS2021).astype(np.float32)
    there = np.stack([resample(region, reference, prepared.grid) for region in regions])
    result = put_back(there, prepared, reference, case.present)
    image = result.label_image(LabelConvention.BRATS2021)
    assert np.array_equal(sitk.GetArrayFromImage(image), labels)
    assert Grid.of(image) == reference == Grid.of(read_image(ImageFile(case.labels)))


@real_mri
def test_tumor_is_bright_in_flair(read):
    """Labels and images belong together: edema is brighter than the rest of the brain."""
    case, prepared = read("brats2021/BraTS2021_00003")
    moved = resample(truth_of(case), Grid.of(case.reference), prepared.grid, "nearest")
    assert prepared.arrays[FLAIR][moved == 2].mean() > 1
    assert prepared.arrays[T1C][moved == 4].mean() > 1


@real_mri
def test_every_real_case_is_found(real_data):
    paths = case_paths(real_data / "brats2021")
    assert len(paths) == 29
    found = [find_case(path) for path in paths]
    assert all(case.labels is not None and case.convention == LabelConvention.BRATS2021 for case in found)
    assert sum(tuple(case.images) == SEQUENCES for case in found) == 28


@real_mri
def test_scans_as_they_come_from_the_scanner_give_the_warning(real_data):
    case = Case.from_folder(real_data / "native" / "TCGA-FG-6692", only=[Sequence.T1])
    prepared = prepare(case)
    assert "skull" in prepared.warnings[0]
    assert "T1 interpolated linearly" in prepared.history[0]


def pytest_says(data: Path, *options: str) -> str:
    """What pytest prints on the tests of this file that need the data."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-m", "real_mri", *options]
    environment = os.environ | {"LCKD_DATA": str(data)}
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600).stdout


def test_without_the_data_the_summary_says_so_loudly(tmp_path):
    said = pytest_says(tmp_path / "absent")
    assert "REAL MRI TESTS NOT RUN: 12 tests" in said
    assert "absent" in said
    assert "skipped" not in said
    assert "TESTS RUN" not in said


def test_the_summary_counts_the_tests_that_ran_with_the_data(tmp_path):
    (tmp_path / "brats2021").mkdir()
    said = pytest_says(tmp_path, "-k", "every_real_case_is_found")
    assert f"REAL MRI TESTS RUN: 1, with {tmp_path}." in said

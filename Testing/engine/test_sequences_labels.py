"""The order and names of the sequences; what label numbers mean."""

import numpy as np
import pytest

from lckd.errors import InputError, UsageError
from lckd.labels import (
    REGIONS,
    LabelConvention,
    Region,
    convention_of,
    labels_from_regions,
    regions_from_labels,
)
from lckd.sequences import (
    SEQUENCES,
    Sequence,
    missing_from,
    parse_subset,
    sequence_of_file_name,
    subset_name,
    subset_title,
    subsets_of,
)

FLAIR, T1, T1C, T2 = SEQUENCES


def test_there_are_15_subsets_each_once_in_the_one_order():
    subsets = subsets_of()
    assert len(subsets) == len(set(subsets)) == 15
    assert subsets[0] == (FLAIR,)
    assert subsets[-1] == (FLAIR, T1, T1C, T2)
    assert all(list(subset) == sorted(subset, key=SEQUENCES.index) for subset in subsets)
    assert [subset_name(subset) for subset in subsets_of({T1C, FLAIR})] == ["flair", "t1c", "flair+t1c"]


def test_subset_names_and_titles_follow_the_order_whatever_is_given():
    assert subset_name([T2, T1C, FLAIR]) == "flair+t1c+t2"
    assert subset_title([T1C, T1]) == "T1, T1c"
    assert missing_from([T1C, FLAIR]) == (T1, T2)


@pytest.mark.parametrize("text", ["t1c,flair", "flair+t1c", " FLAIR , t1ce ", "t2f t1gd"])
def test_subsets_are_read_from_text(text):
    assert parse_subset(text) == (FLAIR, T1C)


@pytest.mark.parametrize("text", ["", " , ", "t3", "flair,ct"])
def test_an_unknown_subset_is_a_wrong_command_line(text):
    with pytest.raises(UsageError) as refused:
        parse_subset(text)
    assert refused.value.code == "UNKNOWN_SEQUENCE"
    assert refused.value.exit_status == 2


@pytest.mark.parametrize(
    ("stem", "sequence"),
    [
        ("Brats18_TCIA01_1_flair", FLAIR),
        ("BraTS20_Training_001_t1ce", T1C),
        ("BraTS2021_00000_t1", T1),
        ("BraTS-GLI-00001-000-t2f", FLAIR),
        ("BraTS-GLI-00001-000-t2w", T2),
        ("BraTS-GLI-00001-000-t1n", T1),
        ("BraTS-GLI-00001-000-t1c", T1C),
        ("UCSF-PDGM-0004_T1c", T1C),
        ("UCSF-PDGM-0004_FLAIR", FLAIR),
        ("UPENN-GBM-00001_11_T1GD", T1C),
        ("T2", T2),
        ("patient t1_gd", T1C),
        ("ucsf-pdgm-0004_t1gad", T1C),
        ("scan_T2_FLAIR", FLAIR),
        ("sub-01_ses-1_ce-gadolinium_run-2_T1w", T1C),
        ("sub-01_ce-gd_FLAIR", FLAIR),
        ("sub-01_ce-none_T1w", T1),
        ("sub-01_acq-space_T1w", T1),
        ("UCSF-PDGM-0004_T1_bias", None),
        ("BraTS2021_00000_seg", None),
        ("at1", None),
        ("notes", None),
    ],
)
def test_file_names_say_which_sequence_it_is(stem, sequence):
    assert sequence_of_file_name(stem) == sequence


@pytest.mark.parametrize("convention", LabelConvention)
def test_regions_and_labels_are_each_others_inverse(convention):
    values = [value for value, tissue in convention.values.items() if tissue.value != "RC"]
    labels = np.random.default_rng(0).choice([0, *values], size=(6, 7, 8)).astype(np.uint8)
    regions = regions_from_labels(labels, convention)
    assert not (regions[0] & ~regions[1]).any()
    assert not (regions[1] & ~regions[2]).any()
    assert np.array_equal(labels_from_regions(regions, convention), labels)


@pytest.mark.parametrize(
    ("convention", "regions_of_label"),
    [
        (LabelConvention.BRATS2023, {1: "TC WT", 2: "WT", 3: "ET TC WT"}),
        (LabelConvention.BRATS2021, {1: "TC WT", 2: "WT", 4: "ET TC WT"}),
        (LabelConvention.BRATS2024, {1: "TC WT", 2: "WT", 3: "ET TC WT", 4: ""}),
        (LabelConvention.MSD, {1: "WT", 2: "TC WT", 3: "ET TC WT"}),
    ],
)
def test_what_each_number_means(convention, regions_of_label):
    for label, names in regions_of_label.items():
        masks = regions_from_labels(np.full((1, 1, 1), label), convention)
        assert [region.value for region, mask in zip(REGIONS, masks, strict=True) if mask.all()] == names.split()


@pytest.mark.parametrize(
    ("values", "known", "expected"),
    [
        ((1, 2, 3), None, LabelConvention.BRATS2023),
        ((), None, LabelConvention.BRATS2023),
        ((1, 2, 3, 4), None, LabelConvention.BRATS2024),
        ((3, 4), None, LabelConvention.BRATS2024),
        ((1, 2, 4), LabelConvention.BRATS2021, LabelConvention.BRATS2021),
        ((1, 2, 4), LabelConvention.BRATS2024, LabelConvention.BRATS2024),
        ((1, 2, 3), LabelConvention.MSD, LabelConvention.MSD),
    ],
)
def test_the_convention_comes_from_the_origin_or_the_only_possibility(values, known, expected):
    assert convention_of(np.array([0, *values]), known) == expected


@pytest.mark.parametrize(
    ("values", "known", "code"),
    [
        ((1, 2, 4), None, "LABELS_AMBIGUOUS"),
        ((4,), None, "LABELS_AMBIGUOUS"),
        ((1, 5), None, "LABELS_UNKNOWN"),
        ((1, 2, 3), LabelConvention.BRATS2021, "LABELS_UNKNOWN"),
        ((1, 2, 4), LabelConvention.BRATS2023, "LABELS_UNKNOWN"),
        ((-1, 1), None, "LABELS_UNKNOWN"),
    ],
)
def test_labels_are_never_guessed(values, known, code):
    with pytest.raises(InputError) as refused:
        convention_of(np.array([0, *values]), known)
    assert refused.value.code == code
    assert refused.value.exit_status == 3


def test_enums_are_their_values_in_json_and_tables():
    assert Sequence("t1c") is T1C
    assert [sequence.index for sequence in SEQUENCES] == [0, 1, 2, 3]
    assert [region.value for region in Region] == ["ET", "TC", "WT"]

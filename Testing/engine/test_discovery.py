"""Which files make a case."""

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_case, write_case

from lckd.case import Case
from lckd.discovery import case_paths, find_case
from lckd.errors import InputError
from lckd.labels import LabelConvention, convention_of
from lckd.sequences import SEQUENCES

FLAIR, T1, T1C, T2 = SEQUENCES
B21, B24, MSD = LabelConvention.BRATS2021, LabelConvention.BRATS2024, LabelConvention.MSD


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"not read here")
    return folder


@pytest.mark.parametrize(
    ("folder", "names", "convention"),
    [
        ("Brats18_TCIA01_1", ["Brats18_TCIA01_1_{}.nii.gz", "flair t1 t1ce t2 seg"], B21),
        ("BraTS20_Training_001", ["BraTS20_Training_001_{}.nii", "flair t1 t1ce t2 seg"], B21),
        ("BraTS2021_00002", ["BraTS2021_00002_{}.nii.gz", "flair t1 t1ce t2 seg"], B21),
        ("BraTS-GLI-00001-000", ["BraTS-GLI-00001-000-{}.nii.gz", "t2f t1n t1c t2w seg"], B24),
        ("BraTS-GLI-02062-100", ["BraTS-GLI-02062-100-{}.nii.gz", "t2f t1n t1c t2w seg"], B24),
        ("UCSF-PDGM-0004_nifti", ["UCSF-PDGM-0004_{}.nii.gz", "FLAIR T1 T1c T2 tumor_segmentation"], B21),
        ("UPENN-GBM-00001_11", ["UPENN-GBM-00001_11_{}.nii.gz", "FLAIR T1 T1GD T2 segm"], B21),
        ("patient", ["{}.nii.gz", "flair t1 t1c t2 seg"], None),
        ("nrrd", ["{}.nrrd", "flair t1 t1c t2 label"], None),
        ("mha", ["scan-{}.mha", "flair t1 t1c t2 segmentation"], None),
        ("UPPER", ["{}.NII.GZ", "FLAIR T1 T1CE T2 SEG"], None),
    ],
)
def test_layouts_of_the_public_data_sets(tmp_path, folder, names, convention):
    pattern, words = names
    files = [pattern.format(word) for word in words.split()]
    found = find_case(touch(tmp_path / folder, *files))
    assert found.name == folder
    assert [image.path.name for image in found.images.values()] == files[:4]
    assert tuple(found.images) == SEQUENCES
    assert found.labels.name == files[4]
    assert found.convention == convention


def test_any_non_empty_subset_is_a_case(tmp_path):
    found = find_case(touch(tmp_path / "p", "x_t1ce.nii.gz", "x_flair.nii.gz"))
    assert tuple(found.images) == (FLAIR, T1C)
    assert found.labels is None


def test_other_files_are_ignored(tmp_path):
    names = ("._x_t1.nii.gz", ".x_t1.nii.gz", "x_t1.json", "x_t1.png", "README.txt", "x_T1_bias.nii.gz", "x_DWI.nii.gz")
    folder = touch(tmp_path / "p", "x_t1.nii.gz", *names)
    (folder / "t2.nii.gz").mkdir()
    assert [image.path.name for image in find_case(folder).images.values()] == ["x_t1.nii.gz"]


def test_masks_of_the_brain_are_no_reference(tmp_path):
    masks = ("a_brain_segmentation.nii.gz", "a_brain_parenchyma_segmentation.nii.gz", "a_brain-seg.nii.gz")
    assert find_case(touch(tmp_path / "a", "a_T1.nii.gz", *masks)).labels is None
    folder = touch(tmp_path / "b", "b_T1.nii.gz", "b_tumor_segmentation.nii.gz", *masks)
    assert find_case(folder).labels.name == "b_tumor_segmentation.nii.gz"


def test_an_own_result_is_no_reference(tmp_path):
    folder = touch(tmp_path / "p", "t1.nii.gz", "segmentation.nii.gz")
    assert find_case(folder).labels.name == "segmentation.nii.gz"
    touch(folder, "report.json")
    assert find_case(folder).labels is None
    touch(folder, "p_seg.nii.gz")
    assert find_case(folder).labels.name == "p_seg.nii.gz"
    touch(folder, "p_seg.report.json")
    assert find_case(folder).labels is None


def test_of_several_references_none_is_chosen_silently(tmp_path):
    with pytest.raises(InputError) as refused:
        find_case(touch(tmp_path / "p", "a_t1c.nii.gz", "a_seg.nii.gz", "prediction_seg.nii.gz"))
    assert refused.value.code == "REFERENCE_TWICE"
    assert "a_seg.nii.gz and prediction_seg.nii.gz" in refused.value.message


def test_two_files_for_one_sequence_are_refused(tmp_path):
    with pytest.raises(InputError) as refused:
        find_case(touch(tmp_path / "p", "a_t1c.nii.gz", "b_t1ce.nii.gz"))
    assert refused.value.code == "SEQUENCE_TWICE"
    assert "a_t1c.nii.gz" in refused.value.message
    assert "b_t1ce.nii.gz" in refused.value.message


def test_a_four_dimensional_file_of_the_decathlon_is_a_case(tmp_path):
    case = make_case()
    images, labels = tmp_path / "Task01" / "imagesTr", tmp_path / "Task01" / "labelsTr"
    for folder in (images, labels):
        folder.mkdir(parents=True)
    sitk.WriteImage(sitk.JoinSeries([case.images[s] for s in SEQUENCES]), str(images / "BRATS_001.nii.gz"))
    sitk.WriteImage(case.labels, str(labels / "BRATS_001.nii.gz"))
    touch(images, "._BRATS_001.nii.gz")

    found = find_case(images / "BRATS_001.nii.gz")
    assert (found.name, found.labels, found.convention) == ("BRATS_001", labels / "BRATS_001.nii.gz", MSD)
    read = Case.from_found(found)
    for sequence in SEQUENCES:
        assert np.array_equal(*(sitk.GetArrayViewFromImage(i[sequence]) for i in (read.images, case.images)))
        assert read.images[sequence].GetOrigin() == case.images[sequence].GetOrigin()
    assert Case.from_folder(images / "BRATS_001.nii.gz", only=[T1C]).present == (T1C,)
    assert [find_case(path).name for path in case_paths(tmp_path)] == ["BRATS_001"]


def test_a_three_dimensional_file_is_no_case(tmp_path):
    folder = write_case(tmp_path / "p", sequences=[T1])
    with pytest.raises(InputError) as refused:
        Case.from_folder(folder / "t1.nii.gz")
    assert refused.value.code == "NOT_4D"


def test_every_case_below_a_folder(tmp_path):
    touch(tmp_path / "HGG" / "Brats18_1", "Brats18_1_t1.nii.gz", "Brats18_1_seg.nii.gz")
    touch(tmp_path / "LGG" / "Brats18_2", "Brats18_2_flair.nii.gz")
    touch(tmp_path / "results", "segmentation.nii.gz", "report.json")
    touch(tmp_path / "imagesTr", "BRATS_001.nii.gz")
    assert [find_case(path).name for path in case_paths(tmp_path)] == ["Brats18_1", "Brats18_2", "BRATS_001"]


def test_one_bad_case_does_not_hide_the_others(tmp_path):
    touch(tmp_path / "a", "t1.nii.gz")
    touch(tmp_path / "b", "x_t1.nii.gz", "y_t1.nii.gz")
    assert [path.name for path in case_paths(tmp_path)] == ["a", "b"]
    with pytest.raises(InputError):
        find_case(tmp_path / "b")


@pytest.mark.parametrize(("name", "code"), [("missing", "FILE_NOT_FOUND"), ("empty", "NO_CASE")])
def test_a_folder_without_cases_is_refused(tmp_path, name, code):
    touch(tmp_path / "empty", "notes.txt")
    with pytest.raises(InputError) as refused:
        case_paths(tmp_path / name)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("BraTS2021_00002", (1, 2, 4), B21),
        ("BraTS-GLI-02062-100", (1, 2, 4), B24),
        ("BraTS-GLI-00001-000", (1, 2, 3), B24),
        ("patient", (1, 2, 3), LabelConvention.BRATS2023),
        ("patient", (1, 2, 3, 4), B24),
        ("patient", (1, 2, 4), None),
    ],
)
def test_a_4_means_what_the_name_of_the_case_says(tmp_path, name, values, expected):
    found = find_case(touch(tmp_path / name, f"{name}_t1.nii.gz", f"{name}_seg.nii.gz"))
    if expected is None:
        with pytest.raises(InputError, match="resection cavity"):
            convention_of(np.array(values), found.convention)
    else:
        assert convention_of(np.array(values), found.convention) == expected

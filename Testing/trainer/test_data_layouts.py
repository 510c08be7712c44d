"""Data sets as they are published, and cases listed in a table."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_data import AS_2021, check, check_one, write, write_csv, write_decathlon
from phantoms import MadeCase

from lckd.errors import InputError
from lckd.labels import LabelConvention
from lckd.sequences import SEQUENCES
from lckd_training.data.cases import find_labeled
from lckd_training.data.datasets import find_dataset, folders_without_sequences

FLAIR, T1, T1C, T2 = SEQUENCES
B21, B24, MSD = LabelConvention.BRATS2021, LabelConvention.BRATS2024, LabelConvention.MSD

LAYOUTS = {
    "2018": ("HGG/Brats18_TCIA01_131_1", "Brats18_TCIA01_131_1_{}.nii.gz", "flair t1 t1ce t2 seg", AS_2021, B21),
    "2019": ("LGG/BraTS19_2013_9_1", "BraTS19_2013_9_1_{}.nii", "flair t1 t1ce t2 seg", AS_2021, B21),
    "2021": ("BraTS2021_00002", "BraTS2021_00002_{}.nii.gz", "flair t1 t1ce t2 seg", AS_2021, B21),
    "2023": ("BraTS-GLI-00001-000", "BraTS-GLI-00001-000-{}.nii.gz", "t2f t1n t1c t2w seg", None, B24),
    "2024": ("BraTS-GLI-02062-101", "BraTS-GLI-02062-101-{}.nii.gz", "t2f t1n t1c t2w seg", {1: 4, 2: 2, 3: 3}, B24),
    "UCSF": ("UCSF-PDGM-0429_FU003d_nifti", "UCSF-PDGM-0429_FU003d_{}.nii.gz", "FLAIR T1 T1c T2 tumor_segmentation",
             AS_2021, B21),
}  # fmt: skip
KNOWN = {
    "2018": ("Brats18_TCIA01_131", "TCIA01", "HGG"),
    "2019": ("BraTS19_2013_9", "2013", "LGG"),
    "2021": ("BraTS2021_00002", None, None),
    "2023": ("BraTS-GLI-00001", None, None),
    "2024": ("BraTS-GLI-02062", None, None),
    "UCSF": ("UCSF-PDGM-0429", "UCSF", None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts(made: MadeCase, tmp_path: Path, layout: str) -> None:
    folder, pattern, words, values, convention = LAYOUTS[layout]
    names = ("flair", "t1", "t1c", "t2", "seg")
    paths = [tmp_path / "set" / folder / pattern.format(word) for word in words.split()]
    write(made, dict(zip(names, paths, strict=True)), values)
    one = check_one(tmp_path / "set")
    assert one.findings == []
    assert one.case.name == Path(folder).name
    assert one.present == SEQUENCES
    assert one.labels is not None
    assert one.labels.convention == convention
    assert (one.case.patient, one.case.site, one.case.grade) == KNOWN[layout]
    counts = np.bincount(sitk.GetArrayFromImage(made.labels).ravel())
    core = counts[3] if layout == "2024" else counts[1] + counts[3]  # The made necrosis is a cavity there.
    ml = [counts[3] / 1000, core / 1000, (core + counts[2]) / 1000]
    assert list(one.labels.volumes_ml.values()) == pytest.approx(ml)


def test_brats_2020_takes_grade_and_site_from_its_list(made: MadeCase, tmp_path: Path) -> None:
    name = "BraTS20_Training_355"
    folder = tmp_path / "MICCAI_BraTS2020_TrainingData" / name
    files = {s.value: folder / f"{name}_{s.value.replace('t1c', 't1ce')}.nii" for s in SEQUENCES}
    write(made, files | {"seg": folder / "W39_1998.09.19_Segm.nii"}, AS_2021)
    mapping = {"Grade": "LGG", "BraTS_2017_subject_ID": "Brats17_CBICA_AAB_1", "BraTS_2020_subject_ID": name}
    write_csv(folder.parent / "name_mapping.csv", mapping)
    one = check_one(tmp_path)
    assert one.findings == []
    assert one.labels is not None
    assert (one.case.patient, one.case.site, one.case.grade) == (name, "CBICA", "LGG")


def test_upenn_has_its_segmentations_elsewhere_and_the_experts_come_first(
    made: MadeCase, others: list[MadeCase], tmp_path: Path
) -> None:
    root = tmp_path / "NIfTI-files"
    names = ("UPENN-GBM-00001_11", "UPENN-GBM-00002_11", "UPENN-GBM-00002_21")
    for name, one in zip(names, (made, *others), strict=True):
        titles = {"flair": "FLAIR", "t1": "T1", "t1c": "T1GD", "t2": "T2"}
        write(one, {s: root / "images_structural" / name / f"{name}_{t}.nii.gz" for s, t in titles.items()})
        unstripped = root / "images_structural_unstripped" / name / f"{name}_T1_unstripped.nii.gz"
        write(one, {"t1": unstripped})
    for name, one in zip(names[:2], (made, *others), strict=False):
        automatic = root / "automated_segm" / f"{name}_automated_approx_segm.nii.gz"
        write(one, {"seg": automatic}, AS_2021)
    write(made, {"seg": root / "images_segm" / "UPENN-GBM-00001_11_segm.nii.gz"}, AS_2021)
    expert, automatic, none = check(root)
    assert expert.case.files.labels.parent.name == "images_segm"
    assert expert.findings == []
    assert [finding.code for finding in automatic.findings] == ["AUTOMATIC_LABELS"]
    assert none.case.files.labels is None
    assert automatic.case.patient == none.case.patient == "UPENN-GBM-00002"
    assert all(one.usable and one.case.site == "UPENN" for one in (expert, automatic, none))


def test_decathlon(made: MadeCase, others: list[MadeCase], tmp_path: Path) -> None:
    root = tmp_path / "Task01_BrainTumour"
    write_decathlon(root, "BRATS_001", made)
    write_decathlon(root, "BRATS_485", others[0], labels=False)
    write(made, {"t1": root / "imagesTr" / "BRATS_002.nii.gz"})
    good, bad, unlabeled = check(root, deep=True)
    assert good.findings == []
    assert good.labels is not None
    assert good.labels.convention == MSD
    assert good.grid is not None
    assert good.grid.size == made.labels.GetSize()
    enhancing = np.count_nonzero(sitk.GetArrayFromImage(made.labels) == 3) / 1000
    assert good.labels.volumes_ml["ET"] == pytest.approx(enhancing)
    assert (unlabeled.labels, unlabeled.findings) == (None, [])
    assert [(finding.code, finding.file) for finding in bad.findings] == [("NOT_4D", "imagesTr/BRATS_002.nii.gz")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_cases(made: MadeCase, tmp_path: Path, delimiter: str) -> None:
    write(made, {"flair": tmp_path / "x" / "1.nrrd", "t1c": tmp_path / "y" / "scan two.mha"})
    write(made, {"seg": tmp_path / "masks" / "1.nii.gz"}, AS_2021)
    rows = [
        {"Case": "a", "FLAIR": "x/1.nrrd", "T1ce": "y/scan two.mha", "t2": "", "label": "masks/1.nii.gz",
         "convention": "brats2021", "patient": "Jane Roe", "site": "Rome", "grade": "HGG", "age": "50"},
        {"Case": "b", "FLAIR": "", "T1ce": str(tmp_path / "y" / "scan two.mha"), "t2": "", "label": "",
         "convention": "", "patient": "Jane Roe", "site": "", "grade": "", "age": ""},
    ]  # fmt: skip
    table = write_csv(tmp_path / "cases.csv", *rows, delimiter=delimiter)
    first, second = check(table)
    assert first.findings == second.findings == []
    assert (first.present, second.present) == ((FLAIR, T1C), (T1C,))
    assert first.labels is not None
    assert first.labels.convention == B21
    assert (first.case.site, first.case.grade) == ("Rome", "HGG")
    assert first.case.patient == second.case.patient == "Jane Roe"
    assert [files.name for files in find_labeled(table)] == ["a"]


def test_a_bad_line_of_a_table_does_not_hide_the_others(made: MadeCase, tmp_path: Path) -> None:
    write(made, {"t1": tmp_path / "t1.nii.gz", "t2": tmp_path / "t2.nii.gz"})
    rows = [
        {"case": "good", "t1": "t1.nii.gz", "t2": "", "convention": ""},
        {"case": "gone", "t1": "elsewhere/t1.nii.gz", "t2": "", "convention": ""},
        {"case": "none", "t1": "", "t2": "", "convention": ""},
        {"case": "twice", "t1": "t2.nii.gz", "t2": "t2.nii.gz", "convention": ""},
        {"case": "", "t1": "t1.nii.gz", "t2": "", "convention": ""},
        {"case": "odd", "t1": "t1.nii.gz", "t2": "", "convention": "brats2077"},
    ]
    found = {one.case.name: [f.code for f in one.findings] for one in check(write_csv(tmp_path / "cases.csv", *rows))}
    assert found == {
        "good": [],
        "gone": ["FILE_NOT_FOUND"],
        "none": ["NO_SEQUENCE"],
        "twice": ["SAME_IMAGE"],
        "line 6": ["NO_CASE_NAME"],
        "odd": ["BAD_CONVENTION"],
    }


def test_a_table_from_windows(made: MadeCase, tmp_path: Path) -> None:
    """Backslashes between folders, semicolons, a mark at the start, empty lines as spreadsheets leave them."""
    write(made, {"t1": tmp_path / "p 1" / "t1.nii.gz", "seg": tmp_path / "p 1" / "mask.nii.gz"})
    text = "\ufeffcase;t1;seg\r\n;;\r\na;p 1\\t1.nii.gz;p 1\\mask.nii.gz\r\n ; ;\r\n"
    (tmp_path / "cases.csv").write_bytes(text.encode())
    one = check_one(tmp_path / "cases.csv")
    assert (one.case.name, one.findings) == ("a", [])
    assert one.labels is not None


def test_a_line_with_a_comma_too_many_is_refused(made: MadeCase, tmp_path: Path) -> None:
    """Its cells would be taken for those of other columns."""
    write(made, {"t1": tmp_path / "t1.nii.gz"})
    (tmp_path / "cases.csv").write_text("case,t1,t2\na,t1.nii.gz,,,\n\nRoe, Jim,,t1.nii.gz\n")
    good, bad = check(tmp_path / "cases.csv")
    assert good.findings == []
    assert [(fault.code, fault.message) for fault in bad.faults] == [
        ("BAD_LINE", "Line 4 has more cells than the first line.")
    ]


def test_a_file_that_is_no_table_is_no_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "cases.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"cases\.xlsx is neither a folder nor a CSV file") as refused:
        find_dataset(tmp_path / "cases.xlsx")
    assert refused.value.code == "NOT_A_DATASET"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "BAD_TABLE", "no column 'case'"),
        ("name,t1\na,b\n", "BAD_TABLE", "no column 'case'"),
        ("case,label\na,b\n", "BAD_TABLE", "no column of a sequence"),
        ("case,t1ce,t1c\na,b,c\n", "BAD_TABLE", "two columns for t1c"),
        ("case,t1\n", "NO_CASE", "lists no case"),
        (b"case,t1\n\xff,\xfe\n", "BAD_TABLE", "UTF-8"),
        ("case,t1\na,b\0\n", "BAD_TABLE", "not a text file"),
        ('case,t1\na,"b\nc,d\n', "BAD_TABLE", "quotation mark too many or too few, by line 3"),
        ('case,t1\na,"b" c\n', "BAD_TABLE", "quotation mark too many or too few, by line 2"),
        ('case,t1\na,"b\n' + "c,d\n" * 50000, "BAD_TABLE", "quotation mark"),
        ("case,label,t1,seg\na,b,c,d\n", "BAD_TABLE", "two columns for label"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, text: str | bytes, code: str, words: str) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words) as refused:
        find_dataset(path)
    assert refused.value.code == code


def test_folders_of_images_that_are_no_case_are_told(made: MadeCase, tmp_path: Path) -> None:
    for folder in ("p", "labelsTr", "atlas", "a/result"):
        name = "t1.nii.gz" if folder == "p" else "BRATS_001.nii.gz"
        write(made, {"t1": tmp_path / folder / name})
    (tmp_path / "a" / "result" / "report.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "._x.nii.gz").write_bytes(b"")
    assert folders_without_sequences(tmp_path, find_dataset(tmp_path)) == [tmp_path / "atlas"]


def test_a_folder_of_links_is_a_data_set(made: MadeCase, tmp_path: Path) -> None:
    store, study = tmp_path / "store", tmp_path / "study"
    for grade, name in (("HGG", "Brats18_TCIA01_131_1"), ("LGG", "Brats18_TCIA02_7_1")):
        write(made, {s: store / grade / name / f"{name}_{s}.nii.gz" for s in ("t1", "seg")}, AS_2021)
    write(made, {"t1": store / "atlas" / "brain.nii.gz"})
    study.mkdir()
    (study / "patient").symlink_to(store / "HGG" / "Brats18_TCIA01_131_1")
    (study / "low").symlink_to(store / "LGG")
    (study / "again").symlink_to(store / "LGG")
    (study / "atlas").symlink_to(store / "atlas")
    (study / "upwards").symlink_to(study)
    known = {one.case.name: (one.case.patient, one.case.site, one.case.grade) for one in check(study)}
    assert known == {
        "patient": ("Brats18_TCIA01_131", "TCIA01", "HGG"),
        "Brats18_TCIA02_7_1": ("Brats18_TCIA02_7", "TCIA02", "LGG"),
    }
    assert all(one.usable and one.labels is not None and one.labels.convention == B21 for one in check(study))
    assert len(find_labeled(study)) == 2
    assert folders_without_sequences(study, find_dataset(study)) == [study / "atlas"]


def test_a_linked_case_is_found_in_the_list_beside_the_real_one(made: MadeCase, tmp_path: Path) -> None:
    name = "BraTS20_Training_355"
    write(made, {"t1": tmp_path / "store" / name / f"{name}_t1.nii"})
    write_csv(tmp_path / "store" / "name_mapping.csv", {"Grade": "LGG", "BraTS_2020_subject_ID": name})
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "x").symlink_to(tmp_path / "store" / name)
    (linked,) = find_dataset(tmp_path / "study")
    assert (linked.name, linked.patient, linked.grade) == ("x", "x", "LGG")


def test_who_uses_a_case_without_files_is_told_which_it_is(made: MadeCase, tmp_path: Path) -> None:
    write(made, {"t1": tmp_path / "p" / "a_t1.nii.gz"})
    write(made, {"t1": tmp_path / "p" / "b_t1.nii.gz"})
    with pytest.raises(InputError, match=r"^p: a_t1\.nii\.gz and b_t1\.nii\.gz both claim to be T1\.") as refused:
        find_labeled(tmp_path)
    assert refused.value.code == "SEQUENCE_TWICE"

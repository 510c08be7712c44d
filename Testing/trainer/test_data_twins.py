"""One patient under several names: known as one where the names tell it, and else told by images and segmentations."""

from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
from made_data import AS_2021, AS_MSD, check, write, write_csv, write_decathlon
from phantoms import MadeCase, make_case, write_case

from lckd_training.config import TrainingConfig
from lckd_training.data.cases import read_facts
from lckd_training.data.datasets import find_dataset
from lckd_training.data.split import Split

MAPPING = {
    "Grade": "HGG",
    "BraTS_2017_subject_ID": "Brats17_TCIA01_131_1",
    "BraTS_2018_subject_ID": "Brats18_TCIA01_131_1",
    "TCGA_TCIA_subject_ID": "NA",
    "BraTS_2019_subject_ID": "BraTS19_TCIA01_131_1",
    "BraTS_2020_subject_ID": "BraTS20_Training_001",
}
NEW = dict.fromkeys(MAPPING, "NA") | {"Grade": "LGG", "BraTS_2020_subject_ID": "BraTS20_Training_002"}


def patients(root: Path) -> dict[str, str]:
    return {case.name: case.patient for case in find_dataset(root)}


def same_scans(root: Path, **options: Any) -> dict[str, list[str]]:
    """What is said of the cases that show one scan, by case."""
    return {
        one.case.name: [finding.message for finding in one.findings if finding.code == "SAME_SCAN"]
        for one in check(root, **options)
    }


@pytest.fixture
def years(made: MadeCase, tmp_path: Path) -> Path:
    """A patient of BraTS 2018 who is in 2019 and 2020 as well, and two who are not."""
    for folder in ("18/HGG/Brats18_TCIA01_131_1", "18/HGG/Brats18_TCIA02_131_1", "19/HGG/BraTS19_TCIA01_131_1",
                   "20/BraTS20_Training_001", "20/BraTS20_Training_002"):  # fmt: skip
        name = Path(folder).name
        write(made, {kind: tmp_path / folder / f"{name}_{kind}.nii.gz" for kind in ("t1", "seg")}, AS_2021)
    write_csv(tmp_path / "20" / "name_mapping.csv", MAPPING, NEW)
    return tmp_path


def test_a_patient_of_several_years_of_brats_is_one(years: Path) -> None:
    found = patients(years)
    assert found.pop("Brats18_TCIA02_131_1") == "Brats18_TCIA02_131"
    assert found.pop("BraTS20_Training_002") == "BraTS20_Training_002"
    assert len(found) == 3
    assert set(found.values()) == {"Brats18_TCIA01_131"}
    facts = read_facts(find_dataset(years))
    for seed in range(8):
        split = Split.draw(facts, TrainingConfig(seed=seed))
        assert len([names for names in split.roles.values() if set(names) & set(found)]) == 1


def test_names_of_another_year_alone_are_left_as_they_are(years: Path) -> None:
    assert patients(years / "20") == {name: name for name in ("BraTS20_Training_001", "BraTS20_Training_002")}
    assert patients(years / "19") == {"BraTS19_TCIA01_131_1": "BraTS19_TCIA01_131"}


def test_in_a_table_the_column_decides(tmp_path: Path) -> None:
    names = ("Brats17_2013_1_1", "brats18_2013_1_1", "BraTS19_2013_1_1")
    rows = [{"case": name, "t1": "t1.nii.gz", "patient": ""} for name in names]
    assert set(patients(write_csv(tmp_path / "a.csv", *rows)).values()) == {"Brats17_2013_1"}
    rows[1]["patient"] = "somebody"
    found = patients(write_csv(tmp_path / "b.csv", *rows))
    assert list(found.values()) == ["Brats17_2013_1", "somebody", "Brats17_2013_1"]


def spoiled_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def spoiled_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def spoiled_by_quotation_mark(path: Path) -> None:
    path.write_text(path.read_text() + '"' + "x,y\n" * 50000)


@pytest.mark.parametrize("spoil", [spoiled_by_folder, spoiled_by_link, spoiled_by_quotation_mark])
def test_cases_are_found_without_a_list_that_cannot_be_read(years: Path, spoil: Any) -> None:
    spoil(years / "20" / "name_mapping.csv")
    assert {case.name: case.grade for case in find_dataset(years / "20")} == {
        "BraTS20_Training_001": None,
        "BraTS20_Training_002": None,
    }


def test_one_tumor_in_the_names_of_two_patients_is_told(made: MadeCase, others: list[MadeCase], tmp_path: Path) -> None:
    """Also where the labels have other numbers, and the file another form."""
    for name, one, values in (
        ("BraTS2021_00001", made, AS_2021),
        ("BraTS-GLI-00007-000", made, None),
        ("BraTS-GLI-00007-001", made, None),
        ("BraTS-GLI-00008-000", others[0], None),
    ):
        write(one, {"t1": tmp_path / name / f"{name}_t1.nii.gz", "seg": tmp_path / name / f"{name}_seg.nii"}, values)
    found = same_scans(tmp_path)
    assert found.pop("BraTS-GLI-00008-000") == []
    assert found.pop("BraTS2021_00001") == [
        "An image or the segmentation is the same as that of BraTS-GLI-00007-000, BraTS-GLI-00007-001, which counts "
        "as another patient."
    ]
    assert ["of BraTS2021_00001, which" in message for (message,) in found.values()] == [True, True]
    assert all(one.usable for one in check(tmp_path))


def test_segmentations_without_a_tumor_are_no_sign(made: MadeCase, tmp_path: Path) -> None:
    for name in "ab":
        sitk.WriteImage(made.labels * 0, str(write_case(tmp_path / name, make_case(ord(name))) / "seg.nii.gz"))
    assert same_scans(tmp_path, deep=True) == {"a": [], "b": []}


def test_one_image_in_the_names_of_two_patients_is_told_when_images_are_read(
    made: MadeCase, others: list[MadeCase], tmp_path: Path
) -> None:
    write_decathlon(tmp_path / "msd", "BRATS_001", made, labels=False)
    write(made, {"t2": tmp_path / "a" / "t2.nii"})
    write(others[0], {"flair": tmp_path / "a" / "flair.nii.gz", "t1": tmp_path / "b" / "t1.nii.gz"})
    assert same_scans(tmp_path) == {"BRATS_001": [], "a": [], "b": []}
    found = same_scans(tmp_path, deep=True)
    assert found.pop("b") == []
    assert [len(messages) for messages in found.values()] == [1, 1]


def test_a_file_in_two_lines_of_a_table_is_told(made: MadeCase, others: list[MadeCase], tmp_path: Path) -> None:
    write(made, {"t1": tmp_path / "1.nii.gz"})
    write(others[0], {"t1": tmp_path / "2.nii.gz"})
    (tmp_path / "link.nii.gz").symlink_to("1.nii.gz")
    files = {"a": "1.nii.gz", "b": "2.nii.gz", "c": "link.nii.gz"}
    rows = [{"case": name, "t1": file, "patient": ""} for name, file in files.items()]
    found = same_scans(write_csv(tmp_path / "cases.csv", *rows))
    assert {name: len(messages) for name, messages in found.items()} == {"a": 1, "b": 0, "c": 1}
    for row in rows:
        row["patient"] = "Jane Roe"
    assert not any(same_scans(write_csv(tmp_path / "cases.csv", *rows)).values())


def test_the_decathlon_numbers_its_labels_in_another_way(made: MadeCase, tmp_path: Path) -> None:
    write_decathlon(tmp_path / "msd", "BRATS_001", made)
    write(made, {"t1": tmp_path / "x" / "t1.nii.gz", "seg": tmp_path / "x" / "seg.nii.gz"})
    assert [len(messages) for messages in same_scans(tmp_path).values()] == [1, 1]
    write(made, {"seg": tmp_path / "x" / "seg.nii.gz"}, AS_MSD)
    assert same_scans(tmp_path) == {"BRATS_001": [], "x": []}

"""``lckd data check`` on bad data: every fault is found, in its file, and what is allowed is only said."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from made_data import check, check_one, relabeled, write, write_csv
from phantoms import MadeCase, write_case

from lckd.errors import InputError
from lckd.images import ImageFile, read_grid
from lckd.labels import LabelConvention
from lckd.nifti import has_full_length
from lckd.sequences import SEQUENCES, parse_subset
from lckd_training.data.cases import find_labeled, read_facts
from lckd_training.data.datasets import find_dataset

FLAIR, T1, T1C, T2 = SEQUENCES
B21, B24 = LabelConvention.BRATS2021, LabelConvention.BRATS2024


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def with_array(path: Path, change: Any) -> None:
    image = sitk.ReadImage(str(path))
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))


def moved(path: Path, millimeters: float) -> None:
    image = sitk.ReadImage(str(path))
    image.SetOrigin((image.GetOrigin()[0] + millimeters, *image.GetOrigin()[1:]))
    sitk.WriteImage(image, str(path))


def sliced(path: Path) -> None:
    sitk.WriteImage(sitk.ReadImage(str(path))[:, :, 20:24], str(path))


def as_four_volumes(path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([sitk.ReadImage(str(path))] * 2), str(path))


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float32)
    array[20, 20, 20] = np.nan
    return array


FAULTS = {
    "UNREADABLE": ("t1.nii.gz", lambda path: path.write_bytes(b"no image")),
    "EMPTY_FILE": ("t1.nii.gz", lambda path: path.write_bytes(b"")),
    "UNREADABLE cut": ("t1.nii.gz", shortened),
    "UNREADABLE labels cut": ("seg.nii.gz", shortened),
    "ONE_SLICE": ("t2.nii.gz", sliced),
    "NOT_3D": ("flair.nii.gz", as_four_volumes),
    "NO_OVERLAP": ("t2.nii.gz", lambda path: moved(path, 500)),
    "LABELS_ELSEWHERE": ("seg.nii.gz", lambda path: moved(path, 500)),
    "LABELS_OTHER_VOXELS": ("seg.nii.gz", lambda path: moved(path, 0.4)),
    "LABELS_UNKNOWN": ("seg.nii.gz", lambda path: with_array(path, lambda a: np.where(a == 1, 7, a))),
    "LABELS_AMBIGUOUS": ("seg.nii.gz", lambda path: with_array(path, lambda a: np.where(a == 3, 4, a))),
    "NOT_LABELS": ("seg.nii.gz", lambda path: with_array(path, lambda a: a * np.float32(0.7))),
}
DEEP_FAULTS = {
    "NOT_FINITE": ("t1.nii.gz", lambda path: with_array(path, with_nan)),
    "CONSTANT_IMAGE": ("t1c.nii.gz", lambda path: with_array(path, np.zeros_like)),
    "LABELS_AS_IMAGE": ("t1.nii.gz", lambda path: shutil.copy(path.with_name("seg.nii.gz"), path)),
    "SAME_IMAGE": ("t1c.nii.gz", lambda path: shutil.copy(path.with_name("t1.nii.gz"), path)),
    "NO_OVERLAP deep": ("t2.nii.gz", lambda path: moved(path, 45)),
}


@pytest.mark.parametrize("code", [*FAULTS, *DEEP_FAULTS])
def test_a_fault_names_the_file_and_the_remedy(case: Path, others: list[MadeCase], command: Any, code: str) -> None:
    name, spoil = (FAULTS | DEEP_FAULTS)[code]
    spoil(case / name)
    write_case(case.with_name("q"), others[0])
    if code in DEEP_FAULTS:
        assert check(case.parent)[0].usable
    bad, good = check(case.parent, deep=code in DEEP_FAULTS)
    assert good.findings == []
    assert [(fault.code, fault.file) for fault in bad.faults] == [(code.split()[0], f"p/{name}")]
    (fault,) = bad.faults
    assert fault.action.endswith(".")
    done = command("data", "check", case.parent, *(["--deep"] if code in DEEP_FAULTS else []))
    assert done.status == 7
    (line,) = [line for line in done.out.splitlines() if line.startswith("  p: ") and fault.code in line]
    assert line.endswith(f". {fault.action} [{fault.code}]")
    assert line.count(name) == 1, "the file is named twice, or not at all"
    assert "p/" not in line, "the case is named twice"
    assert "1 of 2 cases cannot be used" in done.err


def test_one_file_for_two_sequences_is_named(case: Path) -> None:
    (case / "t2.nii.gz").unlink()
    (case / "t2.nii.gz").symlink_to("t1.nii.gz")
    assert [(fault.code, fault.file) for fault in check_one(case.parent).faults] == [("SAME_IMAGE", "p/t2.nii.gz")]


def test_every_bad_file_of_a_case_is_named(case: Path) -> None:
    shortened(case / "t1.nii.gz")
    with_array(case / "t2.nii.gz", with_nan)
    shortened(case / "seg.nii.gz")
    assert {fault.file for fault in check_one(case.parent).faults} == {"p/t1.nii.gz", "p/seg.nii.gz"}
    deep = {(fault.file, fault.code) for fault in check_one(case.parent, deep=True).faults}
    assert deep == {("p/t1.nii.gz", "UNREADABLE"), ("p/t2.nii.gz", "NOT_FINITE"), ("p/seg.nii.gz", "UNREADABLE")}


def test_folders_that_do_not_say_which_file_is_meant(case: Path) -> None:
    shutil.copytree(case, case.with_name("s"))
    shutil.copy(case / "t1.nii.gz", case / "old_t1.nii.gz")
    shutil.copy(case / "seg.nii.gz", case.with_name("s") / "b_seg.nii.gz")
    found = {one.case.name: [(fault.code, "CSV" in fault.action) for fault in one.faults] for one in check(case.parent)}
    assert found == {"p": [("SEQUENCE_TWICE", True)], "s": [("REFERENCE_TWICE", True)]}


def test_two_cases_of_one_name_are_told_by_their_places(case: Path) -> None:
    shutil.copytree(case, case.parent / "other" / "p")
    there, here = check(case.parent)
    assert [[fault.code for fault in one.faults] for one in (there, here)] == [["CASE_TWICE"]] * 2
    assert "in p." in there.faults[0].message
    assert "in other/p." in here.faults[0].message


def test_3_and_4_in_one_file(made: MadeCase, tmp_path: Path) -> None:
    write_case(tmp_path / "p", made)
    sitk.WriteImage(relabeled(made, {1: 4, 2: 2, 3: 3}), str(tmp_path / "p" / "seg.nii.gz"))
    one = check_one(tmp_path)
    assert one.usable
    assert [finding.code for finding in one.findings] == ["READ_AS_2024"]
    assert one.labels is not None
    assert one.labels.convention == B24
    (fault,) = check_one(tmp_path, convention=B21).faults
    assert fault.code == "LABELS_MIXED"
    assert "brats2021 has 4 alone" in fault.message
    assert check_one(tmp_path, convention=B24).findings == []


@pytest.mark.parametrize("change", [lambda a: np.where(a == 3, 4, a), lambda a: np.where(a == 1, 7, a)])
def test_what_is_to_be_done_about_labels_without_a_meaning_works_in_training_too(case: Path, change: Any) -> None:
    with_array(case / "seg.nii.gz", change)
    (fault,) = check_one(case.parent).faults
    with pytest.raises(InputError) as refused:
        read_facts(find_dataset(case.parent))
    assert refused.value.code == fault.code
    assert fault.action.startswith(refused.value.action)
    assert "in a CSV file with the column convention" in refused.value.action
    assert "--reference-labels" not in refused.value.action


def test_a_segmentation_of_several_volumes_is_told_as_one(case: Path) -> None:
    as_four_volumes(case / "seg.nii.gz")
    (fault,) = check_one(case.parent).faults
    assert (fault.code, fault.action) == ("NOT_3D", "Give the segmentation as one 3-D label map.")


def test_a_mask_of_the_whole_tumor_is_doubted(case: Path) -> None:
    with_array(case / "seg.nii.gz", lambda array: (array > 0).astype(np.uint8))
    one = check_one(case.parent)
    assert (one.usable, [finding.code for finding in one.findings]) == (True, ["ONE_LABEL"])


PEDIATRIC = ({1: 1, 2: 2, 3: 3}, {1: 1, 2: 2, 3: 4}, {1: 1, 2: 2, 3: 1})


@pytest.mark.parametrize("values", PEDIATRIC)
def test_labels_that_changed_their_meaning_are_not_guessed(
    made: MadeCase, tmp_path: Path, values: dict[int, int]
) -> None:
    name = "BraTS-PED-00012-000"
    files = {"t1": tmp_path / name / f"{name}-t1n.nii.gz", "seg": tmp_path / name / f"{name}-seg.nii.gz"}
    write(made, files, values)
    one = check_one(tmp_path)
    assert [(fault.code, fault.file) for fault in one.faults] == [("LABELS_CHANGED", f"{name}/{name}-seg.nii.gz")]
    assert (one.present, one.labels) == ((T1,), None)
    with pytest.raises(InputError, match=f"^{name}: Under the same names") as refused:
        find_labeled(tmp_path)
    assert refused.value.code == "LABELS_CHANGED"
    row = {"case": name, "t1": str(files["t1"]), "label": str(files["seg"]), "convention": ""}
    with pytest.raises(InputError, match="Under the same names"):
        find_labeled(write_csv(tmp_path / "cases.csv", row))
    assert find_labeled(write_csv(tmp_path / "cases.csv", row | {"convention": "brats2023"}))
    if values == PEDIATRIC[0]:
        assert check_one(tmp_path, convention=LabelConvention.BRATS2023).findings == []
    files["seg"].unlink()
    assert check_one(tmp_path).findings == []


def test_what_is_allowed_is_said(made: MadeCase, tmp_path: Path) -> None:
    folder = write_case(tmp_path / "p", made, parse_subset("flair,t1c"))
    with_array(folder / "seg.nii.gz", np.zeros_like)
    moved(folder / "flair.nii.gz", 0.4)
    one = check_one(tmp_path)
    assert one.usable
    assert {finding.code for finding in one.findings} == {"NO_TUMOR", "GRIDS_DIFFER"}
    assert "Interpolated for training: FLAIR" in one.findings[0].message
    sitk.WriteImage(made.images[FLAIR][:, :, 4:], str(folder / "flair.nii.gz"))
    assert "Interpolated" not in check_one(tmp_path).findings[0].message


def test_brains_that_do_not_lie_on_each_other_are_doubted(case: Path) -> None:
    with_array(case / "t2.nii.gz", lambda array: np.roll(array, 12, axis=2))
    assert check_one(case.parent).findings == []
    deep = check_one(case.parent, deep=True)
    assert deep.usable
    assert [finding.code for finding in deep.findings] == ["DOUBT"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_length_of_a_nifti_file_is_told_without_reading_it(made: MadeCase, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t1{suffix}"
    sitk.WriteImage(made.images[T1], str(path))
    read_grid(ImageFile(path))
    whole = path.read_bytes()
    for kept in (len(whole) - 1, len(whole) // 2):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match="cut short"):
            read_grid(ImageFile(path))
    path.write_bytes(whole + b"\0" * 16 if suffix == ".nii" else gzip.compress(gzip.decompress(whole) + b"\0" * 16))
    read_grid(ImageFile(path))


def test_a_length_as_promised_spares_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, header = tmp_path / "x.nii.gz", {"vox_offset": "352", "bitpix": "16", "datatype": "4"}
    path.write_bytes(gzip.compress(bytes(352 + 2000)))

    def never(*_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr("lckd.nifti.check_nifti_data", never)
    assert has_full_length(path, header, 1000)
    with pytest.raises(AssertionError):
        has_full_length(path, header, 1001)

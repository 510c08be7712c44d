"""Data sets as they are published, cases listed in a table, and ``lckd data check`` on good and bad ones."""

import csv
import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import MadeCase, make_case, write_case

from lckd.errors import InputError
from lckd.images import ImageFile, read_grid
from lckd.labels import LabelConvention
from lckd.nifti import has_full_length
from lckd.sequences import SEQUENCES, parse_subset, subset_name
from lckd_training.check.check import CaseCheck, check_cases
from lckd_training.check.words import totals
from lckd_training.data.cases import find_labeled
from lckd_training.data.datasets import find_dataset, folders_without_sequences

FLAIR, T1, T1C, T2 = SEQUENCES
B21, B24, MSD = LabelConvention.BRATS2021, LabelConvention.BRATS2024, LabelConvention.MSD
#: From the labels of BraTS 2023, which the made cases have.
AS_2021, AS_MSD = {1: 1, 2: 2, 3: 4}, {1: 2, 2: 1, 3: 3}


def write(made: MadeCase, files: dict[str, Path], values: dict[int, int] | None = None) -> None:
    """Write images and, as ``seg``, labels with other values under any names."""
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        image = made.images[parse_subset(name)[0]] if name != "seg" else relabeled(made, values or {1: 1, 2: 2, 3: 3})
        sitk.WriteImage(image, str(path))


def relabeled(made: MadeCase, values: dict[int, int]) -> sitk.Image:
    labels = sitk.GetArrayFromImage(made.labels)
    image = sitk.GetImageFromArray(np.select([labels == old for old in values], list(values.values())).astype(np.uint8))
    image.CopyInformation(made.labels)
    return image


def write_csv(path: Path, *rows: dict[str, str], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def check(root: Path, **options: Any) -> list[CaseCheck]:
    return check_cases(find_dataset(root), root, **options)


def check_one(root: Path, **options: Any) -> CaseCheck:
    (one,) = check(root, **options)
    return one


@pytest.fixture(scope="module")
def made() -> MadeCase:
    return make_case()


@pytest.fixture
def case(made: MadeCase, tmp_path: Path) -> Path:
    """A good case, to be spoiled: its folder in the folder that is checked."""
    return write_case(tmp_path / "set" / "p", made)


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


def test_upenn_has_its_segmentations_elsewhere_and_the_experts_come_first(made: MadeCase, tmp_path: Path) -> None:
    root = tmp_path / "NIfTI-files"
    for name in ("UPENN-GBM-00001_11", "UPENN-GBM-00002_11", "UPENN-GBM-00002_21"):
        titles = {"flair": "FLAIR", "t1": "T1", "t1c": "T1GD", "t2": "T2"}
        write(made, {s: root / "images_structural" / name / f"{name}_{t}.nii.gz" for s, t in titles.items()})
        unstripped = root / "images_structural_unstripped" / name / f"{name}_T1_unstripped.nii.gz"
        write(made, {"t1": unstripped})
    for name in ("UPENN-GBM-00001_11", "UPENN-GBM-00002_11"):
        automatic = root / "automated_segm" / f"{name}_automated_approx_segm.nii.gz"
        write(made, {"seg": automatic}, AS_2021)
    write(made, {"seg": root / "images_segm" / "UPENN-GBM-00001_11_segm.nii.gz"}, AS_2021)
    expert, automatic, none = check(root)
    assert expert.case.files.labels.parent.name == "images_segm"
    assert expert.findings == []
    assert [finding.code for finding in automatic.findings] == ["AUTOMATIC_LABELS"]
    assert none.case.files.labels is None
    assert automatic.case.patient == none.case.patient == "UPENN-GBM-00002"
    assert all(one.usable and one.case.site == "UPENN" for one in (expert, automatic, none))


def test_decathlon(made: MadeCase, tmp_path: Path) -> None:
    root = tmp_path / "Task01_BrainTumour"
    volume = sitk.JoinSeries([made.images[s] for s in SEQUENCES])
    for folder, name in (("imagesTr", "BRATS_001"), ("imagesTs", "BRATS_485")):
        (root / folder).mkdir(parents=True)
        sitk.WriteImage(volume, str(root / folder / f"{name}.nii.gz"))
    write(made, {"seg": root / "labelsTr" / "BRATS_001.nii.gz"}, AS_MSD)
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
    write(made, {"t1": tmp_path / "t1.nii.gz"})
    rows = [
        {"case": "good", "t1": "t1.nii.gz", "t2": "", "convention": ""},
        {"case": "gone", "t1": "elsewhere/t1.nii.gz", "t2": "", "convention": ""},
        {"case": "none", "t1": "", "t2": "", "convention": ""},
        {"case": "twice", "t1": "t1.nii.gz", "t2": "t1.nii.gz", "convention": ""},
        {"case": "", "t1": "t1.nii.gz", "t2": "", "convention": ""},
        {"case": "odd", "t1": "t1.nii.gz", "t2": "", "convention": "brats2077"},
    ]
    found = {one.case.name: [f.code for f in one.findings] for one in check(write_csv(tmp_path / "cases.csv", *rows))}
    assert found == {
        "good": [],
        "gone": ["FILE_NOT_FOUND"],
        "none": ["NO_SEQUENCE"],
        "twice": ["SAME_IMAGE"],
        "line 5": ["NO_CASE_NAME"],
        "odd": ["BAD_CONVENTION"],
    }


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "BAD_TABLE", "no column 'case'"),
        ("name,t1\na,b\n", "BAD_TABLE", "no column 'case'"),
        ("case,label\na,b\n", "BAD_TABLE", "no column of a sequence"),
        ("case,t1ce,t1c\na,b,c\n", "BAD_TABLE", "two columns for t1c"),
        ("case,t1\n", "NO_CASE", "lists no case"),
        (b"case,t1\n\xff,\xfe\n", "BAD_TABLE", "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, text: str | bytes, code: str, words: str) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words) as refused:
        find_dataset(path)
    assert refused.value.code == code


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
    "SAME_IMAGE": ("", lambda folder: shutil.copy(folder / "t1.nii.gz", folder / "t1c.nii.gz")),
}


@pytest.mark.parametrize("code", [*FAULTS, *DEEP_FAULTS])
def test_a_fault_names_the_file_and_the_remedy(case: Path, command: Any, code: str) -> None:
    name, spoil = (FAULTS | DEEP_FAULTS)[code]
    spoil(case / name)
    write_case(case.with_name("q"))
    if code in DEEP_FAULTS:
        assert check(case.parent)[0].usable
    bad, good = check(case.parent, deep=code in DEEP_FAULTS)
    assert good.findings == []
    assert [(fault.code, fault.file) for fault in bad.faults] == [(code.split()[0], f"p/{name}" if name else "")]
    (fault,) = bad.faults
    assert fault.action.endswith(".")
    done = command("data", "check", case.parent, *(["--deep"] if code in DEEP_FAULTS else []))
    assert done.status == 7
    assert f"p: {fault.file}: {fault.message} {fault.action} [{fault.code}]" in done.out or not name
    assert "1 of 2 cases cannot be used" in done.err


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


def test_two_cases_of_one_name(case: Path) -> None:
    shutil.copytree(case, case.parent / "other" / "p")
    assert [[fault.code for fault in one.faults] for one in check(case.parent)] == [["CASE_TWICE"]] * 2


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


def test_the_command_says_what_is_there(made: MadeCase, tmp_path: Path, command: Any) -> None:
    root = tmp_path / "set"
    write_case(root / "full", made)
    write_case(root / "part", made, parse_subset("flair,t1c"), labels=False)
    write(made, {"t1": root / "atlas" / "brain.nii.gz"})
    done = command("data", "check", root)
    assert done.status == 0
    assert done.err == ""
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[1][:5] == ["full", "yes", "yes", "yes", "yes"]
    assert lines[1][-3:] == ["48×56×48", "1×1×1", "ok"]
    assert lines[2][:8] == ["part", "yes", "-", "yes", "-", "-", "-", "-"]
    assert done.out.splitlines()[2].endswith("ok, no labels")
    assert "images in atlas" in done.out
    assert "2 cases of 2 patients, 2 usable; 1 with all four sequences (FLAIR 2, T1 1, T1c 2, T2 1)." in done.out


def test_folders_of_images_that_are_no_case_are_told(made: MadeCase, tmp_path: Path) -> None:
    for folder in ("p", "labelsTr", "atlas", "a/result"):
        name = "t1.nii.gz" if folder == "p" else "BRATS_001.nii.gz"
        write(made, {"t1": tmp_path / folder / name})
    (tmp_path / "a" / "result" / "report.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "._x.nii.gz").write_bytes(b"")
    assert folders_without_sequences(tmp_path, find_dataset(tmp_path)) == [tmp_path / "atlas"]


def test_scans_of_one_patient_are_counted_once(made: MadeCase, tmp_path: Path) -> None:
    for name in ("upenn-gbm-00001_11", "UPENN-GBM-00002_11", "UPENN-GBM-00002_21"):
        write(made, {"t1": tmp_path / name / "t1.nii.gz"})
    every = totals(check(tmp_path))
    assert (every["cases"], every["patients"], every["sites"]) == (3, 2, {"UPENN": 3})


def test_the_command_in_json(made: MadeCase, tmp_path: Path, command: Any) -> None:
    write(made, {"t1c": tmp_path / "t1c.nii.gz"})
    row = {"case": "a", "t1c": "t1c.nii.gz", "t2": "", "label": "lost.nii.gz", "patient": "Jane Roe", "site": "Rome"}
    done = command("data", "check", write_csv(tmp_path / "cases.csv", row), "--json")
    assert done.status == 7
    assert "Jane" not in done.out + done.err
    *_, result, error = done.events
    assert (error["event"], error["code"]) == ("error", "CASES_UNUSABLE")
    assert (result["cases"], result["usable"], result["labeled"], result["sites"]) == (1, 0, 0, {"Rome": 1})
    (one,) = result["checks"]
    assert (one["present"], one["missing"], one["usable"]) == (["t1c"], ["flair", "t1", "t2"], False)
    assert one["size"] == [48, 56, 48]
    (finding,) = one["findings"]
    assert (finding["kind"], finding["code"], finding["file"]) == ("fault", "FILE_NOT_FOUND", "lost.nii.gz")
    assert finding["action"]


def test_nothing_to_check(tmp_path: Path, command: Any) -> None:
    for name, code in ((".", "NO_CASE"), ("missing", "FILE_NOT_FOUND"), ("missing.csv", "FILE_NOT_FOUND")):
        done = command("data", "check", tmp_path / name)
        assert done.status == 3
        assert code in done.err


def test_cases_stay_in_order_whoever_is_checked_first(made: MadeCase, tmp_path: Path) -> None:
    names = [f"case-{number:02d}" for number in range(12)]
    for name in names:
        write(made, {"t1": tmp_path / name / "t1.nii.gz"})
    told: list[float] = []
    checks = check(tmp_path, workers=4, tell=told.append)
    assert [one.case.name for one in checks] == names
    assert told == [pytest.approx((i + 1) / 12) for i in range(12)]


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


@pytest.mark.real_mri
def test_the_real_cases_are_as_their_description_says(real_data: Path, command: Any) -> None:
    result = command("data", "check", real_data / "brats2021", "--json").events[-1]
    assert (result["cases"], result["usable"], result["complete"], result["labeled"]) == (29, 29, 28, 29)
    assert result["conventions"] == {"brats2021": 29}
    by_name = {one["case"]: one for one in result["checks"]}
    assert all(not one["findings"] for one in by_name.values())
    assert subset_name(parse_subset(",".join(by_name["BraTS2021_01646"]["missing"]))) == "t1+t2"
    without = [name for name, one in by_name.items() if one["volumes_ml"]["ET"] == 0]
    assert without == ["BraTS2021_01477", "BraTS2021_01480", "BraTS2021_01483"]

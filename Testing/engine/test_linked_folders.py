"""Folders put together of links: everything is found, and once."""

from pathlib import Path

import pytest

from lckd.batch import plan_batch
from lckd.discovery import case_paths, find_case, folders_below
from lckd.errors import InputError
from lckd.jobs import Job
from lckd.labels import LabelConvention


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"not read here")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A data set of two cases, outside of the folder that is searched."""
    for name in ("BraTS2021_00001", "BraTS2021_00002"):
        touch(tmp_path / "store" / "brats2021" / name, f"{name}_t1.nii.gz", f"{name}_seg.nii.gz")
    return tmp_path / "store" / "brats2021"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


def found_in(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in case_paths(root)]


def test_linked_data_sets_and_cases_are_found(store: Path, study: Path) -> None:
    (study / "brats").symlink_to(store)
    (study.parent / "more").mkdir()
    (study.parent / "more" / "deep").symlink_to(touch(study.parent / "far" / "p", "t1.nii.gz").parent)
    (study / "more").symlink_to(study.parent / "more")
    (study / "q").symlink_to(touch(study.parent / "single", "t2.nii.gz"))
    assert found_in(study) == ["brats/BraTS2021_00001", "brats/BraTS2021_00002", "more/deep/p", "q"]
    (study.parent / "alias").symlink_to(study)
    assert len(case_paths(study.parent / "alias")) == 4


def test_a_link_to_a_folder_above_it_leads_nowhere(store: Path, study: Path) -> None:
    (study / "brats").symlink_to(store)
    (store / "BraTS2021_00001" / "up").symlink_to(store)
    (store / "BraTS2021_00001" / "top").symlink_to(store.parent)
    (study / "itself").symlink_to(study)
    (study / "above").symlink_to(study.parent)
    touch(study.parent / "other study" / "p", "t1.nii.gz")
    assert found_in(study) == ["brats/BraTS2021_00001", "brats/BraTS2021_00002"]


def test_folders_that_are_linked_to_each_other_end(study: Path) -> None:
    first, second = touch(study.parent / "first", "t1.nii.gz"), touch(study.parent / "second", "t1.nii.gz")
    (first / "other").symlink_to(second)
    (second / "other").symlink_to(first)
    (study / "a").symlink_to(first)
    assert folders_below(study) == [study, study / "a", study / "a" / "other"]


def test_a_case_that_is_reached_twice_goes_by_its_own_path(study: Path) -> None:
    touch(study / "site" / "p", "t1.nii.gz")
    (study / "a").symlink_to(study / "site" / "p")
    (study / "all").symlink_to(study / "site")
    assert found_in(study) == ["site/p"]
    touch(study.parent / "far", "t1.nii.gz")
    for name in ("y", "x", "site/z"):
        (study / name).symlink_to(study.parent / "far")
    assert found_in(study) == ["site/p", "x"]


def test_links_that_lead_nowhere_are_no_folders(store: Path, study: Path) -> None:
    (study / "brats").symlink_to(store)
    (study / "gone").symlink_to(study / "absent")
    (study / "circle").symlink_to(study / "circle")
    assert folders_below(study) == [
        study,
        *(study / "brats" / name for name in ("", *sorted(p.name for p in store.iterdir()))),
    ]


def test_a_linked_case_has_the_name_of_the_link_and_what_its_own_name_tells(store: Path, study: Path) -> None:
    plain = touch(store / "BraTS2021_00003", "t1.nii.gz")
    (study / "patient-1").symlink_to(plain)
    case = find_case(study / "patient-1")
    assert (case.name, case.convention) == ("patient-1", LabelConvention.BRATS2021)
    (task,) = plan_batch(study, study.parent / "out", lambda files, output: Job(files, output))
    assert task.name == "patient-1"


def test_labels_beside_a_linked_folder_are_found(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, name = study.parent / "Task01", "BRATS_001.nii.gz"
    touch(task / "imagesTr", name)
    touch(task / "labelsTr", name)
    (study / "images").symlink_to(task / "imagesTr")
    (study / "imagesTr").mkdir()
    (study / "imagesTr" / name).symlink_to(task / "imagesTr" / name)
    assert found_in(study) == [f"images/{name}"]
    assert find_case(study / "images" / name).labels == task / "labelsTr" / name
    assert find_case(study / "imagesTr" / name).labels == task / "labelsTr" / name
    upenn = study.parent / "NIfTI-files"
    touch(upenn / "images_structural" / "UPENN-GBM-00001_11", "UPENN-GBM-00001_11_T1.nii.gz")
    labels = touch(upenn / "images_segm", "UPENN-GBM-00001_11_segm.nii.gz") / "UPENN-GBM-00001_11_segm.nii.gz"
    (study / "one").symlink_to(upenn / "images_structural" / "UPENN-GBM-00001_11")
    (study / "all").symlink_to(upenn / "images_structural")
    assert find_case(study / "one").labels == find_case(study / "all" / "UPENN-GBM-00001_11").labels == labels
    monkeypatch.chdir(task / "imagesTr")
    assert find_case(Path(name)).labels == task / "labelsTr" / name


def test_a_four_dimensional_file_elsewhere_is_not_its_own_segmentation(tmp_path: Path) -> None:
    touch(tmp_path / "scans", "BRATS_001.nii.gz")
    assert find_case(tmp_path / "scans" / "BRATS_001.nii.gz").labels is None


def test_a_folder_of_links_to_nothing_holds_no_case(study: Path) -> None:
    (study / "gone").symlink_to(study / "absent")
    with pytest.raises(InputError) as refused:
        case_paths(study)
    assert refused.value.code == "NO_CASE"

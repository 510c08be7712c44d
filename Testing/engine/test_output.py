"""Which files a result has, what may not be replaced, and that they appear all or not at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk
from made_results import make_result
from phantoms import make_case, write_case
from tiny_models import refusal

from lckd.case import Case
from lckd.errors import InputError, OutputError
from lckd.images import ImageFile, read_image
from lckd.output import check_output, check_writable, output_files, staged
from lckd.sequences import Sequence

ALL = {"probabilities": True, "uncertainty": True, "comparison": True}
#: Longer than any file system allows.
TOO_LONG = "x" * 300
LATIN1 = os.fsdecode(b"caf\xe9")


def test_names_of_all_files(tmp_path: Path) -> None:
    into_folder = output_files(tmp_path, **ALL)
    assert {name: path.name for name, path in into_folder.items()} == {
        "segmentation": "segmentation.nii.gz",
        "probability-ET": "segmentation-probability-ET.nii.gz",
        "probability-TC": "segmentation-probability-TC.nii.gz",
        "probability-WT": "segmentation-probability-WT.nii.gz",
        "uncertainty": "segmentation-uncertainty.nii.gz",
        "preview": "preview.png",
        "subsets.csv": "subsets.csv",
        "subsets.md": "subsets.md",
        "subsets.png": "subsets.png",
        "report": "report.json",
    }
    assert {path.parent for path in into_folder.values()} == {tmp_path}
    beside = output_files(tmp_path / "mask.nrrd", uncertainty=True, comparison=True)
    names = ["mask.nrrd", "mask-uncertainty.nrrd", *(f"mask.subsets.{kind}" for kind in ("csv", "md", "png"))]
    assert [path.name for path in beside.values()] == [*names, "mask.report.json"]


@pytest.mark.parametrize("name", sorted(output_files(Path("x"), **ALL)))
def test_no_file_that_exists_is_replaced_unless_told(tmp_path: Path, name: str) -> None:
    files = output_files(tmp_path, **ALL)
    files[name].write_text("precious")
    error = refusal(check_output, files, False)
    assert (error.code, error.exit_status) == ("OUTPUT_EXISTS", 5)
    assert str(files[name]) in error.message
    check_output(files, True)
    files[name].unlink()
    files[name].mkdir()
    assert refusal(check_output, files, True).code == "NOT_WRITABLE"


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    image = tmp_path / "flair.nii.gz"
    image.write_text("precious")
    (tmp_path / "link.nii.gz").symlink_to(image)
    for output in (image, tmp_path / "link.nii.gz"):
        error = refusal(check_output, output_files(output), True, [tmp_path / "absent.nii.gz", image])
        assert (error.code, error.exit_status) == ("OUTPUT_IS_INPUT", 5)


def test_a_result_does_not_replace_its_images(tmp_path: Path) -> None:
    path = write_case(tmp_path / "case", sequences=[Sequence.FLAIR]) / "flair.nii.gz"
    made, before = make_case(), path.read_bytes()
    result = make_result(sitk.GetArrayFromImage(made.labels), {Sequence.FLAIR: made.images[Sequence.FLAIR]})
    result = replace(result, case=Case.from_folder(path.parent))
    assert refusal(result.write, path, overwrite=True).code == "OUTPUT_IS_INPUT"
    assert path.read_bytes() == before


def test_many_processes_may_check_one_folder_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check_writable, [tmp_path / "new"] * 400))
    assert os.listdir(tmp_path) == []


def test_no_folder_is_made_for_the_check(tmp_path: Path) -> None:
    check_output(output_files(tmp_path / "a" / "b"), False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", [Path(TOO_LONG), Path(TOO_LONG) / "mask.nii.gz", Path(f"{TOO_LONG}.nii.gz")])
def test_a_name_that_is_too_long(tmp_path: Path, path: Path) -> None:
    assert refusal(check_output, output_files(tmp_path / path), False).code == "NOT_WRITABLE"


def test_paths_that_are_not_utf8_are_refused_before_itk_ends_the_process(tmp_path: Path) -> None:
    write_case(tmp_path / "case", sequences=[Sequence.T1]).rename(tmp_path / LATIN1)
    error = refusal(read_image, ImageFile(tmp_path / LATIN1 / "t1.nii.gz"))
    assert (type(error), error.code) == (InputError, "PATH_ENCODING")
    assert error.message.encode("utf-8")
    for output in (tmp_path / LATIN1, tmp_path / f"{LATIN1}.nii.gz"):
        error = refusal(check_output, output_files(output), True)
        assert (type(error), error.code) == (OutputError, "PATH_ENCODING")
    assert refusal(check_writable, tmp_path / LATIN1).code == "PATH_ENCODING"


@pytest.mark.parametrize("name", ["", "mask.nii.gz"])
def test_files_take_their_places_together_and_the_report_last(tmp_path: Path, monkeypatch, name: str) -> None:
    output, moved = tmp_path / "new folder" / name, []
    move = Path.replace

    def noting(path: Path, target: Path) -> Path:
        moved.append(target)
        assert not (tmp_path / "new folder" / "report.json").exists()
        return move(path, target)

    monkeypatch.setattr(Path, "replace", noting)
    with staged(output) as place:
        files = output_files(place, uncertainty=True)
        for path in files.values():
            path.write_text("new")
        assert not (tmp_path / "new folder").exists()
    wanted = output_files(output, uncertainty=True)
    assert sorted(moved) == sorted(wanted.values())
    assert moved[-1] == wanted["report"]
    assert os.listdir(tmp_path) == ["new folder"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImportError, OSError])
def test_when_writing_fails_the_earlier_result_is_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    files = output_files(tmp_path)
    for path in files.values():
        path.write_text("old")

    def write() -> None:
        with staged(tmp_path) as place:
            output_files(place)["segmentation"].write_text("new")
            raise error

    with pytest.raises(OutputError if error is OSError else error):
        write()
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
    assert len(os.listdir(tmp_path)) == len(files)


def test_a_process_that_ends_among_the_moves_leaves_no_report(tmp_path: Path, monkeypatch) -> None:
    files = output_files(tmp_path)
    for path in files.values():
        path.write_text("old")

    def killed(path: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt), staged(tmp_path) as place:
        output_files(place)["segmentation"].write_text("new")
    assert not files["report"].exists()

"""File names in other letters than ASCII; the ways of Windows are played, since ITK opens any name elsewhere."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from lckd import images
from lckd.errors import InputError, OutputError
from lckd.images import ImageFile, read_image, write_image


@pytest.fixture
def image() -> sitk.Image:
    return sitk.GetImageFromArray(np.arange(1000, dtype=np.int16).reshape(10, 10, 10))


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Play Windows, where the folder Jörg has the short name JRG~1, a link here; the names that ITK is given."""
    (tmp_path / "Jörg").mkdir()
    (tmp_path / "JRG~1").symlink_to(tmp_path / "Jörg")

    def get_short_name(name: str, buffer: Any, length: int) -> int:
        short = name.replace("Jörg", "JRG~1") if Path(name).is_dir() else ""
        if not short or buffer is None:
            return len(short) + 1 if short else 0
        assert length == len(short) + 1
        buffer.value = short
        return len(short)

    given: list[str] = []

    class Reader(sitk.ImageFileReader):
        def SetFileName(self, name: str) -> None:
            given.append(name)
            super().SetFileName(name)

    def write(image: sitk.Image, name: str, **options: Any) -> None:
        given.append(name)
        sitk_write(image, name, **options)

    sitk_write = sitk.WriteImage
    monkeypatch.setattr(sitk, "ImageFileReader", Reader)
    monkeypatch.setattr(sitk, "WriteImage", write)
    library = SimpleNamespace(GetShortPathNameW=get_short_name)
    monkeypatch.setattr(ctypes, "WinDLL", lambda _name: library, raising=False)
    monkeypatch.setattr(images, "sys", SimpleNamespace(platform="win32"))
    return given


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_itk_is_given_short_names_of_folders_on_windows(
    tmp_path: Path, windows: list[str], image: sitk.Image, suffix: str
) -> None:
    path = tmp_path / "Jörg" / f"t1c{suffix}"
    write_image(image, path)
    assert np.array_equal(sitk.GetArrayViewFromImage(read_image(ImageFile(path))), sitk.GetArrayViewFromImage(image))
    assert os.listdir(path.parent) == [path.name]
    assert len(windows) >= 3
    assert all(name.isascii() and "JRG~1" in name and name.endswith(suffix) for name in windows)


def test_names_in_ascii_stay_as_they_are(tmp_path: Path, windows: list[str], image: sitk.Image) -> None:
    write_image(image, tmp_path / "t1c.nrrd")
    read_image(ImageFile(tmp_path / "t1c.nrrd"))
    assert windows[-1] == str(tmp_path / "t1c.nrrd")


@pytest.mark.parametrize("name", ["Jörg/Tumör.nrrd", "Größe/t1c.nrrd"])
def test_names_that_windows_cannot_give_are_refused(
    tmp_path: Path, windows: list[str], image: sitk.Image, name: str
) -> None:
    (tmp_path / "Größe").mkdir()
    (tmp_path / name).write_bytes(b"NRRD0004")
    with pytest.raises(InputError) as caught:
        read_image(ImageFile(tmp_path / name))
    assert caught.value.code == "PATH_NOT_ASCII"
    assert windows == []


def test_a_folder_to_write_to_that_has_no_short_name_is_refused(
    tmp_path: Path, windows: list[str], image: sitk.Image
) -> None:
    with pytest.raises(OutputError) as caught:
        write_image(image, tmp_path / "Größe" / "t1c.nrrd")
    assert caught.value.code == "PATH_NOT_ASCII"
    assert os.listdir(tmp_path / "Größe") == []


def test_elsewhere_itk_opens_any_name(tmp_path: Path, image: sitk.Image) -> None:
    path = tmp_path / "Jörg" / "Tumör.nrrd"
    write_image(image, path)
    assert read_image(ImageFile(path)).GetSize() == (10, 10, 10)

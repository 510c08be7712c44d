"""The job folder of the worker: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import refusal

from lckd.engine import Settings
from lckd.errors import InputError
from lckd.images import ImageFile
from lckd.postprocess import Cleanup
from lckd.sequences import Sequence
from lckd.worker.job import MAX_LENGTH, JobFolder


def write(folder: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "job.json").write_text(text, encoding="utf-8")
    return folder


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    job = JobFolder.read(
        write(
            tmp_path,
            {
                "images": {"t2": "sub/t2.nrrd", "flair": "flair.nrrd"},
                "grid": "t2",
                "case": "Fall 7 – ä",
                "model": "mine",
                "device": "cuda:1",
                "threads": 3,
                "mirror": True,
                "cleanup": {"min_component_ml": 0.5, "min_enhancing_ml": 1},
                "probabilities": True,
                "uncertainty": True,
                "reference": "seg.nrrd",
            },
        )
    )
    root = tmp_path.resolve()
    assert job.present == (Sequence.FLAIR, Sequence.T2)
    assert job.files.name == "Fall 7 – ä"
    assert job.files.images == {
        Sequence.FLAIR: ImageFile(root / "flair.nrrd"),
        Sequence.T2: ImageFile(root / "sub/t2.nrrd"),
    }
    assert job.settings == Settings("cuda:1", 3, mirror=True, cleanup=Cleanup(0.5, 1.0))
    assert (job.grid, job.model, job.reference) == (Sequence.T2, "mine", root / "seg.nrrd")
    assert job.probabilities
    assert job.uncertainty
    assert job.subset("t2+flair") == job.present


def test_only_the_images_are_needed_and_null_is_the_default(tmp_path: Path) -> None:
    short = JobFolder.read(write(tmp_path, {"images": {"t1c": "a.nrrd"}}))
    names = ("grid", "case", "model", "device", "threads", "mirror", "cleanup", "probabilities", "reference")
    assert JobFolder.read(write(tmp_path, {"images": {"t1c": "a.nrrd"}} | dict.fromkeys(names))) == short
    assert short.settings == Settings()
    assert (short.grid, short.model, short.reference, short.case) == (None, None, None, "case")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        (" " * (MAX_LENGTH + 1), "too long"),
        ([], "no object"),
        ({}, "no image"),
        ({"images": {}}, "no image"),
        ({"images": ["t1.nrrd"]}, "images"),
        ({"images": {"T1": "t1.nrrd"}}, "'T1'"),
        ({"images": {"t1": 1}}, "images.t1"),
        ({"images": {"t1": ""}}, "images.t1"),
        ({"images": {"t1": "a\0.nrrd"}}, "images.t1"),
        ({"images": {"t1": "t1.nhdr"}}, "only the header"),
        ({"grid": "t2"}, "grid is t2"),
        ({"grid": "t3"}, "'t3'"),
        ({"case": 7}, "case"),
        ({"threads": 0}, "threads"),
        ({"threads": 1.5}, "threads"),
        ({"threads": True}, "threads"),
        ({"mirror": 1}, "mirror"),
        ({"mirror": "yes"}, "mirror"),
        ({"cleanup": 1}, "cleanup"),
        ({"cleanup": {"min_component": 1}}, "cleanup.min_component"),
        ({"cleanup": {"min_component_ml": -1}}, "cleanup.min_component_ml"),
        ({"cleanup": {"min_component_ml": float("nan")}}, "cleanup.min_component_ml"),
        ({"cleanup": {"min_enhancing_ml": True}}, "cleanup.min_enhancing_ml"),
        ({"cleanup": {"min_enhancing_ml": 10**400}}, "cleanup.min_enhancing_ml"),
        ({"reference": ""}, "reference"),
        ({"labels": "msd"}, "labels"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path: Path, content: Any, word: str) -> None:
    if isinstance(content, dict) and content and "images" not in content:
        content = {"images": {"t1": "t1.nrrd"}} | content
    error = refusal(JobFolder.read, write(tmp_path, content))
    assert isinstance(error, InputError)
    assert error.code == "JOB_INVALID"
    assert word in error.message


def test_no_job_there(tmp_path: Path) -> None:
    assert refusal(JobFolder.read, tmp_path).code == "JOB_NOT_FOUND"
    assert refusal(JobFolder.read, tmp_path / "nowhere").code == "JOB_NOT_FOUND"


@pytest.mark.parametrize("name", ["../a.nrrd", "/etc/hosts", "sub/../../a.nrrd", "link.nrrd", "linked/a.nrrd"])
def test_files_outside_the_folder(tmp_path: Path, name: str) -> None:
    job = tmp_path / "job"
    job.mkdir()
    (tmp_path / "a.nrrd").touch()
    (job / "link.nrrd").symlink_to(tmp_path / "a.nrrd")
    (job / "linked").symlink_to(tmp_path)
    for fields in ({"images": {"t1": name}}, {"images": {"t1": "t1.nrrd"}, "reference": name}):
        assert refusal(JobFolder.read, write(job, fields)).code == "JOB_OUTSIDE"


def test_a_full_path_into_the_folder_is_as_good(tmp_path: Path) -> None:
    job = JobFolder.read(write(tmp_path, {"images": {"t1": str(tmp_path / "t1.nrrd")}}))
    assert job.images == {Sequence.T1: tmp_path.resolve() / "t1.nrrd"}

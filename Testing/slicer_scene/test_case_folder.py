"""The job folder of the case on screen: what stays in memory and on the disk, and for how long."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
from scene_cases import add_volume

from lckd.errors import OutputError
from lckd.worker.lifetime import is_alive


@pytest.fixture
def case(tmp_path):
    from LCKDSegmentationLib.CaseFolder import CaseFolder

    made = CaseFolder(tmp_path)
    yield made
    made.dispose()


def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folder_says_whose_it_is(scene, case, tmp_path):
    job = case.prepare({"t1": add_volume(scene)}, {})
    assert job.folder.parent == tmp_path
    assert job.folder.name.startswith(f"lckd-case-{os.getpid()}-")


def test_place_for_it_is_made_or_the_refusal_said(scene, tmp_path):
    from LCKDSegmentationLib.CaseFolder import CaseFolder

    inputs = {"t1": add_volume(scene)}
    case = CaseFolder(tmp_path / "a" / "b")
    assert case.prepare(inputs, {}).folder.parent == tmp_path / "a" / "b"
    case.dispose()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        CaseFolder(tmp_path / "file").prepare(inputs, {})
    assert caught.value.code == "NOT_WRITABLE"


def test_folder_stays_until_a_volume_changes(scene, case):
    volume = add_volume(scene)
    folder = case.prepare({"t1": volume}, {}).folder
    assert case.prepare({"t1": volume}, {}).folder == folder
    extent = volume.GetImageData().GetExtent()
    volume.GetImageData().SetExtent(1, extent[1] + 1, *extent[2:])
    assert case.prepare({"t1": volume}, {}).folder != folder
    assert not folder.exists()


def test_folders_of_a_crash_are_removed_and_no_others(scene, case, tmp_path):
    dead = gone()
    left = tmp_path / f"lckd-case-{dead}-abc"
    elsewhere = tmp_path / "elsewhere"
    stays = [
        elsewhere,
        tmp_path / f"lckd-case-{os.getppid()}-abc",
        tmp_path / f"lckd-case-{dead}-a.b",
        tmp_path / "lckd-case-abc",
        tmp_path / f"other-lckd-case-{dead}-abc",
    ]
    for folder in (left, *stays):
        folder.mkdir()
        (folder / "t1.nrrd").touch()
    (left / "link").symlink_to(elsewhere)
    link = tmp_path / f"lckd-case-{dead}-link"
    link.symlink_to(elsewhere)
    case.prepare({"t1": add_volume(scene)}, {})
    assert not left.exists()
    assert link.is_symlink()
    assert all((folder / "t1.nrrd").is_file() for folder in stays)


def test_folders_of_other_users_stay(scene, case, tmp_path, monkeypatch):
    left = tmp_path / f"lckd-case-{gone()}-abc"
    left.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: left.stat().st_uid + 1)
    case.prepare({"t1": add_volume(scene)}, {})
    assert left.is_dir()


def test_deleted_volume_leaves_memory_and_disk(scene, case):
    volumes = {"t1": add_volume(scene), "t2": add_volume(scene)}
    folder = case.prepare(volumes, {}).folder
    assert not case.forgetRemoved()
    assert folder.is_dir()
    image = weakref.ref(volumes["t1"].GetImageData())
    scene.RemoveNode(volumes.pop("t1"))
    gc.collect()
    assert image() is None
    assert list(case.inputs) == ["t2"]
    assert case.forgetRemoved()
    assert not folder.exists()
    assert case.path is None
    assert not case.forgetRemoved()


def test_volume_that_somebody_holds_is_gone_from_the_scene_all_the_same(scene, case):
    volumes = {"t1": add_volume(scene), "t2": add_volume(scene)}
    folder = case.prepare(volumes, {}).folder
    scene.RemoveNode(volumes["t1"])
    assert case.prepare({"t2": volumes["t2"]}, {}).folder != folder


def test_processes_that_live():
    assert is_alive(os.getpid())
    assert not is_alive(gone())
    assert not is_alive(2**80)
    waiting = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    waiting.stdout.read()
    os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{waiting.pid}").exists()
    assert not is_alive(waiting.pid)
    waiting.wait()

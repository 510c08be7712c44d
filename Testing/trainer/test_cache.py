"""Prepared cases on disk: built once, again when content or program change, whole or not there, faults by name."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_case, write_case

from lckd import Case, geometry, images, labels, prepare
from lckd import case as reading
from lckd.discovery import CaseFiles, find_case
from lckd.errors import InputError, OutOfMemoryError, OutputError
from lckd.images import not_writable
from lckd.sequences import SEQUENCES, Sequence, parse_subset
from lckd_training.data import cache as caching
from lckd_training.data.cache import prepare_cases
from lckd_training.data.cases import find_labeled


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three labeled cases, one of them with two sequences only, that have not changed for an hour."""
    for seed, name in enumerate("abc"):
        write_case(tmp_path / "data" / name, make_case(seed), SEQUENCES if name != "c" else parse_subset("flair,t1c"))
    for path in (tmp_path / "data").rglob("*.nii.gz"):
        age(path)
    return tmp_path / "data"


@pytest.fixture
def built(data: Path, tmp_path: Path) -> Callable[[], list[str]]:
    """Opens the cases and returns the names of those that had to be built."""

    def call() -> list[str]:
        before = set(folders(tmp_path / "cache"))
        prepare_cases(find_labeled(data), tmp_path / "cache")
        return sorted(name.split("-")[0] for name in set(folders(tmp_path / "cache")) - before)

    return call


def age(path: Path, seconds: float = 3600) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir()) if cache.exists() else []


def test_cases_come_in_order_as_they_are_prepared_for_inference(data: Path, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    cases = prepare_cases(find_labeled(data), tmp_path / "cache", 1, lambda *event: told.append(event))
    assert [case.name for case in cases] == ["a", "b", "c"]
    assert told == [(pytest.approx(1 / 3), "a"), (pytest.approx(2 / 3), "b"), (1.0, "c")]
    assert [case.present for case in cases] == [SEQUENCES, SEQUENCES, parse_subset("flair,t1c")]
    for case in cases:
        prepared = prepare.prepare(Case.from_folder(data / case.name))
        for sequence in case.present:
            assert np.array_equal(case.images[sequence], prepared.arrays[sequence].astype(np.float16))
        assert case.regions.shape == (3, *prepared.grid.shape)
        assert case.regions[2][tuple(case.tumor.T)].all(), "patch centers lie in the whole tumor"
    with pytest.raises(KeyError):
        cases[2].images[Sequence.T2]
    assert len({case.fingerprint for case in cases}) == 3


def test_several_processes_make_the_same_as_one(data: Path, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    alone = prepare_cases(find_labeled(data), tmp_path / "alone")
    together = prepare_cases(find_labeled(data), tmp_path / "cache", 2, lambda *event: told.append(event))
    assert [case.name for case in together] == ["a", "b", "c"]
    assert sorted(name for _, name in told) == ["a", "b", "c"]
    assert [fraction for fraction, _ in told] == [pytest.approx(n / 3) for n in (1, 2, 3)]
    assert folders(tmp_path / "alone") == folders(tmp_path / "cache")
    for one, other in zip(alone, together, strict=True):
        assert one.fingerprint == other.fingerprint
        assert np.array_equal(one.regions, other.regions)
        assert np.array_equal(one.tumor, other.tumor)
        assert all(np.array_equal(one.images[s], other.images[s]) for s in one.present)


def test_a_case_is_built_again_when_its_content_changes_and_only_then(
    data: Path, tmp_path: Path, built: Callable[[], list[str]]
) -> None:
    assert built() == ["a", "b", "c"]
    labels = data / "a" / "seg.nii.gz"
    before = prepare_cases([find_case(data / "a")], tmp_path / "cache")[0].fingerprint
    labels.touch()
    assert built() == []
    content = labels.read_bytes()
    write_case(data / "a", make_case(7))
    (data / "b" / "t1.nii.gz").unlink()
    assert built() == ["a", "b"]
    assert prepare_cases([find_case(data / "a")], tmp_path / "cache")[0].fingerprint != before
    write_case(data / "a", make_case(0))
    labels.write_bytes(content)
    assert built() == [], "what was built before is still there"
    assert prepare_cases([find_case(data / "a")], tmp_path / "cache")[0].fingerprint == before


def test_a_change_of_the_same_size_at_once_is_seen(data: Path, tmp_path: Path) -> None:
    """The time of change alone would not tell, where a clock is coarse."""
    path = data / "a" / "seg.nii.gz"
    path.touch()
    stamp = path.stat().st_mtime_ns
    first = prepare_cases([find_case(data / "a")], tmp_path / "cache")[0]
    content = bytearray(path.read_bytes())
    content[4] ^= 1  # The time in the header of gzip: other content, the same image.
    path.write_bytes(content)
    os.utime(path, ns=(stamp, stamp))
    assert prepare_cases([find_case(data / "a")], tmp_path / "cache")[0].fingerprint != first.fingerprint


def test_files_that_change_places_are_seen(data: Path, tmp_path: Path) -> None:
    """Files that are not compressed have one size, and those that were unpacked together often one time."""
    files = [data / name / "flair.nii" for name in "ab"]
    for file, seed in zip(files, (3, 4), strict=True):
        file.with_name("flair.nii.gz").unlink()
        sitk.WriteImage(make_case(seed).images[Sequence.FLAIR], str(file))
        os.utime(file, (1.6e9, 1.6e9))
    before = [case.fingerprint for case in prepare_cases(find_labeled(data), tmp_path / "cache")[:2]]
    files[0].rename(data / "kept")
    files[1].rename(files[0])
    (data / "kept").rename(files[1])
    after = prepare_cases(find_labeled(data), tmp_path / "cache")
    assert not set(before) & {case.fingerprint for case in after}
    expected = prepare.prepare(Case.from_folder(data / "a")).arrays[Sequence.FLAIR]
    assert np.array_equal(after[0].images[Sequence.FLAIR], expected.astype(np.float16))


@pytest.mark.parametrize("module", [prepare, images, reading, labels, geometry])
def test_cases_are_built_again_when_program_or_settings_change(
    built: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    assert built() == ["a", "b", "c"]
    monkeypatch.setattr(module, "__file__", __file__)
    assert built() == ["a", "b", "c"]
    monkeypatch.setattr(prepare, "MARGIN_MM", 2)
    assert built() == ["a", "b", "c"]
    assert built() == []


def test_files_that_have_not_changed_are_not_read_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_cases(find_labeled(data), tmp_path / "cache")
    read: list[str] = []
    hash_file = caching.hash_file
    monkeypatch.setattr(caching, "hash_file", lambda path: read.append(path.name) or hash_file(path))
    prepare_cases(find_labeled(data), tmp_path / "cache")
    assert read == []
    (data / "c" / "flair.nii.gz").touch()
    age(data / "c" / "flair.nii.gz", 60)
    prepare_cases(find_labeled(data), tmp_path / "cache")
    assert sorted(read) == ["flair.nii.gz", "seg.nii.gz", "t1c.nii.gz"], "only those of the case that was touched"
    (tmp_path / "cache" / "hashes.json").write_text("[damaged")
    read.clear()
    prepare_cases(find_labeled(data), tmp_path / "cache")
    assert len(read) == 13
    prepare_cases(find_labeled(data), tmp_path / "cache")
    assert len(read) == 13


def test_a_cache_that_may_only_be_read_is_used(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the files have other times, as in a copy, so that they are read again."""
    prepare_cases(find_labeled(data), tmp_path / "cache")
    for path in data.rglob("*.nii.gz"):
        age(path, 7200)

    def refuse(path: Path) -> None:
        raise not_writable(path)

    monkeypatch.setattr("lckd_training.data.file_hashes.writing", refuse)
    assert [case.name for case in prepare_cases(find_labeled(data), tmp_path / "cache")] == ["a", "b", "c"]


_KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from lckd_training.data.cache import prepare_cases
from lckd_training.data.cases import find_labeled

saved, save = [], np.save
def save_or_die(path, array):
    if len(saved) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    saved.append(path)
    save(path, array)
np.save = save_or_die
prepare_cases(find_labeled(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_kill_leaves_no_half_case(data: Path, tmp_path: Path, subprocess_environment: dict[str, str]) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", _KILLED_WHILE_WRITING, str(data), str(cache)]
    assert subprocess.run(command, env=subprocess_environment, check=False).returncode == -signal.SIGKILL
    whole, half = [name for name in folders(cache) if name[0] != "."], [n for n in folders(cache) if n[0] == "."]
    assert [name.split("-")[0] for name in whole] == ["a"]
    assert len(half) == 1
    prepare_cases(find_labeled(data), cache)
    assert [name.split("-")[0] for name in folders(cache) if name[0] != "."] == ["a", "b", "c"]
    assert half[0] in folders(cache), "it may belong to a process that is still at it"
    age(cache / half[0], 48 * 3600)
    prepare_cases(find_labeled(data), cache)
    assert half[0] not in folders(cache)


def test_two_processes_that_build_the_same_case_do_no_harm(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one builds the whole case while the first is at its first array."""
    files, save, others = [find_case(data / "a")], np.save, []

    def save_after_another(path: Path, array: np.ndarray) -> None:
        if not others:
            others.append(path)
            others.append(prepare_cases(files, tmp_path / "cache"))
        save(path, array)

    monkeypatch.setattr(np, "save", save_after_another)
    case = prepare_cases(files, tmp_path / "cache")[0]
    assert len(folders(tmp_path / "cache")) == 1
    assert np.array_equal(case.regions, others[1][0].regions)


def test_a_full_disk_is_told_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match="the disk is not full") as caught:
            prepare_cases(find_labeled(data), tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.code == "NOT_WRITABLE"
    assert isinstance(caught.value.__cause__, OSError)
    assert folders(tmp_path / "cache") == []
    assert len(prepare_cases(find_labeled(data), tmp_path / "cache")) == 3


def test_a_cache_that_cannot_be_made_is_told(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        prepare_cases(find_labeled(data), tmp_path / "file" / "cache")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOTDIR


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_file_is_named_and_the_others_are_kept(data: Path, tmp_path: Path, workers: int) -> None:
    files = find_labeled(data)
    (data / "b" / "t2.nii.gz").write_bytes((data / "b" / "t2.nii.gz").read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"^b: t2\.nii\.gz is damaged or cut short\.") as caught:
        prepare_cases(files, tmp_path / "cache", workers)
    assert caught.value.code == "UNREADABLE"
    assert "a" in {name.split("-")[0] for name in folders(tmp_path / "cache")}


def test_a_vanished_file_is_named_also_when_the_case_is_in_the_cache(data: Path, tmp_path: Path) -> None:
    files = find_labeled(data)
    for _ in range(2):
        (data / "b" / "t2.nii.gz").rename(tmp_path / "t2.nii.gz")
        with pytest.raises(InputError, match=r"^b: .*b/t2\.nii\.gz does not exist"):
            prepare_cases(files, tmp_path / "cache")
        (tmp_path / "t2.nii.gz").rename(data / "b" / "t2.nii.gz")
        prepare_cases(files, tmp_path / "cache")


@pytest.mark.parametrize("name", ["t1c", "regions", "tumor"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_damage_in_the_cache_is_told_by_file(data: Path, tmp_path: Path, name: str, damage: str) -> None:
    files = [find_case(data / "c")]
    case = prepare_cases(files, tmp_path / "cache")[0]
    (path,) = (tmp_path / "cache").glob(f"*/{name}.npy")
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=rf"{name}\.npy is gone or damaged") as caught:
        prepare_cases(files, tmp_path / "cache")
    assert caught.value.code == "CACHE_DAMAGED"
    with pytest.raises(InputError, match=rf"{name}\.npy is gone or damaged"):
        case.images[Sequence.T1C] if name == "t1c" else getattr(case, name)


def test_cases_hold_no_file_open(data: Path, tmp_path: Path) -> None:
    """Data sets have more files than a process may hold open."""
    before = len(os.listdir("/dev/fd"))
    cases = prepare_cases(find_labeled(data), tmp_path / "cache")
    assert all(case.regions.any() and case.images[Sequence.FLAIR].any() for case in cases)
    assert len(os.listdir("/dev/fd")) <= before


class Deadly(CaseFiles):
    """Ends the process that it is sent to."""

    def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
        return os._exit, (1,)


def test_a_process_that_is_killed_is_told(data: Path, tmp_path: Path) -> None:
    files = [*find_labeled(data), Deadly("d", find_case(data / "a").images, data / "a" / "seg.nii.gz")]
    with pytest.raises(OutOfMemoryError, match="was ended from outside") as caught:
        prepare_cases(files, tmp_path / "cache", 2)
    assert caught.value.code == "PREPARATION_LOST"


_MANY = """
import sys
from pathlib import Path
from lckd.discovery import CaseFiles, find_case
from lckd_training.data.cache import prepare_cases

if __name__ == "__main__":
    case = find_case(Path(sys.argv[1]))
    files = [CaseFiles(f"p{number}", case.images, case.labels) for number in range(3000)]
    prepare_cases(files, Path(sys.argv[2]), 2)
"""


def test_no_process_outlives_the_first_one(data: Path, tmp_path: Path, subprocess_environment: dict[str, str]) -> None:
    script, cache = tmp_path / "many.py", tmp_path / "cache"
    script.write_text(_MANY)
    process = subprocess.Popen([sys.executable, str(script), str(data / "a"), str(cache)], env=subprocess_environment)
    wait_until(lambda: any(name[0] == "p" for name in folders(cache)) or process.poll() is not None)
    workers = children(process.pid)
    process.kill()
    process.wait()
    assert len(workers) >= 2
    wait_until(lambda: not any(map(is_running, workers)))
    assert not any(map(is_running, workers))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    told = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, ppid in map(str.split, told.splitlines()) if int(ppid) == parent]


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its exit status."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(told.strip()) and not told.startswith("Z")

"""What other versions of the program left in a cache is removed, unless somebody uses it; nothing else is."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantoms import make_case, write_case

from lckd import prepare
from lckd.discovery import find_case
from lckd.errors import OutputError
from lckd.locking import hold
from lckd_training.config import TrainingConfig
from lckd_training.data import cache as caching
from lckd_training.data.cache import prepare_cases, using
from lckd_training.run.train import train

OTHER_RECIPE = f"b-{'0' * 32}@{'0' * 12}"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with a case that another version has prepared."""
    made = tmp_path / "cache" / OTHER_RECIPE
    made.mkdir(parents=True)
    for name in ("t1", "regions", "tumor"):
        np.save(made / f"{name}.npy", np.zeros(1))
    return tmp_path / "cache"


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != ".looking")


def test_cases_of_another_recipe_are_removed_and_those_of_this_one_stay(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, files = tmp_path / "cache", [find_case(case)]
    prepare_cases(files, cache)
    before = names(cache)
    with using(cache):
        assert set(before) < set(names(cache))
    assert names(cache) == before
    monkeypatch.setattr(prepare, "MARGIN_MM", prepare.MARGIN_MM + 1)
    with using(cache):
        assert names(cache)[1:] == ["hashes.json"], "room is made before anything is prepared"
        prepared = prepare_cases(files, cache)
        assert prepared[0].regions.any()
    assert len(names(cache)) == 2
    assert set(names(cache)) & set(before) == {"hashes.json"}


def test_nothing_but_cases_of_the_cache_is_removed(cache: Path, tmp_path: Path) -> None:
    kept = [
        "notes",
        "b-1@2",
        f"x-{'0' * 32}",
        OTHER_RECIPE.replace("b-", "linked-"),
        OTHER_RECIPE.replace("b-", "mine-"),
    ]
    for name in kept[:3]:
        (cache / name).mkdir()
        np.save(cache / name / "t1.npy", np.zeros(1))
    (tmp_path / "elsewhere").mkdir()
    np.save(tmp_path / "elsewhere" / "t1.npy", np.zeros(1))
    (cache / kept[3]).symlink_to(tmp_path / "elsewhere")
    (cache / kept[4]).mkdir()
    for name in ("t1.npy", "my notes.txt"):
        (cache / kept[4] / name).touch()
    (cache / OTHER_RECIPE.replace("b-", "file-")).touch()
    with using(cache):
        pass
    assert names(cache) == sorted([*kept, OTHER_RECIPE.replace("b-", "file-")])
    assert [len(list((cache / name).iterdir())) for name in kept] == [1, 1, 1, 1, 2]


_USE = """
import sys, time
from pathlib import Path
from lckd_training.data.cache import using
with using(Path(sys.argv[1])):
    print("in use", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def user(cache: Path, subprocess_environment: dict[str, str]) -> Any:
    """Another process that uses the cache until it is killed, or its input ends."""
    command = [sys.executable, "-c", _USE, str(cache)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=subprocess_environment, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in use\n"
        yield process
        process.kill()


@pytest.mark.parametrize("killed", [False, True])
def test_nothing_is_removed_while_another_process_uses_the_cache(cache: Path, user: Any, killed: bool) -> None:
    assert OTHER_RECIPE not in names(cache), "the other process was alone"
    (cache / OTHER_RECIPE).mkdir()
    np.save(cache / OTHER_RECIPE / "t1.npy", np.zeros(1))
    with using(cache):
        assert OTHER_RECIPE in names(cache)
        assert len([name for name in names(cache) if name.startswith(".in-use-")]) == 2
    if killed:
        user.send_signal(signal.SIGKILL)
    else:
        user.stdin.close()
    user.wait()
    with using(cache):
        assert len(names(cache)) == 1
    assert names(cache) == [], "it is still said to be in use"


def test_nor_while_this_process_uses_it_twice(cache: Path) -> None:
    with using(cache):
        (cache / OTHER_RECIPE).mkdir()
        with using(cache):
            pass
        assert OTHER_RECIPE in names(cache)
    with using(cache):
        assert OTHER_RECIPE not in names(cache)


def test_who_comes_while_another_looks_waits_for_its_turn(cache: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with using(cache):
            entered.set()

    thread = threading.Thread(target=enter)
    with (cache / ".looking").open("w") as looking:
        assert hold(looking)
        thread.start()
        assert not entered.wait(0.3)
        assert OTHER_RECIPE in names(cache)
    assert entered.wait(10)
    thread.join()
    assert names(cache) == []


def no_locks(*_: object) -> bool:
    raise OSError(95, "Operation not supported")


def cannot_write(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(("place", "refusal"), [("hold", no_locks), ("tempfile.TemporaryDirectory", cannot_write)])
def test_a_cache_without_locks_or_to_be_read_only_is_used_as_it_is(
    cache: Path, monkeypatch: pytest.MonkeyPatch, place: str, refusal: Callable[..., Any]
) -> None:
    monkeypatch.setattr(f"{caching.__name__}.{place}", refusal)
    with using(cache):
        assert names(cache) == [OTHER_RECIPE]
    assert names(cache) == [OTHER_RECIPE]


def test_what_cannot_be_moved_does_not_matter(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", cannot_write)
    with using(cache):
        assert len(names(cache)) == 2, "others do not know that the cache is in use"
    assert names(cache) == [OTHER_RECIPE]


def test_an_error_in_the_block_ends_the_use(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError), using(cache):
        raise ZeroDivisionError
    assert names(cache) == []


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), using(tmp_path / "file" / "cache"):
        pass


def test_a_training_makes_room_in_its_cache_and_uses_it_to_its_end(cache: Path, tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_case(tmp_path / "data" / name, make_case(seed))
    settings = ["iterations=2", "patch=16", "subsets_per_step=1", "election=[b]"]
    users = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            users.append(len(list(cache.glob(".in-use-*"))))

    config = TrainingConfig.preset("smoke").overridden(settings)
    train(tmp_path / "data", config, tmp_path / "run", cache=cache, announce=watch)
    assert users == [1, 1]
    assert OTHER_RECIPE not in names(cache)
    assert [name.split("-")[0] for name in names(cache)] == ["a", "b", "hashes.json"]

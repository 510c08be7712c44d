"""Samples drawn ahead by other processes: the same as without, errors told, nothing left running."""

import multiprocessing
import os
import pickle
import signal
import time
from typing import Any

import pytest
import torch
from made_samples import MadeSample, SliceDraw
from phantoms import write_case

from lckd.discovery import find_case
from lckd.errors import InputError, LckdError
from lckd_training.data.cache import prepare_cases
from lckd_training.data.cases import TrainingCase
from lckd_training.data.loading import PatchLoader


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> TrainingCase:
    folder = tmp_path_factory.mktemp("loading")
    return prepare_cases([find_case(write_case(folder / "a"))], folder / "cache")[0]


def drawn(case: TrainingCase, workers: int) -> list[MadeSample]:
    with PatchLoader(SliceDraw(case), 3, 15, workers) as loader:
        return list(loader)


def test_order_and_content_do_not_depend_on_the_number_of_processes(case: TrainingCase) -> None:
    torch.manual_seed(1)
    expected = drawn(case, 0)
    assert [sample.iteration for sample in expected] == list(range(3, 15))
    assert {sample.process for sample in expected} == {os.getpid()}
    found = drawn(case, 2)
    assert [sample.iteration for sample in found] == list(range(3, 15))
    assert all(torch.equal(one.image, other.image) for one, other in zip(expected, found, strict=True))
    assert len({sample.process for sample in found} - {os.getpid()}) == 2
    assert {sample.threads for sample in found} == {1}
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state()), "random numbers of the training itself were used up"


def test_leaving_early_ends_the_processes(case: TrainingCase) -> None:
    with PatchLoader(SliceDraw(case), 0, 10**6, workers=1) as loader:
        process = next(loader).process
        assert process != os.getpid()
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert next(loader, None) is None


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_drawing_arrives_as_it_is(case: TrainingCase, workers: int) -> None:
    with PatchLoader(SliceDraw(case, refuse_at=2), 0, 9, workers) as loader:
        seen = [next(loader).iteration, next(loader).iteration]
        with pytest.raises(InputError, match=r"The sample is refused\. Draw another\.") as caught:
            next(loader)
    assert seen == [0, 1]
    assert (caught.value.code, caught.value.action) == ("MADE_ERROR", "Draw another.")


def compute_on(case: TrainingCase, busy: bool) -> None:
    """A loop over the samples of two processes, of which one dies; if it is busy, it is not waiting then.

    When the second sample is taken, the sixth is asked for.
    """
    with PatchLoader(SliceDraw(case, die_at=5), 0, 9, workers=2) as loader:
        for sample in loader:
            until = time.monotonic() + 60
            while busy and sample.iteration == 1 and time.monotonic() < until:
                time.sleep(0.05)


@pytest.mark.parametrize("busy", [False, True], ids=["waiting", "busy"])
def test_a_process_that_is_killed_is_told_in_a_sentence(case: TrainingCase, busy: bool) -> None:
    with pytest.raises(LckdError, match="was ended from outside") as caught:
        compute_on(case, busy)
    assert caught.value.code == "TRAINING_DATA_LOST"
    assert multiprocessing.active_children() == [], "the other one is no more, too"


def fail_and_end(case: TrainingCase) -> None:
    """A loop that fails, after which torch tells of the death of a process while it ends the processes."""
    with PatchLoader(SliceDraw(case), 0, 9, workers=1) as loader:
        samples: Any = loader._samples
        end = samples._shutdown_workers

        def end_and_tell() -> None:
            samples._shutdown_workers = end
            end()
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")

        samples._shutdown_workers = end_and_tell
        raise InputError("MADE_ERROR", "Something else.", "Nothing.")


def test_a_death_that_shows_only_while_the_processes_end_does_not_hide_why(case: TrainingCase) -> None:
    with pytest.raises(InputError, match="Something else"):
        fail_and_end(case)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_signals_to_all_processes_of_a_training_do_not_end_those_that_draw(case: TrainingCase) -> None:
    with PatchLoader(SliceDraw(case), 0, 9, workers=1) as loader:
        process = next(loader).process
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process, number)
        assert [sample.iteration for sample in loader] == list(range(1, 9))


def test_the_time_waited_is_that_for_the_last_sample(case: TrainingCase) -> None:
    with PatchLoader(SliceDraw(case, seconds=0.3), 0, 3, workers=0) as loader:
        next(loader)
        time.sleep(0.5)
        next(loader)
        assert 0.3 <= loader.waited < 0.5
    with PatchLoader(SliceDraw(case, seconds=0.3), 0, 3, workers=1) as loader:
        next(loader)
        time.sleep(1.5)
        next(loader)
        assert loader.waited < 0.2, "it was drawn while the loop was busy"


def test_samples_are_pinned_by_their_own_method(case: TrainingCase, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        pytest.skip("page-locked memory needs CUDA")
    monkeypatch.setattr(
        MadeSample,
        "pin_memory",
        lambda self: MadeSample(self.iteration, self.image.pin_memory(), self.process, self.threads),
        raising=False,
    )
    with PatchLoader(SliceDraw(case), 0, 2, workers=1, pin=True) as loader:
        assert all(sample.image.is_pinned() for sample in loader)


def test_a_case_is_sent_to_another_process_as_a_path(case: TrainingCase) -> None:
    sent = pickle.dumps(case)
    assert len(sent) < 1000
    again: TrainingCase = pickle.loads(sent)
    assert again.present == case.present
    assert (again.name, again.fingerprint) == (case.name, case.fingerprint)
    assert (again.regions == case.regions).all()
    assert (again.tumor == case.tumor).all()

"""The fakes of `training_parts` are called as what they stand for, and offer no more."""

import inspect
from pathlib import Path

import pytest
from training_parts import IMITATED, FakeRun

from LCKDTrainingLib.TrainingRun import TrainingRun

#: What the test says to a fake.
STAGE_DIRECTIONS = {"becomes", "add", "save", "tell", "end"}


@pytest.mark.parametrize("fake", IMITATED, ids=lambda fake: fake.__name__)
def test_a_fake_is_called_as_the_real_one(fake: type) -> None:
    called = [name for name, _ in inspect.getmembers(fake, inspect.isfunction) if not name.startswith("_")]
    for name in set(called) - STAGE_DIRECTIONS:
        real, imitation = (list(inspect.signature(getattr(one, name)).parameters) for one in (IMITATED[fake], fake))
        assert imitation == real, name


def test_a_fake_run_offers_no_more_than_a_real_one(tmp_path: Path) -> None:
    invented = STAGE_DIRECTIONS | {"order", "wasAskedToStop", "refusal", "secondsLeft", "slots"}
    assert {name for name in dir(FakeRun(tmp_path)) if name[0] != "_"} - invented <= set(dir(TrainingRun(tmp_path)))

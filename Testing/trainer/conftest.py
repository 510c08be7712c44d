"""What the tests of the trainer share."""

from pathlib import Path

import pytest
import SimpleITK as sitk
from phantoms import MadeCase, make_case, write_case


@pytest.fixture(scope="session")
def made() -> MadeCase:
    """A made case in memory. Not to be changed."""
    return make_case()


@pytest.fixture(scope="session")
def others() -> list[MadeCase]:
    """Made cases of two other patients: other noise, and the tumor is elsewhere. Not to be changed."""
    return [_of_another(seed) for seed in (1, 2)]


def _of_another(seed: int) -> MadeCase:
    made = make_case(seed)
    labels = sitk.CyclicShift(made.labels, [seed, 0, 0])
    labels.CopyInformation(made.labels)
    return MadeCase(made.images, labels)


@pytest.fixture
def case(made: MadeCase, tmp_path: Path) -> Path:
    """A good case, to be spoiled: its folder in the folder that is checked."""
    return write_case(tmp_path / "set" / "p", made)

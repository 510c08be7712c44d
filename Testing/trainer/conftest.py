"""What the tests of the trainer share."""

from pathlib import Path

import pytest
from phantoms import MadeCase, make_case, write_case


@pytest.fixture(scope="session")
def made() -> MadeCase:
    """A made case in memory. Not to be changed."""
    return make_case()


@pytest.fixture
def case(made: MadeCase, tmp_path: Path) -> Path:
    """A good case, to be spoiled: its folder in the folder that is checked."""
    return write_case(tmp_path / "set" / "p", made)

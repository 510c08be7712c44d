"""Which device the checks of this folder are for."""

import pytest
import torch

from lckd.device import choose_device


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cuda", help="cuda, cuda:1, or cpu to try the checks themselves")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device; every check is an error where it is not there."""
    return choose_device(request.config.getoption("--device"))

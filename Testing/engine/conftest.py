"""What the tests of the engine share: one thread, and a tiny network as an object and as a model's folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_models import a_card, a_network

from lckd.models import write_bundle
from lckd.network import LCKDNetwork


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Small networks are quicker on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network() -> LCKDNetwork:
    return a_network()


@pytest.fixture
def bundle(tmp_path: Path, network: LCKDNetwork) -> Path:
    """Folder of a model called ``tiny`` that may be changed."""
    folder = tmp_path / "tiny"
    write_bundle(folder, network, a_card(network))
    return folder

"""Tiny models as files, and what every refusal must look like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lckd.errors import LckdError
from lckd.models import ModelCard, new_card
from lckd.models.checksums import write_sums
from lckd.network import LCKDNetwork, NetworkConfig, build_network
from lckd.sequences import subset_name, subsets_of

CONFIG = NetworkConfig(channels=(4, 6, 8), decoder_channels=(3, 5), decoder_convs=(1, 2))
DICE = {
    subset_name(subset): {"ET": 0.05 * index, "TC": None, "WT": 0.9}
    for index, subset in enumerate(subsets_of(), start=1)
}
METADATA, WEIGHTS = "configs/metadata.json", "models/model.pt"


def a_network(seed: int = 0) -> LCKDNetwork:
    torch.manual_seed(seed)
    return build_network(CONFIG).eval()


def a_card(network: LCKDNetwork, name: str = "tiny") -> ModelCard:
    return new_card(
        name,
        "tiny",
        network,
        "A network for tests.",
        dice=DICE,
        dice_basis="Measured on three patients that it never saw.",
        data_source="Nowhere; no data were used.",
        training={"patients": 0, "command": "none"},
    )


def refusal(function: Callable[..., Any], *arguments: Any, **options: Any) -> LckdError:
    """The error that a call ends with; every error has one sentence and one action."""
    with pytest.raises(LckdError) as caught:
        function(*arguments, **options)
    error = caught.value
    assert error.message.endswith(".")
    assert error.action.endswith(".")
    assert "\n" not in error.message
    return error


def edit_metadata(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the metadata and make the checksums right again."""
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    change(metadata)
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    write_sums(folder)


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    state = torch.load(folder / WEIGHTS, weights_only=True)
    change(state)
    torch.save(state, folder / WEIGHTS)
    write_sums(folder)

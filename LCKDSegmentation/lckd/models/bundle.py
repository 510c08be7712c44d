"""Reading, checking and writing a model: a folder in MONAI Bundle layout, with the SHA-256 of each file."""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import LckdError, ModelError, OutputError
from ..network import LCKDNetwork, NetworkConfig, build_network
from ..sequences import SEQUENCES
from .card import ModelCard
from .checksums import ADD_AGAIN, verify_sums, write_sums
from .readme import license_text, readme_text
from .store import INFERENCE, METADATA, REQUIRED, WEIGHTS, find_model

README = "docs/README.md"
LICENSE = "LICENSE"


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to use.

    Attributes:
        network: float32, in evaluation mode, on the chosen device.
        name: the name on its card.
        sha256: of the weights file.
        card: what it says about itself.
        path: its folder.
    """

    network: LCKDNetwork
    name: str
    sha256: str
    card: ModelCard
    path: Path


def load_model(reference: str | Path | None = None, device: str | torch.device = "cpu") -> LoadedModel:
    """Find a model, verify all its files, and load it.

    Args:
        reference: the name of a listed model or the path of a model's folder; None: the embedded model.
        device: where the network goes.

    Raises:
        ModelError: it is missing, incomplete, was changed, is no plain file of weights, or does not fit its network.
    """
    path = find_model(reference)
    sums = verify_sums(path, REQUIRED)
    card = ModelCard.read(path / METADATA)
    network = _network_of(card)
    load_state(network, read_state(path / WEIGHTS))
    return LoadedModel(network.eval().to(device), card.name, sums[WEIGHTS], card, path)


def verify_model(path: Path) -> list[str]:
    """Do every check that a model can be given, and say which were done.

    Raises:
        ModelError: the first check that fails.
    """
    model = load_model(path)
    sums = verify_sums(path, REQUIRED)
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    image = torch.zeros(1, len(SEQUENCES), *model.network.stride)
    with torch.inference_mode():
        if not model.network(image).isfinite().all():
            raise _damaged("gives no finite numbers")
    return [
        f"{len(sums)} files are as their SHA-256 says: {', '.join(sums)}",
        "the metadata follow the schema",
        "the weights are plain tensors without code, all finite",
        f"the weights fit the network '{model.card.size}' ({parameters / 1e6:.2f} million parameters)",
        "the network runs",
    ]


def read_state(path: Path) -> dict[str, Any]:
    """Read a file of weights without ever executing what is in it.

    Raises:
        ModelError: the file is missing, damaged, or holds more than plain tensors and values.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError("MODEL_FILE_MISSING", f"There is no file {path.name}.", "Check the path.") from error
    except (pickle.UnpicklingError, ImportError, AttributeError) as error:
        raise ModelError(
            "MODEL_NOT_WEIGHTS",
            f"{path.name} is no plain file of weights (it may hold a program), so it was not opened.",
            "Use only models from a source that you trust, saved as a plain state dictionary.",
        ) from error
    except (RuntimeError, EOFError, KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise _damaged("cannot be read") from error
    if not isinstance(state, dict):
        raise _damaged("is not a dictionary of weights")
    return state


def load_state(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Copy weights of any float type into a network, key by key.

    Raises:
        ModelError: a key is missing, unknown, of another shape, or not finite.
    """
    expected = network.state_dict()
    for key in (*expected, *state):
        if key not in state:
            raise _misfit(f"it has no '{key}'")
        if key not in expected:
            raise _misfit(f"'{key}' is unknown")
        value = state[key]
        if not isinstance(value, Tensor) or value.shape != expected[key].shape:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise _misfit(f"'{key}' is {shape}, not {tuple(expected[key].shape)}")
        if not value.isfinite().all():
            raise _damaged(f"holds values that are no numbers ('{key}')")
    network.load_state_dict(dict(state))


def write_bundle(
    folder: Path, network: LCKDNetwork, card: ModelCard, half: bool = False, overwrite: bool = False
) -> None:
    """Write a complete model: first beside `folder`, loaded once as a check, then renamed.

    Args:
        folder: the model's folder to be.
        network: whose weights are written.
        card: what it says about itself; its `network` must be the network's configuration.
        half: store the weights in half precision (they are float32 again when loaded).
        overwrite: replace an existing folder.

    Raises:
        OutputError: the folder exists already or cannot be written.
        ModelError: the card is not valid, or the weights are not finite (in half precision).
    """
    if dict(card.network) != network.config.as_dict() or tuple(card.stride) != network.stride:
        raise ModelError("MODEL_METADATA", "The model's card describes another network.", "Make the card anew.")
    if folder.exists() and not overwrite:
        raise OutputError("OUTPUT_EXISTS", f"{folder} exists already.", "Choose another folder, or remove this one.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            staged = Path(scratch) / "new"
            _write_files(staged, network, card, half)
            load_model(staged)
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            staged.rename(folder)
    except (OSError, RuntimeError) as error:
        if isinstance(error, LckdError):
            raise
        raise OutputError(
            "NOT_WRITABLE",
            f"The model cannot be written to {folder}.",
            "Check that the folder may be written to and that the disk is not full.",
        ) from error


def new_card(name: str, size: str, network: LCKDNetwork, description: str, **facts: Any) -> ModelCard:
    """A card for a network; `facts` are further fields of `ModelCard`."""
    return ModelCard(name, size, network.config.as_dict(), network.stride, description, **facts)


def _write_files(folder: Path, network: LCKDNetwork, card: ModelCard, half: bool) -> None:
    texts = {
        METADATA: _json(card.as_metadata()),
        INFERENCE: _json(_inference_config(card)),
        README: readme_text(card),
        LICENSE: license_text(card),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    (folder / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    state = {
        key: value.detach().cpu().to(torch.float16 if half else value.dtype).contiguous()
        for key, value in network.state_dict().items()
    }
    torch.save(state, folder / WEIGHTS)
    write_sums(folder)


def _inference_config(card: ModelCard) -> dict[str, Any]:
    """What MONAI needs to build the network from the installed package: the configuration stands in the metadata."""
    window = [step * max(1, 96 // step) for step in card.stride]
    return {
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "lckd.network.build_network",
            "config": {"_target_": "lckd.network.NetworkConfig.from_dict", "values": "@_meta_#lckd#network"},
        },
        "model": {"_target_": "lckd.models.load_model", "reference": "@bundle_root", "device": "@device"},
        "network": "$@model.network",
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": window, "overlap": 0.5, "mode": "gaussian"},
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _network_of(card: ModelCard) -> LCKDNetwork:
    network = build_network(NetworkConfig.from_dict(card.network))
    if network.stride != card.stride:
        raise _misfit(f"stride {card.stride}, not {network.stride}")
    return network


def _misfit(what: str) -> ModelError:
    return ModelError(
        "MODEL_ARCHITECTURE", f"The weights do not fit the network that the model describes ({what}).", ADD_AGAIN
    )


def _damaged(what: str) -> ModelError:
    return ModelError("MODEL_DAMAGED", f"The file of weights {what}.", ADD_AGAIN)

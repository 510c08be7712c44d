"""Models: what they say about themselves, where they are kept, how they are read, checked and written.

The card and the store need neither torch nor MONAI, so that a list of models costs nothing; what touches weights
imports torch on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .card import ModelCard
from .store import ModelEntry, add_model, find_model, list_models, remove_model

if TYPE_CHECKING:
    from .bundle import LoadedModel as LoadedModel
    from .bundle import load_model as load_model
    from .bundle import new_card as new_card
    from .bundle import read_state as read_state
    from .bundle import verify_model as verify_model
    from .bundle import write_bundle as write_bundle

_WITH_TORCH = ("LoadedModel", "load_model", "new_card", "read_state", "verify_model", "write_bundle")
__all__ = [
    "LoadedModel",
    "ModelCard",
    "ModelEntry",
    "add_model",
    "find_model",
    "list_models",
    "load_model",
    "new_card",
    "read_state",
    "remove_model",
    "verify_model",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    """Import torch only for those names that need it."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.bundle"), name)

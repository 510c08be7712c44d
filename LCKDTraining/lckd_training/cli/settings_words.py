"""The settings of a training run in words: value, meaning, and what is allowed."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import yaml

from ..config import TrainingConfig

_WIDTH = 116
_INDENT = "    "


def setting_facts(config: TrainingConfig) -> list[dict[str, Any]]:
    """For each setting, for JSON: name, value, kind, meaning, choices (empty: any), and the least and most it may be.

    The kind is bool, int, float or str, or a list of one of these (``int…``).
    """
    facts = ("meaning", "choices", "least", "most")
    return [
        {"name": field.name, "value": getattr(config, field.name), "kind": _kind(field)}
        | {fact: field.metadata[fact] for fact in facts}
        for field in dataclasses.fields(config)
    ]


def _kind(field: dataclasses.Field[Any]) -> str:
    if isinstance(field.default, tuple):
        return f"{field.metadata['items'].__name__}…"
    return type(field.default).__name__


def describe_settings(config: TrainingConfig) -> list[str]:
    """Two lines or more for each setting: as one writes it after --set, then its meaning and what is allowed."""
    lines = []
    for one in setting_facts(config):
        lines.append(f"{one['name']}={_written(one['value'])}")
        words = one["meaning"] + _allowed(one)
        lines += textwrap.wrap(words, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return lines


def _written(value: Any) -> str:
    """A value as in YAML, on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("\n...\n").rstrip("\n")


def _allowed(one: dict[str, Any]) -> str:
    if one["choices"]:
        return f" [{', '.join(map(str, one['choices']))}]"
    bounds = [f"{word} {one[word]:g}" for word in ("least", "most") if one[word] is not None]
    return f" [at {', at '.join(bounds)}]" if bounds else ""

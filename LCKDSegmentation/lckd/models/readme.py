"""The two texts that go with a model, made from its card."""

from __future__ import annotations

import json

from ..labels import REGIONS
from ..sequences import subset_name, subset_title, subsets_of
from .card import INTENDED_USE, REFERENCES, ModelCard


def readme_text(card: ModelCard) -> str:
    """``docs/README.md``: description, use, measured Dice of 15 subsets × 3 regions, training, license."""
    parts = [
        f"# {card.name}",
        card.description,
        f"**{INTENDED_USE}**",
        "## Use",
        f"    lckd segment CASE_FOLDER -o OUT --model {card.name}",
        "Input: any of FLAIR, T1, T1c and T2, brain-extracted and aligned. Output: enhancing tumor (ET), tumor core "
        "(TC) and whole tumor (WT).",
        "## What to expect from the sequences you have",
        _dice_table(card),
        card.dice_basis,
        "## Training",
        card.data_source,
        _facts({"size": card.size, "network": card.network, **card.preprocessing, **card.training}),
        "## License",
        f"{card.license}. {card.copyright}",
        "## Reference",
        *REFERENCES,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def license_text(card: ModelCard) -> str:
    """``LICENSE``: the terms of the weights, and where the data come from."""
    lines = [card.copyright, f"License of the weights: {card.license}"]
    if card.license == "Apache-2.0":
        lines.append("The text of the license: https://www.apache.org/licenses/LICENSE-2.0")
    if card.data_source:
        lines.append(f"Training data: {card.data_source}")
    return "\n\n".join(lines) + "\n"


def _dice_table(card: ModelCard) -> str:
    if not card.dice:
        return ""
    titles = " | ".join(region.value for region in REGIONS)
    rows = [f"| sequences | {titles} |", "|---|" + "---:|" * len(REGIONS)]
    for subset in subsets_of():
        values = [card.dice[subset_name(subset)].get(region.value) for region in REGIONS]
        cells = " | ".join("–" if value is None else f"{value:.2f}" for value in values)
        rows.append(f"| {subset_title(subset)} | {cells} |")
    return "Dice:\n\n" + "\n".join(rows)


def _facts(facts: dict[str, object]) -> str:
    """A list of facts; nested values as JSON."""
    lines = []
    for key, value in facts.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"- {key.replace('_', ' ')}: {text}")
    return "\n".join(lines)

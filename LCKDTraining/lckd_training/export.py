"""From a training run to a verified model."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any

from lckd import prepare as preparation
from lckd.errors import InputError
from lckd.models import ModelCard, write_bundle
from lckd.sequences import subset_name

from .data.split import Split
from .evaluation.evaluate import read_csv, read_dice
from .run.averaged import load_averaged
from .run.folder import RunFolder


def export(
    run: Path,
    model: Path,
    card: dict[str, Any],
    evaluation: Path | None = None,
    overwrite: bool = False,
    best: bool = False,
) -> None:
    """Write the averaged network of a run as a model whose card is filled from the run and its evaluation.

    Args:
        run: folder of the training run.
        model: folder of the model to be; its name is the model's name.
        card: further fields of `ModelCard`, e.g. description, data_source, dice_basis, and more facts of `training`.
        evaluation: output folder of `lckd evaluate` on the run's test cases.
        overwrite: replace an existing model.
        best: take the checkpoint that scored best on the election cases instead of the last.

    Raises:
        InputError: the run has no checkpoint, or none after its pre-training.
        OutputError: the model cannot be written.
    """
    network, config, iteration = load_averaged(run, best)
    if iteration <= config.pretraining_iterations:
        raise InputError(
            "ONLY_PRETRAINED",
            f"The run {run} cannot segment yet: its {iteration} iterations were of pre-training.",
            "Resume it, or start another run from it.",
        )
    split = Split.read(RunFolder(run).split)
    dice = {} if evaluation is None else read_dice(evaluation)
    fields: dict[str, Any] = {
        "name": model.name,
        "size": config.size,
        "network": network.config.as_dict(),
        "stride": network.stride,
        "description": card.get("description", "Glioma segmentation from any subset of FLAIR, T1, T1c and T2."),
        "preprocessing": _preprocessing(),
        "training": {
            "iterations": iteration,
            # The folder of the model that it started from is nobody else's business.
            "settings": dataclasses.asdict(config) | {"start_from": Path(config.start_from).name},
            "patients": {role: list(names) for role, names in split.roles.items()},
            "versions": {name: importlib.metadata.version(name) for name in ("torch", "monai", "numpy")},
        },
        "dice": {subset_name(s): {r.value: round(v, 4) for r, v in row.items()} for s, row in dice.items()},
    }
    if evaluation is not None:
        fields["dice_basis"] = card.get("dice_basis") or _dice_basis(evaluation, split)
    fields["training"] |= card.get("training", {})
    write_bundle(model, network, ModelCard(**(card | fields)), half=True, overwrite=overwrite)


def _dice_basis(evaluation: Path, split: Split) -> str:
    """On whom the Dice of an evaluation was measured, as the card says it."""
    names = {row["case"] for row in read_csv(evaluation / "cases.csv", ("case",))}
    trained, electing = len(names & set(split.train)), len(names & set(split.election))
    words = [f"Mean over {len(names)} cases, by lckd evaluate."]
    if trained:
        words.append(f"{trained} of them were trained on, so that the Dice of others will be lower.")
    if electing:
        words.append(f"{electing} of them chose the teachers, which flatters the model a little.")
    if not trained and not electing:
        words.append("The model has seen none of them in training.")
    return " ".join(words)


def _preprocessing() -> dict[str, Any]:
    return {
        "spacing_mm": preparation.SPACING_MM,
        "orientation": "LPS",
        "crop": f"brain with {preparation.MARGIN_MM} mm margin",
        "clip_percentiles": list(preparation.CLIP_PERCENTILES),
        "normalization": "z-score in the brain, 0 outside",
    }

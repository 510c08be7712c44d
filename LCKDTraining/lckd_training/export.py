"""From a training run to a verified model."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from lckd import prepare as preparation
from lckd.errors import InputError, LckdError, OutputError
from lckd.models import ModelCard, find_model, load_model, write_bundle
from lckd.models.store import METADATA
from lckd.network import LCKDNetwork
from lckd.sequences import subset_name, subset_title, subsets_of

from .config import TrainingConfig
from .data.split import Split
from .evaluation.evaluate import DiceTable, read_csv, read_dice
from .run.averaged import load_averaged
from .run.folder import RunFolder

#: What a run does not know of its model, and who exports it may say.
CARD_FIELDS = (
    "version",
    "changelog",
    "description",
    "authors",
    "copyright",
    "license",
    "data_source",
    "dice_basis",
    "training",
)


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
        card: some of `CARD_FIELDS`; `training` adds facts to those of the run.
        evaluation: output folder of `lckd evaluate` for these very weights, e.g. as exported before.
        overwrite: replace an existing model.
        best: take the checkpoint that scored best on the election cases instead of the last.

    Raises:
        InputError: the run has no such checkpoint, or none after its pre-training; the evaluation is of other weights
            or lacks a subset.
        OutputError: the model cannot be written, or would replace what is no model.
    """
    network, config, iteration = _network_of(run, best)
    if overwrite:
        _check_replaceable(model)
    split = Split.read(RunFolder(run).split)
    fields: dict[str, Any] = {
        "name": model.name,
        "size": config.size,
        "network": network.config.as_dict(),
        "stride": network.stride,
        "description": "Glioma segmentation from any subset of FLAIR, T1, T1c and T2.",
        "preprocessing": _preprocessing(),
    }
    fields |= card
    fields["training"] = {
        "iterations": iteration,
        # The folder of the model that it started from is nobody else's business.
        "settings": dataclasses.asdict(config) | {"start_from": Path(config.start_from).name},
        "patients": {role: list(names) for role, names in split.roles.items()},
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "monai", "numpy")},
    } | card.get("training", {})
    made = ModelCard(**fields)
    if evaluation is not None:
        _check_same_weights(evaluation, network, made)
        basis = card.get("dice_basis") or _dice_basis(evaluation, split, config.start_from)
        made = dataclasses.replace(made, dice=_dice_of_all_subsets(evaluation), dice_basis=basis)
    write_bundle(model, network, made, half=True, overwrite=overwrite)


def read_card(path: Path) -> dict[str, Any]:
    """Read a YAML file with some of `CARD_FIELDS`.

    Raises:
        InputError: it cannot be read, is no YAML, or has other fields.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        message = f"{path} does not exist, or cannot be read."
        raise InputError("FILE_NOT_FOUND", message, "Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _bad_card(path, "is not a YAML file") from error
    if not isinstance(fields, dict):
        raise _bad_card(path, "holds no fields with values")
    unknown = [str(name) for name in fields if name not in CARD_FIELDS]
    if unknown:
        raise _bad_card(path, f"has a field '{unknown[0]}', which a card does not take")
    mappings = [name for name in ("training", "changelog") if not isinstance(fields.get(name, {}), dict)]
    if mappings:
        raise _bad_card(path, f"has no names and values under '{mappings[0]}'")
    return fields


def _check_replaceable(model: Path) -> None:
    """Refuse to replace what is neither a model nor an empty folder: a run, say, or cases."""
    is_empty = model.is_dir() and not any(model.iterdir())
    if model.exists() and not is_empty and not (model / METADATA).is_file():
        raise OutputError("OUTPUT_NO_MODEL", f"{model} is no model, and would be lost.", "Choose another folder.")


def _network_of(run: Path, best: bool) -> tuple[LCKDNetwork, TrainingConfig, int]:
    """Network, settings and iteration of a checkpoint that can segment."""
    folder = RunFolder(run)
    if best and folder.load_checkpoint() is not None and not folder.best.exists():
        message = f"No checkpoint of {run} is the best: no election has found any tumor yet."
        raise InputError("NO_BEST_CHECKPOINT", message, "Leave out --best to take the last one, or train longer.")
    network, config, iteration = load_averaged(run, best)
    if iteration <= config.pretraining_iterations:
        raise InputError(
            "ONLY_PRETRAINED",
            f"The run {run} cannot segment yet: its {iteration} iterations were of pre-training.",
            "Resume it, or start another run from it.",
        )
    return network, config, iteration


def _check_same_weights(evaluation: Path, network: LCKDNetwork, card: ModelCard) -> None:
    """See that what was evaluated are these weights: a card must not promise what another model can."""
    with tempfile.TemporaryDirectory() as scratch:
        write_bundle(Path(scratch) / "model", network, card, half=True)
        sha256 = load_model(Path(scratch) / "model").sha256
    if _facts(evaluation).get("model", {}).get("sha256") != sha256:
        raise InputError(
            "OTHER_WEIGHTS",
            f"{evaluation} does not hold the scores of these weights, but of another model or checkpoint.",
            "Export without --evaluation, evaluate that model, and export again with its scores.",
        )


def _facts(evaluation: Path) -> dict[str, Any]:
    path = evaluation / "evaluation.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path} does not exist, or cannot be read."
        raise InputError("NO_SCORES", message, "Give a folder that lckd evaluate wrote.") from error


def _dice_of_all_subsets(evaluation: Path) -> dict[str, dict[str, float]]:
    table: DiceTable = read_dice(evaluation)
    lacking = [subset for subset in subsets_of() if subset not in table]
    if lacking:
        message = f"{evaluation} has no scores for {subset_title(lacking[0])}: no case has these sequences."
        raise InputError("SUBSETS_LACKING", message, "Evaluate at least one case with all four sequences.")
    return {subset_name(s): {r.value: round(value, 4) for r, value in row.items()} for s, row in table.items()}


def _dice_basis(evaluation: Path, split: Split, start_from: str) -> str:
    """On whom the Dice of an evaluation was measured, as the card says it."""
    names = {row["case"] for row in read_csv(evaluation / "cases.csv", ("case",))}
    trained, electing = len(names & set(split.train)), len(names & set(split.election))
    mirrored = ", averaged over mirrored copies (--mirror)" if _facts(evaluation).get("mirror") else ""
    words = [f"Mean over {len(names)} cases, by lckd evaluate{mirrored}."]
    if trained:
        words.append(f"{trained} of them were trained on, so that the Dice of others will be lower.")
    if electing:
        words.append(f"{electing} of them chose the teachers, which flatters the model a little.")
    if start_from:
        words.append(_seen_before(start_from, names))
    elif not trained and not electing:
        words.append("The model has seen none of them in training.")
    return " ".join(words)


def _seen_before(start_from: str, names: set[str]) -> str:
    """How many of the cases the model was trained on that the run started from."""
    start = Path(start_from)
    try:
        if RunFolder(start).is_run:
            known = set(Split.read(RunFolder(start).split).train)
        else:
            card = ModelCard.read(find_model(start_from) / METADATA)
            known = set(card.training.get("patients", {}).get("train", ()))
    except LckdError:
        known = set()
    if not known:
        return f"Which of them {start.name} was trained on, from which it started, is not known."
    seen = f"{len(names & known)} of them" if names & known else "None of them"
    return f"{seen} had been trained on by {start.name}, from which it started."


def _bad_card(path: Path, what: str) -> InputError:
    return InputError("BAD_CARD", f"{path} {what}.", f"Give a YAML file with some of: {', '.join(CARD_FIELDS)}.")


def _preprocessing() -> dict[str, Any]:
    return {
        "spacing_mm": preparation.SPACING_MM,
        "orientation": "LPS",
        "crop": f"brain with {preparation.MARGIN_MM} mm margin",
        "clip_percentiles": list(preparation.CLIP_PERCENTILES),
        "normalization": "z-score in the brain, 0 outside",
    }

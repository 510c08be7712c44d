"""Weights in the layout of the LCKD authors' public code (class ``DualNet``) as a `paper` model.

Only names, shapes and channel orders are shared with that code. Its order of the sequences is ours; its order of the
regions is ET, WT, TC. It imputes as imputation ``zero`` does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelError
from ..labels import REGIONS, Region
from ..models.bundle import load_state, new_card, read_state, write_bundle
from ..models.checksums import sha256_of
from .config import PRESETS
from .lckd import LCKDNetwork
from .resnet_aspp import ASPP_DILATIONS, BLOCKS, build_resnet_aspp

AUTHORS_REGIONS = (Region.ET, Region.WT, Region.TC)
HEAD = "decoder.head.weight"
_DECODER_LEVELS = 4
_BOTTLENECK_CONVS = 3
_BASIC_CONVS = 2


def authors_keys() -> dict[str, str]:
    """Each key of the authors' state dict, with the key of ours that it becomes."""
    return dict((*_encoder_keys(), *_decoder_keys()))


def convert_authors_state(state: Mapping[str, Any]) -> LCKDNetwork:
    """Build a `paper` network with imputation ``zero`` from an authors' state dict.

    Args:
        state: key to tensor, with or without the prefix ``module.``, or a dictionary that holds such a one under
            ``state_dict`` or ``model``.

    Raises:
        ModelError: a key is missing or unknown, a shape is wrong or a value is no number.
    """
    theirs = _without_wrapping(state)
    names = authors_keys()
    for key in (*theirs, *names):
        if key not in names:
            raise _refused(f"'{key}' is unknown")
        if key not in theirs:
            raise _refused(f"it has no '{key}'")
    ours = {names[key]: value for key, value in theirs.items()}
    network = build_resnet_aspp(dataclasses.replace(PRESETS["paper"], imputation="zero"))
    head = ours[HEAD]
    if isinstance(head, Tensor) and len(head) == len(REGIONS):
        ours[HEAD] = head[[AUTHORS_REGIONS.index(region) for region in REGIONS]]
    load_state(network, ours)
    return network.eval()


def convert_file(path: Path, folder: Path, name: str) -> None:
    """Write the model made of a file of the authors' weights.

    Args:
        path: a state dict saved with ``torch.save``; read without executing anything in it.
        folder: the model's folder to be; must not exist.
        name: what the model is to be called.

    Raises:
        ModelError: the file is no plain state dict of that layout.
        OutputError: the folder exists or cannot be written.
    """
    network = convert_authors_state(read_state(path))
    card = new_card(
        name,
        "paper",
        network,
        "The LCKD authors' network (3-D ResNet-50, ASPP), converted from a file of weights in the layout of their "
        "public code.",
        authors="Whoever trained the converted weights",
        copyright="Whoever trained the converted weights",
        license="Not stated: the terms of the converted weights",
        preprocessing={"note": "Not known from the file; this program's own preparation is used."},
        training={"converted_from": path.name, "converted_sha256": sha256_of(path)},
    )
    write_bundle(folder, network, card)


def _unit(theirs_conv: str, theirs_norm: str, ours_conv: str, ours_norm: str) -> Iterator[tuple[str, str]]:
    """A convolution without bias and an affine norm."""
    yield f"{theirs_conv}.weight", f"{ours_conv}.weight"
    yield f"{theirs_norm}.weight", f"{ours_norm}.weight"
    yield f"{theirs_norm}.bias", f"{ours_norm}.bias"


def _encoder_keys() -> Iterator[tuple[str, str]]:
    backbone, aspp = "shared_enc.backbone", "shared_enc.aspp"
    yield from _unit(f"{backbone}.conv1", f"{backbone}.norm1", "encoder.stem.0", "encoder.stem.1")
    for stage, count in enumerate(BLOCKS):
        for block in range(count):
            theirs, ours = f"{backbone}.layer{stage + 1}.{block}", f"encoder.stages.{stage}.{block}"
            for conv in range(_BOTTLENECK_CONVS):
                body = f"{ours}.body.{conv}"
                yield from _unit(f"{theirs}.conv{conv + 1}", f"{theirs}.norm{conv + 1}", f"{body}.0", f"{body}.1")
            if block == 0:
                shortcut = f"{theirs}.downsample"
                yield from _unit(f"{shortcut}.0", f"{shortcut}.1", f"{ours}.shortcut.0", f"{ours}.shortcut.1")
    yield from _unit("shared_enc.asppreduce.0", "shared_enc.asppreduce.1", "encoder.reduce.0", "encoder.reduce.1")
    for branch in range(len(ASPP_DILATIONS)):
        theirs, ours = f"{aspp}.branch{branch + 1}", f"encoder.aspp.branches.{branch}"
        yield from _unit(f"{theirs}.0", f"{theirs}.1", f"{ours}.0", f"{ours}.1")
    yield from _unit(f"{aspp}.branch5_conv", f"{aspp}.branch5_norm", "encoder.aspp.pooled.0", "encoder.aspp.pooled.1")
    yield from _unit(f"{aspp}.conv_cat.0", f"{aspp}.conv_cat.1", "encoder.aspp.project.0", "encoder.aspp.project.1")


def _decoder_keys() -> Iterator[tuple[str, str]]:
    for level in range(_DECODER_LEVELS):
        ours = f"decoder.levels.{level}"
        shortcut = f"shared_dec.shortcut_conv{level}"
        yield from _unit(f"{shortcut}.0", f"{shortcut}.1", f"{ours}.skip", f"{ours}.skip_norm.0")
        for conv in range(_BASIC_CONVS):
            theirs, body = f"shared_dec.stage{level}_de", f"{ours}.block.body.{conv}"
            yield from _unit(f"{theirs}.conv{conv + 1}", f"{theirs}.norm{conv + 1}", f"{body}.0", f"{body}.1")
        is_bottom = level == _DECODER_LEVELS - 1
        upsample = "decoder.bottom" if is_bottom else f"decoder.upsample.{level}"
        yield f"shared_dec.transposeconv_stage{level}.weight", f"{upsample}.weight"
    yield "shared_dec.cls_conv.0.weight", HEAD


def _without_wrapping(state: Mapping[str, Any]) -> dict[str, Any]:
    for holder in ("state_dict", "model"):
        inner = state.get(holder)
        if isinstance(inner, Mapping):
            return _without_wrapping(inner)
    prefix = "module."
    return {str(key).removeprefix(prefix): value for key, value in state.items()}


def _refused(what: str) -> ModelError:
    return ModelError(
        "MODEL_ARCHITECTURE",
        f"The weights are not those of the LCKD authors' network ({what}).",
        "Give the state dict of their class DualNet.",
    )

"""Converting weights with the key names of the authors' code, against a literal implementation driven by those keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lckd.errors import ModelError
from lckd.models import load_model
from lckd.network import PRESETS, build_network
from lckd.network.convert import authors_keys, convert_authors_state, convert_file
from lckd.sequences import SEQUENCES, Sequence, Subset, subset_of

BLOCKS = {1: (64, 3), 2: (128, 4), 3: (256, 6), 4: (320, 3)}
SUBSETS = [
    subset_of([Sequence.T1C]),
    subset_of([Sequence.FLAIR, Sequence.T2]),
    subset_of([Sequence.T1, Sequence.T1C, Sequence.T2]),
    SEQUENCES,
]


def conv_and_norm(conv: str, norm: str, out: int, into: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{conv}.weight": (out, into, kernel, kernel, kernel), f"{norm}.weight": (out,), f"{norm}.bias": (out,)}


def table() -> dict[str, tuple[int, ...]]:
    """Key names and shapes of the authors' ``DualNet`` (ResNet-50, instance norm, three classes)."""
    keys: dict[str, tuple[int, ...]] = {}
    net = "shared_enc.backbone"
    keys |= conv_and_norm(f"{net}.conv1", f"{net}.norm1", 64, 1, 7)
    into = 64
    for stage, (planes, count) in BLOCKS.items():
        for block in range(count):
            at = f"{net}.layer{stage}.{block}"
            keys |= conv_and_norm(f"{at}.conv1", f"{at}.norm1", planes, into, 1)
            keys |= conv_and_norm(f"{at}.conv2", f"{at}.norm2", planes, planes, 3)
            keys |= conv_and_norm(f"{at}.conv3", f"{at}.norm3", planes * 4, planes, 1)
            if block == 0:
                keys |= conv_and_norm(f"{at}.downsample.0", f"{at}.downsample.1", planes * 4, into, 1)
            into = planes * 4
    keys |= conv_and_norm("shared_enc.asppreduce.0", "shared_enc.asppreduce.1", 256, 1280, 1)
    aspp = "shared_enc.aspp"
    for branch in (1, 2, 3, 4):
        keys |= conv_and_norm(f"{aspp}.branch{branch}.0", f"{aspp}.branch{branch}.1", 256, 256, 1 if branch == 1 else 3)
    keys |= conv_and_norm(f"{aspp}.branch5_conv", f"{aspp}.branch5_norm", 256, 256, 1)
    keys |= conv_and_norm(f"{aspp}.conv_cat.0", f"{aspp}.conv_cat.1", 256, 1280, 1)
    for level, (skip, out, coarser) in enumerate([(256, 32, 64), (1024, 64, 128), (2048, 128, 256), (4096, 256, 1024)]):
        dec = "shared_dec"
        keys |= conv_and_norm(f"{dec}.shortcut_conv{level}.0", f"{dec}.shortcut_conv{level}.1", out, skip, 1)
        keys[f"{dec}.transposeconv_stage{level}.weight"] = (coarser, out, 2, 2, 2)
        for conv in (1, 2):
            at = f"{dec}.stage{level}_de"
            keys |= conv_and_norm(f"{at}.conv{conv}", f"{at}.norm{conv}", out, out, 3)
    return keys | {"shared_dec.cls_conv.0.weight": (3, 32, 1, 1, 1)}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Random weights; norms around 1 with random biases."""
    generator = torch.Generator().manual_seed(0)
    values = {}
    for key, shape in table().items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 1:
            values[key] = 0.3 * noise + (1 if key.endswith("weight") else 0)
        else:
            values[key] = noise * (2 / shape[0]) ** 0.5
    return values


class Literal:
    """The authors' scheme from the facts: all four sequences encoded, the missing ones as zeros; mean at the bottom."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = state

    def unit(self, x: Tensor, conv: str, norm: str, act: bool = True, **options) -> Tensor:
        """Weight-standardized convolution, instance norm, LeakyReLU."""
        weight = self.state[f"{conv}.weight"]
        flat = weight.flatten(1)
        flat = (flat - flat.mean(1, keepdim=True)) / flat.var(1, keepdim=True).add(1e-12).sqrt()
        x = F.conv3d(x, flat.view_as(weight), **options)
        gain, bias = self.state[f"{norm}.weight"], self.state[f"{norm}.bias"]
        if x[0, 0].numel() == 1:
            x = bias.view(1, -1, 1, 1, 1).expand_as(x)
        else:
            x = F.instance_norm(x, weight=gain, bias=bias)
        return F.leaky_relu(x, 0.01) if act else x

    def encode(self, image: Tensor) -> list[Tensor]:
        net, aspp = "shared_enc.backbone", "shared_enc.aspp"
        x = self.unit(image, f"{net}.conv1", f"{net}.norm1", stride=(1, 2, 2), padding=3)
        features = [x]
        x = F.max_pool3d(x, 3, 2, 1)
        for stage, (_, count) in BLOCKS.items():
            for block in range(count):
                at, stride = f"{net}.layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                y = self.unit(x, f"{at}.conv1", f"{at}.norm1")
                y = self.unit(y, f"{at}.conv2", f"{at}.norm2", stride=stride, padding=1)
                y = self.unit(y, f"{at}.conv3", f"{at}.norm3", act=False)
                if block == 0:
                    x = self.unit(x, f"{at}.downsample.0", f"{at}.downsample.1", act=False, stride=stride)
                x = F.leaky_relu(x + y, 0.01)
            features.append(x)
        x = self.unit(x, "shared_enc.asppreduce.0", "shared_enc.asppreduce.1")
        parts = [self.unit(x, f"{aspp}.branch1.0", f"{aspp}.branch1.1")]
        for branch, dilation in ((2, 2), (3, 4), (4, 8)):
            at = f"{aspp}.branch{branch}"
            parts.append(self.unit(x, f"{at}.0", f"{at}.1", padding=dilation, dilation=dilation))
        pooled = self.unit(x.mean((2, 3, 4), keepdim=True), f"{aspp}.branch5_conv", f"{aspp}.branch5_norm")
        parts.append(pooled.expand_as(x))
        features[-1] = self.unit(torch.cat(parts, 1), f"{aspp}.conv_cat.0", f"{aspp}.conv_cat.1")
        return features

    def decode(self, encoded: list[list[Tensor]], subset: Subset) -> Tensor:
        """Logits in the authors' order ET, WT, TC; `encoded` holds the features of all four volumes, absent ones 0."""
        mean = torch.stack([encoded[s.index][-1] for s in subset]).mean(0)
        bottoms = [encoded[s.index][-1] if s in subset else mean for s in SEQUENCES]
        x = torch.cat(bottoms, 1)
        for level in (3, 2, 1, 0):
            dec = "shared_dec"
            x = F.conv_transpose3d(x, self.state[f"{dec}.transposeconv_stage{level}.weight"], stride=2)
            skip = torch.cat([features[level] for features in encoded], 1)
            x = x + self.unit(skip, f"{dec}.shortcut_conv{level}.0", f"{dec}.shortcut_conv{level}.1")
            at = f"{dec}.stage{level}_de"
            y = self.unit(x, f"{at}.conv1", f"{at}.norm1", padding=1)
            x = F.leaky_relu(x + self.unit(y, f"{at}.conv2", f"{at}.norm2", act=False, padding=1), 0.01)
        logits = F.conv3d(x, self.state["shared_dec.cls_conv.0.weight"])
        return F.interpolate(logits, scale_factor=(1, 2, 2), mode="trilinear")


def test_every_key_is_consumed_and_every_parameter_filled(state):
    assert set(authors_keys()) == set(state)
    ours = build_network(PRESETS["paper"]).state_dict()
    assert sorted(authors_keys().values()) == sorted(ours)
    for theirs, own in authors_keys().items():
        assert ours[own].shape == state[theirs].shape, theirs
    assert sum(value.numel() for value in state.values()) == 43_656_672


def test_logits_equal_a_literal_implementation_of_the_authors_scheme(state):
    """In double precision: the norm over a bottom of two voxels magnifies the rounding of single precision."""
    network = convert_authors_state(state).double()
    literal = Literal({key: value.double() for key, value in state.items()})
    assert network.config == dataclasses.replace(PRESETS["paper"], imputation="zero")
    images = torch.randn(1, 4, 16, 32, 64, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        encodings = network.encode({s: images[:, s.index, None] for s in SEQUENCES})
        real = [literal.encode(images[:, s.index, None]) for s in SEQUENCES]
        zero = literal.encode(torch.zeros_like(images[:, :1]))
        for subset in SUBSETS:
            expected = literal.decode([real[s.index] if s in subset else zero for s in SEQUENCES], subset)
            actual = network.decode(encodings, subset)
            assert expected.abs().max() > 5
            assert (actual - expected[:, [0, 2, 1]]).abs().max() < 1e-6


def test_the_head_is_permuted_from_et_wt_tc_to_et_tc_wt(state):
    ours = convert_authors_state(state).state_dict()["decoder.head.weight"]
    theirs = state["shared_dec.cls_conv.0.weight"]
    assert torch.equal(ours, torch.stack([theirs[0], theirs[2], theirs[1]]))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}, "iter": 5},
    ],
    ids=["prefix", "state_dict", "model"],
)
def test_wrapped_state_dicts_are_understood(state, wrap):
    network = convert_authors_state(wrap(state))
    assert torch.equal(network.encoder.stem[0].weight, state["shared_enc.backbone.conv1.weight"])


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (
            lambda s: s.pop("shared_enc.aspp.branch5_norm.bias"),
            "MODEL_ARCHITECTURE",
            "shared_enc.aspp.branch5_norm.bias",
        ),
        (lambda s: s.update(extra=torch.zeros(1)), "MODEL_ARCHITECTURE", "'extra'"),
        (lambda s: s.clear(), "MODEL_ARCHITECTURE", "backbone.conv1.weight"),
        (
            lambda s: s.update({"shared_dec.cls_conv.0.weight": torch.zeros(4, 32, 1, 1, 1)}),
            "MODEL_ARCHITECTURE",
            "(4, 32, 1, 1, 1)",
        ),
        (lambda s: s.update({"shared_dec.cls_conv.0.weight": "text"}), "MODEL_ARCHITECTURE", "str"),
        (
            lambda s: s.update({"shared_enc.backbone.norm1.bias": torch.full((64,), torch.nan)}),
            "MODEL_DAMAGED",
            "no numbers",
        ),
    ],
    ids=["missing", "unknown", "empty", "shape", "no tensor", "nan"],
)
def test_other_state_dicts_are_refused_by_the_first_key(state, change, code, named):
    changed = dict(state)
    change(changed)
    with pytest.raises(ModelError) as caught:
        convert_authors_state(changed)
    assert caught.value.code == code
    assert named in caught.value.message


def test_convert_file_writes_a_model_that_loads(state, tmp_path):
    source, folder = tmp_path / "weights.pth", tmp_path / "converted"
    torch.save({"state_dict": state}, source)
    convert_file(source, folder, "lckd-authors")
    model = load_model(folder)
    assert (model.name, model.card.size) == ("lckd-authors", "paper")
    assert model.network.config.imputation == "zero"
    assert torch.equal(model.network.encoder.stem[0].weight, state["shared_enc.backbone.conv1.weight"])
    assert model.card.dice == {}


class _Whole:
    """Stands for a whole pickled network, as the authors' training script saves it."""


def test_a_pickled_network_is_refused_unopened(tmp_path):
    source = tmp_path / "last.pth"
    torch.save({"model": _Whole(), "iter": 1}, source)
    with pytest.raises(ModelError) as caught:
        convert_file(source, tmp_path / "converted", "x")
    assert caught.value.code == "MODEL_NOT_WEIGHTS"
    assert not (tmp_path / "converted").exists()

"""The network: folded imputation against the literal equations, encodings, gradients, the zero cache, sizes."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lckd.errors import ModelError
from lckd.network import PRESETS, Encodings, LCKDNetwork, NetworkConfig, build_network
from lckd.network.blocks import InstanceNorm, depth_to_space, space_to_depth
from lckd.network.fusion import FusedConv
from lckd.sequences import SEQUENCES, Sequence, Subset, subset_name, subset_of, subsets_of

CONFIGS = {
    "small-bottom": PRESETS["small"],
    "small-mean": NetworkConfig(imputation="mean"),
    "small-zero": NetworkConfig(imputation="zero"),
    "aspp-bottom": NetworkConfig("resnet_aspp", (8, 16, 32, 64, 16), (4, 8, 16, 32), ()),
    "aspp-mean": NetworkConfig("resnet_aspp", (8, 16, 32, 64, 16), (4, 8, 16, 32), (), "mean"),
    "aspp-zero": NetworkConfig("resnet_aspp", (8, 16, 32, 64, 16), (4, 8, 16, 32), (), "zero"),
}
TINY = {
    "bottom": NetworkConfig(channels=(4, 6, 8), decoder_channels=(3, 5), decoder_convs=(1, 2)),
    "mean": NetworkConfig(channels=(4, 6, 8), decoder_channels=(3, 5), decoder_convs=(1, 2), imputation="mean"),
    "zero": NetworkConfig(channels=(4, 6, 8), decoder_channels=(3, 5), decoder_convs=(1, 2), imputation="zero"),
}
PARTIAL = subset_of([Sequence.FLAIR, Sequence.T2])


def built(config: NetworkConfig, seed: int = 0) -> LCKDNetwork:
    """A network whose norms and biases are random too, so that a constant forgotten somewhere shows."""
    torch.manual_seed(seed)
    network = build_network(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif name == "decoder.head.weight":
                parameter.normal_(std=0.3)
    return network


def stack(batch: int = 1, size: tuple[int, int, int] = (16, 16, 24), seed: int = 1) -> Tensor:
    return torch.randn(batch, 4, *size, generator=torch.Generator().manual_seed(seed))


def assert_close(actual: Tensor, expected: Tensor, relative: float = 1e-4) -> None:
    scale = expected.abs().max()
    assert scale > 1e-2, "nothing to compare"
    assert (actual - expected).abs().max() <= relative * scale


# --- the literal equations: every feature of every sequence exists, real or imputed, and is concatenated ---


def encode_plainly(network: LCKDNetwork, images: Tensor) -> tuple[list[list[Tensor]], list[Tensor]]:
    """Features by sequence and level (Eq. 3), and those of an all-zero volume."""
    real = [network.encoder(images[:, s.index, None]) for s in SEQUENCES]
    return real, network.encoder(torch.zeros_like(images[:, :1]))


def literal_features(
    network: LCKDNetwork, encoded: tuple[list[list[Tensor]], list[Tensor]], subset: Subset
) -> list[Tensor]:
    """By level, the concatenated features (B, 4·C, D, H, W) of all four sequences (Eq. 5)."""
    real, zero = encoded
    concatenated = []
    for level in range(len(zero)):
        mean = torch.stack([real[s.index][level] for s in subset]).mean(0)
        imputation = network.config.imputation if level < len(zero) - 1 else "mean"
        imputed = {"mean": mean, "zero": zero[level].expand_as(mean), "bottom": torch.zeros_like(mean)}[imputation]
        # The missing contribute what those present contribute on average.
        scale = len(SEQUENCES) / len(subset) if imputation == "bottom" else 1.0
        features = [scale * real[s.index][level] if s in subset else imputed for s in SEQUENCES]
        concatenated.append(torch.cat(features, dim=1))
    return concatenated


def norm_act(x: Tensor, norm: nn.Module) -> Tensor:
    return F.leaky_relu(F.instance_norm(x, weight=norm.weight, bias=norm.bias), 0.01)


def literal_unet(decoder: nn.Module, concatenated: list[Tensor]) -> Tensor:
    x = norm_act(F.conv3d(concatenated[-1], decoder.bottom.weight), decoder.bottom_norm)
    for level, skip in reversed(list(zip(decoder.levels, concatenated[:-1], strict=True))):
        coarser = F.conv3d(x, level.reduce.weight).repeat_interleave(2, 2).repeat_interleave(2, 3)
        d, h, w = skip.shape[2:]
        x = F.conv3d(skip, level.skip.weight) + coarser.repeat_interleave(2, 4)[..., :d, :h, :w]
        x = level.convs(norm_act(x, level.norm))
    return depth_to_space(decoder.head(x))


def literal_aspp(decoder: nn.Module, concatenated: list[Tensor]) -> Tensor:
    x = F.conv_transpose3d(concatenated[-1], decoder.bottom.weight, stride=2)
    for index in reversed(range(len(decoder.levels))):
        level = decoder.levels[index]
        weight = level.skip.weight.flatten(1)
        weight = (weight - weight.mean(1, keepdim=True)) / weight.std(1, keepdim=True)
        skip = F.conv3d(concatenated[index], weight[:, :, None, None, None])
        x = level.block(x + norm_act(skip, level.skip_norm[0]))
        if index > 0:
            x = F.conv_transpose3d(x, decoder.upsample[index - 1].weight, stride=2)
    return F.interpolate(decoder.head(x), scale_factor=(1, 2, 2), mode="trilinear")


def literal(network: LCKDNetwork, encoded: tuple[list[list[Tensor]], list[Tensor]], subset: Subset) -> Tensor:
    decode = literal_unet if network.config.architecture == "unet" else literal_aspp
    return decode(network.decoder, literal_features(network, encoded, subset))


@pytest.mark.parametrize("name", CONFIGS)
def test_folded_fusion_equals_the_literal_equations(name):
    # The U-Net takes any even size: here its levels have 15×17×19, 8×9×10, 4×5×5 and 2×3×3 voxels.
    network, images = built(CONFIGS[name]), stack(size=(32, 32, 64) if "aspp" in name else (30, 34, 38))
    with torch.no_grad():
        encodings = network.encode({s: images[:, s.index, None] for s in SEQUENCES})
        encoded = encode_plainly(network, images)
        for subset in subsets_of():
            assert_close(network.decode(encodings, subset), literal(network, encoded, subset))


@pytest.mark.parametrize("imputation", TINY)
def test_a_superset_decodes_as_the_subset_alone(imputation):
    network, images = built(TINY[imputation]), stack()
    with torch.no_grad():
        everything = network.encode({s: images[:, s.index, None] for s in SEQUENCES})
        assert everything.present == SEQUENCES
        for subset in subsets_of():
            alone = network.encode({s: images[:, s.index, None] for s in subset})
            assert_close(network.decode(everything, subset), network.decode(alone), 1e-5)
            assert_close(network(images, subset), network.decode(alone), 1e-5)


@pytest.mark.parametrize("zero", [None, torch.ones(1, 5, 4, 6, 7)])
def test_fusion_keeps_channels_last_in_memory_and_computes_the_same(zero):
    fuse = FusedConv(5, 3)
    features = {s: torch.randn(2, 5, 4, 6, 7) for s in PARTIAL}
    layout = torch.channels_last_3d
    with torch.no_grad():
        fused = fuse({s: feature.contiguous(memory_format=layout) for s, feature in features.items()}, zero)
        assert fused.is_contiguous(memory_format=layout)
        assert_close(fused, fuse(features, zero), 1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("name", CONFIGS)
def test_half_precision_computes_about_the_same(name, layout):
    """The autocast of a CPU works without its instructions too; it is only slow."""
    network = built(CONFIGS[name]).to(memory_format=layout)
    images = stack(size=(16, 32, 32) if "aspp" in name else (16, 16, 16))
    with torch.no_grad():
        for subset in (PARTIAL[:1], PARTIAL, SEQUENCES):
            with torch.autocast("cpu", torch.bfloat16):
                half = network(images, subset)
            assert half.dtype == torch.bfloat16
            whole = network(images, subset)
            assert (half - whole).abs().mean() < 0.1 * whole.abs().mean()


def test_subsets_give_different_results():
    network, images = built(TINY["mean"]), stack()
    with torch.no_grad():
        results = {subset_name(s): network(images, s) for s in subsets_of()}
    values = list(results.values())
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(values) for b in values[:i])


def test_a_sequence_that_was_not_encoded_cannot_be_decoded():
    network, images = built(TINY["mean"]), stack()
    encodings = network.encode({Sequence.T1: images[:, 1, None]})
    with pytest.raises(KeyError):
        network.decode(encodings, PARTIAL)


@pytest.mark.parametrize("imputation", TINY)
def test_batch_permutation(imputation):
    network, images, order = built(TINY[imputation]), stack(batch=3), [2, 0, 1]
    with torch.no_grad():
        assert_close(network(images[order], PARTIAL), network(images, PARTIAL)[order], 1e-5)
        assert_close(network(images[1:2], PARTIAL), network(images, PARTIAL)[1:2], 1e-5)


@pytest.mark.parametrize("imputation", TINY)
def test_gradients_equal_those_of_the_literal_equations(imputation):
    network, images = built(TINY[imputation]).train(), stack()
    parameters = dict(network.named_parameters())
    folded = torch.autograd.grad(network(images, PARTIAL).square().mean(), list(parameters.values()))
    plain = torch.autograd.grad(
        literal(network, encode_plainly(network, images), PARTIAL).square().mean(), list(parameters.values())
    )
    for name, actual, expected in zip(parameters, folded, plain, strict=True):
        assert (actual - expected).abs().max() <= 1e-3 * expected.abs().max() + 1e-5, name


@pytest.mark.parametrize("imputation", TINY)
def test_gradient_reaches_present_sequences_and_no_others(imputation):
    network, images = built(TINY[imputation]).train(), stack().requires_grad_()
    network(images, PARTIAL).square().mean().backward()
    reached = {s for s in SEQUENCES if images.grad[:, s.index].abs().max() > 0}
    assert reached == set(PARTIAL)


def test_gradient_flows_through_the_zero_volume():
    network, images = built(TINY["zero"]).train(), stack()
    encodings = network.encode({s: images[:, s.index, None] for s in PARTIAL})
    gradient = torch.autograd.grad(network.decode(encodings).square().mean(), encodings.zero[0], retain_graph=True)[0]
    assert gradient.abs().max() > 0
    assert torch.autograd.grad(encodings.zero[0].square().mean(), network.encoder.levels[0][0][1].bias)[0].any()
    assert built(TINY["mean"]).encode({Sequence.T1: images[:, :1]}).zero is None


def test_zero_features_are_computed_once_and_renewed_when_weights_change():
    network, images = built(TINY["zero"]), stack()
    calls = []
    network.encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        first = network(images, (Sequence.T1,))
        assert len(calls) == 2
        network(images, PARTIAL)
        assert len(calls) == 4, "only the two present sequences"
        network(stack(size=(16, 16, 16)), (Sequence.T1,))
        assert len(calls) == 6, "another size needs other zero features"
        for parameter in network.encoder.parameters():
            parameter.mul_(1.5)
        changed = network(images, (Sequence.T1,))
        assert len(calls) == 8
        fresh = build_network(network.config).eval()
        fresh.load_state_dict(network.state_dict())
        assert_close(changed, fresh(images, (Sequence.T1,)), 1e-5)
        assert (changed - first).abs().max() > 1e-3


def test_zero_features_are_renewed_when_other_weights_are_loaded():
    network, other, images = built(TINY["zero"]), built(TINY["zero"], seed=5), stack()
    with torch.no_grad():
        network(images, PARTIAL)
        network.load_state_dict(other.state_dict())
        assert_close(network(images, PARTIAL), other(images, PARTIAL), 1e-5)


def test_instance_norm_equals_torchs_and_gives_the_bias_on_one_voxel():
    ours, theirs = InstanceNorm(5), nn.InstanceNorm3d(5, affine=True)
    with torch.no_grad():
        ours.weight.normal_()
        ours.bias.normal_()
        theirs.load_state_dict(ours.state_dict())
        image = torch.randn(2, 5, 3, 4, 6) * 7 + 20
        assert_close(ours(image), theirs(image), 1e-5)
        assert torch.equal(ours(image[:1, :, :1, :1, :1])[0, :, 0, 0, 0], ours.bias)


def test_space_to_depth_is_inverted():
    image = stack(batch=2, size=(4, 6, 8))
    assert torch.equal(depth_to_space(space_to_depth(image)), image)
    assert torch.equal(space_to_depth(image)[0, 1, 0, 0, 0], image[0, 0, 0, 0, 1])


@pytest.mark.parametrize(("name", "size"), [("small-mean", (32, 32, 41)), ("aspp-zero", (16, 32, 48))])
def test_wrong_sizes_are_refused(name, size):
    with pytest.raises(ValueError, match="multiple"):
        built(CONFIGS[name])(stack(size=size))


def test_no_sequence_is_refused():
    with pytest.raises(ValueError, match="no sequence"):
        built(TINY["mean"]).encode({})


@pytest.mark.parametrize("name", CONFIGS)
def test_smallest_size_runs(name):
    """The bottom is one voxel there, which torch's own instance norm refuses."""
    network = built(CONFIGS[name]).train()
    logits = network(stack(size=network.stride), PARTIAL)
    assert logits.shape == (1, 3, *network.stride)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", CONFIGS)
def test_state_dict_round_trip(name):
    network, stream = built(CONFIGS[name]), io.BytesIO()
    torch.save(network.state_dict(), stream)
    again = build_network(NetworkConfig.from_dict(network.config.as_dict())).eval()
    again.load_state_dict(torch.load(io.BytesIO(stream.getvalue()), weights_only=True))
    images = stack(size=network.stride)
    with torch.no_grad():
        assert torch.equal(again(images, PARTIAL), network(images, PARTIAL))
    assert again.config == network.config


def test_encodings_move_with_their_zero_features():
    network, images = built(TINY["zero"]), stack()
    with torch.no_grad():
        encodings = network.encode({s: images[:, s.index, None] for s in PARTIAL})
        moved = encodings.to("cpu")
        assert isinstance(moved, Encodings)
        assert torch.equal(network.decode(moved), network.decode(encodings))
    assert encodings.to("meta").zero[0].device.type == "meta"


def test_a_copied_network_does_not_share_its_zero_features():
    network, images = built(TINY["zero"]), stack()
    with torch.no_grad():
        before = network(images, PARTIAL)
        twin = copy.deepcopy(network)
        for parameter in twin.encoder.parameters():
            parameter.mul_(2)
        twin(images, PARTIAL)
        assert torch.equal(network(images, PARTIAL), before)


def test_paper_size_has_the_authors_parameters_and_shapes():
    """43.66 million parameters; 64, 256, 512, 1024 and 256 channels at the strides of the authors' code."""
    network, last_stage = build_network(PRESETS["paper"]), []
    network.encoder.stages[3].register_forward_hook(lambda *args: last_stage.append(tuple(args[2].shape[1:])))
    with torch.no_grad():
        encodings = network.encode({Sequence.T1: torch.zeros(1, 1, 16, 32, 64)})
    assert sum(parameter.numel() for parameter in network.parameters()) == 43_656_672
    assert [tuple(level.shape[1:]) for level in encodings.features[Sequence.T1]] == [
        (64, 16, 16, 32),
        (256, 8, 8, 16),
        (512, 4, 4, 8),
        (1024, 2, 2, 4),
        (256, 1, 1, 2),
    ]
    assert last_stage == [(1280, 1, 1, 2)]


@pytest.mark.parametrize(
    "values",
    [
        {"architecture": "transformer"},
        {"imputation": "copy"},
        {"channels": [8, 16], "decoder_channels": [8, 16]},
        {"channels": [8, 0], "decoder_channels": [8]},
        {"decoder_convs": [2, 2]},
        {"depth": 4},
    ],
)
def test_impossible_configurations_are_refused(values):
    with pytest.raises(ModelError) as caught:
        NetworkConfig.from_dict(values)
    assert caught.value.code == "MODEL_ARCHITECTURE"

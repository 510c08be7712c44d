"""Precision, accumulation, recomputation, deep supervision, moving average."""

import copy
import dataclasses

import pytest
import torch

from lckd.device import cpu_has_bfloat16
from lckd.errors import UsageError
from lckd.network import LCKDNetwork, NetworkConfig, build_network
from lckd.sequences import SEQUENCES
from lckd_training.config import TrainingConfig
from lckd_training.method.losses import task_loss
from lckd_training.method.objective import Objective
from lckd_training.method.sampling import Sample
from lckd_training.method.supervision import DeepSupervision
from lckd_training.run.optimization import Optimization

CPU = torch.device("cpu")
TINY = NetworkConfig(channels=(4, 8, 8), decoder_channels=(4, 8), decoder_convs=(1, 1))
TINY_RESNET = NetworkConfig("resnet_aspp", (4, 8, 16, 32, 8), (4, 8, 16, 32), ())
CONFIG = TrainingConfig(patch=16, subsets_per_step=1)
FLAIR, T1, T1C, T2 = SEQUENCES


def made_sample(count: int = 2) -> Sample:
    generator = torch.Generator().manual_seed(3)
    images = {s: torch.randn(count, 1, 16, 32, 32, generator=generator) for s in (FLAIR, T1C)}
    regions = (torch.rand(count, 3, 16, 32, 32, generator=generator) > 0.8).float()
    return Sample(images, regions, ("x",) * count)


def gradients(objective: Objective, sample: Sample, parts: list[slice]) -> list[torch.Tensor]:
    optimization = Optimization(objective, objective.network, objective.config, CPU)
    for part in parts:
        images = {s: image[part] for s, image in sample.images.items()}
        share = len(sample.regions[part]) / len(sample.regions)
        loss, _ = objective(Sample(images, sample.regions[part]), [(FLAIR, T1C), (T1C,)], {T1C: 1.0})
        optimization.backward(share * loss)
    return [parameter.grad.clone() for parameter in objective.parameters()]


@pytest.mark.parametrize("config", [TINY, TINY_RESNET, dataclasses.replace(TINY, imputation="zero")])
def test_recomputed_activations_give_the_same_gradient(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    objective = Objective(build_network(config), CONFIG)
    again = copy.deepcopy(objective)
    again.network.recomputes = True
    sample = made_sample()
    for one, other in zip(
        gradients(objective, sample, [slice(None)]), gradients(again, sample, [slice(None)]), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_batch_in_parts_has_the_gradient_of_the_whole() -> None:
    torch.manual_seed(0)
    objective = Objective(build_network(TINY), dataclasses.replace(CONFIG, deep_supervision=0.5))
    again = copy.deepcopy(objective)
    sample = made_sample(3)
    whole = gradients(objective, sample, [slice(None)])
    parts = gradients(again, sample, [slice(0, 2), slice(2, 3)])
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(whole, parts, strict=True))


@pytest.mark.parametrize("config", [TINY, TINY_RESNET])
def test_deep_supervision_adds_the_loss_of_the_coarser_levels(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    network, sample = build_network(config), made_sample(1)
    heads = DeepSupervision(network)
    assert [head.in_channels for head in heads] == list(config.decoder_channels[:0:-1])
    encodings = network.encode(sample.images)
    finest, coarser = heads.loss(network, encodings, (FLAIR,), sample.regions)
    assert torch.allclose(finest, task_loss(network.decode(encodings, (FLAIR,)), sample.regions))
    levels = list(network.decoder.features(encodings, (FLAIR,)))
    expected = 0.0
    for place, (head, level) in enumerate(zip(heads, levels, strict=False)):
        step = [full // part for full, part in zip(sample.regions.shape[2:], level.shape[2:], strict=True)]
        nearest = sample.regions[..., :: step[0], :: step[1], :: step[2]]
        expected = expected + 0.5 ** (len(heads) - place) * task_loss(head(level), nearest)
    assert torch.allclose(coarser, expected)


def average_after(decay: float, steps: int) -> tuple[LCKDNetwork, LCKDNetwork]:
    torch.manual_seed(0)
    network = build_network(TINY)
    objective = Objective(network, dataclasses.replace(CONFIG, average=decay))
    optimization = Optimization(objective, network, objective.config, CPU)
    for iteration in range(steps):
        loss, _ = objective(made_sample(1), [(FLAIR,)], {})
        optimization.backward(loss)
        optimization.step(iteration)
    return network, optimization.average


def test_the_average_follows_the_weights() -> None:
    network, average = average_after(0.0, 3)
    pairs = list(zip(network.parameters(), average.parameters(), strict=True))
    assert all(torch.equal(now, kept) for now, kept in pairs), "a decay of 0 keeps the weights themselves"
    network, average = average_after(0.9, 3)
    pairs = list(zip(network.parameters(), average.parameters(), strict=True))
    assert any(not torch.equal(now, kept) for now, kept in pairs)
    assert not average.training


def test_half_precision_is_refused_where_the_hardware_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lckd_training.run.optimization.cpu_has_bfloat16", lambda: False)
    network = build_network(TINY)
    for name in ("float16", "bfloat16"):
        with pytest.raises(UsageError, match=f"no instructions for {name}"):
            Optimization(network, network, dataclasses.replace(CONFIG, precision=name), CPU)
    assert Optimization(network, network, CONFIG, CPU).dtype is None


def test_bfloat16_trains_where_the_cpu_has_it() -> None:
    if not cpu_has_bfloat16():
        pytest.skip("this CPU has no instructions for bfloat16")
    torch.manual_seed(0)
    network = build_network(TINY)
    objective = Objective(network, dataclasses.replace(CONFIG, precision="bfloat16"))
    optimization = Optimization(objective, network, objective.config, CPU)
    with optimization.computing():
        loss, _ = objective(made_sample(1), [(FLAIR,)], {})
    assert loss.dtype == torch.float32
    optimization.backward(loss)
    optimization.step(0)
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def scaled(monkeypatch: pytest.MonkeyPatch, **settings: object) -> tuple[LCKDNetwork, Optimization]:
    """A network whose loss is scaled as for float16, though it is computed in float32: a CPU has no float16."""
    monkeypatch.setattr("lckd_training.run.optimization._precision", lambda name, device: torch.float16)
    torch.manual_seed(0)
    network = build_network(TINY)
    config = dataclasses.replace(CONFIG, optimizer="sgd", momentum=0.0, weight_decay=0.0, warmup_iterations=0)
    return network, Optimization(network, network, dataclasses.replace(config, **settings), CPU)


def flat(network: LCKDNetwork) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_in_float16_the_gradient_is_clipped_without_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimization = scaled(monkeypatch, learning_rate=1.0, gradient_norm=1.0)
    before = flat(network)
    # A gradient of norm 1/2, which only its scale makes larger than what is allowed.
    first = next(network.parameters())
    optimization.backward(0.5 * (first * first.detach() / first.detach().norm()).sum())
    optimization.step(0)
    assert (flat(network) - before).norm().item() == pytest.approx(0.5, rel=1e-3)


def test_in_float16_a_step_is_left_out_until_the_scale_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    network, optimization = scaled(monkeypatch)
    before, first = flat(network), next(network.parameters())
    for iteration in range(16):  # the scale begins with 2^16
        optimization.backward((first * torch.nan).sum())
        optimization.step(iteration)
    optimization.backward((first * torch.nan).sum())
    with pytest.raises(FloatingPointError):
        optimization.step(16)
    assert torch.equal(flat(network), before)


def test_a_run_goes_on_in_another_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(TINY)
    single = Optimization(network, network, CONFIG, CPU)
    _, half = scaled(monkeypatch, optimizer="adamw")
    scale = half.state()["scaler"]
    half.load(single.state())
    assert half.state()["scaler"] == scale
    single.load(half.state())
    half.load(half.state() | {"scaler": scale | {"scale": 2.0}})
    assert half.state()["scaler"]["scale"] == 2.0


def test_gradients_are_clipped_only_if_asked() -> None:
    for norm, expected in ((1e-4, True), (0.0, False)):
        torch.manual_seed(0)
        network = build_network(TINY)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        settings = {"gradient_norm": norm, "optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0}
        config = dataclasses.replace(CONFIG, **settings, weight_decay=0.0, warmup_iterations=0)
        objective = Objective(network, config)
        optimization = Optimization(objective, network, config, CPU)
        loss, _ = objective(made_sample(1), [(FLAIR,)], {})
        optimization.backward(loss)
        optimization.step(0)
        moved = torch.cat([(p - q).flatten() for p, q in zip(network.parameters(), before, strict=True)]).norm()
        assert (moved < 1.1e-4) == expected

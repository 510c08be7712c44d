"""Learned teacher weights against greedy election, and what their gradient follows."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lckd.labels import REGIONS, Region
from lckd.network import Encodings, NetworkConfig, build_network
from lckd.sequences import SEQUENCES, Sequence
from lckd_training.distributed import Group
from lckd_training.method.election import teaching
from lckd_training.method.losses import distillation_loss, task_loss
from lckd_training.method.sampling import Sample, draw_present
from lckd_training.method.teacher_weights import TeacherWeights

FLAIR, T1, T1C, T2 = SEQUENCES
CPU = torch.device("cpu")
TINY = NetworkConfig(channels=(4, 8), decoder_channels=(4,), decoder_convs=(1,))


@pytest.fixture
def encodings() -> Encodings:
    generator = torch.Generator().manual_seed(0)
    return Encodings({s: (torch.randn(1, 3, 2, 2, 2, generator=generator),) for s in (FLAIR, T1C, T2)})


@pytest.mark.parametrize(
    "teachers",
    [
        {Region.ET: T1C, Region.TC: T1C, Region.WT: FLAIR},
        {Region.ET: T2, Region.TC: T2, Region.WT: T2},
        {Region.ET: T1, Region.TC: T1C, Region.WT: T2},
    ],
)
def test_greedy_election_is_the_one_hot_limit(encodings: Encodings, teachers: dict[Region, Sequence]) -> None:
    learned = TeacherWeights(0.01, 0.0, CPU)
    with torch.no_grad():
        for k, region in enumerate(REGIONS):
            learned.phi[k, teachers[region].index] = 1e3
    greedy = distillation_loss(encodings, teaching(teachers))
    assert torch.equal(distillation_loss(encodings, learned.teaching()), greedy)
    assert all(learned.weights()[region][teachers[region]] == 1 for region in REGIONS)


def test_weights_begin_equal_and_teaching_is_the_probability_of_an_election() -> None:
    learned = TeacherWeights(0.01, 0.0, CPU)
    assert learned.weights() == {region: dict.fromkeys(SEQUENCES, 0.25) for region in REGIONS}
    assert learned.teaching() == pytest.approx(dict.fromkeys(SEQUENCES, 1 - 0.75**3))


def made_sample(seed: int = 0) -> Sample:
    """Enhancing tumor is bright in T1c alone, whole tumor in FLAIR alone; the rest is noise."""
    generator = torch.Generator().manual_seed(seed)
    images = {s: torch.randn(1, 1, 16, 16, 16, generator=generator) for s in SEQUENCES}
    regions = torch.zeros(1, 3, 16, 16, 16)
    regions[0, :2, 6:10, 6:10, 6:10] = 1
    regions[0, 2, 3:13, 3:13, 3:13] = 1
    images[T1C] = images[T1C] + 6 * regions[:, :1]
    images[FLAIR] = images[FLAIR] + 6 * regions[:, 2:]
    return Sample(images, regions)


def test_weights_follow_what_shows_the_region_and_the_network_stays() -> None:
    torch.manual_seed(0)
    network = build_network(TINY)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for seed in range(150):
        optimizer.zero_grad()
        sample = made_sample(seed)
        present = draw_present(SEQUENCES, np.random.default_rng(seed))
        task_loss(network.decode(network.encode(sample.images), present), sample.regions).backward()
        optimizer.step()
    optimizer.zero_grad()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    learned, group = TeacherWeights(0.05, 0.0, CPU), Group(CPU)
    for seed in range(1000, 1040):
        learned.add_gradient(network, made_sample(seed))
        learned.update(1, group)
    weights = learned.weights()
    assert max(weights[Region.ET], key=lambda s: weights[Region.ET][s]) is T1C
    assert max(weights[Region.WT], key=lambda s: weights[Region.WT][s]) is FLAIR
    assert all(torch.equal(now, then) for now, then in zip(network.parameters(), before, strict=True))
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_the_gradient_is_that_of_the_loss_to_be_expected_of_an_election() -> None:
    """Drawn at random, with each sequence alone; of a region that is not there, and a sequence, none."""
    torch.manual_seed(0)
    network, sample = build_network(TINY).eval(), made_sample()
    images = {s: sample.images[s] for s in (FLAIR, T1C, T2)}
    sample.regions[0, 0] = 0
    learned = TeacherWeights(0.05, 0.0, CPU)
    with torch.no_grad():
        learned.phi.normal_()
        alone = {s: network.decode(network.encode(images), (s,)) for s in images}
    learned.add_gradient(network, Sample(images, sample.regions))
    gradient = learned.phi.grad
    assert gradient is not None
    for k in (1, 2):
        losses = {s: float(task_loss(alone[s][:, k, None], sample.regions[:, k, None])) for s in images}
        odds = {s: float(learned.phi.detach()[k, s.index].exp()) for s in images}
        chance = {s: odds[s] / sum(odds.values()) for s in images}
        expected = sum(chance[s] * losses[s] for s in images)
        for s in images:
            assert float(gradient[k, s.index]) == pytest.approx(chance[s] * (losses[s] - expected), abs=1e-6)
    assert gradient[:, T1.index].count_nonzero() == 0
    assert gradient[0].count_nonzero() == 0
    assert gradient[1:].count_nonzero() == 6


def test_weights_are_taken_up_again_exactly(tmp_path: Path) -> None:
    network, sample, group = build_network(TINY), made_sample(), Group(CPU)
    whole, first, second = (TeacherWeights(0.05, 1e-3, CPU) for _ in range(3))

    def learn(weights: TeacherWeights, steps: int) -> None:
        for _ in range(steps):
            weights.add_gradient(network, sample)
            weights.update(1, group)

    learn(whole, 4)
    learn(first, 2)
    torch.save(first.state(), tmp_path / "state.pt")
    second.load(torch.load(tmp_path / "state.pt", weights_only=True))
    learn(second, 2)
    assert torch.equal(second.phi, whole.phi)

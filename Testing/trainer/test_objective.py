"""The objective (Eq. 4, 7) and the election of teachers (Eq. 1, 2), against the literal equations."""

import numpy as np
import pytest
import torch

from lckd.labels import REGIONS, Region
from lckd.network import PRESETS, Encodings
from lckd.predictor import Predictor
from lckd.sequences import SEQUENCES, Sequence, Subset
from lckd_training.data.cases import TrainingCase
from lckd_training.method.election import Election, count_up, count_votes, elect, teaching
from lckd_training.method.losses import distillation_loss, task_loss

FLAIR, T1, T1C, T2 = SEQUENCES


@pytest.fixture
def encodings() -> Encodings:
    generator = torch.Generator().manual_seed(0)
    return Encodings({s: (torch.randn(1, 3, 2, 2, 2, generator=generator).requires_grad_(),) for s in (FLAIR, T1C, T2)})


@pytest.mark.parametrize("distance", [1, 2])
def test_distillation_is_the_sum_over_teachers_and_students(encodings: Encodings, distance: int) -> None:
    expected = sum(
        (encodings.bottom(student) - encodings.bottom(teacher)).abs().pow(distance).mean()
        for teacher in (FLAIR, T1C)
        for student in (FLAIR, T1C, T2)
    )
    assert torch.allclose(distillation_loss(encodings, dict.fromkeys((FLAIR, T1, T1C), 1.0), distance), expected)


def test_distillation_by_strength_over_chosen_levels_summed_over_features() -> None:
    generator = torch.Generator().manual_seed(3)
    levels = {s: tuple(torch.randn(2, c, 4, 2, 2, generator=generator) for c in (2, 3)) for s in (FLAIR, T2)}
    encodings = Encodings(levels)
    literal = [(levels[FLAIR][k] - levels[T2][k]).abs().flatten(1).sum(1).mean() for k in (0, 1)]
    strengths = {FLAIR: 0.25, T2: 0.5}
    loss = distillation_loss(encodings, strengths, levels=(0, -1), over_features="sum")
    assert torch.allclose(loss, 0.75 * (literal[0] + literal[1]))
    assert torch.allclose(distillation_loss(encodings, strengths, over_features="sum"), 0.75 * literal[1])


def test_a_teacher_moves_only_where_that_was_asked_for(encodings: Encodings) -> None:
    distillation_loss(encodings, {T1C: 1.0}, teacher_gradient=True).backward()
    assert encodings.bottom(T1C).grad.any()


def test_teachers_get_no_gradient_and_absent_teachers_do_not_teach(encodings: Encodings) -> None:
    distillation_loss(encodings, {T1C: 1.0}).backward()
    assert encodings.bottom(T1C).grad is None or not encodings.bottom(T1C).grad.any()
    assert encodings.bottom(FLAIR).grad.any()
    assert encodings.bottom(T2).grad.any()
    assert distillation_loss(encodings, {T1: 1.0}).item() == 0


def test_task_loss_is_dice_plus_summed_cross_entropy() -> None:
    logits = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    regions = (torch.rand(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(2)) > 0.5).float()
    p = logits.sigmoid()
    dice = (
        sum(1 - 2 * (p[:, k] * regions[:, k]).sum() / (p[:, k].sum() + regions[:, k].sum() + 1) for k in range(3)) / 3
    )
    entropy = -(regions * p.log() + (1 - regions) * (1 - p).log())
    expected = dice + entropy.mean(dim=(0, 2, 3, 4)).sum()
    assert torch.allclose(task_loss(logits, regions), expected, rtol=1e-5)


def test_an_empty_region_is_left_to_the_cross_entropy() -> None:
    """The Dice term of a region that is not there is constant: no gradient fights its false positives twice."""
    logits = torch.zeros(1, 3, 4, 4, 4, requires_grad=True)
    task_loss(logits, torch.zeros(1, 3, 4, 4, 4)).backward()
    assert torch.allclose(logits.grad, torch.full_like(logits, 0.5 / 64))


def test_a_batch_has_the_mean_loss_of_its_samples() -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    regions = (torch.rand(2, 3, 4, 4, 4, generator=generator) > 0.9).float()
    singles = [task_loss(logits[k : k + 1], regions[k : k + 1]) for k in (0, 1)]
    assert torch.allclose(task_loss(logits, regions), torch.stack(singles).mean())


def equal_dice(value: float = 0.2) -> dict[Sequence, dict[Region, float]]:
    return {s: dict.fromkeys(REGIONS, value) for s in SEQUENCES}


def test_each_region_elects_its_best_sequence_and_ties_go_to_the_first() -> None:
    dice = equal_dice()
    dice[T1C][Region.ET] = 0.7
    dice[T2][Region.WT] = 0.8
    teachers = elect(Election(dice, {}))
    assert teachers == {Region.ET: T1C, Region.TC: FLAIR, Region.WT: T2}
    assert teaching(teachers) == {FLAIR: 1.0, T1C: 1.0, T2: 1.0}


def test_a_tie_or_a_region_that_nobody_has_leaves_the_teacher_of_before() -> None:
    dice = equal_dice()
    for row in dice.values():
        del row[Region.ET]
    before = {Region.ET: T1C, Region.TC: T2}
    assert elect(Election(dice, {}), before) == {Region.ET: T1C, Region.TC: T2, Region.WT: FLAIR}
    assert Region.ET not in elect(Election(dice, {}))
    for row in dice.values():
        row[Region.ET] = 0.0
    assert elect(Election(dice, {}), before)[Region.ET] is T1C, "nothing was found, so that nobody is better"
    assert Region.ET not in elect(Election(dice, {}))
    dice[T1][Region.TC] = 0.3
    assert elect(Election(dice, {}), before)[Region.TC] is T1


def test_a_single_teacher_is_the_most_frequent_one() -> None:
    assert teaching({Region.ET: T1C, Region.TC: T1C, Region.WT: FLAIR}, several=False) == {T1C: 1.0}
    assert teaching({}, several=False) == {}


def test_the_score_is_the_mean_of_single_and_full() -> None:
    assert Election(equal_dice(0.2), dict.fromkeys(REGIONS, 0.8)).score == pytest.approx(0.5)


class Oracle(torch.nn.Module):
    """A network that answers with the regions themselves where it sees T1c (a volume of ones), else unsure."""

    stride = (1, 1, 1)
    config = PRESETS["small"]

    def __init__(self, regions: np.ndarray) -> None:
        super().__init__()
        self.regions = torch.from_numpy(regions).float()

    def encode(self, images: dict[Sequence, torch.Tensor]) -> Encodings:
        return Encodings({s: (image,) for s, image in images.items()})

    def decode(self, encodings: Encodings, subset: Subset) -> torch.Tensor:
        sees_t1c = any(encodings.bottom(s).all() for s in subset)
        return (self.regions * 200 - 100 if sees_t1c else self.regions * 0)[None]


@pytest.mark.parametrize("soft", [False, True])
def test_votes_count_only_cases_that_have_the_region(soft: bool) -> None:
    regions = np.zeros((3, 4, 4, 4), dtype=bool)
    regions[1:, 1:3, 1:3, 1:3] = True
    images = {s: np.full((4, 4, 4), float(s is T1C), np.float16) for s in (FLAIR, T1C)}
    case = TrainingCase("case", images, regions, np.zeros((0, 3), np.int32), "")
    predictor = Predictor(Oracle(regions), torch.device("cpu"))  # type: ignore[arg-type]
    votes = count_votes(predictor, [case, case], soft)
    assert votes[:, REGIONS.index(Region.ET), 1].tolist() == [0] * 5
    assert votes[:, REGIONS.index(Region.WT), 1].tolist() == [2, 0, 2, 0, 2], "two sequences and both together"
    election = count_up(votes)
    assert election.single[T1C][Region.WT] == pytest.approx(1, abs=1e-4)
    assert election.full[Region.WT] == pytest.approx(1, abs=1e-4)
    # Probabilities of 1/2 everywhere: none decided, or half of all 64 voxels of which 8 are tumor.
    assert election.single[FLAIR][Region.WT] == pytest.approx(2 * 4 / (32 + 8) if soft else 0, abs=1e-4)
    assert elect(election)[Region.TC] is T1C
    assert Region.ET not in election.full

"""The objective (Eq. 4, 7) and the election of teachers (Eq. 1, 2), against the literal equations."""

import numpy as np
import pytest
import torch

from lckd.labels import REGIONS, Region
from lckd.network import Encodings
from lckd.sequences import SEQUENCES, Sequence
from lckd_training.election import count_votes, elect, mean_dice, teacher_set
from lckd_training.losses import distillation_loss, task_loss

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
    assert torch.allclose(distillation_loss(encodings, (FLAIR, T1, T1C), distance), expected)


def test_teachers_get_no_gradient_and_absent_teachers_do_not_teach(encodings: Encodings) -> None:
    distillation_loss(encodings, (T1C,)).backward()
    assert encodings.bottom(T1C).grad is None or not encodings.bottom(T1C).grad.any()
    assert encodings.bottom(FLAIR).grad.any()
    assert encodings.bottom(T2).grad.any()
    assert distillation_loss(encodings, (T1,)).item() == 0


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


def test_each_region_elects_its_best_sequence_and_ties_go_to_the_first() -> None:
    dice = {s: dict.fromkeys(REGIONS, 0.2) for s in SEQUENCES}
    dice[T1C][Region.ET] = 0.7
    dice[T2][Region.WT] = 0.8
    teachers = elect(dice)
    assert teachers == {Region.ET: T1C, Region.TC: FLAIR, Region.WT: T2}
    assert teacher_set(teachers) == (FLAIR, T1C, T2)


def test_a_single_teacher_is_the_most_frequent_one() -> None:
    assert teacher_set({Region.ET: T1C, Region.TC: T1C, Region.WT: FLAIR}, several=False) == (T1C,)


class Oracle:
    """A network that answers with the regions themselves when it sees T1c (the volume of ones), else with nothing."""

    stride = (1, 1, 1)

    def __init__(self, regions: np.ndarray) -> None:
        self.regions = torch.from_numpy(regions).float()

    def encode(self, images: dict[Sequence, torch.Tensor]) -> bool:
        return bool(next(iter(images.values())).all())

    def decode(self, sees_t1c: bool) -> torch.Tensor:
        return ((self.regions if sees_t1c else torch.zeros_like(self.regions)) * 200 - 100)[None]


def test_votes_count_only_cases_that_have_the_region() -> None:
    from lckd_training.data import TrainingCase

    regions = np.zeros((3, 4, 4, 4), dtype=bool)
    regions[1:, 1:3, 1:3, 1:3] = True
    images = {s: np.full((4, 4, 4), float(s is T1C), np.float16) for s in SEQUENCES}
    case = TrainingCase("case", images, regions, np.zeros((0, 3), np.int32))
    votes = count_votes(Oracle(regions), [case, case])  # type: ignore[arg-type]
    assert votes[:, REGIONS.index(Region.ET), 1].tolist() == [0, 0, 0, 0]
    assert votes[:, REGIONS.index(Region.WT), 1].tolist() == [2, 2, 2, 2]
    dice = mean_dice(votes)
    assert dice[T1C][Region.WT] == pytest.approx(1, abs=1e-4)
    assert dice[FLAIR][Region.WT] == pytest.approx(0, abs=1e-4)
    assert elect(dice)[Region.TC] is T1C

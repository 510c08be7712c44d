"""Which sequences are dropped, how batches are put together, and that draws do not depend on who draws."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from lckd.sequences import SEQUENCES, Subset
from lckd_training.config import TrainingConfig
from lckd_training.data.cases import TrainingCase
from lckd_training.method.sampling import BatchDrawer, Sample, draw_held_out, draw_present

FLAIR, T1, T1C, T2 = SEQUENCES
PATCH = TrainingConfig(patch=16, seed=5)


def made_case(name: str, present: Subset = SEQUENCES) -> TrainingCase:
    rng = np.random.default_rng(len(name))
    shape = (24, 20, 28)
    regions = np.zeros((3, *shape), bool)
    regions[:, 8:12, 8:12, 8:12] = True
    images = {s: rng.normal(size=shape).astype(np.float16) for s in present}
    return TrainingCase(name, images, regions, np.argwhere(regions[2]).astype(np.int32), "")


CASES = [made_case("a"), made_case("bb"), made_case("ccc", (FLAIR, T1C))]


def with_settings(**settings: object) -> TrainingConfig:
    return dataclasses.replace(PATCH, **settings)


def same(one: Sample, other: Sample) -> bool:
    if one.present != other.present or not torch.equal(one.regions, other.regions):
        return False
    return all(torch.equal(one.images[s], other.images[s]) for s in one.present)


def test_the_paper_drops_a_number_and_the_authors_at_least_one() -> None:
    rng = np.random.default_rng(0)
    paper = Counter(len(draw_present(SEQUENCES, rng)) for _ in range(4000))
    assert all(abs(paper[size] / 4000 - 0.25) < 0.03 for size in (1, 2, 3, 4))
    authors = Counter(len(draw_present(SEQUENCES, rng, "some")) for _ in range(3000))
    assert all(abs(authors[size] / 3000 - 1 / 3) < 0.03 for size in (1, 2, 3))
    assert 4 not in authors
    assert draw_present((T2,), rng, "some") == (T2,), "the last one is never dropped"


def test_subsets_are_drawn_equally_often_if_asked() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(draw_present(SEQUENCES, rng, "subset") for _ in range(15000))
    assert len(counts) == 15
    assert all(abs(count - 1000) < 130 for count in counts.values())


def test_only_sequences_at_hand_are_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(draw_present((FLAIR, T2), rng) for _ in range(2000))
    assert set(drawn) == {(FLAIR,), (T2,), (FLAIR, T2)}


def test_no_sequence_is_dropped_in_the_first_iterations() -> None:
    draw = BatchDrawer(CASES[:1], with_settings(full_iterations=3))
    assert [len(draw(iteration)[0].present) for iteration in range(3)] == [4, 4, 4]
    assert [draw.subsets(SEQUENCES, iteration) for iteration in range(3)] == [[SEQUENCES]] * 3
    assert any(len(draw(iteration)[0].present) < 4 for iteration in range(3, 12))
    assert any(len(draw.subsets(SEQUENCES, iteration)[1]) < 4 for iteration in range(3, 12))


def test_a_batch_is_the_same_for_one_process_and_for_two() -> None:
    together = BatchDrawer(CASES, with_settings(batch=4, accumulate=4, missing_per="sample"))
    halves = [BatchDrawer(CASES, with_settings(batch=2, accumulate=2, missing_per="sample"), rank) for rank in (0, 1)]
    for iteration in range(3):
        whole, parts = together(iteration), halves[0](iteration) + halves[1](iteration)
        assert Counter((part.cases, part.present) for part in whole) == Counter((p.cases, p.present) for p in parts)
        for part in whole:
            assert any(same(part, other) for other in parts)
            assert together.subsets(part.present, iteration) == halves[1].subsets(part.present, iteration)


def test_patches_with_the_same_sequences_are_one_part_of_limited_size() -> None:
    config = with_settings(batch=6, accumulate=3, missing_per="batch")
    for iteration in range(8):
        parts = BatchDrawer(CASES, config)(iteration)
        assert sum(len(part.cases) for part in parts) == 6
        assert all(len(part.cases) <= 2 and part.regions.shape == (len(part.cases), 3, 16, 16, 16) for part in parts)
        complete = {part.present for part in parts if "ccc" not in part.cases}
        assert len(complete) <= 1, "all patches of a batch lack the same sequences"
        for part in parts:
            assert set(part.present) <= ({FLAIR, T1C} if "ccc" in part.cases else set(SEQUENCES))


def test_patches_of_a_batch_lack_different_sequences_if_asked() -> None:
    drawn = BatchDrawer(CASES[:2], with_settings(batch=8, missing_per="sample"))(0)
    assert len({part.present for part in drawn}) > 2


def test_patches_need_not_be_cubes() -> None:
    (part,) = BatchDrawer(CASES[:1], with_settings(patch=(16, 32, 16)))(0)
    assert part.regions.shape == (1, 3, 16, 32, 16)


@pytest.mark.parametrize("augmentation", ["light", "none"])
def test_light_augmentation_leaves_intensities_alone(augmentation: str) -> None:
    case = dataclasses.replace(CASES[0], images={FLAIR: np.full((24, 20, 28), 3, np.float16)})
    for iteration in range(6):
        (part,) = BatchDrawer([case], with_settings(augmentation=augmentation))(iteration)
        values = part.images[FLAIR].unique()
        assert torch.isclose(values, torch.tensor(3.0)).any()
        assert values.max() <= 3.01, "only the border is background"


def test_held_out_patches_have_all_sequences_of_their_case() -> None:
    for number in range(6):
        sample = draw_held_out(CASES, PATCH, 7, number)
        assert sample.present == ((FLAIR, T1C) if sample.cases == ("ccc",) else SEQUENCES)
    assert same(draw_held_out(CASES, PATCH, 7, 0), draw_held_out(CASES, PATCH, 7, 0))
    assert not same(draw_held_out(CASES, PATCH, 7, 0), draw_held_out(CASES, PATCH, 8, 0))

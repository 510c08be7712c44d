"""Scores by lesion against the recorded answers of the BraTS challenges' own package, and sensitivity by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_lesions import Pair, blocks, fingerprint, made_pairs, real_pair

from lckd.labels import REGIONS, LabelConvention, regions_from_labels
from lckd.metrics import dice
from lckd_training.evaluation.lesionwise import lesion_scores, pooled_hd95_mm
from lckd_training.evaluation.scores import sensitivity

RECORDED = json.loads(Path(__file__).with_name("brats_evaluation.json").read_text(encoding="utf-8"))["pairs"]
UNIT = (1.0, 1.0, 1.0)


def check_against_the_package(name: str, pair: Pair) -> None:
    assert fingerprint(pair) == RECORDED[name]["labels"], "the scores were recorded for other label maps"
    reference, segmented = (regions_from_labels(labels, LabelConvention.BRATS2023) for labels in pair[:2])
    for true, mask, region in zip(reference, segmented, REGIONS, strict=True):
        theirs = {key: float(value) for key, value in RECORDED[name]["scores"][region.value].items()}
        ours = lesion_scores(mask, true, pair[2])
        assert (ours.found, ours.false, ours.missed) == (theirs["tp"], theirs["fp"], theirs["fn"]), region
        if not (mask.any() or true.any()):  # where the package has no number
            assert (ours.f1, ours.dice, ours.hd95_mm, dice(mask, true)) == (1.0, 1.0, 0.0, 1.0)
            continue
        assert ours.f1 == pytest.approx(theirs["rq"])
        assert ours.dice == pytest.approx(theirs["sq_dsc"])
        # The package takes the spacing in the wrong order, x for z, which only shows where voxels are no cubes.
        as_theirs = lesion_scores(mask, true, pair[2][::-1])
        assert as_theirs.hd95_mm == (pytest.approx(theirs["sq_hd95"]) if ours.found else 373.13)
        assert dice(mask, true) == pytest.approx(theirs["global_bin_dsc"])
        if math.isfinite(theirs["global_bin_hd95"]):  # which the package gives in voxels
            assert pooled_hd95_mm(mask, true, UNIT) == pytest.approx(theirs["global_bin_hd95"])


@pytest.mark.parametrize("name", made_pairs())
def test_made_lesions_score_as_in_the_package(name: str) -> None:
    check_against_the_package(name, made_pairs()[name])


@pytest.mark.real_mri
def test_a_real_tumor_scores_as_in_the_package(real_data: Path) -> None:
    check_against_the_package("real", real_pair(real_data))


def test_distances_between_lesions_follow_the_spacing() -> None:
    true, mask = blocks(((4, 4, 4), (6, 6, 6), 3)) > 0, blocks(((7, 4, 4), (6, 6, 6), 3)) > 0
    assert lesion_scores(mask, true, (0.5, 1.0, 4.0)).hd95_mm == 3 * 4.0
    assert lesion_scores(mask, true, (4.0, 1.0, 0.5)).hd95_mm == 3 * 0.5


def test_lesions_touching_at_a_corner_are_one() -> None:
    corner = blocks(((4, 4, 4), (3, 3, 3), 3), ((7, 7, 7), (3, 3, 3), 3)) > 0
    scores = lesion_scores(corner, corner, UNIT)
    assert (scores.found, scores.missed, scores.false, scores.dice, scores.hd95_mm) == (1, 0, 0, 1.0, 0.0)


def test_sensitivity_is_the_share_found_and_undefined_without_a_reference() -> None:
    true, mask, empty = (np.zeros((4, 5, 6), bool) for _ in range(3))
    true[1, :4, :5] = True
    mask[1, 3:, :] = True
    assert sensitivity(mask, true) == 5 / 20
    assert sensitivity(true, mask) == 5 / 12
    assert sensitivity(empty, true) == 0.0
    assert math.isnan(sensitivity(true, empty))

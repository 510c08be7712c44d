"""Phantoms in real brains: the mirrored half is free of tumor, and only the tumor is painted."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from lckd.discovery import find_case
from lckd.errors import InputError
from lckd.sequences import SEQUENCES, Sequence
from lckd_training.phantom import Phantom, PhantomSettings, generate_phantom, write_phantom
from lckd_training.phantom.background import Background, backgrounds_in_turn, load_background

NCR, ED, ET = 1, 2, 3
SMALL = PhantomSettings(core_radius_mm=(6, 8), edema_ml=(4, 6), deformation_mm=1, scale=0.5)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In `one` the tumor is in one half; `two` has a second one opposite, by its labels; `three` lacks T2."""
    root = tmp_path_factory.mktemp("cases")
    made = next(case for case in (generate_phantom(seed, SMALL) for seed in itertools.count()) if halves(case) == 1)
    write_phantom(made, root / "one", "one")
    labels = sitk.GetArrayFromImage(made.labels)
    opposite = sitk.GetImageFromArray(np.maximum(labels, labels[..., ::-1]))
    opposite.CopyInformation(made.labels)
    write_phantom(Phantom(made.sequences, opposite), root / "two", "two")
    write_phantom(made, root / "three", "three")
    (root / "three" / "three-t2w.nii.gz").unlink()
    return root


def halves(case: Phantom) -> int:
    """In how many halves there is tumor; some 5 mm beside the middle count as neither."""
    labels = sitk.GetArrayFromImage(case.labels) > 0
    x = case.labels.GetOrigin()[0] + np.arange(labels.shape[2])
    return int(labels[..., x < 5].any()) + int(labels[..., x > -5].any())


@pytest.fixture(scope="module")
def background(cases: Path) -> Background:
    return load_background(find_case(cases / "one"))


def test_the_background_is_the_half_without_tumor_and_its_mirror_image(cases: Path, background: Background) -> None:
    brain = background.anatomy.brain
    assert np.array_equal(brain, brain[..., ::-1])
    total = background.anatomy.wm + background.anatomy.gm + background.anatomy.csf
    assert total[brain] == pytest.approx(1, abs=1e-4)
    assert not total[~brain].any()
    assert background.anatomy.origin[0] + (brain.shape[2] - 1) / 2 == 0, "the mirror is at x = 0"
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(cases / "one" / "one-seg.nii.gz")))
    flair = sitk.GetArrayFromImage(sitk.ReadImage(str(cases / "one" / "one-t2f.nii.gz")))
    tumor_is_low = labels[..., : labels.shape[2] // 2].any()
    image = background.images[Sequence.FLAIR]
    assert np.array_equal(image, image[..., ::-1])
    # The kept half is the case's, but for the scale of its intensities.
    outer = slice(-20, -6) if tumor_is_low else slice(6, 20)
    columns = np.flatnonzero(flair.any(axis=(0, 1)))
    ours = np.flatnonzero(image.any(axis=(0, 1)))
    edge = (columns[-1], ours[-1]) if tumor_is_low else (columns[0], ours[0])
    rows = np.flatnonzero(flair.any(axis=(0, 2)))[0], np.flatnonzero(image.any(axis=(0, 2)))[0]
    planes = np.flatnonzero(flair.any(axis=(1, 2)))[0], np.flatnonzero(image.any(axis=(1, 2)))[0]
    theirs, own = (
        array[planes[which] :, rows[which] :, edge[which] + outer.start : edge[which] + outer.stop][:40, :60]
        for which, array in enumerate((flair, image))
    )
    inside = (theirs > 0) & (own > 0)
    assert inside.sum() > 5000
    assert np.corrcoef(theirs[inside], own[inside])[0, 1] > 0.995


def test_fluid_is_dark_in_flair_and_bright_in_t2_as_in_every_phantom(background: Background) -> None:
    anatomy = background.anatomy
    fluid, white = anatomy.csf > 0.9, anatomy.wm > 0.9
    assert fluid.sum() > 100
    assert white.sum() > 1000
    for sequence, image in background.images.items():
        brighter = np.median(image[fluid]) > np.median(image[white])
        assert brighter == (sequence is Sequence.T2), sequence


def test_only_the_tumor_is_painted_and_its_rim_shows_in_t1c_alone(background: Background) -> None:
    made = generate_phantom(3, replace(SMALL, enhancing=1.0), background)
    again = generate_phantom(3, replace(SMALL, enhancing=1.0), background)
    labels = sitk.GetArrayFromImage(made.labels)
    assert all((labels == value).sum() > 50 for value in (NCR, ED, ET))
    # The phantom is cut to the brain with a margin; the background is not.
    box = tuple(
        slice(max(part.start - 3, 0), part.stop + 3)
        for part in ndimage.find_objects(background.anatomy.brain.astype(np.uint8))[0]
    )
    effects = {}
    far = ~ndimage.binary_dilation(labels > 0, iterations=5)
    for sequence in SEQUENCES:
        image = sitk.GetArrayFromImage(made.sequences[sequence])
        assert np.array_equal(image, sitk.GetArrayFromImage(again.sequences[sequence]))
        healthy = background.images[sequence][box]
        assert np.abs(image - healthy)[far].max() <= 0.51, "rounded, and nothing else"
        # Away from necrosis and from healthy brain, which partial volume mixes into the voxels beside them.
        inner = ~ndimage.binary_dilation((labels == NCR) | (labels == 0), iterations=2)
        rim, edema = image[inner & (labels == ET)].astype(float), image[inner & (labels == ED)].astype(float)
        effects[sequence] = (rim.mean() - edema.mean()) / np.sqrt((rim.var() + edema.var()) / 2)
    assert effects[Sequence.T1C] > 2
    assert all(abs(effect) < 1 for sequence, effect in effects.items() if sequence is not Sequence.T1C), effects


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("two", "TUMOR_IN_BOTH_HALVES", "two has tumor in both"), ("three", "SEQUENCE_MISSING", "three has no T2")],
)
def test_a_brain_that_is_no_background_is_refused(cases: Path, name: str, code: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_background(find_case(cases / name))
    assert caught.value.code == code


def test_usable_brains_take_turns_and_each_other_one_is_told_of_once(cases: Path) -> None:
    told: list[str] = []
    files = [find_case(cases / name) for name in ("two", "one", "three")]
    turns = list(itertools.islice(backgrounds_in_turn(files, lambda error: told.append(error.code)), 3))
    assert all(np.array_equal(turn.images[Sequence.T1], turns[0].images[Sequence.T1]) for turn in turns)
    assert told == ["TUMOR_IN_BOTH_HALVES", "SEQUENCE_MISSING"]
    with pytest.raises(InputError, match=r"None of the cases .* tumor in one half of the brain only"):
        next(backgrounds_in_turn(files[:1], lambda error: None))

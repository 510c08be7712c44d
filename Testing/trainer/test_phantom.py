"""Phantoms: plausible, visible where they should be and nowhere else, the same for the same seed; the sample case."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from lckd.errors import InputError, LckdError, OutputError, UsageError
from lckd.sequences import SEQUENCES, Sequence
from lckd_training.phantom import Phantom, PhantomSettings, anatomy, generate_phantom, write_phantom
from lckd_training.phantom.contrast import render_sequences
from lckd_training.phantom.fields import smooth_noise
from lckd_training.phantom.tumor import TumorPlan, grow_tumor

NCR, ED, ET = 1, 2, 3
SAMPLE = Path(__file__).parents[2] / "Resources" / "SampleCase"
SAMPLE_SEED = 5
SAMPLE_FILES = {Sequence.FLAIR: "t2f", Sequence.T1: "t1n", Sequence.T1C: "t1c", Sequence.T2: "t2w"}
SMALL = PhantomSettings(core_radius_mm=(6, 8), edema_ml=(4, 6), deformation_mm=1, scale=0.5)


@pytest.fixture(scope="module")
def small_template() -> anatomy.Anatomy:
    return anatomy.load_template(SMALL.scale)


@pytest.fixture(scope="module")
def sample() -> Phantom:
    """The sample case as it is committed."""
    images = {
        sequence: sitk.ReadImage(str(SAMPLE / f"sample-{suffix}.nii.gz")) for sequence, suffix in SAMPLE_FILES.items()
    }
    return Phantom(images, sitk.ReadImage(str(SAMPLE / "sample-seg.nii.gz")))


def arrays(case: Phantom) -> tuple[dict[Sequence, np.ndarray], np.ndarray]:
    images = {sequence: sitk.GetArrayFromImage(image) for sequence, image in case.sequences.items()}
    return images, sitk.GetArrayFromImage(case.labels)


def effect(image: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's d between the voxels of two masks."""
    a, b = image[first].astype(float), image[second].astype(float)
    return (a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2)


def test_committed_sample_is_what_the_generator_makes(sample: Phantom) -> None:
    made = generate_phantom(SAMPLE_SEED)
    (images, labels), (made_images, made_labels) = arrays(sample), arrays(made)
    assert made.labels.GetOrigin() == sample.labels.GetOrigin()
    # Floating point differs in the last bit between processors: a voxel in ten thousand may fall the other way.
    assert np.mean(made_labels != labels) < 1e-4
    for sequence in SEQUENCES:
        assert np.mean(made_images[sequence] != images[sequence]) < 1e-3
        # The images follow the labels: they may differ visibly only where those do.
        assert np.mean(np.abs(made_images[sequence] - images[sequence]) > 1) < 1e-4


def test_sample_case_is_small_and_documented() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= 8e6
    assert "1993–2009 Louis Collins" in (SAMPLE / "NOTICE.txt").read_text(encoding="utf-8")
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert f"--seed {SAMPLE_SEED}`" in readme
    assert "not a patient" in readme


def test_sample_is_a_typical_glioblastoma(sample: Phantom) -> None:
    _, labels = arrays(sample)
    ml = np.bincount(labels.ravel(), minlength=4) * np.prod(sample.labels.GetSpacing()) / 1000
    assert 60 <= ml[1:].sum() <= 120
    assert ml[ET] > 5
    assert ml[NCR] > 5
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    parts = f"necrosis {ml[NCR]:.0f} mL, edema {ml[ED]:.0f} mL, enhancing rim {ml[ET]:.0f} mL"
    assert f"of {ml[1:].sum():.0f} mL ({parts})" in " ".join(readme.split())
    # The rim encloses most of the necrosis; here and there it is broken.
    beside = ndimage.binary_dilation(labels == NCR) & (labels != NCR)
    assert np.mean(labels[beside] == ET) > 0.5


def test_background_is_zero_and_brain_is_not(sample: Phantom) -> None:
    images, labels = arrays(sample)
    brain = images[Sequence.T1] > 0
    for image in images.values():
        np.testing.assert_array_equal(image > 0, brain)
        assert image.dtype == np.int16
    assert ndimage.label(brain)[1] == 1
    assert 1.4e6 < brain.sum() < 2.4e6
    assert not labels[~brain].any()
    edges = np.ones(brain.shape, bool)
    edges[3:-3, 3:-3, 3:-3] = False
    assert not brain[edges].any()


def test_all_images_share_one_grid(sample: Phantom) -> None:
    for image in sample.sequences.values():
        assert image.GetSize() == sample.labels.GetSize()
        assert image.GetSpacing() == sample.labels.GetSpacing() == (1, 1, 1)
        assert image.GetOrigin() == sample.labels.GetOrigin()
        assert image.GetDirection() == sample.labels.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_regions_are_seen_in_their_sequences(sample: Phantom) -> None:
    images, labels = arrays(sample)
    # Away from necrosis and from the tumor's edge, where partial volume mixes the tissues.
    inner = ndimage.binary_erosion(labels > 0, iterations=2) & ~ndimage.binary_dilation(labels == NCR, iterations=2)
    near_rim = ndimage.binary_dilation(labels == ET, iterations=6)
    rim, edema = inner & (labels == ET), inner & (labels == ED) & near_rim
    # Dark in T1 is background or fluid.
    normal = (images[Sequence.T1] > 65) & ~ndimage.binary_dilation(labels > 0, iterations=4)
    for sequence in (Sequence.FLAIR, Sequence.T1, Sequence.T2):
        assert abs(effect(images[sequence], rim, edema)) < 0.6
    assert effect(images[Sequence.T1C], rim, edema) > 2.5
    assert effect(images[Sequence.FLAIR], labels == ED, normal) > 2
    assert effect(images[Sequence.T2], labels == ED, normal) > 1.2
    assert effect(images[Sequence.T1], labels == NCR, labels == ED) < -1
    assert effect(images[Sequence.T1C], labels == NCR, labels == ET) < -2
    assert effect(images[Sequence.T2], labels == NCR, labels == ED) > 1


def test_in_every_case_each_region_shows_in_its_sequences_only() -> None:
    """Contrast of the regions with what surrounds them, over ten seeds: worst case and mean."""
    found = np.array([contrasts(generate_phantom(seed, replace(SMALL, enhancing=1.0))) for seed in range(10)])
    rim_in_t1c, rim_elsewhere, necrosis, edema_seen, edema_in_t1 = found.T
    assert rim_in_t1c.min() > 2
    # Not zero: edema keeps to white matter, which shines through a little.
    assert rim_elsewhere.mean() < 0.2 * rim_in_t1c.mean()
    assert necrosis.min() > 1.5
    assert edema_seen.min() > 2
    assert edema_in_t1.mean() < 0.2 * edema_seen.mean()


def contrasts(case: Phantom) -> list[float]:
    """Rim against edema near by in T1c, and in the others; necrosis against rim in T1c; edema in FLAIR, and in T1."""
    images, labels = arrays(case)
    tumor, brain = labels > 0, images[Sequence.T1] > 0
    beside = ndimage.binary_dilation(tumor, iterations=6) & ~ndimage.binary_dilation(tumor) & brain
    # Voxels that touch necrosis or the tumor's edge share in it.
    pure = ndimage.binary_erosion(tumor, iterations=2) & ~ndimage.binary_dilation(labels == NCR, iterations=2)
    rim, edema = pure & (labels == ET), pure & (labels == ED)
    others = [abs(effect(images[s], rim, edema)) for s in (Sequence.FLAIR, Sequence.T1, Sequence.T2)]
    return [
        effect(images[Sequence.T1C], rim, edema),
        float(np.mean(others)),
        -effect(images[Sequence.T1C], labels == NCR, labels == ET),
        effect(images[Sequence.FLAIR], labels == ED, beside),
        abs(effect(images[Sequence.T1], labels == ED, beside)),
    ]


def test_tissues_have_the_order_of_real_mri(sample: Phantom, small_template: anatomy.Anatomy) -> None:
    rng = np.random.default_rng(0)
    images = render_sequences(small_template, np.zeros(small_template.shape, np.uint8), 0.05, 0.03, rng)
    wm, gm, csf = (getattr(small_template, name) > 0.95 for name in ("wm", "gm", "csf"))
    median = {
        sequence: [float(np.median(image[tissue])) for tissue in (csf, gm, wm)] for sequence, image in images.items()
    }
    assert median[Sequence.T1] == sorted(median[Sequence.T1])
    assert median[Sequence.T1C] == sorted(median[Sequence.T1C])
    assert median[Sequence.T2] == sorted(median[Sequence.T2], reverse=True)
    fluid, gray, white = median[Sequence.FLAIR]
    assert fluid < white < gray


def test_enhancement_is_in_t1c_alone(small_template: anatomy.Anatomy) -> None:
    """The same case with the rim relabeled as edema: equal in all sequences but T1c, voxel by voxel."""
    plan = TumorPlan(radius=8, edema_ml=4, mass_effect=0.2, enhancing=True)
    brain, labels = grow_tumor(small_template, plan, np.random.default_rng(3))
    without = np.where(labels == ET, ED, labels).astype(np.uint8)
    enhanced, plain = (
        render_sequences(brain, tumor, 0.05, 0.03, np.random.default_rng(4)) for tumor in (labels, without)
    )
    for sequence in (Sequence.FLAIR, Sequence.T1, Sequence.T2):
        np.testing.assert_array_equal(enhanced[sequence], plain[sequence])
    gain = enhanced[Sequence.T1C].astype(int) - plain[Sequence.T1C]
    assert gain[labels == ET].mean() > 30
    assert np.abs(gain[~ndimage.binary_dilation(labels == ET, iterations=6)]).max() == 0


def test_the_core_can_be_made_visible_in_t1c_alone(small_template: anatomy.Anatomy) -> None:
    """The same case with the whole core relabeled as edema: equal in all sequences but T1c, voxel by voxel."""
    plan = TumorPlan(radius=8, edema_ml=4, mass_effect=0.2, enhancing=True)
    brain, labels = grow_tumor(small_template, plan, np.random.default_rng(3))
    without = np.where(labels > 0, ED, 0).astype(np.uint8)
    core, plain = (
        render_sequences(brain, tumor, 0.05, 0.03, np.random.default_rng(4), necrosis=0) for tumor in (labels, without)
    )
    for sequence in (Sequence.FLAIR, Sequence.T1, Sequence.T2):
        np.testing.assert_array_equal(core[sequence], plain[sequence])
    assert (core[Sequence.T1C] != plain[Sequence.T1C])[labels == NCR].mean() > 0.5


def test_the_core_of_separable_phantoms_cannot_be_guessed() -> None:
    """What lies in the middle of the whole tumor, as much as there is core, is not the core."""

    def guessed(settings: PhantomSettings) -> float:
        found = []
        for seed in range(4):
            labels = sitk.GetArrayFromImage(generate_phantom(seed, settings).labels)
            core, whole = (labels == NCR) | (labels == ET), labels > 0
            center = np.argwhere(whole).mean(axis=0)[:, None, None, None]
            distance = np.sqrt(((np.indices(labels.shape) - center) ** 2).sum(axis=0))
            middle = whole & (distance <= np.sort(distance[whole])[core.sum()])
            found.append(2 * (middle & core).sum() / (middle.sum() + core.sum()))
        return float(np.mean(found))

    assert guessed(PhantomSettings.separable(0.4)) < 0.35 < guessed(PhantomSettings.scaled(0.4))


def test_edema_spares_fluid_and_prefers_white_matter(small_template: anatomy.Anatomy) -> None:
    plan = TumorPlan(radius=7, edema_ml=6, mass_effect=0.2, enhancing=True)
    brain, labels = grow_tumor(small_template, plan, np.random.default_rng(1))
    edema = labels == ED
    assert 0.8 * plan.edema_ml < edema.sum() / 1000 < 1.2 * plan.edema_ml
    assert brain.csf[labels > 0].max() < 0.5
    around = ndimage.binary_dilation(labels > 0, iterations=8) & (labels == 0) & brain.brain
    assert brain.wm[edema].mean() > brain.wm[around].mean() + 0.2


def test_mass_effect_pushes_tissue_and_leaves_the_surface(small_template: anatomy.Anatomy) -> None:
    still, pushing = (
        grow_tumor(small_template, TumorPlan(8, 4, mass, True), np.random.default_rng(2))[0] for mass in (0.0, 0.4)
    )
    np.testing.assert_allclose(still.wm, small_template.wm, atol=1e-5)
    np.testing.assert_array_equal(pushing.brain, small_template.brain)
    assert np.abs(pushing.wm - still.wm).max() > 0.5
    np.testing.assert_allclose((pushing.wm + pushing.gm + pushing.csf)[pushing.brain], 1, atol=0.02)


def test_same_seed_same_case_other_seed_other_case() -> None:
    first, again, other = (arrays(generate_phantom(seed, SMALL)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first[1], again[1])
    for sequence in SEQUENCES:
        np.testing.assert_array_equal(first[0][sequence], again[0][sequence])
    assert first[1].shape != other[1].shape or np.any(first[1] != other[1])


def test_enhancement_can_be_switched_off() -> None:
    _, labels = arrays(generate_phantom(1, replace(SMALL, enhancing=0.0)))
    assert set(np.unique(labels)) == {0, NCR, ED}


def test_written_case_reads_back(tmp_path: Path) -> None:
    case = generate_phantom(2, SMALL)
    folder = tmp_path / "new folder"
    write_phantom(case, folder, "P-1")
    names = {f"P-1-{suffix}.nii.gz" for suffix in (*SAMPLE_FILES.values(), "seg")}
    assert {path.name for path in folder.iterdir()} == names
    written = {folder / f"P-1-{suffix}.nii.gz": case.sequences[key] for key, suffix in SAMPLE_FILES.items()}
    written[folder / "P-1-seg.nii.gz"] = case.labels
    for path, image in written.items():
        back = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))
        assert back.GetPixelID() == image.GetPixelID()
        np.testing.assert_allclose(back.GetOrigin(), image.GetOrigin())
        assert back.GetDirection() == image.GetDirection()


def test_unwritable_folder_is_one_error(tmp_path: Path, sample: Phantom) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        write_phantom(sample, in_the_way, "P")


def test_without_nilearn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        anatomy.load_template.__wrapped__()
    assert caught.value.code == "TEMPLATE_MISSING"
    assert "pip install nilearn" in caught.value.action


def test_missing_template_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(anatomy, "_template_folder", lambda: tmp_path)
    with pytest.raises(InputError, match="mni_icbm152_t1"):
        anatomy.load_template.__wrapped__()


@pytest.mark.parametrize(
    "change",
    [
        {"noise": -0.1},
        {"enhancing": 1.5},
        {"core_radius_mm": (20, 10)},
        {"edema_ml": (10, 1000)},
        {"bias": np.nan},
        {"scale": 2},
    ],
)
def test_settings_out_of_bounds_are_refused(change: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        PhantomSettings(**change)


def test_a_small_brain_has_a_tumor_as_much_smaller() -> None:
    images, labels = arrays(generate_phantom(0, PhantomSettings.scaled(0.5)))
    brain = images[Sequence.T1] > 0
    full = anatomy.load_template().brain
    assert brain.sum() == pytest.approx(full.sum() / 8, rel=0.1)
    ranges = PhantomSettings()
    core = np.isin(labels, (NCR, ET)).sum() / 1000
    spheres = [4 / 3 * np.pi * (radius / 20) ** 3 for radius in ranges.core_radius_mm]
    assert 0.6 * spheres[0] < core < 1.3 * spheres[1]
    edema = (labels == ED).sum() / 1000
    assert 0.8 * ranges.edema_ml[0] / 8 < edema < 1.2 * ranges.edema_ml[1] / 8
    with pytest.raises(UsageError, match="scale"):
        PhantomSettings.scaled(0.1)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(LckdError, match="-1"):
        generate_phantom(-1)


def test_smooth_noise_is_standard_and_smooth() -> None:
    field = smooth_noise((60, 50, 70), 5, np.random.default_rng(0))
    assert field.shape == (60, 50, 70)
    assert abs(field.mean()) < 0.1
    assert field.std() == pytest.approx(1, abs=0.1)
    for axis in range(3):
        assert np.abs(np.diff(field, axis=axis)).std() < 0.35
        # Independent beyond the support of a spline: no correlation at four control points.
        far = np.corrcoef(*(np.take(field, part, axis).ravel() for part in (range(20), range(20, 40))))[0, 1]
        assert abs(far) < 0.2

"""From files to a label map in three lines, and what a result says about itself."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_case, write_case

import lckd
from lckd.case import Case
from lckd.discovery import find_case
from lckd.engine import Engine, Settings
from lckd.errors import CancelledError, OutputError
from lckd.geometry import Grid
from lckd.jobs import Job, compare_job, segment_job
from lckd.labels import LabelConvention, Region, regions_from_labels
from lckd.postprocess import Cleanup
from lckd.prepare import prepare
from lckd.progress import Progress
from lckd.sequences import SEQUENCES, subset_name, subsets_of

FLAIR, T1, T1C, T2 = SEQUENCES
CPU = Settings(device="cpu", threads=1)
REPORT = {
    "case": str,
    "device": str,
    "disclaimer": str,
    "expected_dice": dict,
    "grid": str,
    "imputed": list,
    "inputs": dict,
    "model": dict,
    "network": str,
    "peak_memory_mb": float,
    "postprocessing": list,
    "preprocessing": list,
    "present": list,
    "program": str,
    "seconds": dict,
    "subset": str,
    "threads": int,
    "volumes_ml": dict,
    "warnings": list,
}


@pytest.fixture(scope="module")
def engine(tiny_model):
    return Engine(tiny_model, CPU)


@pytest.fixture(scope="module")
def made():
    return make_case()


def check_report(report, present):
    assert set(report) == set(REPORT)
    for key, kind in REPORT.items():
        assert isinstance(report[key], kind), key
    assert report["present"] == [sequence.value for sequence in present]
    assert report["imputed"] == [s.value for s in SEQUENCES if s not in present]
    assert set(report["seconds"]) == {"start", "read", "prepare", "network", "restore", "write"}
    assert set(report["volumes_ml"]) == {"ET", "TC", "WT"}
    assert set(report["model"]) == {"name", "sha256"}
    assert len(report["model"]["sha256"]) == 64
    assert report["peak_memory_mb"] > 10


def test_three_lines_from_files_to_a_label_map(case_folder, tiny_model, tmp_path):
    case = lckd.Case.from_folder(case_folder)
    result = lckd.segment(case, tiny_model, settings=CPU)
    result.write(tmp_path / "out")

    assert {path.name for path in (tmp_path / "out").iterdir()} == {"segmentation.nii.gz", "report.json", "preview.png"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    check_report(report, SEQUENCES)
    assert report == result.report
    assert report["case"] == "patient-1"
    assert report["inputs"]["t1c"].endswith("t1c.nii.gz")
    assert report["model"]["name"] == "tiny"
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "segmentation.nii.gz")))
    assert np.array_equal(written, result.labels)
    assert set(np.unique(written)) <= {0, 1, 2, 3}
    assert (written > 0).any()
    for region, mask in zip(Region, regions_from_labels(written, LabelConvention.BRATS2023), strict=True):
        assert result.volumes_ml[region] == report["volumes_ml"][region.value]
        assert result.volumes_ml[region] == pytest.approx(mask.sum() / 1000)


def test_files_may_be_named_one_by_one(case_folder, engine):
    case = Case.from_files(flair=case_folder / "flair.nii.gz", t2=str(case_folder / "t2.nii.gz"), name="two")
    result = engine.segment(case)
    check_report(result.report, (FLAIR, T2))
    assert result.report["subset"] == "flair+t2"
    assert any("T1, T1c" in warning for warning in result.report["warnings"])
    assert any("Without T1c the enhancing" in warning for warning in result.report["warnings"])


def test_an_existing_result_is_kept_unless_told(engine, case_folder, tmp_path):
    result = engine.segment(Case.from_folder(case_folder, only=[T1C]))
    result.write(tmp_path / "out")
    before = (tmp_path / "out" / "segmentation.nii.gz").stat().st_mtime_ns
    with pytest.raises(OutputError) as refused:
        result.write(tmp_path / "out")
    assert refused.value.code == "OUTPUT_EXISTS"
    assert (tmp_path / "out" / "segmentation.nii.gz").stat().st_mtime_ns == before
    result.write(tmp_path / "out", overwrite=True)
    result.write(tmp_path / "single.nrrd")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "single.nrrd", "single.report.json"}
    with pytest.raises(OutputError) as refused:
        result.write(tmp_path / "two.mhd")
    assert refused.value.code == "OUTPUT_SUFFIX"


def test_regions_are_nested_and_probabilities_agree(engine, made):
    segmentation = engine.segment(Case.from_images(made.images)).segmentation
    enhancing, core, whole = segmentation.regions
    assert not (enhancing & ~core).any()
    assert not (core & ~whole).any()
    assert np.array_equal(segmentation.regions, segmentation.probabilities > 0.5)
    uncertainty = sitk.GetArrayFromImage(segmentation.uncertainty_image())
    assert 0 <= uncertainty.min() <= uncertainty.max() <= 1


@pytest.mark.parametrize(
    ("only", "grid", "expected"),
    [
        (SEQUENCES, None, T1C),
        ((FLAIR, T1, T2), None, FLAIR),
        ((T1, T2), None, T2),
        ((T1,), None, T1),
        (SEQUENCES, T2, T2),
        ((FLAIR, T1C), FLAIR, FLAIR),
    ],
)
def test_the_segmentation_lies_on_the_promised_sequence(engine, made, only, grid, expected):
    images = {}
    for number, sequence in enumerate(SEQUENCES):
        images[sequence] = made.images[sequence][number:, :, :]
    result = engine.segment(Case.from_images({s: images[s] for s in only}, grid))
    assert result.case.grid_sequence == expected
    assert result.report["grid"] == expected.value
    image = result.segmentation.label_image()
    assert Grid.of(image) == Grid.of(images[expected])
    assert image.GetSize()[0] == 48 - expected.index


OBLIQUE = ((0.9375, 1.1, 1.3), (-90.123456, 120.98765, 33.3333))


def oblique_case(seed):
    versor = sitk.VersorTransform()
    versor.SetRotation((1.0, 2.0, seed - 2.0), 0.3 + seed / 10)
    return make_case(spacing=OBLIQUE[0], origin=OBLIQUE[1], direction=versor.GetMatrix())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("seed", range(3))
def test_the_written_geometry_is_that_of_the_reference_to_the_last_bit(engine, tmp_path, suffix, seed):
    folder = write_case(tmp_path / "case", oblique_case(seed), sequences=[T1C], suffix=suffix, labels=False)
    job = Job(find_case(folder), tmp_path / f"out{suffix}", probabilities=True)
    result = segment_job(engine, job, Progress())
    reference = sitk.ReadImage(str(folder / f"t1c{suffix}"))
    for name in ("out", "out-probability-TC"):
        written = sitk.ReadImage(str(tmp_path / f"{name}{suffix}"))
        assert Grid.of(written) == Grid.of(reference)
        if suffix.startswith(".nii"):
            affines = [nibabel.load(path).affine for path in (folder / f"t1c{suffix}", tmp_path / f"{name}{suffix}")]
            assert np.array_equal(*affines)
    written = sitk.ReadImage(str(tmp_path / f"out{suffix}"))
    assert written.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(written), result.labels)


def test_codes_and_byte_order_of_a_nifti_reference_do_not_matter(engine, tmp_path):
    made = oblique_case(1)
    path = write_case(tmp_path / "case", made, sequences=[T1C], labels=False) / "t1c.nii.gz"
    image = nibabel.load(path)
    swapped = nibabel.Nifti1Image(image.get_fdata().astype(np.int16), image.affine, image.header.as_byteswapped(">"))
    swapped.set_sform(image.affine, code=4)
    swapped.set_qform(None, code=0)
    nibabel.save(swapped, path)
    segment_job(engine, Job(find_case(path.parent), tmp_path / "out.nii.gz"), Progress())
    written = nibabel.load(tmp_path / "out.nii.gz")
    assert np.array_equal(written.affine, nibabel.load(path).affine)
    assert written.get_sform(coded=True)[1] == 4
    assert Grid.of(sitk.ReadImage(str(tmp_path / "out.nii.gz"))) == Grid.of(sitk.ReadImage(str(path)))


def test_geometry_that_was_changed_after_reading_is_written_as_it_is(engine, tmp_path):
    path = write_case(tmp_path / "case", oblique_case(0), sequences=[T1C], labels=False) / "t1c.nii.gz"
    read = Case.from_folder(path.parent)
    moved = sitk.Image(read.images[T1C])
    moved.SetOrigin((1.0, 2.0, 3.0))
    engine.segment(Case.from_images({T1C: moved}, sources=read.sources)).write(tmp_path / "out.nii.gz")
    assert np.allclose(sitk.ReadImage(str(tmp_path / "out.nii.gz")).GetOrigin(), (1, 2, 3))


def test_comparing_equals_segmenting_each_subset_where_the_brain_box_is_the_same(engine, made):
    """The sequences have one brain here, so the canonical grid is the same; only the network's sharing is tested."""
    case = Case.from_images(made.images)
    compared = engine.segment_subsets(case)
    assert [result.segmentation.subset for result in compared] == subsets_of()
    for result in compared:
        subset = result.segmentation.subset
        alone = engine.segment(Case.from_images({s: made.images[s] for s in subset}, name=subset_name(subset)))
        if case.grid_sequence in subset:
            assert np.array_equal(result.segmentation.probabilities, alone.segmentation.probabilities)
        assert np.array_equal(result.labels, alone.labels)
        assert result.volumes_ml == alone.volumes_ml
        check_report(result.report, subset)


def test_a_subset_is_not_influenced_by_the_other_sequences_volumes(engine, made):
    """Of a sequence that is left out, comparing takes its brain box, and nothing else."""
    noise = np.random.default_rng(1).integers(1, 4000, (48, 56, 48))
    images = dict(made.images)
    brain = sitk.GetArrayViewFromImage(images[T2]) > 0
    images[T2] = Grid.of(images[T2]).image(np.where(brain, noise, 0).astype(np.int16))
    results = [engine.segment_subsets(Case.from_images(i), [(FLAIR, T1C)])[0] for i in (made.images, images)]
    assert np.array_equal(*(result.segmentation.probabilities for result in results))

    # With a larger brain in T2, the box is larger, and the windows may lie elsewhere.
    images[T2] = Grid.of(images[T2]).image(np.pad(noise[2:-2, 2:-2, 2:-2], 2).astype(np.int16))
    wider = prepare(Case.from_images(images))
    alone = prepare(Case.from_images({s: images[s] for s in (FLAIR, T1C)}))
    assert wider.grid != alone.grid
    for sequence in (FLAIR, T1C):
        assert np.count_nonzero(wider.arrays[sequence]) == np.count_nonzero(alone.arrays[sequence])
        assert np.array_equal(
            wider.arrays[sequence][wider.arrays[sequence] != 0], alone.arrays[sequence][alone.arrays[sequence] != 0]
        )


def test_a_job_reports_all_stages_and_rises_to_one(engine, case_folder, tmp_path):
    told = []
    progress = Progress(lambda stage, fraction: told.append((stage, fraction)))
    result = segment_job(engine, Job(find_case(case_folder), tmp_path, probabilities=True, uncertainty=True), progress)
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["read", "prepare", "network", "restore", "write"]
    report = json.loads((tmp_path / "report.json").read_text())
    check_report(report, SEQUENCES)
    assert report["seconds"]["network"] > 0
    assert report["seconds"]["write"] > 0
    for name, expected in (("probability-ET", 0), ("probability-WT", 2)):
        image = sitk.ReadImage(str(tmp_path / f"segmentation-{name}.nii.gz"))
        assert np.abs(sitk.GetArrayFromImage(image) - result.segmentation.probabilities[expected]).max() < 1e-3
    assert (tmp_path / "segmentation-uncertainty.nii.gz").exists()


def test_a_comparison_of_all_subsets_as_a_job(engine, case_folder, tmp_path):
    told = []
    progress = Progress(lambda stage, fraction: told.append(fraction))
    _, result = compare_job(engine, Job(find_case(case_folder), tmp_path / "out"), progress)
    assert told == sorted(told)
    assert told[-1] == 1.0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["subsets"]) == {subset_name(subset) for subset in subsets_of()}
    assert report["volumes_ml"] == report["subsets"]["flair+t1+t1c+t2"]
    assert result.segmentation.subset == SEQUENCES
    lines = (tmp_path / "out" / "subsets.csv").read_text().splitlines()
    assert lines[0] == "subset,region,volume_ml,dice,hd95_mm"
    assert len(lines) == 1 + 15 * 3


@pytest.mark.parametrize("stop_in", ["read", "prepare", "network", "restore", "write"])
def test_a_cancelled_job_leaves_nothing_behind(engine, case_folder, tmp_path, stop_in):
    stages = []
    progress = Progress(lambda stage, fraction: stages.append(stage), lambda: stop_in in stages)
    with pytest.raises(CancelledError):
        segment_job(engine, Job(find_case(case_folder), tmp_path / "out"), progress)
    assert stages[-1] == stop_in
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_that_cannot_be_drawn_leaves_nothing_behind(engine, case_folder, tmp_path, monkeypatch):
    def without_matplotlib(*_):
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr("lckd.heatmap.write_heatmap", without_matplotlib)
    with pytest.raises(ModuleNotFoundError):
        compare_job(engine, Job(find_case(case_folder), tmp_path / "out", only=[T1C, T2]), Progress())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "job"), [("subsets.md", compare_job), ("preview.png", segment_job)])
def test_no_file_of_somebody_else_is_replaced(engine, case_folder, tmp_path, name, job):
    (tmp_path / name).write_text("precious")
    with pytest.raises(OutputError) as refused:
        job(engine, Job(find_case(case_folder), tmp_path, only=[T1C]), Progress())
    assert refused.value.code == "OUTPUT_EXISTS"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_a_report_that_cannot_be_written_leaves_nothing_behind(engine, case_folder, tmp_path, monkeypatch):
    def full(*_):
        raise OutputError("NOT_WRITABLE", "The disk is full.", "Make room.")

    monkeypatch.setattr("lckd.jobs.write_report", full)
    with pytest.raises(OutputError) as refused:
        segment_job(engine, Job(find_case(case_folder), tmp_path / "out", only=[T1C]), Progress())
    assert "segmentation.nii.gz cannot be written in" in refused.value.message
    assert ".writing" not in refused.value.message
    assert list(tmp_path.iterdir()) == []


def test_files_of_the_case_are_never_replaced(engine, case_folder, tmp_path):
    case = tmp_path / "case"
    shutil.copytree(case_folder, case)
    before = {path: path.read_bytes() for path in case.iterdir()}
    for name in ("flair.nii.gz", "seg.nii.gz"):
        with pytest.raises(OutputError) as refused:
            segment_job(engine, Job(find_case(case), case / name, overwrite=True, only=[T1C]), Progress())
        assert refused.value.code == "OUTPUT_IS_INPUT"
    assert {path: path.read_bytes() for path in case.iterdir()} == before


def test_clean_up_is_off_by_default_and_named_in_the_report(tiny_model, made):
    case = Case.from_images(made.images)
    plain = Engine(tiny_model, CPU).segment(case)
    assert plain.report["postprocessing"] == []
    cleaned = Engine(tiny_model, Settings("cpu", 1, cleanup=Cleanup(min_enhancing_ml=1e6))).segment(case)
    assert cleaned.volumes_ml[Region.ET] == 0
    assert cleaned.volumes_ml[Region.TC] == plain.volumes_ml[Region.TC]
    assert len(cleaned.report["postprocessing"]) == 1


def test_other_label_numbers(engine, case_folder, tmp_path):
    result = engine.segment(Case.from_folder(case_folder))
    labels = {}
    for convention in (LabelConvention.BRATS2023, LabelConvention.BRATS2021, LabelConvention.MSD):
        result.write(tmp_path / convention.value, convention=convention, preview=False)
        labels[convention] = sitk.ReadImage(str(tmp_path / convention.value / "segmentation.nii.gz"))
        array = sitk.GetArrayFromImage(labels[convention])
        assert np.array_equal(regions_from_labels(array, convention), result.segmentation.regions)
    assert 4 in sitk.GetArrayViewFromImage(labels[LabelConvention.BRATS2021])

"""The script for Slicer without its window: the very file, run as ``--python-script`` runs it, with a real worker."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
import slicer
from panel_parts import make_python_slicer

SCRIPT = Path(__file__).parents[2] / "LCKDSegmentation" / "Resources" / "Scripts" / "segment_headless.py"
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Any) -> Iterator[Run]:
    """Runs the script with arguments as ctkAbstractPythonManager::executeFile does; returns Slicer's exit status."""
    from LCKDSegmentationLib import Requirements
    from LCKDSegmentationLib.WorkerClient import shutdownSharedWorkerClient

    make_python_slicer(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    # The range of torch is Slicer's own.
    monkeypatch.setattr(Requirements, "TORCH_RANGE", ">=2.6")
    statuses: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", statuses.append)

    def execute(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        code = compile(SCRIPT.read_text(encoding="utf-8"), "<string>", "exec", dont_inherit=True)
        exec(code, {"__name__": "__main__", "__file__": str(SCRIPT)})
        assert len(statuses) == 1, "Slicer is ended exactly once"
        return statuses.pop()

    yield execute
    shutdownSharedWorkerClient()


@pytest.fixture
def images(case_folder: Path) -> list[str]:
    """T1 and T2 of a made case."""
    return ["--t1", str(case_folder / "t1.nii.gz"), "--t2", str(case_folder / "t2.nii.gz"), "--device", "cpu"]


def test_writes_segmentation_report_and_maps(
    run: Run, images: list[str], tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "result"
    assert run(*images, "-o", output, "--model", tiny_model, "--uncertainty") == 0
    said = capfd.readouterr()
    assert "Segmenting…" in said.err
    assert "Not for clinical use." in said.out
    report = json.loads((output / "report.json").read_text())
    assert (report["present"], report["imputed"]) == (["t1", "t2"], ["flair", "t1c"])
    assert f"WT: {report['volumes_ml']['WT']:.2f} mL" in said.out
    original, written = sitk.ReadImage(images[3]), sitk.ReadImage(str(output / "segmentation-uncertainty.nrrd"))
    assert written.GetSize() == original.GetSize()
    assert written.GetOrigin() == pytest.approx(original.GetOrigin())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(output / "segmentation.seg.nrrd"))
    assert storage.ReadData(node)
    segments = node.GetSegmentation()
    assert [segments.GetNthSegmentID(index) for index in range(3)] == ["ET", "NCR", "ED"]
    assert sorted(path.name for path in output.iterdir()) == [
        *("report.json", "segmentation-uncertainty.nrrd", "segmentation.seg.nrrd")
    ]


def test_results_are_replaced_only_if_that_is_wanted(
    run: Run, images: list[str], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*images, "-o", tmp_path, "--model", tiny_model, "--division", "regions"]
    (tmp_path / "report.json").write_text("of somebody else")
    assert run(*arguments) == 5
    assert (tmp_path / "report.json").read_text() == "of somebody else"
    assert "exists already. Add --overwrite" in capsys.readouterr().err
    assert run(*arguments, "--overwrite") == 0
    assert json.loads((tmp_path / "report.json").read_text())["model"]["name"] == "tiny"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "required: -o"),
        (["-o", "OUT", "--flair", "x", "--grid", "pd"], 2, "invalid choice"),
        (["-o", "OUT", "--help"], 0, ""),
        (["-o", "OUT"], 3, "No image was given."),
        (["-o", "OUT", "--flair", "OUT/none.nii.gz"], 3, "does not exist"),
        (["-o", "OUT", "--flair", "OUT/text.nii.gz"], 3, "cannot be read as an image"),
        (["-o", "OUT", "--flair", "T2", "--t2", "T2", "--grid", "t1c"], 3, "cannot lie on t1c"),
        (["-o", "OUT", "--t2", "T2", "--model", "none"], 4, "There is no model 'none'"),
        (["-o", "OUT/text.nii.gz/below", "--t2", "T2"], 5, "cannot be written"),
    ],
)
def test_refusals_have_one_sentence_and_the_status_of_the_command_line(
    run: Run,
    arguments: list[str],
    status: int,
    words: str,
    case_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.nii.gz").write_text("no image")
    places = {"OUT": str(tmp_path), "T2": str(case_folder / "t2.nii.gz")}
    given = [places.get(word, word.replace("OUT/", f"{tmp_path}/")) for word in arguments]
    assert run(*given) == status
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert status in (0, 2) or said.count("Error: ") == 1
    assert not (tmp_path / "report.json").exists()


def test_what_the_worker_refuses_has_the_status_of_the_command_line(
    run: Run, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "t2.nii.gz"
    sitk.WriteImage(sitk.Image(16, 16, 16, sitk.sitkInt16), str(empty))
    assert run("--t2", empty, "-o", tmp_path / "out", "--model", tiny_model, "--device", "cpu") == 3
    assert capsys.readouterr().err.count("Error: ") == 1
    assert not (tmp_path / "out").exists()


def test_packages_are_installed_only_if_that_is_wanted(
    run: Run, images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from LCKDSegmentationLib import Requirements

    monkeypatch.setattr(Requirements, "TORCH_RANGE", ">=99")
    assert run(*images, "-o", tmp_path) == 1
    assert "torch>=99 (installed: " in capsys.readouterr().err
    asked = []

    def ensure(requirements: Any) -> None:
        asked.append(requirements._confirm("?", ""))
        monkeypatch.setattr(Requirements, "TORCH_RANGE", ">=2.6")

    monkeypatch.setattr(Requirements.Requirements, "ensure", ensure)
    assert run(*images, "-o", tmp_path, "--install", "--model", "none") == 4
    assert asked == [True]


def test_slicer_is_ended_also_by_a_mistake_and_without_the_extension(
    run: Run, images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from LCKDSegmentationLib import Requirements

    monkeypatch.setattr(Requirements.Requirements, "missing", lambda _self: 1 / 0)
    assert run(*images, "-o", tmp_path) == 1
    said = capsys.readouterr().err
    assert "mistake in the program" in said
    assert "Traceback" not in said
    assert run(*images, "-o", tmp_path, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "lckd.errors", None)
    assert run(*images, "-o", tmp_path) == 1
    assert "is not installed" in capsys.readouterr().err

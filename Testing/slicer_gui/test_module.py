"""The module file as Slicer uses it: it does the real thing with the embedded model, and goes away without a trace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from module_parts import ModuleParent, known_module, module_file
from panel_parts import read_volume, real_client

MODULE = module_file("LCKDSegmentation")


@pytest.fixture(autouse=True)
def slicers_world(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with known_module("LCKDSegmentation", tmp_path, monkeypatch):
        yield


@pytest.fixture
def widget() -> Iterator[Any]:
    from LCKDSegmentation import LCKDSegmentationWidget

    made = LCKDSegmentationWidget(ModuleParent())
    made.setup()
    yield made
    made.cleanup()


def test_module_tells_what_it_is() -> None:
    from LCKDSegmentation import LCKDSegmentation

    module = LCKDSegmentation(SimpleNamespace(path=str(MODULE)))
    assert not module.parent.icon.isNull()
    assert module.parent.title == "Brain Tumor Segmentation (LCKD)"
    assert module.parent.categories == ["Segmentation"]
    assert "Not for clinical use." in module.parent.helpText
    assert "10.1007/978-3-031-43901-8_21" in module.parent.acknowledgementText


@pytest.mark.parametrize("name", ["test_segmentsTheSampleCase", "test_panelShowsTheEmbeddedModel"])
def test_what_slicer_tests_in_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods that ctest runs inside Slicer; only the range of torch is Slicer's own."""
    import LCKDSegmentation as module
    from LCKDSegmentationLib import Requirements

    monkeypatch.setattr(Requirements, "TORCH_RANGE", ">=2.6")
    case = module.LCKDSegmentationTest(name)
    case.setUp()
    getattr(case, name)()


def test_every_test_method_is_run_by_run_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from LCKDSegmentation import LCKDSegmentationTest

    run = []
    names = [name for name in vars(LCKDSegmentationTest) if name.startswith("test_")]
    for name in names:
        monkeypatch.setattr(LCKDSegmentationTest, name, lambda self, name=name: run.append(name))
    LCKDSegmentationTest("runTest").runTest()
    assert sorted(run) == sorted(names)


def test_logic_for_scripts_segments_and_leaves_no_process(case_folder: Path, tiny_model: Path, scene: Any) -> None:
    from lckd.errors import InputError, LckdError
    from LCKDSegmentation import LCKDSegmentationLogic
    from LCKDSegmentationLib.Logic import SegmentationLogic

    logic = LCKDSegmentationLogic(SegmentationLogic(real_client()))
    flair = read_volume(scene, case_folder / "flair.nii.gz", "FLAIR")
    told: list[tuple[str, float]] = []
    run = logic.segment(
        {"flair": flair, "t1": None},
        model=str(tiny_model),
        division="regions",
        onProgress=lambda run: told.append((run.stage, run.fraction)),
    )
    segmentation = run.segmentation.GetSegmentation()
    assert [segmentation.GetNthSegmentID(index) for index in range(3)] == ["ET", "TC", "WT"]
    assert [fraction for _stage, fraction in told] == sorted(fraction for _stage, fraction in told)
    assert told[-1] == ("import", 1.0)
    assert run.isFinished
    with pytest.raises(InputError, match="No image"):
        logic.segment({"flair": None})
    flat = read_volume(scene, case_folder / "flair.nii.gz", "Series 3")
    slicer.util.updateVolumeFromArray(flat, np.ones((20, 20, 20), dtype=np.int16))
    with pytest.raises(LckdError, match=r"^Series 3 \(FLAIR\) has the same value everywhere\.") as refused:
        logic.segment({"flair": flat}, model=str(tiny_model))
    assert refused.value.exit_status == InputError.exit_status
    folder = logic.runner.case.path
    logic.runner.close()
    assert not folder.exists()
    assert not logic.runner.client.isRunning


def test_widget_follows_scene_and_parameter_sets(widget: Any, scene: Any) -> None:
    first = widget.panel.panel.parameters
    first.threads = 5
    second = widget.panel.ui.parameterNodeSelector.addNode()
    assert widget.panel.panel.parameters.parameterNode is second
    widget.panel.ui.parameterNodeSelector.setCurrentNode(first.parameterNode)
    assert widget.panel.panel.parameters.threads == 5
    widget.panel.panel.say("of the former scene")
    widget.exit()
    scene.Clear()
    assert widget.panel.ui.messageLabel.text == ""
    fresh = widget.panel.panel.parameters
    assert fresh.parameterNode.GetScene() is scene
    assert fresh.threads == 0
    assert widget.panel.ui.parameterNodeSelector.currentNode() is fresh.parameterNode
    scene.RemoveNode(fresh.parameterNode)
    assert widget.panel.panel.parameters is None
    widget.panel.models.devices.ask = lambda: None
    widget.enter()
    assert widget.panel.panel.parameters.parameterNode.GetScene() is scene


def test_reload_reads_the_library_anew(widget: Any) -> None:
    before = dict(sys.modules)
    slicer.modules.LCKDSegmentationWidget = widget
    slicer.modules.lckdsegmentation.widgetRepresentation = lambda: widget.parent
    panel, closed, entered = widget.panel, [], []
    chosen = panel.ui.parameterNodeSelector.addNode()
    close = panel.cleanUp
    widget.enter = lambda: entered.append(widget.parent.reloads)
    panel.cleanUp = lambda: (closed.append(True), close())
    try:
        widget.onReload()
        assert "LCKDSegmentationLib.Widget" not in sys.modules
        assert sys.modules["LCKDSegmentation"] is not before["LCKDSegmentation"]
        assert sys.modules.get("lckd.errors") is not before["lckd.errors"]
        assert closed == [True]
        assert widget.parent.reloads == 1
        assert entered == [1], "a widget that is made while the module is open is not told so"
        assert widget.panel.panel.parameters.parameterNode is chosen
    finally:
        ours = ("LCKDSegmentation", "lckd")
        sys.modules.update({name: module for name, module in before.items() if name.startswith(ours)})
        del slicer.modules.LCKDSegmentationWidget
        panel.cleanUp = close


def test_sample_case_is_offered_from_its_own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[dict[str, Any]] = []
    titles = []

    class SampleDataLogic:
        """The two functions of Slicer's module SampleData that are used, with their parameters."""

        @staticmethod
        def registerCustomSampleDataCategory(category: str, title: str) -> None:
            titles.append((category, title))

        @staticmethod
        def registerCustomSampleDataSource(
            category="Custom",
            sampleName=None,
            uris=None,
            fileNames=None,
            nodeNames=None,
            customDownloader=None,
            thumbnailFileName=None,
            loadFileTypes=None,
            loadFiles=None,
            loadFileProperties=None,
            checksums=None,
            loadFileType=None,
        ) -> None:
            registered.append(dict(locals()))

    fake = ModuleType("SampleData")
    fake.SampleDataLogic = SampleDataLogic
    monkeypatch.setitem(sys.modules, "SampleData", fake)
    from LCKDSegmentation import registerResources

    monkeypatch.setattr(slicer.modules, "sampledata", SimpleNamespace(), raising=False)
    registerResources.cache_clear()
    registerResources()
    registerResources()
    case, reference = registered
    assert case["nodeNames"] == ["Sample FLAIR", "Sample T1", "Sample T1c", "Sample T2"]
    assert len({*case["fileNames"], reference["fileNames"]}) == 5
    for uri in (*case["uris"], reference["uris"]):
        assert uri.startswith("file://")
        assert Path(uri.removeprefix("file://")).is_file()
    assert reference["loadFileProperties"] == {"labelmap": True}
    assert titles == [(case["category"], "Brain tumor (LCKD)")]
    names = vtk.vtkStringArray()
    slicer.modules.terminologies.logic().GetLoadedTerminologyNames(names)
    assert any("LCKD" in names.GetValue(index) for index in range(names.GetNumberOfValues()))


def test_importing_the_module_loads_nothing_heavy() -> None:
    """Slicer imports the module file at its start; the panel may load NumPy, nothing may load torch."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import stand_ins; stand_ins.install(); "
        "before = set(sys.modules); import LCKDSegmentation; "
        "print(sorted(n for n in set(sys.modules) - before if n.split('.')[0] not in sys.stdlib_module_names)); "
        "import LCKDSegmentationLib.Widget as w; w.SegmentationWidget(); print('torch' in sys.modules)"
    )
    path = os.pathsep.join([str(MODULE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    loaded, torch = done.stdout.splitlines()[-2:]
    assert eval(loaded) == [
        *("LCKDSegmentation", "LCKDSegmentationLib", "LCKDSegmentationLib.About", "LCKDSegmentationLib.ModuleWidget"),
        *("slicer.ScriptedLoadableModule", "slicer.i18n"),
    ]
    assert torch == "False"


@pytest.mark.usefixtures("widget")
def test_what_belongs_to_a_loaded_result_goes_with_it(scene: Any) -> None:
    from LCKDSegmentationLib.OwnedNodes import TABLE_ROLE

    table = scene.AddNewNodeByClass("vtkMRMLTableNode")
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetNodeReferenceID(TABLE_ROLE, table.GetID())
    scene.RemoveNode(segmentation)
    assert table.GetScene() is None

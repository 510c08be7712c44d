"""The training module as Slicer uses it: it does the real thing on made cases, and goes away without a trace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer
from module_parts import ModuleParent, known_module, module_file

MODULE = module_file("LCKDTraining")


@pytest.fixture(autouse=True)
def slicers_world(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with known_module("LCKDTraining", tmp_path, monkeypatch):
        yield


@pytest.fixture
def widget() -> Iterator[Any]:
    from LCKDTraining import LCKDTrainingWidget

    made = LCKDTrainingWidget(ModuleParent())
    made.setup()
    yield made
    made.cleanup()


def test_module_tells_what_it_is() -> None:
    from LCKDTraining import LCKDTraining

    module = LCKDTraining(SimpleNamespace(path=str(MODULE)))
    assert module.parent.title == "Brain Tumor Training (LCKD)"
    assert module.parent.categories == ["Segmentation"]
    assert module.parent.dependencies == ["LCKDSegmentation"]
    assert not module.parent.icon.isNull()
    assert "Not for clinical use." in module.parent.helpText


@pytest.mark.parametrize("name", ["test_trainsAndExportsAModel", "test_panelShowsARun"])
def test_what_slicer_tests_in_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods that ctest runs inside Slicer; only the range of torch is Slicer's own."""
    import LCKDTraining as module
    from LCKDSegmentationLib import Requirements

    monkeypatch.setattr(Requirements, "TORCH_RANGE", ">=2.6")
    case = module.LCKDTrainingTest(name)
    case.setUp()
    shown = module.LCKDTrainingLogic().getParameterNode()
    getattr(case, name)()
    assert (shown.data, shown.runFolder) == ("", ""), "what the module shows has become a run of the test"


def test_every_test_method_is_run_by_run_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from LCKDTraining import LCKDTrainingTest

    run = []
    names = [name for name in vars(LCKDTrainingTest) if name.startswith("test_")]
    for name in names:
        monkeypatch.setattr(LCKDTrainingTest, name, lambda self, name=name: run.append(name))
    LCKDTrainingTest("runTest").runTest()
    assert sorted(run) == sorted(names)


def test_widget_follows_scene_and_parameter_sets(widget: Any, scene: Any) -> None:
    first = widget.panel.panel.parameters
    first.data = "cases"
    assert not widget.isUntouched(first)
    second = widget.panel.ui.parameterNodeSelector.addNode()
    assert widget.panel.panel.parameters.parameterNode is second
    assert widget.isUntouched(widget.panel.panel.parameters)
    widget.exit()
    scene.Clear()
    fresh = widget.panel.panel.parameters
    assert fresh.parameterNode.GetScene() is scene
    assert fresh.data == ""


def test_reload_reads_library_and_trainer_anew_and_what_is_shared_still_fits(widget: Any) -> None:
    before = dict(sys.modules)
    slicer.modules.LCKDTrainingWidget = widget
    slicer.modules.lckdtraining.widgetRepresentation = lambda: widget.parent
    panel, closed = widget.panel, []
    close = panel.cleanUp
    chosen = panel.ui.parameterNodeSelector.addNode()
    panel.cleanUp = lambda: (closed.append(True), close())
    try:
        widget.onReload()
        assert sys.modules["LCKDTraining"] is not before["LCKDTraining"]
        for name in ("LCKDTrainingLib.Logic", "lckd_training.watching.events"):
            assert sys.modules.get(name) is not before[name], name
        from lckd.errors import LckdError
        from LCKDSegmentationLib.Views import UsageError

        assert issubclass(UsageError, LckdError), "a refusal of the shared library is no longer caught"
        assert closed == [True]
        assert widget.parent.reloads == 1
        assert widget.panel.panel.parameters.parameterNode is chosen
    finally:
        ours = ("LCKDTraining", "lckd")
        sys.modules.update({name: module for name, module in before.items() if name.startswith(ours)})
        del slicer.modules.LCKDTrainingWidget
        panel.cleanUp = close


def test_importing_the_module_loads_nothing_heavy() -> None:
    """Slicer imports the module file at its start; neither it nor the panel may load what must be installed."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import stand_ins; stand_ins.install(); "
        "before = set(sys.modules); import LCKDTraining; "
        "print(sorted(n for n in set(sys.modules) - before if n.split('.')[0] not in sys.stdlib_module_names)); "
        "import LCKDTrainingLib.Widget as w; w.TrainingWidget(); "
        "print([n for n in ('torch', 'monai', 'click', 'matplotlib') if n in sys.modules])"
    )
    folders = [str(MODULE.parent), str(MODULE.parents[1] / "LCKDSegmentation"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    loaded, heavy = done.stdout.splitlines()[-2:]
    assert eval(loaded) == [
        *("LCKDSegmentationLib", "LCKDSegmentationLib.About", "LCKDSegmentationLib.ModuleWidget", "LCKDTraining"),
        *("slicer.ScriptedLoadableModule", "slicer.i18n"),
    ]
    assert heavy == "[]"


def test_what_training_needs_is_what_the_trainer_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Besides what Slicer brings (NumPy, SciPy, SimpleITK, Pillow) and what is used only where it is found."""
    from LCKDTrainingLib.Logic import REQUIREMENTS_FILE, trainingRequirements

    named = {line.split(">=")[0] for line in REQUIREMENTS_FILE.read_text().splitlines() if not line.startswith("#")}
    assert named == {"monai", "click", "pyyaml", "matplotlib"}
    monkeypatch.setattr("LCKDSegmentationLib.Requirements._installedVersion", lambda _name: None)
    missing = [one.requirement for one in trainingRequirements().missing()]
    assert [one.split(">=")[0] for one in missing] == ["torch", "monai", "click", "pyyaml", "matplotlib"]

"""The module "Brain Tumor Training (LCKD)" as Slicer finds it; LCKDTrainingLib and lckd_training do its work."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)

from LCKDSegmentationLib.About import CONTRIBUTORS, acknowledgement, helpText
from LCKDSegmentationLib.ModuleWidget import ModuleWidget

if TYPE_CHECKING:
    from LCKDTrainingLib.Logic import TrainingLogic
    from LCKDTrainingLib.Parameters import TrainingParameters
    from LCKDTrainingLib.TrainingRun import TrainingRun
    from LCKDTrainingLib.Widget import TrainingWidget


class LCKDTraining(ScriptedLoadableModule):
    """Name, help and icon of the module."""

    def __init__(self, parent: slicer.qSlicerScriptedLoadableModule) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Brain Tumor Training (LCKD)")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["LCKDSegmentation"]
        self.parent.contributors = CONTRIBUTORS
        self.parent.helpText = helpText(
            _("Trains models for Brain Tumor Segmentation (LCKD) on labeled cases, which may lack sequences.")
        )
        self.parent.acknowledgementText = acknowledgement()


class LCKDTrainingWidget(ModuleWidget):
    """Puts the panel into Slicer, and keeps it with the scene."""

    # The engine is reloaded with Brain Tumor Segmentation (LCKD): the library of that module, which this panel uses as
    # well, holds on to the classes of its errors.
    reloaded = ("LCKDTrainingLib", "lckd_training")

    def makeLogic(self) -> LCKDTrainingLogic:
        """Return the module's logic."""
        return LCKDTrainingLogic()

    def makePanel(self) -> TrainingWidget:
        """Return the panel."""
        from LCKDTrainingLib.Widget import TrainingWidget

        return TrainingWidget(self.logic.runner)

    def isUntouched(self, parameters: TrainingParameters) -> bool:
        """Whether neither cases nor a run are chosen."""
        return not parameters.data and not parameters.runFolder


class LCKDTrainingLogic(ScriptedLoadableModuleLogic):
    """For scripts: trains without any widget; ``runner`` also checks data, evaluates and exports.

    Several parameter sets may be in a scene.
    """

    def __init__(self, runner: TrainingLogic | None = None) -> None:
        from LCKDTrainingLib.Logic import TrainingLogic

        ScriptedLoadableModuleLogic.__init__(self)
        self.isSingletonParameterNode = False
        self.runner = runner or TrainingLogic()

    def getParameterNode(self) -> TrainingParameters:
        """Return the first parameter set of the scene; it is made if there is none."""
        return self.wrap(ScriptedLoadableModuleLogic.getParameterNode(self))

    @staticmethod
    def wrap(node: slicer.vtkMRMLScriptedModuleNode) -> TrainingParameters:
        """Return the typed parameters that a node holds."""
        from LCKDTrainingLib.Parameters import TrainingParameters

        return TrainingParameters(node)

    def train(
        self,
        data: str,
        runFolder: str,
        preset: str = "small-cpu",
        settings: Mapping[str, str] | None = None,
        device: str = "auto",
        split: str = "",
        resume: bool = False,
        outlivesSlicer: bool = False,
        waitForCompletion: bool = True,
        onChanged: Callable[[TrainingRun], None] | None = None,
    ) -> TrainingRun:
        """Train a network on labeled cases, in a process of its own. For research use only; not for clinical use.

        :param data: folder of labeled cases, or a CSV file that lists them
        :param runFolder: folder for everything that is written
        :param preset: name of a preset, or path of a YAML file of settings
        :param settings: settings that differ from the preset: by name, as YAML text, e.g. ``{"iterations": "500"}``
        :param device: auto, cpu, cuda, cuda:1 or mps
        :param split: file that says which case is for what; empty: it is drawn
        :param resume: go on with the run in the folder
        :param outlivesSlicer: whether the training goes on when the application is closed
        :param waitForCompletion: return when the run has ended, else at once
        :param onChanged: is told whenever something is new; `TrainingRun.fraction` and `stage` say how far it is
        :return: the run; ``run.history`` has its course, ``run.requestStop()`` stops it after its iteration
        :raises LckdError: it is refused; when waiting also whatever the run failed with
        """
        from LCKDTrainingLib.TrainingRun import TrainingOrder

        order = TrainingOrder(data, runFolder, preset, settings or {}, device, split, resume, outlivesSlicer)
        return self.runner.train(order, waitForCompletion, onChanged)

    def watch(self, runFolder: str, onChanged: Callable[[TrainingRun], None] | None = None) -> TrainingRun:
        """Watch a run that goes on in another application or in a shell, or that has ended.

        :raises LckdError: there is no run in the folder
        """
        run = self.runner.attach(runFolder)
        if onChanged is not None:
            run.connectChanged(onChanged)
        return run

    def check(self, data: str) -> dict[str, Any]:
        """Look through labeled cases; return what was found, by case in ``checks``. Waits.

        :raises LckdError: there is no case
        """
        from LCKDTrainingLib.Logic import resultOf

        return resultOf(functools.partial(self.runner.check, data))

    def evaluate(self, model: str, data: str, output: str, **options: str) -> dict[str, Any]:
        """Score a model on labeled cases, from all 15 subsets; tables and pictures are in the folder `output`. Waits.

        :param options: ``split``: only the test cases of this file; ``device``
        :raises LckdError: no case can be used
        """
        from LCKDTrainingLib.Logic import resultOf

        return resultOf(functools.partial(self.runner.evaluate, model, data, output, **options))

    def export(self, runFolder: str, model: str, **options: str | bool) -> dict[str, Any]:
        """Make a model of a run. Waits.

        :param options: ``evaluation``: folder of scores for its card; ``best``: of the best checkpoint, not the last;
            ``overwrite``: replace a model that exists
        :raises LckdError: it was refused
        """
        from LCKDTrainingLib.Logic import resultOf

        return resultOf(functools.partial(self.runner.export, runFolder, model, **options))


class LCKDTrainingTest(ScriptedLoadableModuleTest):
    """Trains for a minute on cases made of the sample case, run by ctest and by "Reload and Test"."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        for test in (self.test_trainsAndExportsAModel, self.test_panelShowsARun):
            self.setUp()
            test()

    def test_trainsAndExportsAModel(self) -> None:
        """Cases are found usable; a training of twelve iterations polls its teachers and makes a model."""
        from LCKDTrainingLib.Logic import trainingRequirements

        missing = [str(one) for one in trainingRequirements().missing()]
        self.assertEqual(missing, [], "the packages that training needs are not installed")
        logic = LCKDTrainingLogic()
        with tempfile.TemporaryDirectory() as folder:
            data, run = Path(folder, "data"), Path(folder, "run")
            makeCases(data)
            told: list[float] = []
            try:
                self.assertEqual([case["case"] for case in logic.check(str(data))["checks"]], list(CASES))
                settings = {"election": f"[{CASES[-1]}]"}
                done = logic.train(
                    str(data), str(run), "smoke", settings, "cpu", onChanged=lambda one: told.append(one.fraction)
                )
                self.checkRun(done)
                self.assertGreater(len(told), 3, "the training was not watched")
                self.assertEqual(logic.watch(str(run)).history.done, 12)
                self.checkExport(logic, run, Path(folder, "made-model"))
            finally:
                logic.runner.close()
        self.assertIsNone(logic.runner.current)

    def checkRun(self, run: TrainingRun) -> None:
        """The run has done all its iterations, with losses that are numbers, elections and checkpoints."""
        history = run.history
        self.assertEqual((run.state, run.fraction, run.errorWords), ("finished", 1.0, ("", "")))
        self.assertEqual([step.iteration for step in history.steps], list(range(12)))
        self.assertTrue(all(0 < step.loss < 20 for step in history.steps))
        self.assertEqual([election.iteration for election in history.elections], [5, 10])
        self.assertEqual(set(history.elections[0].dice), {"flair", "t1", "t1c", "t2"})
        self.assertTrue((run.folder / "checkpoints" / "0000012.pt").is_file())

    def checkExport(self, logic: LCKDTrainingLogic, run: Path, model: Path) -> None:
        """The run makes a model that can be read and says what it was trained on."""
        from lckd.models import ModelCard

        logic.export(str(run), str(model))
        self.assertEqual(ModelCard.read(model / "configs" / "metadata.json").training["iterations"], 12)

    def test_panelShowsARun(self) -> None:
        """The panel is built, and a run folder that is watched is shown with its teachers."""
        from LCKDTrainingLib.Widget import TrainingWidget

        logic = LCKDTrainingLogic()
        panel = TrainingWidget(logic.runner)
        panel.setScene(slicer.mrmlScene)
        # Not the one that the module shows to whoever presses "Reload and Test".
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "events.jsonl").write_text(MADE_EVENTS, encoding="utf-8")
            try:
                panel.setParameters(logic.wrap(node))
                panel.panel.parameters.runFolder = folder
                self.assertEqual(logic.runner.current.state, "finished")
                shown = [panel.ui.teacherTable.item(0, column) for column in range(panel.ui.teacherTable.columnCount)]
                words = " ".join(cell.text() for cell in shown if cell is not None)
                self.assertRegex(words, "T1c")
            finally:
                panel.cleanUp()
                panel.setParent(None)
                panel.deleteLater()
                slicer.mrmlScene.RemoveNode(node)


#: Names of the cases that the test makes.
CASES = ("case-a", "case-b", "case-c")
#: A region of the sample case with all parts of the tumor: first voxel and size along i, j, k.
_CROP_BEGIN, _CROP_SIZE = (24, 40, 84), (48, 48, 48)
#: A run that has ended after its first election.
MADE_EVENTS = """
{"event": "start", "iteration": 0, "iterations": 1, "device": "cpu", "time": 1.0}
{"event": "step", "iteration": 0, "loss": 1, "loss_task": 1, "loss_ckd": 0, "lr": 0.1, "seconds": 1, "time": 2.0}
{"event": "election", "iteration": 1, "dice": {"t1c": {"ET": 0.8}}, "teachers": {"ET": "t1c"}, "time": 3.0}
{"event": "end", "iteration": 1, "reason": "finished", "time": 4.0}
""".lstrip()


def makeCases(root: Path) -> None:
    """Write three labeled cases in the layout of BraTS 2023: a part of the sample case, and mirror images of it."""
    import SimpleITK as sitk

    from LCKDSegmentationLib.SampleCase import referenceFile, sampleFiles

    files = {"seg": referenceFile(), **sampleFiles()}
    names = {"flair": "t2f", "t1": "t1n", "t1c": "t1c", "t2": "t2w", "seg": "seg"}
    for number, case in enumerate(CASES):
        (root / case).mkdir(parents=True)
        for kind, file in files.items():
            image = sitk.RegionOfInterest(sitk.ReadImage(str(file)), _CROP_SIZE, _CROP_BEGIN)
            mirrored = sitk.Flip(image, [axis == number - 1 for axis in range(3)])
            mirrored.CopyInformation(image)
            sitk.WriteImage(mirrored, str(root / case / f"{case}-{names[kind]}.nii.gz"))

"""The panel: sequences, the button Segment and its states, messages, parameters, with a worker that plays along."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from panel_parts import FakeClient, FakeDialogs, FakeRequirements, small_volume

from lckd.errors import InputError, LckdError
from LCKDSegmentationLib.Logic import SegmentationLogic
from LCKDSegmentationLib.Parameters import (
    MODULE_NAME,
    Division,
    GridChoice,
    Rerun,
    SegmentationParameters,
    batchProblem,
    inputsProblem,
    settingsOf,
    usedVolumes,
)
from LCKDSegmentationLib.Widget import SegmentationWidget

NAMES = {"flair": "AX T2 FLAIR", "t1": "AX T1 PRE", "t1c": "AX T1 POST GAD", "t2": "AX T2 FSE"}


@pytest.fixture
def parameters(scene: Any) -> SegmentationParameters:
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "LCKD")
    node.SetAttribute("ModuleName", MODULE_NAME)
    return SegmentationParameters(node)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def widget(scene: Any, parameters: Any, client: FakeClient) -> Iterator[SegmentationWidget]:
    made = SegmentationWidget(SegmentationLogic(client), FakeDialogs(), FakeRequirements())
    made.setScene(scene)
    made.setParameters(parameters)
    yield made
    made.cleanUp()
    made.deleteLater()


@pytest.fixture
def volumes(scene: Any, widget: SegmentationWidget) -> dict[str, Any]:
    """Four volumes, chosen in the panel."""
    made = {sequence: small_volume(scene, name) for sequence, name in NAMES.items()}
    for sequence, volume in made.items():
        widget.sequences.selector(sequence).setCurrentNode(volume)
    return made


def test_without_a_volume_the_button_says_why_it_is_disabled(widget: SegmentationWidget) -> None:
    button = widget.ui.segmentButton
    assert (button.text, button.enabled) == ("Segment", False)
    assert button.toolTip == "Choose at least one volume: FLAIR, T1, T1c or T2."
    assert widget.ui.disclaimerLabel.text == "<b>For research use only. Not for clinical use.</b>"


def test_detect_assigns_each_volume_once_and_says_why(widget: SegmentationWidget, parameters: Any, scene: Any) -> None:
    volumes = {sequence: small_volume(scene, name) for sequence, name in NAMES.items()}
    small_volume(scene, "DWI b1000")
    widget.ui.detectButton.click()
    assert usedVolumes(parameters) == volumes
    assert "T1c: AX T1 POST GAD" in widget.ui.detectionLabel.text
    assert "DWI b1000 (other" in widget.ui.detectionLabel.text
    assert "contrast agent" in widget.ui.t1cSelector.toolTip


def test_detect_leaves_the_choice_of_the_user(widget: SegmentationWidget, parameters: Any, scene: Any) -> None:
    post, pre = small_volume(scene, NAMES["t1c"]), small_volume(scene, NAMES["t1"])
    widget.ui.t1Selector.setCurrentNode(post)
    widget.ui.detectButton.click()
    assert parameters.t1 is post
    assert parameters.t1c is None
    assert pre.GetName() in widget.ui.detectionLabel.text


def test_detect_reads_the_dicom_database(
    widget: SegmentationWidget, parameters: Any, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Database:
        isOpen = True

        def instanceValue(self, instance: str, tag: str) -> str:
            return {("1.2", "0008,103e"): "SAG T1 MPRAGE +C", ("1.2", "0008,0060"): "MR"}.get((instance, tag), "")

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    volume = small_volume(scene, "5: unnamed")
    volume.SetAttribute("DICOM.instanceUIDs", "1.1 1.2 1.3")
    widget.ui.detectButton.click()
    assert parameters.t1c is volume


def test_detect_does_not_mix_patients(widget: SegmentationWidget, parameters: Any, scene: Any) -> None:
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    made = {}
    for patient in ("Ann", "Bob"):
        item = tree.CreateSubjectItem(tree.GetSceneItemID(), patient)
        study = tree.CreateStudyItem(item, "Study")
        for sequence in ("flair", "t1c"):
            made[patient, sequence] = small_volume(scene, NAMES[sequence])
            tree.CreateItem(study, made[patient, sequence])
    widget.ui.flairSelector.setCurrentNode(made["Bob", "flair"])
    widget.ui.detectButton.click()
    assert parameters.t1c is made["Bob", "t1c"]
    assert "Only the volumes of Bob" in widget.ui.detectionLabel.text


def test_detect_does_not_mix_cases_of_a_data_set(widget: SegmentationWidget, parameters: Any, scene: Any) -> None:
    names = ["Case_002_flair", "Case_002_t1ce", "Case_003_flair", "Case_003_t2", "Case_002_t1", "AX T2 FSE"]
    made = {name: small_volume(scene, name) for name in names}
    widget.ui.detectButton.click()
    assert parameters.flair is made["Case_002_flair"]
    assert parameters.t1c is made["Case_002_t1ce"]
    assert parameters.t2 is made["AX T2 FSE"], "it may be of any patient"
    assert plain(widget.ui.detectionLabel).startswith("Only the volumes of Case_002 were looked at.")
    assert "different patients" not in widget.ui.warningLabel.text
    widget.ui.t2Selector.setCurrentNode(made["Case_003_t2"])
    assert "seem to be of different patients: Case_002, Case_003." in plain(widget.ui.warningLabel)
    widget.ui.useT2.checked = False
    assert "different patients" not in widget.ui.warningLabel.text


def test_numbers_of_series_are_no_patients(widget: SegmentationWidget, parameters: Any, scene: Any) -> None:
    made = {sequence: small_volume(scene, f"{number}_{sequence}") for number, sequence in ((4, "flair"), (7, "t2"))}
    widget.ui.detectButton.click()
    assert (parameters.flair, parameters.t2) == (made["flair"], made["t2"])
    assert not widget.ui.warningLabel.text or "patients" not in widget.ui.warningLabel.text


def test_volumes_of_two_patients_chosen_by_hand_are_warned_of(widget: SegmentationWidget, scene: Any) -> None:
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for patient, sequence in (("Ann", "flair"), ("Bob", "t1c")):
        volume = small_volume(scene, NAMES[sequence])
        tree.CreateItem(tree.CreateSubjectItem(tree.GetSceneItemID(), patient), volume)
        widget.sequences.selector(sequence).setCurrentNode(volume)
    assert "seem to be of different patients: Ann, Bob." in widget.ui.warningLabel.text


def plain(label: Any) -> str:
    """What a label says, without the places where it may break."""
    return label.text.replace("\u200b", "")


def test_detect_in_an_empty_scene_says_so(widget: SegmentationWidget) -> None:
    widget.ui.detectButton.click()
    assert "no volume in the scene" in widget.ui.detectionLabel.text


@pytest.mark.usefixtures("volumes")
def test_expectation_follows_the_sequences_in_use(widget: SegmentationWidget) -> None:
    widget.show()
    ui = widget.ui
    assert "Present: FLAIR, T1, T1c, T2. Expected Dice" in ui.expectationLabel.text
    assert not ui.warningLabel.visible
    ui.useT1c.checked = False
    assert "Missing, will be imputed: T1c." in ui.expectationLabel.text
    card = widget.models.card.dice["flair+t1+t2"]
    assert f"ET {card['ET']:.2f}, TC {card['TC']:.2f}, WT {card['WT']:.2f}" in ui.expectationLabel.text
    assert ui.warningLabel.visible
    assert ui.warningIcon.visible
    assert "Without T1c, enhancing tumor (ET)" in ui.warningLabel.text
    widget.hide()


@pytest.mark.usefixtures("volumes")
def test_segment_turns_into_cancel_and_shows_true_progress(widget: SegmentationWidget, client: FakeClient) -> None:
    widget.show()
    ui = widget.ui
    assert ui.segmentButton.enabled
    ui.segmentButton.click()
    assert (client.last.do, ui.segmentButton.text, ui.segmentButton.enabled) == ("segment", "Cancel", True)
    client.last.tell("stage", stage="network")
    client.last.tell("progress", fraction=0.42)
    assert ui.segmentProgress.visible
    assert (ui.segmentProgress.value, ui.segmentProgress.text) == (420, "42 %")
    assert ui.segmentStatus.text.startswith("Segmenting · elapsed 0:00 · about 0:00 left")
    assert not ui.compareButton.enabled
    assert "segmentation" in ui.compareButton.toolTip
    ui.segmentButton.click()
    assert client.last.isCancelled
    assert not ui.segmentButton.enabled
    client.last.end()
    assert (ui.segmentButton.text, ui.segmentButton.enabled) == ("Segment", True)
    assert ui.messageLabel.text == "The segmentation was cancelled."
    assert not ui.segmentProgress.visible
    widget.hide()


@pytest.mark.usefixtures("volumes")
def test_errors_are_shown_in_plain_words(widget: SegmentationWidget, client: FakeClient) -> None:
    widget.ui.segmentButton.click()
    client.last.end(error=LckdError("OUT_OF_MEMORY", "There is not <enough> memory.", "Close other programs."))
    assert widget.ui.messageLabel.text == "<b>There is not &lt;enough&gt; memory.</b> Close other programs."
    assert widget.ui.segmentButton.text == "Segment"


@pytest.mark.usefixtures("volumes")
def test_errors_name_volumes_not_files_or_options(widget: SegmentationWidget, client: FakeClient) -> None:
    widget.ui.segmentButton.click()
    action = "Choose the image; a segmentation is given with --reference."
    client.last.end(error=InputError("LABELS_AS_IMAGE", "t1c.nrrd looks like a segmentation.", action))
    assert widget.ui.messageLabel.text == (
        f"<b>{NAMES['t1c']} (T1c) looks like a segmentation.</b> "
        "Choose the image; a segmentation is given as the reference."
    )


@pytest.mark.usefixtures("volumes")
def test_a_comparison_names_its_reference(widget: SegmentationWidget, client: FakeClient, scene: Any) -> None:
    expert = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Expert")
    slicer.util.updateVolumeFromArray(expert, np.ones((4, 5, 6), dtype=np.uint8))
    widget.ui.referenceSelector.setCurrentNode(expert)
    widget.ui.compareButton.click()
    refused = InputError("OTHER_GRID", "The reference segmentation reference.nrrd does not lie there.", "Move it.")
    client.last.end(error=refused)
    assert widget.ui.compareMessageLabel.text == (
        "<b>The reference segmentation Expert does not lie there.</b> Move it."
    )
    widget.ui.compareButton.click()
    row = {"subset": "flair", "volume_ml": 1.0, "dice": 0.5, "hd95_mm": 1.0}
    rows = [row | {"region": region} for region in ("ET", "TC", "WT")]
    client.last.end(result={"subsets": rows, "basis": "reference segmentation reference.nrrd"})
    assert "Dice and HD95 are to reference segmentation Expert." in widget.ui.compareMessageLabel.text
    chart = scene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert chart.GetYAxisTitle() == "Dice to reference segmentation Expert"


@pytest.mark.usefixtures("volumes")
def test_damaged_result_is_told_and_leaves_the_scene_as_it_was(
    widget: SegmentationWidget, client: FakeClient, scene: Any, tmp_path: Path
) -> None:
    before = scene.GetNumberOfNodes()
    widget.ui.segmentButton.click()
    client.last.end(result={"files": {"segmentation": str(tmp_path / "segmentation.nrrd")}})
    assert "missing or damaged" in widget.ui.messageLabel.text
    assert scene.GetNumberOfNodes() == before


@pytest.mark.usefixtures("volumes")
def test_nothing_is_asked_while_requirements_are_refused(widget: SegmentationWidget, client: FakeClient) -> None:
    widget.panel.requirements.refusal = LckdError("INSTALL_DECLINED", "Nothing was installed.", "Agree.")
    for button in (widget.ui.segmentButton, widget.ui.compareButton):
        button.click()
        assert widget.ui.messageLabel.text == "<b>Nothing was installed.</b> Agree."
    assert client.requests == []


def test_the_same_volume_twice_is_refused_in_words(widget: SegmentationWidget, volumes: dict[str, Any]) -> None:
    widget.ui.t2Selector.setCurrentNode(volumes["flair"])
    assert widget.ui.segmentButton.toolTip == "The same image is given as FLAIR and as T2."
    assert not widget.ui.segmentButton.enabled


def test_job_says_what_the_panel_says(widget: SegmentationWidget, client: FakeClient, volumes: dict[str, Any]) -> None:
    import json

    ui = widget.ui
    ui.threadsBox.value = 3
    ui.mirrorBox.checked = True
    ui.probabilitiesBox.checked = True
    ui.uncertaintyBox.checked = True
    ui.gridSelector.currentIndex = list(GridChoice).index(GridChoice.T2)
    ui.useT1.checked = False
    ui.segmentButton.click()
    job = json.loads(Path(client.last.fields["job"], "job.json").read_text())
    assert set(job["images"]) == {"flair", "t1c", "t2"}
    assert (job["threads"], job["mirror"], job["grid"], job["device"]) == (3, True, "t2", "auto")
    assert job["probabilities"]
    assert job["uncertainty"]
    assert volumes["flair"].GetName() not in json.dumps(job)
    client.last.end()
    ui.compareButton.click()
    job = json.loads(Path(client.last.fields["job"], "job.json").read_text())
    assert (client.last.do, job["mirror"]) == ("compare", True)
    assert not job["probabilities"], "the maps of a comparison are not brought into the scene"
    assert not job["uncertainty"]


@pytest.mark.usefixtures("volumes")
def test_toggling_a_sequence_decodes(widget: SegmentationWidget, client: FakeClient) -> None:
    widget.ui.segmentButton.click()
    first = client.last
    first.end()
    widget.ui.useT2.checked = False
    widget.ui.segmentButton.click()
    assert (client.last.do, client.last.fields["subset"]) == ("decode", "flair+t1+t1c")
    assert client.last.fields["job"] == first.fields["job"]
    client.last.end()


def test_changed_or_moved_volume_is_written_anew(
    widget: SegmentationWidget, client: FakeClient, volumes: dict[str, Any]
) -> None:
    folders = []
    for change in (lambda: None, lambda: None, lambda: volumes["t2"].SetOrigin(1, 2, 3), lambda: _paint(volumes["t1"])):
        change()
        widget.ui.segmentButton.click()
        folders.append(Path(client.last.fields["job"]))
        client.last.end()
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3
    assert [folder.exists() for folder in folders] == [False, False, False, True]


def _paint(volume: Any) -> None:
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = 99
    slicer.util.arrayFromVolumeModified(volume)


@pytest.mark.usefixtures("volumes")
def test_closing_the_scene_or_the_module_leaves_nothing_behind(widget: SegmentationWidget, client: FakeClient) -> None:
    for close in (widget.closeScene, widget.cleanUp):
        parameters = widget.panel.parameters
        widget.ui.segmentButton.click()
        folder = Path(client.last.fields["job"])
        assert folder.exists()
        shutdowns = client.shutdowns
        close()
        assert not folder.exists()
        assert client.shutdowns == shutdowns + 1
        assert widget.ui.segmentButton.text == "Segment"
        widget.setParameters(parameters)


@pytest.mark.usefixtures("volumes")
def test_closing_the_scene_while_idle_keeps_the_process_but_forgets_the_patient(
    widget: SegmentationWidget, client: FakeClient
) -> None:
    widget.ui.segmentButton.click()
    client.last.end()
    widget.closeScene()
    assert client.last.do == "forget"
    assert client.isRunning


def test_parameters_survive_saving_and_another_set_is_shown(
    widget: SegmentationWidget, parameters: Any, scene: Any, volumes: dict[str, Any], tmp_path: Path
) -> None:
    parameters.division = Division.REGIONS
    parameters.rerun = Rerun.ADD
    parameters.compareSubsets = ["flair", "flair+t1c"]
    parameters.batchInput = str(tmp_path)
    parameters.threads = 2
    parameters.device = "cuda:1"
    other = widget.ui.parameterNodeSelector.addNode()
    assert other.GetAttribute("ModuleName") == MODULE_NAME
    widget.setParameters(SegmentationParameters(other))
    assert (widget.ui.flairSelector.currentNode(), widget.ui.threadsBox.value) == (None, 0)
    text = _saved(scene)
    widget.closeScene()
    scene.Clear()
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(text)
    assert scene.Import()
    scene.SetLoadFromXMLString(0)
    found = scene.GetFirstNodeByName("LCKD")
    widget.setParameters(SegmentationParameters(found))
    read = widget.panel.parameters
    assert (read.division, read.rerun, read.threads) == (Division.REGIONS, Rerun.ADD, 2)
    assert list(read.compareSubsets) == ["flair", "flair+t1c"]
    assert read.flair.GetName() == NAMES["flair"]
    assert widget.ui.batchInputEdit.currentPath == str(tmp_path)
    assert widget.ui.deviceSelector.currentText == "CUDA:1 (not found)"
    assert widget.ui.flairSelector.currentNode() is read.flair


def _saved(scene: Any) -> str:
    scene.SetSaveToXMLString(1)
    scene.Commit()
    scene.SetSaveToXMLString(0)
    return scene.GetSceneXMLString()


def test_settings_and_problems_of_parameters(parameters: Any, scene: Any, tmp_path: Path) -> None:
    assert settingsOf(parameters).asJob() == {
        **dict.fromkeys(("model", "threads", "grid")),
        **dict.fromkeys(("mirror", "probabilities", "uncertainty"), False),
        "device": "auto",
    }
    parameters.flair = small_volume(scene, "flair")
    assert inputsProblem(parameters) == ""
    parameters.useFlair = False
    assert inputsProblem(parameters) == "Tick at least one of the chosen sequences."
    parameters.useFlair = True
    parameters.grid = GridChoice.T1C
    assert "T1c, which is not in use" in inputsProblem(parameters)
    assert batchProblem(parameters) == "Choose the folder that holds the cases."
    parameters.batchInput = str(tmp_path / "none")
    assert batchProblem(parameters) == "The input folder does not exist."
    parameters.batchInput = parameters.batchOutput = str(tmp_path)
    assert batchProblem(parameters) == "Choose an output folder other than the input folder."
    with pytest.raises(ValueError, match="range"):
        parameters.threads = -1


def test_every_control_has_a_tool_tip_and_the_keyboard_goes_from_top_to_bottom(widget: SegmentationWidget) -> None:
    import xml.etree.ElementTree as ElementTree

    from LCKDSegmentationLib.Widget import UI_FILE

    root = ElementTree.parse(UI_FILE).getroot()
    # Without tab stops, the order is that in which the widgets are made.
    assert list(root.iter("tabstop")) == []
    controls = [
        item.get("name")
        for item in root.iter("widget")
        if item.get("class") not in ("QLabel", "QProgressBar", "ctkCollapsibleButton", "qMRMLWidget")
    ]
    places = [widget.ui.segmentButton, widget.ui.resultSelector, widget.ui.compareButton, widget.ui.batchButton]
    order = {}
    one = widget.ui.sequencesSection
    while one not in order:
        order[one] = len(order)
        one = one.nextInFocusChain()
    assert [order[place] for place in places] == sorted(order[place] for place in places)
    assert [name for name in controls if not getattr(widget.ui, name).toolTip] == []

"""The stand-ins behave as PythonQt and Slicer's widgets do, and offer nothing that Slicer does not have."""

import sys
from pathlib import Path
from typing import Any

import ctk
import pytest
import qt
import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper
from stand_ins import application, ctk_widgets, mrml_widgets, plot_widgets, pythonqt, recordedNames

STAND_INS = [
    cls
    for module in (ctk_widgets, mrml_widgets, plot_widgets, application)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, pythonqt.StandInWidget) and cls is not pythonqt.StandInWidget
]
UI = """<?xml version="1.0"?><ui version="4.0"><class>Panel</class><widget class="qMRMLWidget" name="Panel">
<layout class="QVBoxLayout" name="layout">
<item><widget class="ctkCollapsibleButton" name="section"><property name="text"><string>Inputs</string></property>
<property name="collapsed"><bool>true</bool></property>
<layout class="QFormLayout" name="form"><item row="0" column="1">
<widget class="qMRMLNodeComboBox" name="flair"><property name="nodeTypes"><stringlist>
<string>vtkMRMLScalarVolumeNode</string></stringlist></property>
<property name="noneEnabled"><bool>true</bool></property></widget></item>
<item row="1" column="1"><widget class="QPushButton" name="apply"><property name="text"><string>Segment</string>
</property></widget></item></layout></widget></item>
<item><widget class="ctkPathLineEdit" name="folder"><property name="filters">
<set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Writable</set></property></widget></item></layout></widget>
<connections><connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>flair</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


@pytest.fixture
def panel(scene: Any, tmp_path: Path) -> Any:
    file = tmp_path / "Panel.ui"
    file.write_text(UI, encoding="utf-8")
    widget = slicer.util.loadUI(str(file))
    widget.setMRMLScene(scene)
    return widget


def offered(cls: type) -> set[str]:
    """The public names of a stand-in, without what Qt itself has or calls."""
    base = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6."))
    own = {"isStandIn", "cppSignals", "staticMetaObject"}
    return {name for name in vars(cls) if not name.startswith("_") and not hasattr(base, name)} - own


@pytest.mark.parametrize("cls", STAND_INS, ids=lambda cls: cls.__name__)
def test_a_stand_in_offers_only_names_found_in_slicers_sources(cls: type) -> None:
    recorded = recordedNames()[cls.__name__]
    assert recorded["source"]["revision"] in ("v5.12.3", "5056664a20a3d0a393bb6d91f040525581e0dcdf")
    assert offered(cls)
    assert offered(cls) <= set(recorded["names"])
    signals = {signature.split("(")[0] for signature in cls.cppSignals}
    assert signals <= set(recorded["names"])


def test_properties_are_attributes() -> None:
    label = qt.QLabel("a")
    label.text = "b"
    assert (label.text, label.enabled) == ("b", True)
    box = qt.QCheckBox()
    box.checked = True
    assert box.checked is True
    assert qt.QTableWidget(3, 2).rowCount == 3
    assert qt.QTableWidget(3, 2).horizontalHeader().visible is False
    assert label.name == label.objectName == ""


def test_a_property_is_not_a_function() -> None:
    with pytest.raises(TypeError):
        qt.QLabel("a").text()


def test_unknown_attributes_are_refused_on_widgets_but_not_on_python_classes() -> None:
    class Panel(qt.QWidget):
        pass

    with pytest.raises(AttributeError):
        qt.QLabel("a").txet = "b"
    with pytest.raises(AttributeError):
        slicer.qMRMLNodeComboBox().currentNodeTyp = "b"
    with pytest.raises(AttributeError):
        qt.QLabel("a")._text = "b"
    panel = Panel()
    panel.button = qt.QPushButton("b")
    assert panel.button.text == "b"


def test_methods_are_not_overwritten_on_objects() -> None:
    class Panel(qt.QWidget):
        def update(self) -> None:
            """Overrides a slot, which a class may."""

    with pytest.raises(AttributeError, match="Slot 'show'"):
        Panel().show = print
    with pytest.raises(AttributeError, match="Slot 'update'"):
        Panel().update = print


def test_a_timer_is_single_shot_by_its_method_only() -> None:
    timer = qt.QTimer()
    with pytest.raises(AttributeError):
        timer.singleShot = True
    timer.setSingleShot(True)
    assert (timer.isSingleShot(), timer.active) == (True, False)


def test_signals_connect_by_signature_and_by_attribute_and_drop_what_is_not_taken() -> None:
    called = []
    button = qt.QPushButton("a")
    button.checkable = True

    def nothing() -> None:
        called.append("nothing")

    button.connect("clicked(bool)", nothing)
    button.connect("clicked(bool)", called.append)
    button.clicked.connect(lambda: called.append("attribute"))
    button.click()
    assert called == ["nothing", True, "attribute"]
    assert button.disconnect("clicked(bool)", nothing)
    assert not button.disconnect("clicked(bool)", nothing)
    button.click()
    assert called[3:] == [False, "attribute"]


def test_calls_of_qt_leave_none_alive() -> None:
    """PySide6 6.12.0 loses a reference to None with each call; before Python 3.12 that ends the process after many."""
    button, before = qt.QPushButton("a"), sys.getrefcount(None)
    for _index in range(1000):
        button.setText("b")
    assert sys.getrefcount(None) > before - 100


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(AttributeError, match="clickd"):
        qt.QPushButton("a").connect("clickd()", print)


def test_ui_files_load_with_properties_children_and_connections(panel: Any, scene: Any) -> None:
    ui = slicer.util.childWidgetVariables(panel)
    assert ui.apply.text == "Segment"
    assert type(ui.flair) is slicer.qMRMLNodeComboBox
    assert ui.flair.mrmlScene() is scene
    assert ui.flair.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert ui.folder.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable
    assert ui.section.collapsed
    ui.section.collapsed = False
    panel.show()
    assert ui.apply.visible


def test_ui_file_with_an_unknown_class_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Panel.ui"
    file.write_text(UI.replace("ctkPathLineEdit", "ctkNoSuchWidget"), encoding="utf-8")
    with pytest.raises(AttributeError, match="ctkNoSuchWidget"):
        slicer.util.loadUI(str(file))


def test_node_selector_follows_the_scene(panel: Any, scene: Any) -> None:
    selector = slicer.util.childWidgetVariables(panel).flair
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FLAIR")
    scene.AddNewNodeByClass("vtkMRMLModelNode", "Model")
    assert selector.nodeCount() == 1
    assert selector.currentNode() is None
    selector.setCurrentNode(node)
    assert selector.currentNodeID == node.GetID()
    scene.RemoveNode(node)
    assert selector.currentNode() is None
    assert seen == [node, None]


def test_node_selector_without_none_takes_the_first_node(scene: Any) -> None:
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLVolumeNode"]
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind", "T1")
    selector.setMRMLScene(scene)
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    assert selector.currentNode() is None
    wanted = slicer.vtkMRMLScalarVolumeNode()
    wanted.SetAttribute("kind", "T1")
    scene.AddNode(wanted)
    assert selector.currentNode() is wanted
    selector.setMRMLScene(None)


def test_slicers_own_parameter_node_wrapper_drives_the_widgets(panel: Any, scene: Any) -> None:
    @parameterNodeWrapper
    class Parameters:
        flair: slicer.vtkMRMLScalarVolumeNode
        folder: Path

    ui = slicer.util.childWidgetVariables(panel)
    parameters = Parameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "LCKD"))
    tag = parameters.connectParametersToGui({"flair": ui.flair, "folder": ui.folder})
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FLAIR")
    ui.flair.setCurrentNode(node)
    assert parameters.flair is node
    parameters.folder = Path("results")
    assert ui.folder.currentPath == "results"
    parameters.disconnectGui(tag)


def test_slider_keeps_its_limits_and_tells() -> None:
    slider = ctk.ctkSliderWidget()
    slider.maximum = 1.0
    slider.singleStep = 0.1
    seen: list[float] = []
    slider.connect("valueChanged(double)", seen.append)
    slider.value = 0.25
    slider.value = 7.0
    assert seen == [0.25, 1.0]


def test_application_has_a_scene_a_layout_and_settings(app: Any, keep_settings: Any) -> None:
    assert slicer.mrmlScene is app.mrmlScene() is app.layoutManager().mrmlScene()
    seen: list[int] = []
    app.layoutManager().connect("layoutChanged(int)", seen.append)
    four_up = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    app.layoutManager().setLayout(four_up)
    assert seen == [four_up]
    assert app.layoutManager().sliceViewNames() == ("Red", "Green", "Yellow")
    app.settings().setValue("LCKD/device", "cpu")
    assert slicer.util.settingsValue("LCKD/device", "") == "cpu"
    assert _("text {a}").format(a=1) == "text 1"

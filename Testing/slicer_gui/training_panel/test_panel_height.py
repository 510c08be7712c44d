"""The height of the panel in Slicer's module panel, also after the module was left and opened again."""

from typing import Any

import qt

from LCKDTrainingLib.Widget import TrainingWidget


def _settle() -> None:
    for _turn in range(5):
        qt.QCoreApplication.processEvents()


def test_all_text_is_seen_after_the_module_was_left_and_opened_again(widget: TrainingWidget) -> None:
    area, contents, module = qt.QScrollArea(), qt.QWidget(), qt.QWidget()
    qt.QVBoxLayout(module).addWidget(widget)
    layout = qt.QVBoxLayout(contents)
    area.setWidgetResizable(True)
    area.setWidget(contents)
    area.resize(440, 700)
    area.show()
    leaked: list[Any] = []
    for _visit in range(2):
        layout.insertWidget(0, module, 1)
        module.setVisible(True)
        _settle()
        # As qSlicerModulePanel::removeModule, which does not delete the item either.
        leaked.append(layout.takeAt(0))
        module.setVisible(False)
        module.setParent(None)
    layout.insertWidget(0, module, 1)
    module.setVisible(True)
    _settle()
    for count in (1, 40, 3):
        widget.data.message.say("Many words to be read. " * count)
        widget.panel.say("Many words to be read. " * count)
        _settle()
        labels = (widget.ui.dataMessageLabel, widget.ui.messageLabel, widget.ui.presetLabel)
        assert all(one.height >= one.heightForWidth(one.width) for one in labels), f"lines are cut of {count} sentences"
        root = widget.root
        assert root.height == root.heightForWidth(root.width), f"not as tall as {count} sentences need"
    widget.setParent(None)
    area.deleteLater()

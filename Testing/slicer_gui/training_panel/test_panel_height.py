"""The height of the panel in Slicer's module panel, also after the module was left and opened again."""

from collections.abc import Iterator

import pytest
import qt

from LCKDTrainingLib.PanelHeight import PanelHeight


@pytest.fixture
def visited_again() -> Iterator[tuple[qt.QWidget, qt.QWidget, qt.QLabel]]:
    """What Slicer's module panel scrolls, the widget of a module in it that was left and opened again, and its text."""
    around, widget, text = qt.QWidget(), qt.QWidget(), qt.QLabel("short")
    layout = qt.QVBoxLayout(around)
    qt.QVBoxLayout(widget).addWidget(text)
    text.setWordWrap(True)
    layout.addWidget(widget)
    # As qSlicerModulePanel::removeModule, which does not delete the item either.
    leaked = layout.takeAt(layout.indexOf(widget))
    widget.setParent(None)
    layout.insertWidget(0, widget, 1)
    around.resize(200, 400)
    around.show()
    widget.show()
    qt.QCoreApplication.processEvents()
    yield around, widget, text
    assert leaked is not None


def _growth(around: qt.QWidget, text: qt.QLabel) -> tuple[int, int]:
    """By how much the height rises with a longer text that the layout asks for, and the one that the text needs."""
    before, needed = around.heightForWidth(200), text.heightForWidth(160)
    text.setText("long " * 100)
    for _turn in range(5):
        qt.QCoreApplication.processEvents()
    return around.heightForWidth(200) - before, text.heightForWidth(160) - needed


def test_a_panel_that_is_opened_again_has_the_height_of_its_texts(
    visited_again: tuple[qt.QWidget, qt.QWidget, qt.QLabel],
) -> None:
    around, widget, text = visited_again
    height = PanelHeight(widget)
    asked, needed = _growth(around, text)
    assert asked > needed / 2 > 50
    height.close()


def test_without_that_the_layout_goes_on_with_the_height_of_before(
    visited_again: tuple[qt.QWidget, qt.QWidget, qt.QLabel],
) -> None:
    around, _widget, text = visited_again
    assert _growth(around, text)[0] == 0, "Qt asks again by itself: PanelHeight is not needed any more"

"""Keeps the height of a module's panel right after the user has left the module and come back.

Slicer's module panel takes the widget of a module out of its layout without deleting the layout's item. Qt then never
tells the item of the next visit that a text has got longer or a section was opened: it goes on answering with the
height that it has once found for a width, and the panel is squeezed or leaves a gap.
"""

from __future__ import annotations

import qt

#: An item remembers the heights for three widths; those of three others push them out. No panel is so narrow.
_OTHER_WIDTHS = (1, 2, 3)


class PanelHeight(qt.QObject):
    """Lets the layout around a widget forget how high the widget was whenever something in the widget changes.

    :param widget: that of the module, whose layout holds the panel
    """

    def __init__(self, widget: qt.QWidget) -> None:
        qt.QObject.__init__(self)
        self._widget = widget
        widget.installEventFilter(self)

    def eventFilter(self, _watched: qt.QObject, event: qt.QEvent) -> bool:
        """See that the layout of the widget is to be made anew; nothing is kept from it."""
        if event.type() == qt.QEvent.LayoutRequest:
            self.forget()
        return False

    def forget(self) -> None:
        """Let the layout around the widget ask for its height again."""
        around = self._widget.parentWidget()
        layout = around.layout() if around is not None else None
        place = layout.indexOf(self._widget) if layout is not None else -1
        if place >= 0:
            item = layout.itemAt(place)
            for width in _OTHER_WIDTHS:
                item.heightForWidth(width)

    def close(self) -> None:
        """The panel goes away."""
        self._widget.removeEventFilter(self)

"""A table of settings that can be changed: each with its value and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from LCKDSegmentationLib.Panel import fillTable, prepareTable, setEnabledWithReason

from .Settings import Setting, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME, _VALUE, _MEANING = range(3)


class SettingsTable:
    """Shows settings and hands on what is typed.

    :param ui: the widgets of the panel
    :param onText: takes the name of a setting and the text that was typed or chosen for it
    :param onReset: takes the name of the setting that is to be as in the preset again; empty: all
    """

    def __init__(self, ui: Any, onText: Callable[[str, str], None], onReset: Callable[[str], None]) -> None:
        self._ui = ui
        self._onText = onText
        self._settings: list[Setting] = []
        self._changed: set[str] = set()
        self._problem = ""
        table = ui.settingsTable
        prepareTable(table, _headers())
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setMinimumHeight(220)
        table.horizontalHeader().setSectionResizeMode(_NAME, qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(_MEANING, qt.QHeaderView.Stretch)
        table.connect("itemChanged(QTableWidgetItem*)", self._takeText)
        table.connect("itemSelectionChanged()", self._explain)
        ui.settingLabel.textFormat = qt.Qt.PlainText
        ui.settingsFilterEdit.connect("textChanged(QString)", lambda _text: self._filter())
        ui.resetSettingButton.connect("clicked(bool)", lambda: onReset(self.chosen))
        ui.resetSettingsButton.connect("clicked(bool)", lambda: onReset(""))

    @property
    def chosen(self) -> str:
        """The name of the setting that is chosen; empty if none is."""
        rows = {item.row() for item in self._ui.settingsTable.selectedItems()}
        return self._settings[min(rows)].name if rows else ""

    def show(self, settings: list[Setting], values: Mapping[str, Any], changed: set[str], problem: str) -> None:
        """Show settings with their values of now.

        :param changed: names of all settings that differ from the preset
        :param problem: why nothing can be changed now; empty if it can
        """
        if settings != self._settings:
            self._fill(settings)
        table, ui = self._ui.settingsTable, self._ui
        table.blockSignals(True)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers if problem else _editTriggers())
        for row, setting in enumerate(settings):
            self._showValue(row, setting, values[setting.name], not problem)
            for column in (_NAME, _VALUE, _MEANING):
                setBold(table.item(row, column), setting.name in changed)
        table.blockSignals(False)
        table.toolTip = problem or _(
            "Double-click a value to change it. Settings that differ from the preset are bold."
        )
        self._changed, self._problem = changed, problem
        self._explain()
        noChange = "" if changed else _("All settings are those of the preset.")
        toolTip = _("Make all settings, those above as well, what they are in the preset.")
        setEnabledWithReason(ui.resetSettingsButton, problem or noChange, toolTip)

    def _fill(self, settings: list[Setting]) -> None:
        table = self._ui.settingsTable
        table.blockSignals(True)
        fillTable(table, _headers(), [[titleOf(one.name), "", one.explanation] for one in settings])
        self._settings = settings
        fixed = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        for row, setting in enumerate(settings):
            toolTip = f"<p>{setting.explanation}</p>"
            for column in (_NAME, _VALUE, _MEANING):
                table.item(row, column).setToolTip(toolTip)
                if column != _VALUE or setting.options:
                    table.item(row, column).setFlags(fixed)
            if setting.options:
                table.setCellWidget(row, _VALUE, self._selector(setting))
        table.blockSignals(False)
        self._filter()

    def _selector(self, setting: Setting) -> qt.QComboBox:
        selector = qt.QComboBox()
        for option in setting.options:
            selector.addItem(shown(option))
        selector.toolTip = f"<p>{setting.explanation}</p>"
        selector.setSizeAdjustPolicy(qt.QComboBox.AdjustToContents)
        # Slicer's style lets the wheel scroll the table and change no setting; it is not to move the focus either.
        selector.setFocusPolicy(qt.Qt.StrongFocus)
        name = setting.name
        selector.connect("activated(int)", lambda index: self._onText(name, selector.itemText(index)))
        return selector

    def _showValue(self, row: int, setting: Setting, value: Any, isEnabled: bool) -> None:
        table = self._ui.settingsTable
        if setting.options:
            selector = table.cellWidget(row, _VALUE)
            selector.currentIndex = selector.findText(shown(value))
            selector.enabled = isEnabled
        else:
            table.item(row, _VALUE).setText(shown(value))

    def _takeText(self, item: qt.QTableWidgetItem) -> None:
        if item.column() == _VALUE:
            self._onText(self._settings[item.row()].name, item.text())

    def _filter(self) -> None:
        wanted = self._ui.settingsFilterEdit.text.strip().lower()
        for row, setting in enumerate(self._settings):
            words = f"{titleOf(setting.name)} {setting.name} {setting.explanation}".lower()
            self._ui.settingsTable.setRowHidden(row, wanted not in words)

    def _explain(self) -> None:
        """Say all about the setting that is chosen."""
        setting = next((one for one in self._settings if one.name == self.chosen), None)
        words = ""
        if setting is not None:
            was = _("In the preset: {value}. In commands: {name}.").format(
                value=shown(setting.value), name=setting.name
            )
            words = f"{setting.explanation} {was}"
        self._ui.settingLabel.text = words
        self._ui.settingLabel.setVisible(bool(words))
        if setting is None:
            reason = _("Choose a setting in the table.")
        else:
            reason = "" if setting.name in self._changed else _("It is as in the preset.")
        setEnabledWithReason(
            self._ui.resetSettingButton, self._problem or reason, _("Make the chosen setting what it is in the preset.")
        )


def titleOf(name: str) -> str:
    """Return what a setting is called for the user: ``Learning rate`` for ``learning_rate``."""
    return name.replace("_", " ").capitalize()


def setBold(item: Any, isBold: bool) -> None:
    """Let an item of a table be written in bold, or not."""
    font = item.font()
    if font.bold() != isBold:
        font.setBold(isBold)
        item.setFont(font)


def _editTriggers() -> int:
    view = qt.QAbstractItemView
    return view.DoubleClicked | view.EditKeyPressed | view.AnyKeyPressed


def _headers() -> list[str]:
    return [_("Setting"), _("Value"), _("Meaning")]

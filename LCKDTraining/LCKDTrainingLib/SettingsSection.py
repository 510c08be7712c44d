"""The settings of a training in the panel: the preset, the few that matter, and a table of all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from LCKDSegmentationLib.DeviceChoice import fillSelector
from LCKDSegmentationLib.Panel import Message, setEnabledWithReason

from .Parameters import DEFAULT_PRESET, baseOf, changedSettings, storeSettings
from .Settings import Setting, fromYamlText, shown, yamlText
from .SettingsTable import SettingsTable

if TYPE_CHECKING:
    from lckd.errors import LckdError
    from LCKDSegmentationLib.EngineCommand import EngineCommand

    from .TrainingPanel import TrainingPanel

#: Those above the table, with the names of their widgets.
_EDITS = {
    "iterations": "iterationsEdit",
    "patch": "patchEdit",
    "batch": "batchEdit",
    "learning_rate": "learningRateEdit",
    "alpha": "alphaEdit",
}
_TEACHERS = "teachers"
#: Not in the table: cases are left out in the section above.
_EXCLUDE = "exclude"
_HIDDEN = (_EXCLUDE,)
_FROM_FILE = "*"
#: What a base is worth until it is written anew: its path or name, and when the file was written.
_Version = tuple[str, int]


class SettingsSection:
    """Shows the settings of the preset or the run, and keeps what the user changes in them.

    :param lock: says why nothing can be changed now; empty if it can

    Attributes:
        settings: all settings by name, with their value in the preset or run; empty until they are known.
    """

    def __init__(self, panel: TrainingPanel, lock: Callable[[], str]) -> None:
        self.settings: dict[str, Setting] = {}
        self._panel = panel
        self._lock = lock
        self._message = Message(panel.ui.settingsMessageLabel)
        self._command: EngineCommand | None = None
        self._version: _Version | None = None
        self._refusal: LckdError | None = None
        ui = panel.ui
        self._table = SettingsTable(ui, self._takeText, self._reset)
        self._presetTip = ui.presetSelector.toolTip
        ui.presetSelector.connect("activated(int)", self._choosePreset)
        ui.teachersSelector.connect(
            "activated(int)", lambda index: self._takeText(_TEACHERS, ui.teachersSelector.itemText(index))
        )
        for name, widget in _EDITS.items():
            getattr(ui, widget).connect("editingFinished()", lambda name=name: self._takeEdit(name))

    @property
    def values(self) -> dict[str, Any]:
        """The values of now by name; empty until they are known."""
        changed = changedSettings(self._panel.parameters) if self._panel.parameters is not None else {}
        return {
            name: fromYamlText(changed[name]) if name in changed else setting.value
            for name, setting in self.settings.items()
        }

    def change(self, name: str, value: Any) -> None:
        """Give a setting another value; that of the preset is no change."""
        parameters = self._panel.parameters
        if parameters is None:
            return
        changed = changedSettings(parameters)
        changed.pop(name, None)
        if value != self.settings[name].value:
            changed[name] = yamlText(value)
        storeSettings(parameters, changed)

    def update(self) -> None:
        """Show the preset and the values of now."""
        parameters = self._panel.parameters
        if parameters is not None:
            self._rebase()
            self._load()
        locked = self._panel.setProblem() or self._lock()
        self._showPreset(locked)
        self._showValues(locked or self._problem())

    def stop(self) -> None:
        """End what is under way."""
        command, self._command = self._command, None
        if command is not None:
            command.cancel()

    def tryAgain(self) -> None:
        """Ask again for settings that could not be told."""
        if self._refusal is not None:
            self._refusal, self._version = None, None

    def _problem(self) -> str:
        """Why there is nothing to change."""
        if self.settings:
            return ""
        if self._refusal is not None:
            return f"{self._refusal.message} {self._refusal.action}"
        if self._command is not None:
            return _("The settings are being read…")
        return _("The settings will be shown here once the required packages are installed.")

    def _rebase(self) -> None:
        """Changes are changes of one preset or run; with another, one begins anew."""
        parameters = self._panel.parameters
        base = baseOf(parameters)
        if base != parameters.base:
            storeSettings(parameters, {})
            parameters.base = base

    def _load(self) -> None:
        """Ask the trainer for the settings of the base, if they are not known."""
        base = self._panel.parameters.base
        version = (base, Path(base).stat().st_mtime_ns if Path(base).is_file() else 0)
        if version == self._version or self._panel.requirements.missing():
            return
        self.stop()
        if self._version is None or self._version[0] != base:
            self.settings = {}
        self._version, self._refusal = version, None

        def take(facts: list[dict[str, Any]]) -> None:
            if self._version == version:
                self._take([Setting.fromFacts(one) for one in facts])

        def refuse(error: LckdError) -> None:
            if self._version == version and error.code != "CANCELLED":
                self._command, self._refusal = None, error
                self._panel.changed()

        self._command = self._panel.logic.settings(base, take, refuse)

    def _take(self, settings: list[Setting]) -> None:
        """The settings are known; what is as in the base, since the run was begun with it, is no change any more."""
        self._command = None
        self.settings = {one.name: one for one in settings}
        parameters = self._panel.parameters
        if parameters is not None:
            changed = changedSettings(parameters)
            kept = {
                name: text
                for name, text in changed.items()
                if name in self.settings and fromYamlText(text) != self.settings[name].value
            }
            if kept != changed:
                storeSettings(parameters, kept)
            self._leaveOutAsTheRun()
        self._panel.changed()

    def _leaveOutAsTheRun(self) -> None:
        """Cases that the run in the folder leaves out stay left out, also where it was begun with another scene."""
        parameters, setting = self._panel.parameters, self.settings.get(_EXCLUDE)
        if setting is not None and parameters.base != parameters.preset:
            names = sorted({*parameters.excluded, *map(str, setting.value)})
            if names != sorted(parameters.excluded):
                parameters.excluded = names

    def _takeEdit(self, name: str) -> None:
        edit = getattr(self._panel.ui, _EDITS[name])
        if name in self.settings and edit.text != shown(self.values[name]):
            self._takeText(name, edit.text)

    def _takeText(self, name: str, text: str) -> None:
        """Take what was typed, or say why not and show the former value again."""
        try:
            self.change(name, self.settings[name].read(text))
            self._message.say("")
        except ValueError as error:
            self._message.say(str(error))
        self._panel.changed()

    def _reset(self, name: str) -> None:
        parameters = self._panel.parameters
        if parameters is not None:
            changed = changedSettings(parameters)
            storeSettings(parameters, {one: text for one, text in changed.items() if name and one != name})
        self._panel.changed()

    def _choosePreset(self, index: int) -> None:
        parameters, chosen = self._panel.parameters, str(self._panel.ui.presetSelector.itemData(index))
        if chosen == _FROM_FILE:
            chosen = self._panel.dialogs.file(_("File of settings"), _("Settings (*.yaml *.yml)"))
        if parameters is not None and chosen:
            parameters.preset = chosen
        self._panel.changed()

    def _showPreset(self, locked: str) -> None:
        ui, parameters = self._panel.ui, self._panel.parameters
        items = [(name, name) for name in self._panel.logic.presetNames()]
        chosen = parameters.base if parameters is not None else DEFAULT_PRESET
        isRun = parameters is not None and parameters.base != parameters.preset
        if chosen not in [name for _title, name in items]:
            title = _("As in the run folder") if isRun else _("File {name}").format(name=Path(chosen).name)
            items.append((title, chosen))
        fillSelector(ui.presetSelector, [*items, (_("From a file…"), _FROM_FILE)], chosen)
        fixed = _("The run in this folder has its own settings. Choose another run folder to begin with a preset.")
        setEnabledWithReason(ui.presetSelector, locked or (fixed if isRun else ""), self._presetTip)
        words = fixed if isRun else presetWords().get(chosen, "")
        ui.presetLabel.textFormat = qt.Qt.PlainText
        ui.presetLabel.text = self._problem() or words
        ui.presetLabel.setVisible(bool(ui.presetLabel.text))

    def _showValues(self, problem: str) -> None:
        ui, values = self._panel.ui, self.values
        changed = {name for name, setting in self.settings.items() if values[name] != setting.value}
        for name, widget in _EDITS.items():
            edit = getattr(ui, widget)
            # What is being typed stays until it is finished; this shows it again.
            text = shown(values[name]) if name in values else ""
            if edit.text != text and not (edit.focus and edit.modified):
                edit.text = text
            self._dress(widget, name, name in changed, problem)
        setting = self.settings.get(_TEACHERS)
        options = [shown(option) for option in setting.options] if setting is not None else []
        fillSelector(ui.teachersSelector, [(one, one) for one in options], shown(values.get(_TEACHERS, "")))
        self._dress("teachersSelector", _TEACHERS, _TEACHERS in changed, problem)
        others = [one for name, one in self.settings.items() if name not in (*_EDITS, _TEACHERS, *_HIDDEN)]
        self._table.show(others, values, changed, problem)

    def _dress(self, widget: str, name: str, isChanged: bool, problem: str) -> None:
        """Show what a setting means, and in bold that it was changed."""
        setting = self.settings.get(name)
        toolTip = f"<p>{setting.explanation}</p>" if setting is not None else ""
        if setting is not None and isChanged:
            toolTip += "<p>" + _("In the preset: {value}.").format(value=shown(setting.value)) + "</p>"
        setEnabledWithReason(getattr(self._panel.ui, widget), problem, toolTip)
        label = getattr(self._panel.ui, f"{widget}Label")
        font = qt.QFont(label.font)
        font.setBold(isChanged)
        label.font = font


def presetWords() -> dict[str, str]:
    """Return what each preset is for, by its name."""
    return {
        "small-cpu": _("A small network, on a computer without a graphics card. It takes hours to a few days."),
        "fast": _("A good model from one graphics card in about a day."),
        "paper": _("As published: a large network, three days on a graphics card with 24 GB."),
        "authors": _("As in the code of the authors where it differs from the publication: longer still."),
        "embedded": _("How the model that comes with this extension was made; it names the cases of that study."),
        "smoke": _("A minute, to see that everything works. The model is of no use."),
    }

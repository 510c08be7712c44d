"""The section "Model and device": which model computes, and on what."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from .DeviceChoice import DeviceChoice, fillSelector
from .EngineCommand import EngineCommand
from .Panel import Panel, setEnabledWithReason
from .Wording import inPanelWords

if TYPE_CHECKING:
    from lckd.errors import LckdError
    from lckd.models import ModelCard, ModelEntry


class ModelSection:
    """The list of models with its buttons, and the devices that there are.

    :param runCommand: makes an `EngineCommand`; its arguments are those of that class
    """

    def __init__(self, panel: Panel, runCommand: type[EngineCommand] = EngineCommand) -> None:
        self._panel = panel
        self._runCommand = runCommand
        self._adding: EngineCommand | None = None
        self._entries: list[ModelEntry] = []
        self.devices = DeviceChoice(panel, panel.logic.client)
        ui = panel.ui
        ui.modelLabel.textFormat = qt.Qt.PlainText
        ui.modelSelector.connect("activated(int)", self._chooseModel)
        ui.addModelButton.connect("clicked(bool)", self.cancelAdding)
        self._addMenu = qt.QMenu(ui.addModelButton)
        self._addActions = [
            self._makeAction(_("From a folder…"), self.addFromFolder),
            self._makeAction(_("From a zip file…"), self.addFromZip),
            self._makeAction(_("From an https address…"), self.addFromAddress),
        ]
        self._addWords = (ui.addModelButton.text, ui.addModelButton.toolTip)
        ui.openModelsButton.connect("clicked(bool)", self.openFolder)
        ui.deleteModelButton.connect("clicked(bool)", self.delete)
        self.readModels()

    @property
    def entry(self) -> ModelEntry | None:
        """The chosen model; None if it is not on this computer."""
        wanted = self._wantedModel()
        return next((entry for entry in self._entries if wanted in (entry.name, str(entry.path))), None)

    @property
    def card(self) -> ModelCard | None:
        """What the chosen model says about itself; None if that cannot be read."""
        entry = self.entry
        return entry.card if entry is not None else None

    def problem(self) -> str:
        """Return why one cannot segment with this model or device; empty if one can."""
        entry = self.entry
        if entry is None:
            return _("The model {name} is not on this computer; choose another one.").format(name=self._wantedModel())
        if entry.problem is not None:
            return str(entry.problem)
        if self._adding is not None:
            return _("Wait until the model has been added.")
        return ""

    def readModels(self) -> None:
        """Read anew which models there are."""
        from lckd.models import list_models

        self._entries = list_models()
        self.update()

    def update(self) -> None:
        """Show the choices of now."""
        ui = self._panel.ui
        self._showModels()
        entry = self.entry
        card = entry.card if entry is not None else None
        ui.modelLabel.text = card.description if card is not None else self.problem()
        # In a paragraph, which Qt wraps.
        ui.modelLabel.toolTip = f"<p>{html.escape(card.dice_basis)}</p>" if card is not None and card.dice_basis else ""
        setEnabledWithReason(
            ui.deleteModelButton,
            "" if entry is not None and not entry.embedded else _("The embedded model cannot be deleted."),
            _("Delete this model from your disk; the embedded model stays."),
        )
        ui.openModelsButton.enabled = entry is not None
        self._showAdding()
        self.devices.update()

    def addFromFolder(self) -> None:
        """Ask for a folder and add the model in it."""
        self._add(self._panel.dialogs.folder(_("Folder of the model")))

    def addFromZip(self) -> None:
        """Ask for a zip file and add the model in it."""
        self._add(self._panel.dialogs.file(_("Zip file of the model"), _("Zip files (*.zip)")))

    def addFromAddress(self) -> None:
        """Ask for an https address and its SHA-256, download the model and add it."""
        title = _("Download a model")
        address = self._panel.dialogs.text(title, _("Address of the zip file (https://…):"))
        if not address:
            return
        sha256 = self._panel.dialogs.text(title, _("SHA-256 of the zip file, as its publisher tells it:"))
        if sha256:
            self._add(address, "--sha256", sha256)

    def openFolder(self) -> None:
        """Show where the chosen model lies."""
        if self.entry is not None:
            self._panel.dialogs.openFolder(self.entry.path)

    def delete(self) -> None:
        """Delete the chosen model, if it is the user's own, after asking."""
        from lckd.models import remove_model

        entry = self.entry
        if entry is None or entry.embedded:
            return
        if self._panel.dialogs.confirm(_("Delete the model {name} from your disk?").format(name=entry.name)):
            if self._panel.try_(lambda: remove_model(entry.name)):
                self._choose("model", "")
                self._panel.say(_("The model {name} was deleted.").format(name=entry.name))
            self.readModels()
            self._panel.changed()

    def cancelAdding(self) -> None:
        """Stop adding a model, if one is being added."""
        if self._adding is not None:
            self._adding.cancel()

    def close(self) -> None:
        """End what is under way."""
        self.cancelAdding()

    def _makeAction(self, text: str, slot: Callable[[], None]) -> qt.QAction:
        action = qt.QAction(text, self._addMenu)
        action.connect("triggered(bool)", slot)
        self._addMenu.addAction(action)
        return action

    def _add(self, source: str, *options: str) -> None:
        if not source or self._adding is not None or not self._panel.ensureRequirements():
            return

        def start() -> None:
            self._adding = self._runCommand(["models", "add", source, *options], self._takeAdded, self._takeEnd)
            self._adding.start()

        self.devices.ask()
        self._panel.say(_("The model is being checked and copied…"))
        self._panel.try_(start)
        self._panel.changed()

    def _takeAdded(self, event: dict[str, Any]) -> None:
        if event["event"] == "result":
            self._choose("model", str(event["model"]["name"]))
        elif event["event"] == "progress":
            self._panel.say(
                _("The model is being downloaded: {percent} %").format(percent=round(100 * event["fraction"]))
            )

    def _takeEnd(self, error: LckdError | None) -> None:
        from lckd.errors import CancelledError
        from lckd.models.store import remove_unfinished

        self._adding = None
        if isinstance(error, CancelledError):
            self._panel.say(_("Adding the model was cancelled; nothing was added."))
        elif error is not None:
            self._panel.sayError(inPanelWords(error))
        else:
            self._panel.say(_("The model was added and is chosen now."))
        # A process that was killed could not.
        remove_unfinished()
        self.readModels()
        self._panel.changed()

    def _showModels(self) -> None:
        wanted, entry = self._wantedModel(), self.entry
        title = {True: _("{name} (embedded)"), False: "{name}"}
        items = [(title[entry.embedded].format(name=entry.name), entry.name) for entry in self._entries]
        if entry is None:
            items.append((_("{name} (not found)").format(name=wanted), wanted))
        fillSelector(self._panel.ui.modelSelector, items, entry.name if entry is not None else wanted)

    def _showAdding(self) -> None:
        """The button is *Cancel* while a model is being added; it has its menu otherwise."""
        button, isAdding = self._panel.ui.addModelButton, self._adding is not None
        text, toolTip = self._addWords
        button.setMenu(None if isAdding else self._addMenu)
        button.text = _("Cancel") if isAdding else text
        button.toolTip = _("Stop adding the model. Nothing of it stays.") if isAdding else toolTip

    def _wantedModel(self) -> str:
        from lckd.models.store import DEFAULT_MODEL

        parameters = self._panel.parameters
        return (parameters.model if parameters is not None else "") or DEFAULT_MODEL

    def _chooseModel(self, index: int) -> None:
        self._choose("model", str(self._panel.ui.modelSelector.itemData(index)))

    def _choose(self, name: str, value: str) -> None:
        if self._panel.parameters is not None:
            setattr(self._panel.parameters, name, value)

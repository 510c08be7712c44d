"""The section "Model and device": which model computes, and on what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from .EngineCommand import EngineCommand
from .Panel import Panel, setEnabledWithReason
from .WorkerClient import Request

if TYPE_CHECKING:
    from lckd.errors import LckdError
    from lckd.models import ModelCard, ModelEntry

AUTO = "auto"


class ModelSection:
    """The list of models with its buttons, and the devices that the worker has found.

    :param runCommand: makes an `EngineCommand`; its arguments are those of that class
    """

    def __init__(self, panel: Panel, runCommand: type[EngineCommand] = EngineCommand) -> None:
        self._panel = panel
        self._runCommand = runCommand
        self._adding: EngineCommand | None = None
        self._entries: list[ModelEntry] = []
        self._devices: dict[str, str] = {}
        self._asked: Request | None = None
        ui = panel.ui
        ui.modelSelector.connect("activated(int)", self._chooseModel)
        ui.deviceSelector.connect("activated(int)", self._chooseDevice)
        menu = qt.QMenu(ui.addModelButton)
        for text, slot in (
            (_("From a folder…"), self.addFromFolder),
            (_("From a zip file…"), self.addFromZip),
            (_("From an https address…"), self.addFromAddress),
        ):
            menu.addAction(text).connect("triggered()", slot)
        ui.addModelButton.setMenu(menu)
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
        ui.modelLabel.text = self._cardWords(entry)
        setEnabledWithReason(
            ui.deleteModelButton,
            "" if entry is not None and not entry.embedded else _("The embedded model cannot be deleted."),
            _("Delete this model from your disk; the embedded model stays."),
        )
        ui.openModelsButton.enabled = entry is not None
        ui.addModelButton.enabled = self._adding is None
        self._showDevices()

    def askForDevices(self) -> None:
        """Ask the worker, once, which devices there are; it is started for that, if its packages are installed."""
        if self._asked is not None or self._devices or self._panel.requirements.missing():
            self._showDevices()
            return
        self._asked = self._panel.logic.doctor(self._takeDevices)
        self._showDevices()

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

    def close(self) -> None:
        """End what is under way."""
        if self._adding is not None:
            self._adding.cancel()

    def _add(self, source: str, *options: str) -> None:
        if not source or self._adding is not None or not self._panel.ensureRequirements():
            return

        def start() -> None:
            self._adding = self._runCommand(["models", "add", source, *options], self._takeAdded, self._takeEnd)
            self._adding.start()

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
        self._adding = None
        if error is not None:
            self._panel.sayError(error)
        else:
            self._panel.say(_("The model was added and is chosen now."))
        self.readModels()
        self._panel.changed()

    def _takeDevices(self, request: Request) -> None:
        self._asked = None
        if request.error is not None:
            self._panel.ui.deviceLabel.text = f"{request.error.message} {request.error.action}"
            return
        if request.result is None:
            return
        self._devices = {str(name): str(what) for name, what in request.result["devices"].items()}
        self._showDevices()
        problem = request.result.get("problem")
        if problem:
            self._panel.ui.deviceLabel.text = f"{problem['message']} {problem['action']}"

    def _showModels(self) -> None:
        selector = self._panel.ui.modelSelector
        selector.clear()
        for entry in self._entries:
            title = _("{name} (embedded)") if entry.embedded else "{name}"
            selector.addItem(title.format(name=entry.name), entry.name)
        wanted, entry = self._wantedModel(), self.entry
        if entry is None:
            selector.addItem(_("{name} (not found)").format(name=wanted), wanted)
        selector.currentIndex = selector.findData(entry.name if entry is not None else wanted)

    def _showDevices(self) -> None:
        selector, wanted = self._panel.ui.deviceSelector, self._wantedDevice()
        selector.clear()
        selector.addItem(_("Automatic"), AUTO)
        for name in self._devices or {"cpu": ""}:
            selector.addItem(_deviceTitle(name), name)
        if selector.findData(wanted) < 0:
            selector.addItem(_("{name} (not found)").format(name=_deviceTitle(wanted)), wanted)
        selector.currentIndex = selector.findData(wanted)
        self._panel.ui.deviceLabel.text = self._deviceWords(wanted)

    def _deviceWords(self, wanted: str) -> str:
        if self._asked is not None:
            return _("Looking for devices…")
        if not self._devices:
            return _("What there is will be shown here once the required packages are installed.")
        found = next((name for name in self._devices if name != "cpu"), "cpu")
        name = found if wanted == AUTO else wanted
        if name not in self._devices:
            return _("This device was not found on this computer.")
        words = f"{_deviceTitle(name)}: {self._devices[name]}."
        return words if found != "cpu" else words + " " + _("No graphics card that can be used was found.")

    def _cardWords(self, entry: ModelEntry | None) -> str:
        if entry is None or entry.card is None:
            return self.problem()
        card = entry.card
        return " ".join(line for line in (card.description, card.dice_basis) if line)

    def _wantedModel(self) -> str:
        from lckd.models.store import DEFAULT_MODEL

        parameters = self._panel.parameters
        return (parameters.model if parameters is not None else "") or DEFAULT_MODEL

    def _wantedDevice(self) -> str:
        parameters = self._panel.parameters
        return (parameters.device if parameters is not None else "") or AUTO

    def _chooseModel(self, index: int) -> None:
        self._choose("model", str(self._panel.ui.modelSelector.itemData(index)))

    def _chooseDevice(self, index: int) -> None:
        self._choose("device", str(self._panel.ui.deviceSelector.itemData(index)))

    def _choose(self, name: str, value: str) -> None:
        if self._panel.parameters is not None:
            setattr(self._panel.parameters, name, value)


def _deviceTitle(name: str) -> str:
    return {"cpu": _("CPU"), "mps": _("Apple GPU (MPS)")}.get(name, name.upper())

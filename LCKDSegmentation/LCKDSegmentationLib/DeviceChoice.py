"""The list of devices that compute, and a line that says what they are."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from .Panel import Panel
from .WorkerClient import Request, WorkerClient

AUTO = "auto"


class DeviceChoice:
    """Offers the devices of this computer and keeps the choice in the parameter ``device``.

    :param client: the worker that is asked
    """

    def __init__(self, panel: Panel, client: WorkerClient) -> None:
        self._panel = panel
        self._client = client
        self._asked: Request | None = None
        #: Whether the worker was started only to be asked for devices.
        self._isWorkerOurs = False
        self._devices: dict[str, str] = {}
        #: Why the program cannot be used, or why that is not known; empty if it can.
        self._problem = ""
        panel.ui.deviceLabel.textFormat = qt.Qt.PlainText
        panel.ui.deviceSelector.connect("activated(int)", self._choose)

    def ask(self) -> None:
        """Find out which devices there are, if that is not known and the packages for it are installed.

        To be called whenever that may have become possible: when the module is opened, and after an installation. What
        is known is not asked again. A worker that is started for this ends with its answer, so that torch does not stay
        in memory while nobody needs it.
        """
        isKnown = self._devices and not self._problem
        if self._asked is None and not isKnown and not self._panel.requirements.missing():
            self._isWorkerOurs = not self._client.isRunning
            self._asked = self._client.request("doctor", onFinished=self._take)
        self.update()

    def update(self) -> None:
        """Show what there is and what is chosen."""
        wanted = self._wanted()
        items = [(_("Automatic"), AUTO), *((deviceTitle(name), name) for name in self._devices or {"cpu": ""})]
        if wanted not in [name for _title, name in items]:
            items.append((_("{name} (not found)").format(name=deviceTitle(wanted)), wanted))
        fillSelector(self._panel.ui.deviceSelector, items, wanted)
        self._panel.ui.deviceLabel.text = self._words(wanted)

    def _take(self, request: Request) -> None:
        self._asked = None
        if request.error is not None:
            self._problem = f"{request.error.message} {request.error.action}"
        elif request.result is not None:
            self._devices = {str(name): str(what) for name, what in request.result["devices"].items()}
            problem = request.result.get("problem")
            self._problem = f"{problem['message']} {problem['action']}" if problem else ""
            if self._isWorkerOurs:
                # Not now, while its output is being read.
                qt.QTimer.singleShot(0, self._endIdleWorker)
        self.update()

    def _endIdleWorker(self) -> None:
        if not self._client.isBusy:
            self._client.shutdown()

    def _words(self, wanted: str) -> str:
        if self._asked is not None:
            return _("Looking for devices…")
        if self._problem:
            return self._problem
        if not self._devices:
            return _("What there is will be shown here once the required packages are installed.")
        found = next((name for name in self._devices if name != "cpu"), "cpu")
        name = found if wanted == AUTO else wanted
        if name not in self._devices:
            return _("This device was not found on this computer.")
        words = f"{deviceTitle(name)}: {self._devices[name]}."
        return words if found != "cpu" else words + " " + _("No graphics card that can be used was found.")

    def _wanted(self) -> str:
        parameters = self._panel.parameters
        return (parameters.device if parameters is not None else "") or AUTO

    def _choose(self, index: int) -> None:
        if self._panel.parameters is not None:
            self._panel.parameters.device = str(self._panel.ui.deviceSelector.itemData(index))


def deviceTitle(name: str) -> str:
    """Return what a device is called for the user."""
    return {"cpu": _("CPU"), "mps": _("Apple GPU (MPS)")}.get(name, name.upper())


def fillSelector(selector: qt.QComboBox, items: list[tuple[str, str]], chosen: str) -> None:
    """Offer these titles and data, and show one; a list that is open on the screen stays open if it stays the same."""
    if [(selector.itemText(index), selector.itemData(index)) for index in range(selector.count)] != items:
        selector.clear()
        for title, data in items:
            selector.addItem(title, data)
    selector.currentIndex = selector.findData(chosen)

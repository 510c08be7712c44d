"""What the panel costs a user, on the sample case with the embedded model, in one run.

    Slicer --python-script Testing/benchmarks/panel.py        (real desktop)
    python Testing/benchmarks/panel.py                        (real Qt and MRML, stand-ins for the rest, no views)

Prints from the click on *Segment* to the segmentation in the scene against the bare engine's own time for the same
case, the same for a sequence that is taken away and put back, the longest gaps of the event loop with and without the
final import, and the memory of the application.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TICK_MILLISECONDS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    panel = open_panel()
    try:
        measure(panel, arguments.device)
    finally:
        panel.cleanUp()
    import slicer

    # A desktop stays open otherwise.
    slicer.util.exit()


def open_panel() -> Any:
    """The panel: the module's own in a desktop, otherwise over stand-ins for what the desktop alone has."""
    import slicer

    if hasattr(slicer, "app"):
        slicer.util.selectModule("LCKDSegmentation")
        return slicer.modules.LCKDSegmentationWidget.panel
    sys.path[:0] = [str(ROOT / "Testing" / "slicer_gui"), str(ROOT / "Testing"), str(ROOT / "LCKDSegmentation")]
    import stand_ins

    stand_ins.install()
    from panel_parts import FakeDialogs, FakeRequirements, real_client

    from LCKDSegmentationLib.Logic import SegmentationLogic
    from LCKDSegmentationLib.Parameters import SegmentationParameters
    from LCKDSegmentationLib.Widget import SegmentationWidget

    slicer.util.exit = lambda: None
    panel = SegmentationWidget(SegmentationLogic(real_client()), FakeDialogs(), FakeRequirements())
    panel.setScene(slicer.mrmlScene)
    panel.setParameters(SegmentationParameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "P")))
    return panel


def measure(panel: Any, device: str) -> None:
    """Print the figures."""
    import slicer

    from LCKDSegmentationLib.SampleCase import loadSampleCase, sampleFiles

    print(f"memory of the application before: {memory_mb('VmRSS')} MB")
    loadSampleCase(slicer.mrmlScene)
    panel.panel.parameters.device = device
    panel.ui.detectButton.click()
    wait(lambda: not panel.models.devices._asked)
    print(f"memory with the sample case: {memory_mb('VmRSS')} MB")
    gaps = Gaps(panel.logic)
    for name in ("first segmentation", "segmentation again, encodings forgotten"):
        report(name, panel, gaps)
        panel.logic.client.waitFor(panel.logic.client.request("forget"))
    report("back after that", panel, gaps)
    panel.ui.useT2.checked = False
    report("T2 taken away", panel, gaps)
    panel.ui.useT2.checked = True
    report("T2 put back", panel, gaps)
    started = time.perf_counter()
    gaps.restart()
    panel.ui.compareButton.click()
    wait(lambda: not panel.compare.isRunning)
    gaps.settle()
    print(f"comparison of 15 subsets: {time.perf_counter() - started:.2f} s; {gaps.words()}")
    print(f"memory of the application now: {memory_mb('VmRSS')} MB, at most {memory_mb('VmHWM')} MB")
    bare = bare_seconds(sampleFiles(), device)
    print(
        f"bare engine (lckd segment), reading to writing: {sum(bare.values()) - bare['start']:.2f} s {json.dumps(bare)}"
    )


def report(name: str, panel: Any, gaps: Gaps) -> None:
    """Press *Segment* and print how long it took and how long the application stood still meanwhile."""
    started = time.perf_counter()
    gaps.restart()
    panel.ui.segmentButton.click()
    run = panel.logic.current
    if run is None:
        raise SystemExit(panel.ui.messageLabel.text)
    wait(lambda: not panel.segment.isRunning)
    seconds = time.perf_counter() - started
    gaps.settle()
    if run.error is not None:
        raise SystemExit(f"{run.error.message} {run.error.action}")
    print(f"{name}: {seconds:.2f} s; {gaps.words()}", flush=True)


class Gaps:
    """The longest times between two turns of the event loop, in seconds.

    The result is brought into the scene within one turn, after which nothing is under way any more: that turn is
    `importing`, all others are `working`.
    """

    def __init__(self, logic: Any) -> None:
        import qt

        self._logic = logic
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MILLISECONDS)
        self._timer.connect("timeout()", self._tick)
        self._timer.start()
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._last, self._wasRunning = time.perf_counter(), False
        self.working = self.importing = 0.0

    def settle(self) -> None:
        """Let the last turn end."""
        wait_milliseconds(10 * TICK_MILLISECONDS)

    def words(self) -> str:
        """What was measured."""
        return f"longest gap {self.working * 1000:.0f} ms, with the import {self.importing * 1000:.0f} ms"

    def _tick(self) -> None:
        now, isRunning = time.perf_counter(), self._logic.current is not None
        gap, self._last = now - self._last, now
        if self._wasRunning and not isRunning:
            self.importing = max(self.importing, gap)
        else:
            self.working = max(self.working, gap)
        self._wasRunning = isRunning


def wait(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    """Run the event loop until something is so."""
    import slicer

    deadline = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > deadline:
            raise SystemExit(f"It took more than {seconds} s.")
        slicer.app.processEvents()
        time.sleep(0.001)


def wait_milliseconds(milliseconds: float) -> None:
    """Run the event loop for a while."""
    end = time.perf_counter() + milliseconds / 1000
    wait(lambda: time.perf_counter() > end)


def memory_mb(name: str) -> str:
    """A line of ``/proc/self/status`` in MB; a dash where the system has none."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((str(int(line.split()[1]) // 1024) for line in lines if line.startswith(f"{name}:")), "-")


def bare_seconds(files: dict[str, Path], device: str) -> dict[str, float]:
    """Seconds by step of ``lckd segment`` on the same files, in the worker's Python."""
    from LCKDSegmentationLib.WorkerProcess import pythonSlicer

    with tempfile.TemporaryDirectory() as folder:
        options = [text for sequence, file in files.items() for text in (f"--{sequence}", str(file))]
        python = pythonSlicer() if shutil.which("PythonSlicer") else sys.executable
        command = [python, "-m", "lckd", "segment", *options, "-o", folder, "--device", device]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "LCKDSegmentation")}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))["seconds"]


if __name__ == "__main__":
    main()

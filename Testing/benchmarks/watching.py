"""How long the application stands still while the panel of the training module watches a long run.

    Slicer --python-script Testing/benchmarks/watching.py     (real desktop)
    python Testing/benchmarks/watching.py                     (real Qt and MRML, stand-ins for the rest, no views)

A made run of so many steps is opened while another process adds fifty steps a second. Prints how long that takes to
open, how long each look at the run folder takes, and the longest gap of the event loop meanwhile.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TICK_MILLISECONDS = 5
WRITER = """
import sys, time
for line in open(sys.argv[1]):
    with open(sys.argv[2], "a") as events:
        events.write(line)
    time.sleep(0.02)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000, help="how many are there at the beginning")
    parser.add_argument("--seconds", type=int, default=20, help="how long the run is watched")
    arguments = parser.parse_args()
    panel = open_panel()
    with tempfile.TemporaryDirectory() as folder:
        try:
            measure(panel, Path(folder), arguments.steps, arguments.seconds)
        finally:
            panel.cleanUp()
    import slicer

    # A desktop stays open otherwise.
    slicer.util.exit()


def open_panel() -> Any:
    """The panel: the module's own in a desktop, otherwise over stand-ins for what the desktop alone has."""
    import slicer

    if hasattr(slicer, "app"):
        slicer.util.selectModule("LCKDTraining")
        return slicer.modules.LCKDTrainingWidget.panel
    modules = [str(ROOT / name) for name in ("LCKDSegmentation", "LCKDTraining")]
    sys.path[:0] = [str(ROOT / "Testing" / "slicer_gui"), str(ROOT / "Testing"), *modules]
    import stand_ins

    stand_ins.install()
    from panel_parts import FakeClient, FakeDialogs, FakeRequirements

    from LCKDTrainingLib.Logic import TrainingLogic
    from LCKDTrainingLib.Parameters import TrainingParameters
    from LCKDTrainingLib.Widget import TrainingWidget

    slicer.util.exit = lambda: None
    panel = TrainingWidget(
        TrainingLogic(lambda: sys.executable), FakeDialogs(), FakeRequirements(), client=FakeClient()
    )
    panel.setScene(slicer.mrmlScene)
    panel.setParameters(TrainingParameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "P")))
    return panel


def measure(panel: Any, folder: Path, steps: int, seconds: int) -> None:
    """Print the figures."""
    events = folder / "events.jsonl"
    begin = time.time() - steps
    events.write_text("".join(made_events(0, steps, begin)), encoding="utf-8")
    started = time.perf_counter()
    panel.panel.parameters.runFolder = str(folder)
    opened = time.perf_counter() - started
    print(f"{steps} steps, {events.stat().st_size / 1e6:.1f} MB, opened in {1000 * opened:.0f} ms")
    run = panel.logic.current
    looks = timed(run)
    more = folder / "more.jsonl"
    more.write_text("".join(made_events(steps, steps + 50 * seconds, begin)), encoding="utf-8")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(more), str(events)])
    gap = longest_gap(seconds)
    writer.kill()
    writer.wait()
    print(f"{len(looks)} looks at the run folder, the longest {1000 * max(looks):.1f} ms, with what it brings about")
    print(f"longest gap of the event loop {1000 * gap:.0f} ms; steps at the end: {run.history.done}")


def made_events(first: int, end: int, begin: float) -> Iterable[str]:
    """Lines of steps, of an election after every 250th, and of the start before the first."""
    if first == 0:
        place = {"device": "cpu", "processes": 1, "pid": os.getpid(), "host": platform.node(), "time": begin}
        yield as_line("start", iteration=0, iterations=2 * end, batch=1, **place)
    facts = {"loss_task": 1.0, "loss_ckd": 0.1, "lr": 0.001, "present": ["flair", "t1c"], "memory_mb": 1234.5}
    dice = {sequence: dict.fromkeys(("ET", "TC", "WT"), 0.5) for sequence in ("flair", "t1", "t1c", "t2")}
    for i in range(first, end):
        yield as_line("step", iteration=i, loss=1 / (i + 1), seconds=0.7, seconds_data=0.01, time=begin + i, **facts)
        if i % 250 == 249:
            yield as_line("election", iteration=i + 1, dice=dice, teachers={"ET": "t1c"}, time=begin + i)


def as_line(event: str, **facts: Any) -> str:
    """A line of the events of a run."""
    return json.dumps({"event": event, **facts}) + "\n"


def timed(run: Any) -> list[float]:
    """The seconds of each look at the run folder from now on."""
    seconds: list[float] = []
    poll: Callable[[], bool] = run.poll

    def look() -> bool:
        started = time.perf_counter()
        hasNews = poll()
        seconds.append(time.perf_counter() - started)
        return hasNews

    run.poll = look
    return seconds


def longest_gap(seconds: float) -> float:
    """Run the event loop for so long; return the longest time between two ticks of a timer."""
    import qt

    ticks: list[float] = []
    timer = qt.QTimer()
    timer.setInterval(TICK_MILLISECONDS)
    timer.connect("timeout()", lambda: ticks.append(time.perf_counter()))
    timer.start()
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        qt.QCoreApplication.processEvents(qt.QEventLoop.AllEvents, 20)
        qt.QThread.msleep(1)
    timer.stop()
    return max(after - before for before, after in itertools.pairwise(ticks))


if __name__ == "__main__":
    main()

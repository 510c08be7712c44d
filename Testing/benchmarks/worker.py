"""What the worker costs over the bare engine, on the sample case, in one run.

    python Testing/benchmarks/worker.py [--case FOLDER] [--device cpu] [--threads N] [--repeats 3]

"Bare engine": a loaded engine in this process reads the same NRRD files and segments them; nothing is written.
"Worker": a warm worker gets the request and writes label map and report. The two take turns, and the medians are
compared, since other work on the computer changes with time. Processor seconds, where the system tells them, do not
depend on that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from lckd.case import Case
from lckd.discovery import find_case
from lckd.engine import Engine, Result, Settings
from lckd.images import read_images
from lckd.resources import sample_case_dir


class Worker:
    """A worker, asked one thing after the other."""

    def __init__(self) -> None:
        started = time.perf_counter()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-m", "lckd.worker"], text=True, **pipes)
        self.process.stdout.readline()
        self.hello_seconds = time.perf_counter() - started

    def ask(self, do: str, **facts: Any) -> dict[str, Any]:
        """The result of a request.

        Raises:
            RuntimeError: there is none.
        """
        print(json.dumps({"id": 1, "do": do, **facts}), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            event = json.loads(line)
            if event["id"] == 1 and event["event"] in ("result", "error"):
                if event["event"] == "result":
                    return event
                raise RuntimeError(event["message"])
        raise RuntimeError("The worker ended.")

    def processor_seconds(self) -> float:
        """Processor time that it has taken so far; 0 where the system has no ``/proc``."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return 0.0
        user, system = stat.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, help="folder of a case (default: the sample case)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job = write_job(Path(folder), arguments.case or sample_case_dir(), arguments.device, arguments.threads)
        measure(job, arguments)


def write_job(folder: Path, case: Path, device: str, threads: int) -> Path:
    """A job folder as Slicer writes it: uncompressed NRRD files."""
    images = read_images(find_case(case).images)
    for sequence, image in images.items():
        sitk.WriteImage(image, str(folder / f"{sequence.value}.nrrd"), False)
    names = {sequence.value: f"{sequence.value}.nrrd" for sequence in images}
    (folder / "job.json").write_text(json.dumps({"images": names, "device": device, "threads": threads}))
    return folder


def measure(job: Path, arguments: argparse.Namespace) -> None:
    """Print the two, their ratio, and what a toggled sequence costs."""
    files = {name: job / file for name, file in json.loads((job / "job.json").read_text())["images"].items()}
    engine = Engine(None, Settings(arguments.device, arguments.threads))
    worker = Worker()
    print(f"hello after {worker.hello_seconds:.2f} s", flush=True)
    worker.ask("decode", job=str(job), subset="+".join(files))
    bare, asked = [], []
    for _ in range(arguments.repeats):
        bare.append(timed(lambda: engine.segment(Case.from_files(**files)), time.process_time))
        worker.ask("forget")
        asked.append(timed(lambda: worker.ask("segment", job=str(job)), worker.processor_seconds))
        assert asked[-1][2]["encoded"]
        print(f"bare engine {bare[-1][0]:.2f} s, worker {asked[-1][0]:.2f} s", flush=True)
    names = ("wall", "processor")
    for kind, name in enumerate(names):
        first, second = (statistics.median(one[kind] for one in measured) for measured in (bare, asked))
        if second:
            shares = f"{second - first:+.2f} s, ratio {second / first:.3f}"
            print(f"{name} seconds: bare engine {first:.2f}, worker {second:.2f}: {shares}")
    print("of that, by the worker's report:", json.dumps(asked[-1][2]["report"]["seconds"]))
    toggled = timed(lambda: worker.ask("decode", job=str(job), subset=next(iter(files))), worker.processor_seconds)
    print(
        f"a toggled sequence: {toggled[0]:.2f} s (processor: {toggled[1]:.2f} s); kept: {toggled[2]['kept_mb']:.0f} MB"
    )
    compare_writing(bare[-1][2], job)
    worker.ask("quit")


def timed(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, float, Any]:
    """Wall seconds, seconds by another clock, and what came out."""
    wall, other = time.perf_counter(), clock()
    outcome = work()
    return time.perf_counter() - wall, clock() - other, outcome


def compare_writing(result: Result, folder: Path) -> None:
    """Print what a label map costs to write and to read again, with and without compression."""
    image, path = result.segmentation.label_image(), str(folder / "labels.nrrd")
    for name, compress in (("uncompressed", False), ("compressed", True)):
        seconds = []
        for _ in range(5):
            write = timed(lambda: sitk.WriteImage(image, path, compress, 1), time.time)  # noqa: B023
            seconds.append(write[0] + timed(lambda: sitk.ReadImage(path), time.time)[0])
        size = Path(path).stat().st_size / 1024**2
        print(f"label map written and read, {name}: {min(seconds):.3f} s, {size:.2f} MB")


if __name__ == "__main__":
    main()

"""How much of the training loop is the network: samples per second of the loop against the bare step, in one run.

    python Testing/benchmarks/training.py [--data FOLDER] [--preset small-cpu] [--set KEY=VALUE]… [--steps 20]

"Loop": `lckd_training.run.trainer.Trainer` as it is, from the cache on disk to the updated weights, with its events.
"Bare step": forward, backward and optimizer step of the same network on the same samples, drawn before; the two take
turns in blocks, since other work on the computer changes with time. Without --data, phantoms are made.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from lckd.device import choose_device, describe_device
from lckd_training.config import TrainingConfig
from lckd_training.data.cache import prepare_cases
from lckd_training.data.cases import find_labeled
from lckd_training.distributed import Group
from lckd_training.method.sampling import Sample
from lckd_training.run.folder import RunFolder
from lckd_training.run.reporter import Reporter
from lckd_training.run.trainer import Trainer

BLOCK = 5


def main(arguments: list[str]) -> None:
    """Measure, and print one JSON object."""
    options = _parse(arguments)
    config = TrainingConfig.preset(options.preset).overridden(
        [*options.set, f"iterations={10**9}", f"election_interval={10**9}", f"checkpoint_interval={10**9}"]
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = options.data or _make_phantoms(folder / "phantoms")
        cases = prepare_cases(find_labeled(data), folder / "cache")
        print(json.dumps(_measure(config, folder, cases, options.steps, options.device), indent=2))


def _measure(config: TrainingConfig, folder: Path, cases: list[Any], steps: int, device: str) -> dict[str, Any]:
    group = Group(choose_device(device))
    seconds: dict[str, list[float]] = {"loop": [], "bare": []}
    waited: list[float] = []
    mark = time.perf_counter()

    def listen(event: dict[str, Any]) -> None:
        """At the end of each block of the loop, the bare network makes the same steps."""
        nonlocal mark
        if event["event"] != "step":
            return
        waited.append(event["seconds_data"] / event["seconds"])
        if (event["iteration"] + 1) % BLOCK:
            return
        _finish(group.device)
        seconds["loop"].append((time.perf_counter() - mark) / BLOCK)
        numbers = range(event["iteration"] + 1 - BLOCK, event["iteration"] + 1)
        batches = [[part.to(group.device) for part in trainer.draw(number)] for number in numbers]
        seconds["bare"].append(_bare_seconds(trainer, batches) / BLOCK)
        mark = time.perf_counter()

    run = RunFolder(folder / "run")
    run.path.mkdir()
    held = max(1, len(cases) // 5)
    trainer = Trainer(
        config,
        run,
        cases[held:],
        cases[:held],
        group,
        Reporter(run, listen),
        lambda: len(seconds["loop"]) > steps // BLOCK,
    )
    trainer.run()
    # The first block pays for what is done once.
    loop, bare = (statistics.median(values[1:]) for values in seconds.values())
    samples = config.batch * group.size
    return {
        "device": describe_device(group.device),
        "threads": torch.get_num_threads(),
        "size": config.size,
        "patch": list(config.patch),
        "workers": config.workers,
        "samples_per_second": round(samples / loop, 3),
        "samples_per_second_bare": round(samples / bare, 3),
        "ratio": round(bare / loop, 3),
        "share_waited_for_data": round(statistics.mean(waited[BLOCK:]), 3),
    }


def _bare_seconds(trainer: Trainer, batches: list[list[Sample]]) -> float:
    """Seconds for the steps, without drawing, events, and the moving average."""
    optimizer = torch.optim.SGD(trainer.network.parameters(), lr=0.0)
    work = [[(part, trainer.draw.subsets(part.present, n)) for part in parts] for n, parts in enumerate(batches)]
    _finish(trainer.device)
    started = time.perf_counter()
    for parts in work:
        for part, subsets in parts:
            with trainer.optimization.computing():
                loss, _ = trainer.objective(part, subsets, trainer.teaching())
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    _finish(trainer.device)
    return time.perf_counter() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _make_phantoms(folder: Path) -> Path:
    from lckd_training.phantom import generate_phantom, write_phantom

    for seed in range(5):
        name = f"phantom-{seed:04d}"
        write_phantom(generate_phantom(seed), folder / name, name)
    return folder


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--preset", default="small-cpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])

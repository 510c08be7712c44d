"""Time and memory of whole cases on this computer, against a plain implementation of the authors' scheme.

    python Testing/benchmarks/inference.py [--case FOLDER] [--device cpu] [--threads N] [--windows 12]
                                           [--networks embedded paper]

Every line is a process of its own, one after another in this one run, so that ratios mean something and peak memory is
that of the line. "Authors' scheme": the `paper` network; all four sequences are encoded whatever is there, the bottom
of a missing one is imputed, then decoded; 12 windows of 80×160×160 on a volume of 155×240×240.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NETWORKS = ("embedded", "paper")
SUBSETS = ("t1c", "flair,t1c", "flair,t1c,t2", "flair,t1,t1c,t2")
AUTHORS_WINDOW = (80, 160, 160)
AUTHORS_VOLUME = (155, 240, 240)
STAGES = ("start", "read", "prepare", "network", "restore", "write")


def main() -> None:
    """Measure everything and print one table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, help="folder of a case with four sequences (default: the sample case)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--windows", type=int, default=12, help="windows of the authors' scheme to measure")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--authors", type=int, metavar="SEQUENCES", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.authors:
        print(json.dumps(authors_scheme(arguments.authors, arguments)))
        return
    case = arguments.case or sample_case()
    with tempfile.TemporaryDirectory() as folder:
        measure(case, Path(folder), arguments)


def measure(case: Path, folder: Path, arguments: argparse.Namespace) -> None:
    """Print the table line by line."""
    where = ["--device", arguments.device, "--threads", str(arguments.threads)]
    own = [sys.executable, __file__, *where, "--windows", str(arguments.windows)]
    baseline = {count: child([*own, "--authors", str(count)])["network"] for count in (1, 4)}
    print(f"| network | sequences | {' | '.join(STAGES)} | peak MB | authors ÷ network |")
    print("|---|---|" + "---|" * (len(STAGES) + 2))
    for count, seconds in baseline.items():
        print(f"| authors' scheme | {count} | | | | {seconds:.1f} | | | | 1 |")
    for name in arguments.networks:
        model = random_paper_model(folder / "paper") if name == "paper" else None
        full = 0.0
        for subset in SUBSETS:
            report = run_case("segment", case, folder / "out", model, *where, "--only", subset)
            count = subset.count(",") + 1
            full = report["seconds"]["network"]
            print_line(name, str(count), report, baseline[4 if count == 4 else 1])
        report = run_case("compare", case, folder / "out", model, *where)
        print_line(f"{name}, compare", "15 subsets", report, baseline[4])
        print(
            f"\n{name}: 15 subsets = {report['seconds']['network'] / full:.2f} full runs (network time)\n", flush=True
        )


def print_line(name: str, sequences: str, report: dict[str, Any], baseline: float) -> None:
    """One line of the table."""
    seconds = report["seconds"]
    times = " | ".join(f"{seconds[stage]:.2f}" for stage in STAGES)
    ratio = baseline / seconds["network"]
    memory = report.get("peak_gpu_memory_mb", report["peak_memory_mb"])
    print(f"| {name} | {sequences} | {times} | {memory:.0f} | {ratio:.1f} |", flush=True)


def run_case(command: str, case: Path, output: Path, model: Path | None, *options: str) -> dict[str, Any]:
    """Run the command line in a process of its own and read its report."""
    arguments = [sys.executable, "-m", "lckd", command, str(case), "-o", str(output), "--overwrite"]
    arguments += [*options, *(["--model", str(model)] if model else [])]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def child(arguments: list[str]) -> dict[str, Any]:
    """Run this script in a process of its own and read what it prints."""
    return json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def sample_case() -> Path:
    """The sample case of the repository."""
    from lckd.resources import sample_case_dir

    return sample_case_dir()


def random_paper_model(folder: Path) -> Path:
    """The folder of a model of the authors' size with random weights; times do not depend on them."""
    from lckd.models import ModelCard, write_bundle
    from lckd.network import PRESETS, build_network

    network = build_network(PRESETS["paper"])
    card = ModelCard("paper", "paper", network.config.as_dict(), network.stride, "Random weights, for timing only.")
    write_bundle(folder, network, card)
    return folder


def authors_scheme(sequences: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of network time for a whole case by the authors' scheme with that many sequences present.

    On a GPU in the precision of the program, with its start and all copies, as in the program's report.
    """
    import torch
    from monai.data.utils import dense_patch_slices

    from lckd.device import choose_device, computing_on
    from lckd.network import PRESETS, build_network
    from lckd.sequences import SEQUENCES

    torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    config = dataclasses.replace(PRESETS["paper"], imputation="zero")
    network = build_network(config).eval()
    stride = tuple(-(-length * 2 // 3) for length in AUTHORS_WINDOW)
    places = dense_patch_slices(AUTHORS_VOLUME, AUTHORS_WINDOW, stride)
    volume = torch.zeros(1, len(SEQUENCES), *AUTHORS_VOLUME)
    volume[:, :sequences].normal_()
    total = torch.zeros(3, *AUTHORS_VOLUME)
    windows = min(arguments.windows, len(places))
    begun = time.perf_counter()
    network.to(device)
    started = time.perf_counter()
    with computing_on(device, half=device.type != "cpu"):
        for place in places[:windows]:
            patch = volume[(slice(None), slice(None), *place)].to(device)
            total[(slice(None), *place)] += decode_plainly(network, patch, sequences).float().sigmoid()[0].cpu()
    return {"network": started - begun + (time.perf_counter() - started) * len(places) / windows}


def decode_plainly(network: Any, patch: Any, sequences: int) -> Any:
    """Encode four channels, missing ones as the zeros they are; impute at the bottom; concatenate; decode."""
    import torch

    from lckd.network import Encodings
    from lckd.sequences import SEQUENCES

    features = [list(levels) for levels in zip(*(network.encoder(patch[:, k, None]) for k in range(4)), strict=True)]
    mean = torch.stack(features[-1][:sequences]).mean(0)
    features[-1][sequences:] = [mean] * (4 - sequences)
    by_sequence = {sequence: tuple(level[k] for level in features) for k, sequence in enumerate(SEQUENCES)}
    return network.decode(Encodings(by_sequence))


if __name__ == "__main__":
    main()

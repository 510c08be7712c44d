"""Whole box at once or windows? Dice and network time of the full set on real cases, by largest window.

    python Testing/benchmarks/windows.py [--cases NAME,NAME] [--threads N]

The cases come from LCKD_DATA (default ../shared/data); by default those that the embedded model never saw.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import numpy as np

from lckd.case import Case
from lckd.comparison import compare_results
from lckd.discovery import case_paths, find_case
from lckd.engine import Engine, Settings
from lckd.geometry import Grid
from lckd.labels import REGIONS
from lckd.progress import Progress
from lckd.reference import read_reference

EDGES = (64, 96, 128, None)


def main() -> None:
    """Print one line a window size in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", help="names, separated by commas")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    data = Path(os.environ.get("LCKD_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    engine = Engine(settings=Settings(device="cpu", threads=arguments.threads))
    network = engine.model.network
    names = arguments.cases.split(",") if arguments.cases else engine.model.card.training["patients"]["test"]
    found = [files for files in map(find_case, case_paths(data)) if files.name in names and files.labels is not None]
    print(f"{len(found)} cases\n\n| window | {' | '.join(r.value for r in REGIONS)} | network seconds a case |")
    print("|---|" + "---:|" * (len(REGIONS) + 1))
    whole = network.config.window_voxels
    for edge in EDGES:
        network.config = dataclasses.replace(network.config, window_voxels=edge**3 if edge else whole)
        dice, seconds = [], []
        for files in found:
            case, progress = Case.from_found(files), Progress()
            assert files.labels is not None
            reference = read_reference(files.labels, Grid.of(case.reference), files.convention)
            comparison = compare_results([engine.segment(case, progress)], reference)
            dice.append([row.dice for row in comparison.rows])
            seconds.append(progress.seconds["network"])
        cells = " | ".join(f"{value:.3f}" for value in np.mean(dice, axis=0))
        print(f"| {f'{edge}³' if edge else 'whole box'} | {cells} | {np.mean(seconds):.1f} |", flush=True)


if __name__ == "__main__":
    main()

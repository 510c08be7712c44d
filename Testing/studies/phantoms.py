"""Does LCKD do on phantoms what the paper says? In them only T1c shows the tumor core, FLAIR and T2 the edema.

    python Testing/studies/phantoms.py --output study

Trains the method and three others that differ from it in one setting: without distillation, with the imputation of the
mean at every level (mean), and with that of the authors' code (zero).
OUTPUT/RESULTS.md says which sequences were elected when, and which variant is better on which subsets of the sequences.
Started again by the same command, an interrupted study goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from results import write_results
from runs import MAIN_VARIANTS, Run, carry_out_all, describe_variants, keep_options, lckd, names_setting

_FILES = ("t1n", "t1c", "t2w", "t2f", "seg")
#: Elections and checkpoints of a training.
_ELECTIONS = 10
CAVEAT = (
    "The tests are over phantoms, with the few trainings as they are: how much another training of the same variant "
    "would differ shows only in the last column. Networks trained this briefly are far from converged."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the phantoms, train, score, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the study")
    parser.add_argument("--cases", type=int, default=30, help="phantoms; a third of them is for the test")
    parser.add_argument("--scale", type=float, default=0.5, help="size of the brains; small ones train faster")
    parser.add_argument("--iterations", type=int, default=450, help="of each training")
    parser.add_argument("--patch", type=int, default=80, help="edge of the patch in voxels")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each variant")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, each on one thread")
    options = parser.parse_args(arguments)
    if options.cases < 6:
        parser.error("--cases: at least 6, of which 2 are for the test and 1 elects")
    kept = {name: getattr(options, name) for name in ("cases", "scale", "iterations", "patch", "seeds")}
    keep_options(options.output, kept)
    names = make_phantoms(options.output, options.cases, options.scale, options.jobs)
    runs = plan(options.output, names, options.iterations, options.patch, options.seeds)
    carry_out_all(runs, options.output / "phantoms", options.jobs)
    head = (
        f"# Phantom study\n\n{len(names)} phantoms of {options.scale:g} times the size of a brain "
        f"({len(test_of(names))} for the test), {options.iterations} iterations with patches of {options.patch}³ "
        f"voxels, {options.seeds} trainings of each variant. {describe_variants(runs)} All Dice are of the test "
        "cases.\n"
    )
    path = write_results(runs, head, CAVEAT)
    print(path.read_text(encoding="utf-8"))


def make_phantoms(output: Path, count: int, scale: float, jobs: int) -> list[str]:
    """Make those of the first `count` phantoms that are not there, `jobs` at a time, and return the names of all."""
    folder, names = output / "phantoms", [f"phantom-{seed:04d}" for seed in range(count)]

    def make(seed: int) -> None:
        if not all((folder / names[seed] / f"{names[seed]}-{file}.nii.gz").exists() for file in _FILES):
            options = ("--seed", seed, "--scale", scale, "--separable")
            lckd(output / "phantoms.log", "data", "phantom", "-o", folder, *options)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(make, range(count)))
    return names


def plan(output: Path, names: list[str], iterations: int, patch: int, seeds: int) -> list[Run]:
    """The trainings, seed by seed: the last third of the cases is for the test, a fifth of the others elects."""
    test = test_of(names)
    rest = names[: -len(test)]
    elect = rest[-max(1, round(len(rest) / 5)) :]
    interval = max(1, iterations // _ELECTIONS)
    settings = (
        f"iterations={iterations}",
        f"decay_iterations={iterations // 3}",
        f"patch={patch}",
        # The trainings are short.
        "learning_rate=0.002",
        "tumor_share=0.75",
        f"election_interval={interval}",
        f"checkpoint_interval={interval}",
        names_setting("test", test),
        names_setting("election", elect),
    )
    return [
        Run(output, variant, f"s{seed}", (*settings, f"seed={seed}"))
        for seed in range(seeds)
        for variant in MAIN_VARIANTS
    ]


def test_of(names: list[str]) -> list[str]:
    """The phantoms that are only tested on."""
    return names[-(len(names) // 3) :]


if __name__ == "__main__":
    main()

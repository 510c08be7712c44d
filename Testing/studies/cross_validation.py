"""Does LCKD do on real cases what the paper says? K folds by patient, so that each patient is tested on once.

    python Testing/studies/cross_validation.py --data BraTS --output study --folds 3

The variants are those of runs.py, by default those of phantoms.py; OUTPUT/RESULTS.md answers the same questions over
all patients. Started again by the same command, an interrupted study goes on where it stopped. With --summarize
nothing is trained: the results are of the folds that are finished (folders VARIANT-fFOLD and VARIANT-fFOLD-scores).
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import yaml
from results import write_results
from runs import MAIN_VARIANTS, VARIANTS, Run, carry_out_all, describe_variants, keep_options, names_setting

from lckd_training.data.datasets import find_dataset

#: Elections and checkpoints of a training.
_ELECTIONS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score every fold of every variant, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of labeled cases")
    parser.add_argument("--output", type=Path, required=True, help="folder of the study")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=700, help="of each training")
    parser.add_argument("--patch", type=int, default=96, help="edge of the patch in voxels")
    parser.add_argument("--variants", nargs="+", default=list(MAIN_VARIANTS), choices=VARIANTS)
    parser.add_argument("--election", nargs="+", default=[], metavar="NAME", help="cases that elect in every fold")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="further settings of every training")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, each on one thread")
    parser.add_argument("--summarize", action="store_true", help="train nothing, sum up the folds that are finished")
    options = parser.parse_args(arguments)
    output: Path = options.output
    if options.summarize:
        runs = finished(output, options.variants)
        if not runs:
            parser.error(f"{output} holds no finished fold of {', '.join(options.variants)}")
    elif options.data is None:
        parser.error("--data is needed, except with --summarize")
    else:
        kept = {name: getattr(options, name) for name in ("folds", "iterations", "patch", "election", "set")}
        keep_options(output, kept | {"data": str(options.data.resolve())})
        runs = plan(options)
        carry_out_all(runs, options.data, options.jobs)
    write_results(runs, *words(runs))
    print((output / "RESULTS.md").read_text(encoding="utf-8"))


def plan(options: argparse.Namespace) -> list[Run]:
    """The trainings, fold by fold; the cases that elect are tested on in no fold."""
    interval = max(1, options.iterations // _ELECTIONS)
    settings = [
        f"iterations={options.iterations}",
        f"decay_iterations={options.iterations // 3}",
        f"patch={options.patch}",
        f"election_interval={interval}",
        f"checkpoint_interval={interval}",
        *options.set,
    ]
    if options.election:
        settings.append(names_setting("election", options.election))
    return [
        Run(
            options.output,
            variant,
            f"f{number}",
            (*settings, names_setting("test", test)),
            (*options.election, *test),
        )
        for number, test in enumerate(test_folds(options.data, options.folds, options.election))
        for variant in options.variants
    ]


def test_folds(data: Path, count: int, elect: list[str]) -> list[list[str]]:
    """The labeled cases, dealt into `count` folds by patient, the same on every call.

    Patients of whom a case is among `elect` are in none.
    """
    by_patient: dict[str, list[str]] = defaultdict(list)
    for case in find_dataset(data):
        if case.files is not None and case.files.labels is not None:
            by_patient[case.patient].append(case.name)
    patients = sorted(patient for patient, names in by_patient.items() if not set(names) & set(elect))
    random.Random(0).shuffle(patients)
    return [sorted(name for patient in patients[fold::count] for name in by_patient[patient]) for fold in range(count)]


def finished(output: Path, variants: list[str]) -> list[Run]:
    """The finished runs of the folds that every variant has finished."""
    runs = [
        Run(output, variant, folder.name.removeprefix(f"{variant}-").removesuffix("-scores"))
        for variant in variants
        for folder in sorted(output.glob(f"{variant}-f*-scores"))
    ]
    scored = [run for run in runs if run.is_scored]
    parts = [{run.part for run in scored if run.variant == variant} for variant in variants]
    return [run for run in scored if run.part in set.intersection(*parts)]


def words(runs: list[Run]) -> tuple[str, str]:
    """Head of the results and their caveat, with the number of patients."""
    cases = sorted({name for run in runs for name in tested(run)})
    folds = sorted({run.part for run in runs})
    settings = yaml.safe_load((runs[0].folder / "config.yaml").read_text(encoding="utf-8"))
    head = (
        f"# Cross-validation\n\n{len(cases)} cases, each tested on by the training that never saw the patient "
        f"(folds {', '.join(folds)}), {settings['iterations']} iterations with patches of "
        f"{'×'.join(map(str, settings['patch']))} voxels. "
        f"{describe_variants(runs)} All Dice are of the test cases.\n"
    )
    caveat = (
        f"{len(cases)} cases are few: differences of a few points of Dice may be chance, and networks trained this "
        "briefly are far from converged. Each fold was trained once; how much another training would differ is not "
        "in the interval."
    )
    return head, caveat


def tested(run: Run) -> list[str]:
    """The test cases of a run."""
    return json.loads((run.folder / "split.json").read_text(encoding="utf-8"))["test"]


if __name__ == "__main__":
    main()

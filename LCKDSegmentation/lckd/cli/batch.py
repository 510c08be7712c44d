"""``lckd batch``"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Console, open_console
from .options import (
    PATH,
    Processing,
    json_option,
    label_convention,
    processing_options,
    reference_labels_option,
    wants_debug,
)

if TYPE_CHECKING:
    from ..batch import Outcome


@click.command()
@click.argument("root", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the results; each case gets its own in it.")
@click.option(
    "--reference-suffix",
    metavar="SUFFIX",
    help="How the names of the experts' segmentations end, such as -expert.nii.gz; without it they are found by name.",
)
@reference_labels_option
@processing_options
@json_option
def batch(
    root: Path,
    output: Path,
    reference_suffix: str | None,
    reference_labels: str | None,
    processing: Processing,
    as_json: bool,
) -> None:
    """Segment every case below ROOT.

    A case that is done is skipped when the command is run again; one that cannot be done is noted and the others go
    on. Ends with summary.csv (every case) and cases.csv (Dice and HD95 where there is an expert's segmentation).

    \b
    Examples:
      lckd batch study -o results
      lckd batch study -o results --only flair,t1 --reference-suffix -expert.nii.gz
      torchrun --nproc-per-node 4 -m lckd batch study -o results    (four GPUs, or four processes)
    """
    from ..batch import Share, batch_error, plan_batch, run_batch, write_tables
    from ..output import check_writable

    share = Share.of_this_process()
    console = open_console(as_json, silent=share.rank != 0)
    convention = label_convention(reference_labels)
    check_writable(output)
    tasks = plan_batch(
        root,
        output,
        lambda files, folder: processing.job(files, folder, reference_convention=convention),
        reference_suffix,
    )
    engine, progress = dataclasses.replace(processing, device=share.device(processing.device)).start(console)
    outcomes = run_batch(
        engine,
        share.of(tasks),
        tell=lambda name, stage, fraction: console.progress(stage, fraction, name),
        finished=lambda outcome: _tell(console, outcome),
        start_seconds=progress.seconds["start"],
        debug=wants_debug(),
    )
    outcomes = share.gather(outcomes)
    if share.rank != 0:
        return
    console.progress("write", 1.0)
    tables = write_tables(outcomes, output)
    _conclude(console, outcomes, tables)
    error = batch_error(outcomes)
    if error is not None:
        raise error


def _tell(console: Console, outcome: Outcome) -> None:
    if outcome.state == "failed":
        console.warning(f"{outcome.name} failed: {outcome.message}", case=outcome.name, code=outcome.code)
    for warning in outcome.report.get("warnings", []) if outcome.state == "done" else []:
        console.warning(f"{outcome.name}: {warning}", case=outcome.name)


def _conclude(console: Console, outcomes: list[Outcome], tables: list[Path]) -> None:
    from ..report import DISCLAIMER

    counts = {state: sum(outcome.state == state for outcome in outcomes) for state in ("done", "skipped", "failed")}
    words = [f"{len(outcomes)} cases: " + ", ".join(f"{count} {state}" for state, count in counts.items())]
    words += [f"Written: {table}" for table in tables]
    cases = [{"case": one.name, "state": one.state, "code": one.code, "message": one.message} for one in outcomes]
    files = {table.name: str(table) for table in tables}
    console.result([*words, DISCLAIMER], **counts, cases=cases, files=files)

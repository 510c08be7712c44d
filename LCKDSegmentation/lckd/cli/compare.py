"""``lckd compare``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import open_console
from .options import (
    PATH,
    Processing,
    case_options,
    json_option,
    label_convention,
    output_option,
    processing_options,
    reference_labels_option,
)

if TYPE_CHECKING:
    from ..discovery import CaseFiles


@click.command()
@case_options
@output_option
@click.option("--reference", type=PATH, metavar="SEG", help="Segmentation by an expert to compare with.")
@reference_labels_option
@processing_options
@json_option
def compare(
    files: CaseFiles,
    output: Path,
    reference: Path | None,
    reference_labels: str | None,
    processing: Processing,
    as_json: bool,
) -> None:
    """Segment one patient from every subset of sequences.

    Shows what each sequence is worth: volumes, Dice and HD95 of every subset against the expert's segmentation if
    there is one (in the folder, or by --reference), else against all sequences together. Costs little more than one
    segmentation, since every sequence is encoded once.

    \b
    Examples:
      lckd compare patient7 -o comparison7
      lckd compare patient7 --reference expert.nii.gz -o comparison7
    """
    from ..jobs import compare_job
    from .words import as_text, closing, describe, describe_comparison

    console = open_console(as_json)
    engine, progress = processing.start(console)
    convention = label_convention(reference_labels)
    job = processing.job(files, output, reference=reference, reference_convention=convention)
    comparison, full = compare_job(engine, job, progress)
    written, rows = job.outputs(comparison=True), [row.as_dict() for row in comparison.rows]
    words = [*describe(full.report), *describe_comparison(comparison), *closing(written, full.report)]
    console.result(words, report=full.report, subsets=rows, files=as_text(written))

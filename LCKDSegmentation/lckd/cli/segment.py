"""``lckd segment``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import open_console
from .options import Processing, case_options, json_option, output_option, processing_options

if TYPE_CHECKING:
    from ..discovery import CaseFiles


@click.command()
@case_options
@output_option
@processing_options
@json_option
def segment(files: CaseFiles, output: Path, processing: Processing, as_json: bool) -> None:
    """Segment the tumor of one patient.

    CASE_FOLDER holds one image for each sequence there is, named as in BraTS or flair, t1, t1c, t2 (NIfTI, NRRD or
    MHA). Any one of the sequences is enough; the result says what the missing ones may cost.

    \b
    Examples:
      lckd segment patient7 -o result7
      lckd segment --flair a.nii.gz --t1c b.nii.gz -o result7
      lckd segment patient7 --only flair,t1 -o without-contrast
    """
    from ..jobs import segment_job
    from .words import as_text, closing, describe

    console = open_console(as_json)
    engine, progress = processing.start(console)
    job = processing.job(files, output)
    report, written = segment_job(engine, job, progress).report, job.outputs()
    console.result([*describe(report), *closing(written, report)], report=report, files=as_text(written))

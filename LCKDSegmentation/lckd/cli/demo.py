"""``lckd demo``"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..sequences import Subset
from .console import open_console
from .options import PATH, Processing, SubsetType, json_option


@click.command()
@click.option("-o", "--output", type=PATH, default=Path("lckd-demo"), show_default=True, help="Folder for the results.")
@click.option("--only", type=SubsetType(), help="Use only these of the sequences, as if the others were missing.")
@click.option("--model", metavar="NAME|FOLDER", help="Another model than the embedded one.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:1|mps", help="Where to run.")
@click.option("--overwrite", is_flag=True, help="Replace also what is not an earlier demo.")
@json_option
def demo(output: Path, only: Subset | None, model: str | None, device: str, overwrite: bool, as_json: bool) -> None:
    """Try everything on the sample case.

    It comes with the program and is a synthetic brain with a glioma whose true extent is known.

    \b
    Examples:
      lckd demo
      lckd demo --only flair,t1
    """
    from .. import resources
    from ..comparison import compare_results
    from ..discovery import find_case
    from ..jobs import segment_job
    from .words import as_text, closing, describe, describe_scores

    console = open_console(as_json)
    files = find_case(resources.sample_case_dir())
    overwrite = overwrite or _is_earlier_demo(output, files.name)
    processing = Processing(only=only, model=model, device=device, overwrite=overwrite)
    engine, progress = processing.start(console)
    job = processing.job(files, output)
    result = segment_job(engine, job, progress)
    comparison = compare_results([result], job.read_reference(result.case))
    written = job.outputs()
    words = [*describe(result.report), *describe_scores(comparison.rows, "the known extent")]
    dice = {row.region.value: round(row.dice, 4) for row in comparison.rows}
    console.result([*words, *closing(written, result.report)], report=result.report, dice=dice, files=as_text(written))


def _is_earlier_demo(output: Path, name: str) -> bool:
    """Whether what lies in the folder was made by this command, so that it may be replaced."""
    try:
        return bool(json.loads((output / "report.json").read_text(encoding="utf-8"))["case"] == name)
    except (OSError, ValueError, KeyError, TypeError):
        return False

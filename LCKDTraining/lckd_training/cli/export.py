"""``lckd export``"""

from __future__ import annotations

import os
from pathlib import Path

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option


@click.command()
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the model to be; its name is the model's.")
@click.option("--evaluation", type=PATH, metavar="FOLDER", help="Its scores, for the card: a folder of lckd evaluate.")
@click.option("--card", type=PATH, metavar="FILE", help="YAML file with more fields of the card, e.g. data_source.")
@click.option("--best", is_flag=True, help="Take the checkpoint that scored best in the run instead of the last.")
@click.option("--overwrite", is_flag=True, help="Replace a model that exists.")
@json_option
def export(
    run: Path, output: Path, evaluation: Path | None, card: Path | None, best: bool, overwrite: bool, as_json: bool
) -> None:
    """Make a verified model of a training run, from the averaged weights of its last checkpoint.

    --best takes the checkpoint with the highest mean Dice on the election cases, of single sequences and of all. It is
    for runs that were ended early: those cases are too few to choose between checkpoints of a finished run.

    Scores are taken only if they are of these very weights: export first, evaluate that model, and export again.

    \b
    Example:
      lckd export run -o my-model --evaluation scores
    """
    from ..export import export as write
    from ..export import read_card

    write(run, output, read_card(card) if card else {}, evaluation, overwrite, best)
    words = [f"Written: {output}", f"Use it with --model {os.path.join(os.curdir, output)}"]
    open_console(as_json).result(words, output=str(output))

"""The commands of the trainer, added to `lckd`: train, evaluate, export, data."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option

from .cli_check import check


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of labeled cases (BraTS layout).")
@click.option("--preset", default="small-cpu", show_default=True, help="Name of a preset, or a YAML file of settings.")
@click.option("-o", "--output", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, exactly where it was interrupted.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the preset.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a JSON line.")
def train(data: Path, preset: str, run: Path, resume: bool, settings: tuple[str, ...], as_json: bool) -> None:
    """Train a network on a folder of labeled cases.

    The run folder receives config.yaml (every setting), split.json, events.jsonl and checkpoints/. Started by torchrun,
    several processes share the work.

    \b
    Examples:
      lckd train --data cases --preset small-cpu -o run
      lckd train --data cases -o run --resume
    """
    from .config import TrainingConfig
    from .run_folder import RunFolder
    from .trainer import train as start

    source = str(RunFolder(run).config) if resume and RunFolder(run).config.exists() else preset
    config = TrainingConfig.preset(source).overridden(settings)
    start(data, config, run, resume, _print_json if as_json else _print_line)


@click.command()
@click.option("--model", metavar="NAME|FOLDER", help="Another model than the embedded one (see lckd models list).")
@click.option("--data", "root", type=PATH, help="Folder of labeled cases.")
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the tables and pictures.")
@click.option("--cases", metavar="NAME,NAME,…", help="Only these cases.")
@click.option("--split", type=PATH, metavar="split.json", help="Only the test cases of a training run.")
@click.option("--lesionwise", is_flag=True, help="Score by lesion too, as the package BraTS-evaluation does.")
@click.option("--compare", is_flag=True, help="Compare finished evaluations, the first against each of the others.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:1|mps", help="Where to run.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; without it all that there are.")
@click.option("--mirror", is_flag=True, help="Average over eight mirrored copies.")
@click.argument("evaluations", nargs=-1, type=PATH, metavar="[EVALUATION]…")
@json_option
def evaluate(
    model: str | None,
    root: Path | None,
    output: Path,
    cases: str | None,
    split: Path | None,
    lesionwise: bool,
    compare: bool,
    device: str,
    threads: int | None,
    mirror: bool,
    evaluations: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Score a model on labeled cases: every subset of the sequences, ET, TC and WT; or compare such scores.

    Dice, HD95 and sensitivity, as cases.csv, summary.csv, .md, .tex and .png. Both masks empty count as Dice 1 and
    HD95 0; exactly one empty as 0 and 373.13 mm. Sensitivity is not defined where the reference is empty.

    With --compare, folders of earlier evaluations are put side by side in comparison.csv, .md and .tex, as in Tables 1
    and 2 of the paper. tests.csv says whether the first is better: paired one-tailed t-test over the means of the
    subsets (as the paper), Wilcoxon test and bootstrap over the cases. Where the models were trained alike but for
    alpha, alpha.png shows its curve (Fig. 3). A folder with no more than a summary.csv (subset, region, dice from 0 to
    1) will do, e.g. with published numbers; then there is no test over cases.

    \b
    Examples:
      lckd evaluate --data BraTS --split run/split.json --model my-model -o scores
      lckd evaluate --compare scores baseline-a baseline-b -o comparison
    """
    if compare:
        if root is not None or model is not None:
            raise click.UsageError("--compare takes folders of finished evaluations, and no --data or --model.")
        _compare_evaluations(evaluations, output, as_json)
        return
    if evaluations:
        raise click.UsageError(f"To compare evaluations such as {evaluations[0]}, add --compare.")
    if root is None:
        raise click.UsageError("Missing option '--data'.")
    console = open_console(as_json)
    console.progress("start", 0.0)
    from lckd.engine import Engine, Settings

    from .data import find_labeled
    from .evaluation import describe_table, select
    from .evaluation import evaluate as score

    chosen = select(find_labeled(root), cases.split(",") if cases else None, split)
    engine = Engine(model, Settings(device, threads, mirror))
    table = score(engine, chosen, output, lambda name, done: console.progress("network", done, name), lesionwise)
    console.result([*describe_table(table), f"Written: {output}"], cases=len(chosen), output=str(output))


def _compare_evaluations(evaluations: tuple[Path, ...], output: Path, as_json: bool) -> None:
    from .compare import read_evaluations, write_evaluations
    from .tables import markdown

    console = open_console(as_json)
    table = write_evaluations(read_evaluations(evaluations), output)
    console.result([*markdown(table).splitlines(), f"Written: {output}"], output=str(output))


@click.command()
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the model to be; its name is the model's.")
@click.option("--evaluation", type=PATH, metavar="FOLDER", help="Scores for the card: a folder of lckd evaluate.")
@click.option("--card", type=PATH, metavar="FILE", help="YAML file with more fields of the card, e.g. data_source.")
@click.option("--overwrite", is_flag=True, help="Replace a model that exists.")
@json_option
def export(run: Path, output: Path, evaluation: Path | None, card: Path | None, overwrite: bool, as_json: bool) -> None:
    """Make a verified model of a training run, from the averaged weights of its last checkpoint.

    \b
    Example:
      lckd export run -o my-model --evaluation scores
    """
    import yaml

    from .export import export as write

    fields = yaml.safe_load(card.read_text(encoding="utf-8")) if card else {}
    write(run, output, fields, evaluation, overwrite)
    words = [f"Written: {output}", f"Use it with --model {os.path.join(os.curdir, output)}"]
    open_console(as_json).result(words, output=str(output))


@click.group(no_args_is_help=False)
def data() -> None:
    """Check and make training data."""


data.add_command(check)


@data.command()
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the cases.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many cases.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@json_option
def phantom(output: Path, count: int, seed: int, as_json: bool) -> None:
    """Make synthetic cases of a brain with a glioma, labeled, in the layout of BraTS 2023.

    The same seed gives the same case. In each, the enhancing rim differs from the edema in T1c alone.

    \b
    Example:
      lckd data phantom -o phantoms --count 20
    """
    from .phantom import generate_phantom, write_phantom

    console = open_console(as_json)
    names = [f"phantom-{number:04d}" for number in range(seed, seed + count)]
    for done, name in enumerate(names):
        console.progress("generate", done / count, name)
        made = generate_phantom(seed + done)
        console.progress("write", (done + 0.9) / count, name)
        write_phantom(made, output / name, name)
    console.progress("write", 1.0)
    console.result([f"Written: {output / name}" for name in names], cases=[str(output / name) for name in names])


def _print_json(event: dict[str, Any]) -> None:
    click.echo(json.dumps(event))


def _print_line(event: dict[str, Any]) -> None:
    if event["event"] == "step":
        text = f"iteration {event['iteration']}  loss {event['loss']:.3f}  {event['seconds']:.1f} s"
    elif event["event"] == "election":
        text = "teachers " + ", ".join(f"{region} {name}" for region, name in event["teachers"].items())
    else:
        text = str(event.get("message", ""))
    end = "\r" if sys.stderr.isatty() and event["event"] == "step" else "\n"
    click.echo(text + ("" if end == "\n" else end), err=True, nl=end == "\n")

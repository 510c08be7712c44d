"""The commands of the trainer, added to `lckd`: train, evaluate, export, data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of labelled cases (BraTS layout).")
@click.option("--preset", default="small-cpu", show_default=True, help="Name of a preset, or a YAML file of settings.")
@click.option("-o", "--output", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, exactly where it was interrupted.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the preset.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a JSON line.")
def train(data: Path, preset: str, run: Path, resume: bool, settings: tuple[str, ...], as_json: bool) -> None:
    """Train a network on a folder of labelled cases.

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


@click.group(no_args_is_help=False)
def data() -> None:
    """Make training data."""


@data.command()
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the cases.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many cases.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@json_option
def phantom(output: Path, count: int, seed: int, as_json: bool) -> None:
    """Make synthetic cases of a brain with a glioma, labelled, in the layout of BraTS 2023.

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

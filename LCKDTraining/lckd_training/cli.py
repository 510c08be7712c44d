"""The commands of the trainer, added to `lckd`: train."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click


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
    """
    from .config import TrainingConfig
    from .run_folder import RunFolder
    from .trainer import train as start

    source = str(RunFolder(run).config) if resume and RunFolder(run).config.exists() else preset
    config = TrainingConfig.preset(source).overridden(settings)
    start(data, config, run, resume, _print_json if as_json else _print_line)


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

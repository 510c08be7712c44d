"""``lckd train``, and beside it ``lckd train status`` and ``lckd train settings``"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, debug_option, json_option

if TYPE_CHECKING:
    from ..config import TrainingConfig
    from ..run.reporter import Announce


@click.group(invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")
@click.option("--data", type=PATH, help="Folder of labeled cases (BraTS layout).  [required]")
@click.option("--preset", default="small-cpu", show_default=True, help="Name of a preset, or a YAML file of settings.")
@click.option("-o", "--output", "run", type=PATH, help="Folder of the run.  [required]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, exactly where it was interrupted.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the preset.")
@click.option(
    "--split",
    type=PATH,
    metavar="split.json",
    help="Which case is for what, as in an earlier run. A run that exists keeps its own.",
)
@click.option("--cache", type=PATH, help="Folder of prepared cases, which runs may share; without it in the run's.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:1|mps", help="Where to run.")
@click.option("--tensorboard", is_flag=True, help="Also write curves for TensorBoard, into tensorboard/ of the run.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a JSON line.")
@click.pass_context
def train(
    context: click.Context,
    data: Path | None,
    preset: str,
    run: Path | None,
    resume: bool,
    settings: tuple[str, ...],
    split: Path | None,
    cache: Path | None,
    device: str,
    tensorboard: bool,
    as_json: bool,
) -> None:
    """Train a network on a folder of labeled cases.

    The run folder receives config.yaml (every setting), split.json, events.jsonl and checkpoints/. Started by torchrun,
    several processes share the work. Ctrl-C finishes the iteration and writes a checkpoint; once more stops at once.

    \b
    Examples:
      lckd train --data cases --preset small-cpu -o run
      lckd train --data cases -o run --resume
      lckd train status run
    """
    if context.invoked_subcommand is not None:
        return
    # Not required of click: the commands below have no use for them.
    if data is None or run is None:
        lacking = "data" if data is None else "run"
        raise click.MissingParameter(ctx=context, param=next(p for p in train.params if p.name == lacking))
    speaks = int(os.environ.get("RANK", "0")) == 0  # the first of several processes
    console = open_console(as_json, silent=not speaks)
    from ..config import TrainingConfig
    from ..run.folder import RunFolder
    from ..run.train import train as start
    from .stopping import StopRequest

    source = str(RunFolder(run).config) if resume and RunFolder(run).config.exists() else preset
    config = TrainingConfig.preset(source).overridden(settings)
    stop = StopRequest(lambda words: console.warning(words) if not as_json else None)
    shown = _shown(config, run, as_json, tensorboard) if speaks else contextlib.nullcontext(_nothing)
    with contextlib.closing(stop), shown as show:

        def announce(event: dict[str, Any]) -> None:
            stop.hear(event)
            show(event)

        start(data, config, run, resume, announce, device=device, split=split, cache=cache, should_stop=stop)
    if not as_json:
        console.result([f"Finished: {run}", f"Make a model of it with lckd export {run} -o MODEL"])


train.params.append(debug_option)


@contextlib.contextmanager
def _shown(config: TrainingConfig, run: Path, as_json: bool, tensorboard: bool) -> Iterator[Announce]:
    """Where the events of a run are shown: on the terminal, and by TensorBoard where it is wanted."""
    from ..watching.tensorboard_log import TensorBoardLog
    from .progress_line import ProgressLine

    with contextlib.ExitStack() as stack:
        progress = ProgressLine(config.iterations, config.batch)
        listeners: list[Announce] = [_print_json if as_json else stack.enter_context(contextlib.closing(progress))]
        if tensorboard:
            listeners.append(stack.enter_context(contextlib.closing(TensorBoardLog(run))))

        def announce(event: dict[str, Any]) -> None:
            for listener in listeners:
                listener(event)

        yield announce


def _nothing(event: dict[str, Any]) -> None:
    """Shows an event nowhere."""


def _print_json(event: dict[str, Any]) -> None:
    click.echo(json.dumps(event))


@train.command()
@click.argument("run", type=PATH)
@json_option
def status(run: Path, as_json: bool) -> None:
    """Say how a training run stands, also one that goes on elsewhere.

    Iterations, losses, Dice by sequence and region, teachers, speed, memory, time left, and the last checkpoint. The
    state is preparing, training, finished, interrupted, failed (and why), or stopped: there is no sign of life. On the
    computer where the run is, its process is looked for; elsewhere the age of its last event decides.

    \b
    Examples:
      lckd train status run
      watch -n 60 lckd train status run
    """
    console = open_console(as_json)
    from ..watching.status import read_status
    from .status_words import describe_status

    found = read_status(run)
    console.result(describe_status(found), **found.as_dict())


@train.command()
@click.argument("run", type=PATH)
@json_option
def stop(run: Path, as_json: bool) -> None:
    """Ask a training, also one that goes on elsewhere, to stop after its iteration; --resume goes on from there.

    \b
    Example:
      lckd train stop run
    """
    console = open_console(as_json)
    from lckd.errors import InputError

    from ..run.folder import RunFolder
    from ..watching.status import State, read_status

    found = read_status(run)
    if found.state not in (State.PREPARING, State.TRAINING):
        words = f"The run in {run} is not under way: it is {found.state.value}."
        raise InputError("NOT_RUNNING", words, "Start it with --resume.")
    RunFolder(run).ask_to_stop()
    console.result([f"{run} stops after its iteration."], run=str(run))


@train.command()
@click.option("--data", type=PATH, required=True, help="Folder of labeled cases.")
@click.option("--preset", default="small-cpu", show_default=True, help="Name of a preset, or a YAML file of settings.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting of the preset.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:1|mps", help="Where to run.")
@json_option
def estimate(data: Path, preset: str, settings: tuple[str, ...], device: str, as_json: bool) -> None:
    """Say how long a training will take and how much memory, by a few real iterations of it.

    \b
    Example:
      lckd train estimate --data BraTS --preset fast
    """
    console = open_console(as_json)
    console.progress("prepare", 0.0)
    import dataclasses

    from ..config import TrainingConfig
    from ..run.estimate import estimate as measure
    from .status_words import duration

    found = measure(data, TrainingConfig.preset(preset).overridden(settings), device)
    memory = "" if found.memory_mb is None else f", {found.memory_mb:,.0f} MB of memory"
    words = [
        f"{found.iterations} iterations of {found.seconds_per_iteration:.3g} s on {found.device}{memory}",
        f"With the elections about {duration(found.seconds)}, if nothing else runs",
    ]
    console.result(words, **dataclasses.asdict(found))


@train.command("settings")
@click.option("--preset", default="small-cpu", show_default=True, help="Name of a preset, or a YAML file of settings.")
@json_option
def list_settings(preset: str, as_json: bool) -> None:
    """List every setting: its value in a preset, what it means, and what it may be.

    \b
    Example:
      lckd train settings --preset smoke
    """
    console = open_console(as_json)
    from ..config import TrainingConfig
    from .settings_words import describe_settings, setting_facts

    config = TrainingConfig.preset(preset)
    console.result(describe_settings(config), preset=preset, settings=setting_facts(config))

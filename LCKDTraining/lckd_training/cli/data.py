"""``lckd data``"""

from __future__ import annotations

from pathlib import Path

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option

from .check import check
from .split import split


@click.group(no_args_is_help=False)
def data() -> None:
    """Check and make training data."""


data.add_command(check)
data.add_command(split)


@data.command()
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the cases.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many cases.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first case.")
@click.option(
    "--scale",
    type=click.FloatRange(0.3, 1.0),
    default=1.0,
    show_default=True,
    help="Size of the brain and its tumor; small ones train faster.",
)
@click.option(
    "--separable", is_flag=True, help="Let only T1c show the core, and nothing tell where it is in the edema."
)
@json_option
def phantom(output: Path, count: int, seed: int, scale: float, separable: bool, as_json: bool) -> None:
    """Make synthetic cases of a brain with a glioma, labeled, in the layout of BraTS 2023.

    The same seed gives the same case. In each, the enhancing rim differs from the edema in T1c alone.

    \b
    Example:
      lckd data phantom -o phantoms --count 20
    """
    from ..phantom import PhantomSettings, generate_phantom, write_phantom

    console = open_console(as_json)
    settings = PhantomSettings.separable(scale) if separable else PhantomSettings.scaled(scale)
    names = [f"phantom-{number:04d}" for number in range(seed, seed + count)]
    for done, name in enumerate(names):
        console.progress("generate", done / count, name)
        made = generate_phantom(seed + done, settings)
        console.progress("write", (done + 0.9) / count, name)
        write_phantom(made, output / name, name)
    console.progress("write", 1.0)
    console.result([f"Written: {output / name}" for name in names], cases=[str(output / name) for name in names])

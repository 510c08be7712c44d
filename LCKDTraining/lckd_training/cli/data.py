"""``lckd data``"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option

from .check import check
from .split import split

if TYPE_CHECKING:
    from lckd.discovery import CaseFiles

    from ..phantom.background import Background


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
@click.option(
    "--brains",
    type=PATH,
    help="Folder of labeled cases: let tumors grow in their brains, in which the mirror image of the half "
    "without tumor stands for the other.",
)
@json_option
def phantom(
    output: Path, count: int, seed: int, scale: float, separable: bool, brains: Path | None, as_json: bool
) -> None:
    """Make synthetic cases of a brain with a glioma, labeled, in the layout of BraTS 2023.

    The same seed gives the same case; with --brains, the same command over the same brains. In each, the enhancing rim
    differs from the edema in T1c alone.

    \b
    Example:
      lckd data phantom -o phantoms --count 20
    """
    from ..data.cases import find_labeled
    from ..phantom import PhantomSettings, generate_phantom, write_phantom
    from ..phantom.background import backgrounds_in_turn

    console = open_console(as_json)
    settings = PhantomSettings.separable(scale) if separable else PhantomSettings.scaled(scale)
    if brains is not None and scale != 1:
        raise click.UsageError("--scale does not go with --brains: real brains have their own size.")
    backgrounds: Iterator[Background | None] = itertools.repeat(None)
    if brains is not None:
        # Synthetic cases below the output, made before, are no brains to grow tumors in.
        found = [files for files in find_labeled(brains) if not _is_below(files, output)]
        backgrounds = backgrounds_in_turn(found, lambda error: console.warning(f"{error.message} {error.action}"))
    names = [f"phantom-{number:04d}" for number in range(seed, seed + count)]
    for done, name in enumerate(names):
        console.progress("generate", done / count, name)
        made = generate_phantom(seed + done, settings, next(backgrounds))
        console.progress("write", (done + 0.9) / count, name)
        write_phantom(made, output / name, name)
    console.progress("write", 1.0)
    console.result([f"Written: {output / name}" for name in names], cases=[str(output / name) for name in names])


def _is_below(files: CaseFiles, folder: Path) -> bool:
    return any(image.path.resolve().is_relative_to(folder.resolve()) for image in files.images.values())

"""``lckd models``"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import open_console
from .options import PATH, json_option

if TYPE_CHECKING:
    from ..models import ModelEntry


@click.group(no_args_is_help=False)
def models() -> None:
    """List, check, add and remove models."""


@models.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Show the models there are.

    \b
    Example:
      lckd models list
    """
    from ..models import list_models
    from ..models.store import DEFAULT_MODEL, user_models_dir

    entries = list_models()
    words = [line for entry in entries for line in _describe(entry, entry.name == DEFAULT_MODEL)]
    words.append(f"Added models are kept in {user_models_dir()}")
    open_console(as_json).result(words, models=[entry.as_dict() for entry in entries])


@models.command()
@click.argument("name", required=False)
@json_option
def verify(name: str | None, as_json: bool) -> None:
    """Check a model completely: its files against their SHA-256, its description, its weights.

    NAME is the name of a model or its folder; without it, the embedded model is checked.

    \b
    Example:
      lckd models verify
    """
    from ..models import find_model, verify_model

    folder = find_model(name)
    checks = verify_model(folder)
    words = [f"ok    {check}" for check in checks] + [f"The model in {folder} is as it should be."]
    open_console(as_json).result(words, path=str(folder), checks=checks)


@models.command()
@click.argument("source")
@click.option("--sha256", metavar="HEX", help="SHA-256 of the zip file; needed for an address.")
@json_option
def add(source: str, sha256: str | None, as_json: bool) -> None:
    """Add a model from a folder, a zip file or an https address.

    It is checked completely before it is copied to your models.

    \b
    Examples:
      lckd models add my-model.zip
      lckd models add https://example.org/my-model.zip --sha256 9f86d081…
    """
    from ..models import add_model

    console = open_console(as_json)

    def show(received: int, total: int | None) -> None:
        console.progress("download", received / total if total else 0.0)

    entry = add_model(source, sha256, progress=show)
    console.result([f"Added {entry.name}: use it with --model {entry.name}"], model=entry.as_dict())


@models.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove a model that was added.

    \b
    Example:
      lckd models remove my-model
    """
    from ..models import remove_model

    remove_model(name)
    open_console(as_json).result([f"Removed {name}."], removed=name)


@models.command()
@click.argument("weights", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the model to be.")
@click.option("--name", help="What it is to be called; without it, the name of the folder.")
@json_option
def convert(weights: Path, output: Path, name: str | None, as_json: bool) -> None:
    """Make a model of WEIGHTS in the layout of the LCKD authors' public code.

    WEIGHTS is a state dictionary of their class DualNet; nothing in the file is executed.

    \b
    Example:
      lckd models convert LCKD_best.pth -o paper-model
    """
    from ..models import ModelCard
    from ..models.store import METADATA
    from ..network.convert import convert_file

    convert_file(weights, output, name or output.absolute().name)
    card = ModelCard.read(output / METADATA)
    words = [f"Written: {output}", f"Use it with --model {os.path.join(os.curdir, output)}"]
    open_console(as_json).result(words, name=card.name, path=str(output))


def _describe(entry: ModelEntry, is_default: bool) -> list[str]:
    if entry.card is None:
        return [f"{entry.name}: cannot be used. {entry.problem}"]
    origin = "embedded" if entry.embedded else str(entry.path)
    default = ", used where none is named" if is_default else ""
    return [f"{entry.name} ({origin}{default}): size {entry.card.size}. {entry.card.description}"]

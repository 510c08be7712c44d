"""``lckd identify``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import InputError, UsageError
from .console import open_console
from .options import PATH, json_option

if TYPE_CHECKING:
    from ..identify import Evidence

#: Encodings that start with a mark of their own; a file without one is UTF-8 or else Latin-1.
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@click.command()
@click.argument("files", type=PATH, nargs=-1, metavar="[FILE…]")
@click.option(
    "--descriptions", type=PATH, metavar="TEXTFILE", help="Series descriptions, one a line, in place of files."
)
@json_option
def identify(files: tuple[Path, ...], descriptions: Path | None, as_json: bool) -> None:
    """Say which sequence each image is, how sure that is, and why.

    FILE is an image, a DICOM file, or a folder with the DICOM files of one series. Looks at
    names, DICOM headers and the JSON files that converters write beside images, never at the
    pixels. One line each, in the order given: FLAIR, T1, T1c, T2, other (none of the four), or
    undecided, as between T1 and T1c where nothing speaks of contrast agent.

    \b
    Examples:
      lckd identify patient/*.nii.gz
      lckd identify --descriptions series.txt --json
    """
    from ..identify import identify as identify_one

    console = open_console(as_json)
    for name, evidence in _wanted(files, descriptions):
        found = identify_one(evidence)
        words = f"{name}: {found.answer or 'undecided'}"
        words += f" ({found.confidence:.0%})" if found.answer else ""
        facts = {"sequence": found.answer, "confidence": found.confidence, "reason": found.reason}
        console.result([f"{words} – {found.reason}"], name=name, **facts)


def _wanted(files: tuple[Path, ...], descriptions: Path | None) -> list[tuple[str, Evidence]]:
    """What is to be identified, all of it read before the first answer is given."""
    from ..identify import Evidence

    if bool(files) == (descriptions is not None):
        raise UsageError("USAGE", "Name either files or --descriptions.", "See lckd identify --help.")
    if descriptions is not None:
        return [(line, Evidence(series_description=line)) for line in _lines(descriptions)]
    from ..identify.files import read_evidence

    return [(str(file), read_evidence(file)) for file in files]


def _lines(path: Path) -> list[str]:
    """The lines of a text file; an empty one counts."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("FILE_NOT_FOUND", f"{path} does not exist.", "Check the path.") from None
    except OSError as error:
        raise InputError("UNREADABLE", f"{path} cannot be read.", "Name a text file.") from error
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if not lines[-1] else lines

"""The options that commands share, and what they become for the engine."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..errors import UsageError
from ..sequences import SEQUENCES, Sequence, Subset, parse_subset, subset_of
from .console import Console
from .startup import seconds_since_start

if TYPE_CHECKING:
    from ..discovery import CaseFiles
    from ..engine import Engine, Settings
    from ..jobs import Job
    from ..progress import Progress

Command = TypeVar("Command", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
#: How the reference segmentation of a user may be numbered; how the result may be.
REFERENCE_LABELS = ("brats2023", "brats2021", "brats2024", "msd")
RESULT_LABELS = ("brats2023", "brats2021", "msd")


class SubsetType(click.ParamType):
    """``flair,t1c``"""

    name = "flair,t1c,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Subset:
        return value if isinstance(value, tuple) else parse_subset(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        named = before.split(",")
        names = [sequence.value for sequence in SEQUENCES if sequence.value not in named]
        return [CompletionItem(before + comma + name) for name in names if name.startswith(last)]


class SequenceType(click.ParamType):
    """One sequence."""

    name = "sequence"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sequence:
        if isinstance(value, Sequence):
            return value
        subset = parse_subset(value)
        if len(subset) != 1:
            raise UsageError("SEVERAL_SEQUENCES", f"'{value}' names several sequences.", "Name one of them.")
        return subset[0]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(s.value) for s in SEQUENCES if s.value.startswith(incomplete)]


@dataclasses.dataclass(frozen=True)
class Processing:
    """How a case is to be processed, as the options say."""

    only: Subset | None = None
    grid: Sequence | None = None
    model: str | None = None
    device: str = "auto"
    labels: str = "brats2023"
    probabilities: bool = False
    uncertainty: bool = False
    overwrite: bool = False
    threads: int | None = None
    mirror: bool = False
    min_component: float = 0.0
    min_enhancing: float = 0.0

    def settings(self) -> Settings:
        """For the engine."""
        from ..engine import Settings
        from ..postprocess import Cleanup

        cleanup = Cleanup(self.min_component, self.min_enhancing)
        return Settings(self.device, self.threads, self.mirror, cleanup=cleanup)

    def job(self, files: CaseFiles, output: Path, **more: Any) -> Job:
        """What is wanted of one case; `more` are further fields of the job."""
        from ..jobs import Job
        from ..labels import LabelConvention

        fields = {name: getattr(self, name) for name in ("only", "grid", "probabilities", "uncertainty", "overwrite")}
        return Job(files, output, convention=LabelConvention(self.labels), **(fields | more))

    def start(self, console: Console) -> tuple[Engine, Progress]:
        """A loaded engine, and the progress of its first case, which knows how long the start took."""
        console.progress("start", 0.0)
        from ..engine import Engine
        from ..progress import Progress

        engine, progress = Engine(self.model, self.settings()), Progress(console.progress, warn=console.warning)
        progress.seconds["start"] = seconds_since_start()
        return engine, progress


_PROCESSING = (
    click.option("--only", type=SubsetType(), help="Use only these of the sequences, as if the others were missing."),
    click.option(
        "--grid",
        type=SequenceType(),
        help="Sequence on whose voxels the result lies; without it the first of T1c, FLAIR, T2, T1.",
    ),
    click.option("--model", metavar="NAME|FOLDER", help="Another model than the embedded one (see lckd models list)."),
    click.option(
        "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:1|mps", help="Where to run."
    ),
    click.option(
        "--labels",
        type=click.Choice(RESULT_LABELS),
        default="brats2023",
        show_default=True,
        help="Numbers of the tissues in the result: brats2023 has 1 NCR, 2 ED, 3 ET; brats2021 has ET as 4; msd has "
        "1 ED, 2 NCR, 3 ET.",
    ),
    click.option("--probabilities", is_flag=True, help="Also write the probability of each region (0 to 1)."),
    click.option("--uncertainty", is_flag=True, help="Also write how undecided each voxel is (0 to 1 bit)."),
    click.option("--overwrite", is_flag=True, help="Replace results that exist."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads; without it all that there are."),
    click.option(
        "--mirror", is_flag=True, help="Average over eight mirrored copies: steadier, and eight times slower."
    ),
    click.option(
        "--min-component",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="ML",
        help="Remove separate parts of the tumor smaller than this many mL.",
    ),
    click.option(
        "--min-enhancing",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="ML",
        help="With less enhancing tumor than this many mL in all, call it non-enhancing core.",
    ),
)
_CASE = (
    click.argument("case_folder", type=PATH, required=False),
    *(
        click.option(f"--{s.value}", type=PATH, metavar="FILE", help=f"The {s.title} image, in place of a folder.")
        for s in SEQUENCES
    ),
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one object a line.")
output_option = click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    help="Folder for the results; or a file such as mask.nii.gz, which is then all that is written, beside its report.",
)
reference_labels_option = click.option(
    "--reference-labels",
    type=click.Choice(REFERENCE_LABELS),
    help="What the numbers of the reference segmentation mean, where it is not clear.",
)


def processing_options(command: Command) -> Command:
    """Options that say how a case is processed; the command receives them as `processing`."""

    @functools.wraps(command)
    def collected(**values: Any) -> Any:
        own = {field.name: values.pop(field.name) for field in dataclasses.fields(Processing)}
        return command(processing=Processing(**own), **values)

    return _decorated(collected, _PROCESSING)


def case_options(command: Command) -> Command:
    """A case by folder or by files; the command receives it as `files`."""

    @functools.wraps(command)
    def collected(case_folder: Path | None, **values: Any) -> Any:
        images = {sequence: values.pop(sequence.value) for sequence in SEQUENCES}
        return command(files=_case_files(case_folder, images), **values)

    return _decorated(collected, _CASE)


def _note_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_DEBUG] = value


_DEBUG = "lckd.debug"
debug_option = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    callback=_note_debug,
    help="Show the technical details of an error.",
)


def wants_debug() -> bool:
    """Whether the running command was given ``--debug``."""
    return bool(click.get_current_context().meta.get(_DEBUG))


def label_convention(name: str | None) -> Any:
    """The convention of that name; None where none was named."""
    from ..labels import LabelConvention

    return None if name is None else LabelConvention(name)


def _decorated(command: Callable[..., Any], options: tuple[Callable[..., Any], ...]) -> Any:
    for option in reversed(options):
        command = option(command)
    return command


def _case_files(folder: Path | None, images: dict[Sequence, Path | None]) -> CaseFiles:
    given = {sequence: path for sequence, path in images.items() if path is not None}
    if folder is not None and given:
        names = ", ".join(f"--{sequence.value}" for sequence in subset_of(given))
        raise UsageError("FOLDER_AND_FILES", f"Both a folder and {names} were given.", "Give one or the other.")
    if folder is None and not given:
        raise UsageError(
            "NO_CASE_GIVEN", "No case was given.", "Give a folder, or one or more of --flair, --t1, --t1c, --t2."
        )
    from ..discovery import CaseFiles, find_case
    from ..images import ImageFile

    if folder is not None:
        return find_case(folder)
    first = next(iter(given.values()))
    return CaseFiles(first.absolute().parent.name, {sequence: ImageFile(path) for sequence, path in given.items()})

"""``lckd data split``"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option
from lckd.errors import OutputError

if TYPE_CHECKING:
    from ..data.split import Draw, Split


@click.command()
@click.argument("root", type=PATH, metavar="FOLDER|TABLE.csv")
@click.option(
    "-o", "--output", type=PATH, required=True, help="The file split.json; with --folds the folder for split-0.json, …"
)
@click.option("--folds", type=click.IntRange(min=2), metavar="K", help="A cross-validation: a split for each fold.")
@click.option(
    "--election-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="X",
    help="Share of the patients not in the test role who elect the teachers; 0.2 without it, as in the paper.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Another seed, another split.")
@click.option("--exclude", multiple=True, metavar="CASE", help="Leave out a case; may be given several times.")
@json_option
def split(
    root: Path,
    output: Path,
    folds: int | None,
    election_share: float | None,
    seed: int | None,
    exclude: tuple[str, ...],
    as_json: bool,
) -> None:
    """Divide the labeled cases among training, teacher election and test, and write who is what to a file.

    All scans of a patient are in one role. Enhancing tumor, grade and site, as far as they are known, are spread over
    the roles evenly. Without --folds there is no test role. With --folds, each patient is in the test role of one of
    the splits. Who elects is never trained on.

    A case that cannot be used ends the command; leave it out, here with --exclude and in training with --set exclude.

    \b
    Examples:
      lckd data split BraTS -o split.json
      lckd data split BraTS -o splits --folds 5
    """
    console = open_console(as_json)
    console.progress("start", 0.0)
    from ..config import TrainingConfig
    from ..data.cases import read_facts
    from ..data.datasets import find_dataset
    from ..data.split import Split

    given = {"folds": folds, "election_share": election_share, "seed": seed}
    config = TrainingConfig.from_dict({key: value for key, value in given.items() if value is not None})
    files = [output / f"split-{fold}.json" for fold in range(folds)] if folds else [output]
    _check_free(files)
    cases = [case for case in find_dataset(root) if case.name not in exclude]
    facts = read_facts(cases, lambda done, name: console.progress("read", done, name))
    splits = [Split.draw(facts, dataclasses.replace(config, fold=fold)) for fold in range(len(files))]
    words = []
    for path, one in zip(files, splits, strict=True):
        one.write(path)
        words += [*describe(one), f"Written: {path}", ""]
    told = [{"file": str(path), **_as_dict(one)} for path, one in zip(files, splits, strict=True)]
    console.result(words[:-1], splits=told)


def _check_free(files: list[Path]) -> None:
    """A split is never changed after it was used; nobody can tell whether it was."""
    for path in filter(Path.exists, files):
        raise OutputError("OUTPUT_EXISTS", f"{path} exists already.", "Delete it, or choose another output.")


def describe(one: Split) -> list[str]:
    """A drawn split in words: the patients by stratum and role, and the sums of patients and cases."""
    from ..data.split import ROLES

    drawn = _drawn(one)
    strata = sorted({stratum for by_stratum in drawn.patients.values() for stratum in by_stratum})
    rows = [[stratum, *(str(drawn.patients[role].get(stratum, 0)) for role in ROLES)] for stratum in strata]
    rows.append(["patients", *(str(sum(drawn.patients[role].values())) for role in ROLES)])
    rows.append(["cases", *(str(len(names)) for names in one.roles.values())])
    fold = f"Fold {drawn.fold} of {drawn.folds}, seed" if drawn.folds else "Seed"
    some = "1 case has" if drawn.unlabeled == 1 else f"{drawn.unlabeled} cases have"
    without = f"; {some} no segmentation and no role" if drawn.unlabeled else ""
    width = max(len(row[0]) for row in rows)
    lines = [["", *ROLES], *rows]
    return [
        f"{fold} {drawn.seed}; number of patients{without}:",
        *("  ".join([row[0].ljust(width), *(cell.rjust(8) for cell in row[1:])]) for row in lines),
    ]


def _as_dict(one: Split) -> dict[str, Any]:
    return {"cases": {role: len(names) for role, names in one.roles.items()}, **dataclasses.asdict(_drawn(one))}


def _drawn(one: Split) -> Draw:
    if one.drawn is None:
        raise ValueError("the split was read from a file that does not say how it was drawn")
    return one.drawn

"""``lckd evaluate``"""

from __future__ import annotations

import traceback
from pathlib import Path

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option, wants_debug
from lckd.errors import BatchError, InputError


@click.command()
@click.option("--model", metavar="NAME|FOLDER", help="Another model than the embedded one (see lckd models list).")
@click.option("--data", "root", type=PATH, help="Folder of labeled cases.")
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the tables and pictures.")
@click.option("--cases", metavar="NAME,NAME,…", help="Only these cases.")
@click.option("--split", type=PATH, metavar="split.json", help="Only the test cases of a training run.")
@click.option("--panel", metavar="CASE", help="Case of the picture panel.png; without it one of median Dice.")
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
    panel: str | None,
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

    panel.png shows one case, segmented from several subsets, as in Fig. 2 of the paper. A case that cannot be used is
    left out and named with the reason, also in evaluation.json; the command then ends with status 7.

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
    if cases is not None and split is not None:
        raise click.UsageError("--cases and --split both say which cases: give one of them.")
    console = open_console(as_json)
    console.progress("start", 0.0)
    from lckd.engine import Engine, Settings

    from ..evaluation.case_choice import LeftOut, choose_cases
    from ..evaluation.evaluate import describe_table
    from ..evaluation.evaluate import evaluate as score

    chosen, left_out = choose_cases(root, _names(cases) if cases is not None else None, split)
    if panel is not None and panel not in {case.name for case in chosen}:
        raise InputError("CASE_UNKNOWN", f"There is no case {panel} to show.", "Name one of those that are evaluated.")
    unusable = list(left_out)

    def leave_out(one: LeftOut) -> None:
        left_out.append(one)
        if wants_debug():
            traceback.print_exception(one.error)

    engine = Engine(model, Settings(device, threads, mirror))
    table = score(
        engine,
        chosen,
        output,
        lambda name, done: console.progress("network", done, name),
        lesionwise,
        panel,
        unusable,
        leave_out,
    )
    words = [f"Left out: {one.case}: {one.refusal.message} {one.refusal.action}" for one in left_out]
    count, facts = len(chosen) + len(unusable), [one.as_dict() for one in left_out]
    done = count - len(left_out)
    console.result(
        [*describe_table(table), *words, f"Written: {output}"], cases=done, left_out=facts, output=str(output)
    )
    if left_out:
        message = f"{len(left_out)} of {count} cases cannot be used; the others are evaluated."
        raise BatchError("SOME_CASES_FAILED", message, "See evaluation.json for the reasons.")


def _names(cases: str) -> list[str]:
    return [name.strip() for name in cases.split(",") if name.strip()]


def _compare_evaluations(evaluations: tuple[Path, ...], output: Path, as_json: bool) -> None:
    from ..evaluation.compare import read_evaluations, write_evaluations
    from ..evaluation.tables import markdown

    console = open_console(as_json)
    table = write_evaluations(read_evaluations(evaluations), output)
    console.result([*markdown(table).splitlines(), f"Written: {output}"], output=str(output))

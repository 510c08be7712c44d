"""``lckd data check``"""

from __future__ import annotations

from pathlib import Path

import click

from lckd.cli.console import open_console
from lckd.cli.options import PATH, json_option, label_convention, reference_labels_option
from lckd.errors import BatchError


@click.command()
@click.argument("root", type=PATH, metavar="FOLDER|TABLE.csv")
@click.option(
    "--deep", is_flag=True, help="Also read all images and prepare them as for training: a second or more each."
)
@click.option("--workers", type=click.IntRange(min=1), help="Cases at a time; without it as the computer allows.")
@reference_labels_option
@json_option
def check(root: Path, deep: bool, workers: int | None, reference_labels: str | None, as_json: bool) -> None:
    """Say which cases there are, what each lacks, and what is wrong with its files, grids and labels.

    Finds BraTS 2018 to 2024, MSD Task01, UCSF-PDGM and UPENN-GBM as they are published, and folders with files such as
    flair.nii.gz, t1.nii.gz, t1c.nii.gz, t2.nii.gz, seg.nii.gz. Data in any other layout is listed in a CSV file with
    the columns case, flair, t1, t1c, t2, label and, as wanted, convention, patient, site, grade; files are named
    relative to it, and what a case does not have is left empty.

    Links to folders are followed; a case that is reached twice counts once.

    A case may lack sequences or labels. A fault makes it unusable; the file and the remedy are named. Without --deep
    the headers of the images and the voxels of the labels are read, and a NIfTI file that is cut short is found; other
    damage within an image, NaN, an empty image, and brains that do not lie on each other show with --deep alone. One
    tumor in the names of two patients is found, and with --deep one image.

    \b
    Ends with status 0 if every case is usable (also with notes), 7 if some are not, 3 if there is no case.

    \b
    Examples:
      lckd data check BraTS2021_Training_Data
      lckd data check cases.csv --deep
      lckd data check study --reference-labels brats2021 --json > study.jsonl
    """
    console = open_console(as_json)
    console.progress("check", 0.0)
    from ..check.check import check_cases
    from ..check.words import describe, totals
    from ..data.datasets import find_dataset, folders_without_sequences

    cases = find_dataset(root)
    ignored = folders_without_sequences(root, cases) if root.is_dir() else []
    convention = label_convention(reference_labels)
    checks = check_cases(cases, root, convention, deep, workers, lambda done: console.progress("check", done))
    console.result(
        describe(checks, ignored, root),
        **totals(checks),
        folders_without_sequences=[str(folder) for folder in ignored],
        checks=[one.as_dict() for one in checks],
    )
    unusable = sum(not one.usable for one in checks)
    if unusable:
        message = f"{unusable} of {len(checks)} cases cannot be used as they are."
        raise BatchError("CASES_UNUSABLE", message, "Do what is said of each, or leave the case out.")

"""Made data sets: cases in any layout, with other labels or faults, and what the check of data finds of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from phantoms import MadeCase

from lckd.sequences import SEQUENCES, parse_subset
from lckd_training.check.check import CaseCheck, check_cases
from lckd_training.data.datasets import find_dataset

#: From the labels of BraTS 2023, which the made cases have.
AS_2021, AS_MSD = {1: 1, 2: 2, 3: 4}, {1: 2, 2: 1, 3: 3}


def write(made: MadeCase, files: dict[str, Path], values: dict[int, int] | None = None) -> None:
    """Write images and, as ``seg``, labels with other values under any names."""
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        image = made.images[parse_subset(name)[0]] if name != "seg" else relabeled(made, values or {1: 1, 2: 2, 3: 3})
        sitk.WriteImage(image, str(path))


def relabeled(made: MadeCase, values: dict[int, int]) -> sitk.Image:
    labels = sitk.GetArrayFromImage(made.labels)
    image = sitk.GetImageFromArray(np.select([labels == old for old in values], list(values.values())).astype(np.uint8))
    image.CopyInformation(made.labels)
    return image


def write_csv(path: Path, *rows: dict[str, str], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def check(root: Path, **options: Any) -> list[CaseCheck]:
    return check_cases(find_dataset(root), root, **options)


def check_one(root: Path, **options: Any) -> CaseCheck:
    (one,) = check(root, **options)
    return one


def write_decathlon(root: Path, name: str, made: MadeCase, labels: bool = True) -> Path:
    """Write a case of Task01, labeled or for the test, and return its 4-D file."""
    file = root / ("imagesTr" if labels else "imagesTs") / f"{name}.nii.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.JoinSeries([made.images[s] for s in SEQUENCES]), str(file))
    if labels:
        write(made, {"seg": root / "labelsTr" / file.name}, AS_MSD)
    return file

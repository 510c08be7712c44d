"""Made label maps with many lesions, and what the official package of the BraTS challenges says of them.

``Testing/trainer/brats_evaluation.json`` holds its answers. They are recorded, because the package (AGPL) is no
dependency of this project. In an environment of its own with `BraTS-evaluation` from PyPI, record them again::

    python Testing/made_lesions.py REAL_CASES Testing/trainer/brats_evaluation.json
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

SHAPE = (32, 36, 40)
#: A real case with several separate lesions; only numbers computed from it are kept.
REAL_CASE = "BraTS2021_00031"
KEYS = ("tp", "fp", "fn", "rq", "sq_dsc", "sq_hd95", "global_bin_dsc", "global_bin_hd95")

Spacing = tuple[float, float, float]
#: Start and size in z, y, x, and label (1 NCR, 2 ED, 3 ET) of a block.
Block = tuple[tuple[int, int, int], tuple[int, int, int], int]
#: Reference, segmentation and spacing (x, y, z) in mm.
Pair = tuple[np.ndarray, np.ndarray, Spacing]

UNIT = (1.0, 1.0, 1.0)


def blocks(*given: Block) -> np.ndarray:
    """A label map (32, 36, 40); later blocks lie over earlier ones."""
    labels = np.zeros(SHAPE, np.uint8)
    for start, size, label in given:
        labels[tuple(slice(begin, begin + length) for begin, length in zip(start, size, strict=True))] = label
    return labels


def random_blocks(seed: int, count: int = 14) -> np.ndarray:
    rng = np.random.default_rng(seed)
    starts, sizes = rng.integers(0, 26, (count, 3)).tolist(), rng.integers(1, 9, (count, 3)).tolist()
    return blocks(*zip(starts, sizes, rng.integers(1, 4, count).tolist(), strict=True))


def made_pairs() -> dict[str, Pair]:
    """Label maps that tell definitions of a lesion, of a pair and of the means apart."""
    one, far, small = ((4, 4, 4), (8, 8, 8), 3), ((20, 20, 20), (6, 7, 8), 3), ((28, 3, 30), (2, 2, 2), 3)
    halves = ((4, 4, 4), (3, 8, 8), 3), ((8, 4, 4), (4, 8, 8), 3)
    diagonal = ((4, 4, 4), (3, 3, 3), 3), ((7, 7, 7), (3, 3, 3), 3)
    # The best pair of all (middle with middle) is not in the best assignment.
    chain = ((4, 4, 4), (4, 4, 10), 3), ((4, 4, 16), (4, 4, 10), 3)
    shifted = ((4, 4, 11), (4, 4, 10), 3), ((4, 4, 22), (4, 4, 12), 3)
    nested = ((3, 3, 3), (14, 14, 14), 2), ((6, 6, 6), (8, 8, 8), 3), ((8, 8, 8), (3, 3, 3), 1)
    moved = ((5, 2, 4), (14, 14, 14), 2), ((7, 6, 5), (8, 8, 8), 3), ((8, 8, 9), (3, 4, 3), 1)
    empty = blocks()
    return {
        "one in two parts": (blocks(one), blocks(*halves), UNIT),
        "two run together": (blocks(*halves), blocks(one), UNIT),
        "one of three missed, one false": (
            blocks(one, far, small),
            blocks(one, small, ((20, 3, 3), (3, 3, 3), 3)),
            UNIT,
        ),
        "corner to corner": (blocks(*diagonal), blocks(diagonal[0]), UNIT),
        "a chain": (blocks(*chain), blocks(*shifted), UNIT),
        "nothing segmented": (blocks(one, far), empty, UNIT),
        "nothing there": (empty, blocks(one), UNIT),
        "both empty": (empty, empty, UNIT),
        "nowhere the same": (blocks(one), blocks(far), UNIT),
        "three regions": (blocks(*nested), blocks(*moved), (0.8, 1.5, 4.0)),
        "random": (random_blocks(1), random_blocks(2), UNIT),
        "random, thick slices": (random_blocks(3), random_blocks(4), (0.9, 1.1, 5.5)),
    }


def real_pair(data: Path) -> Pair:
    """A real reference, and as the segmentation the same, moved, with cuts through it and one block too many."""
    image = sitk.ReadImage(str(data / "brats2021" / REAL_CASE / f"{REAL_CASE}_seg.nii.gz"))
    reference = sitk.GetArrayFromImage(image).astype(np.uint8)
    reference[reference == 4] = 3
    segmented = np.roll(reference, (1, -2, 1), axis=(0, 1, 2))
    segmented[::9] = 0
    segmented[20:24, 100:105, 100:107] = 3
    return reference, segmented, image.GetSpacing()


def fingerprint(pair: Pair) -> str:
    """Tells whether the label maps are those whose scores were recorded."""
    return hashlib.sha256(pair[0].tobytes() + pair[1].tobytes()).hexdigest()[:16]


def _recorded(pairs: dict[str, Pair]) -> Iterator[tuple[str, dict[str, object]]]:
    from brats_evaluation import config_path, evaluate_single_exam
    from panoptica import Panoptica_Evaluator

    evaluator = Panoptica_Evaluator.load_from_config(str(config_path("gli")))
    for name, pair in pairs.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = [f"{folder}/{kind}.nii.gz" for kind in ("reference", "segmented")]
            for path, labels in zip(paths, pair[:2], strict=True):
                image = sitk.GetImageFromArray(labels)
                image.SetSpacing(pair[2])
                sitk.WriteImage(image, path)
            found = evaluate_single_exam(paths[1], paths[0], name, evaluator)
        regions = {region: {key: str(found[region.lower()][key]) for key in KEYS} for region in ("ET", "TC", "WT")}
        yield name, {"labels": fingerprint(pair), "scores": regions}


if __name__ == "__main__":
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("brats-evaluation", "panoptica")}
    answers = dict(_recorded(made_pairs() | {"real": real_pair(Path(sys.argv[1]))}))
    Path(sys.argv[2]).write_text(
        json.dumps({"versions": versions, "pairs": answers}, indent=1) + "\n", encoding="utf-8"
    )

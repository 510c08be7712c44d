"""Small made cases and a tiny model, for tests that need files but no real MRI.

The brain is an ellipsoid of about 40×48×40 voxels in a volume of 48×56×48, zero outside; in it lies a ball of tumor: a
necrotic center, an enhancing rim, edema around. The tissues have the usual order of intensities in each sequence, and
the rim differs from the edema in T1c alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lckd.geometry import IDENTITY_DIRECTION
from lckd.sequences import SEQUENCES, Sequence

#: Intensity of brain, edema, enhancing rim and necrosis in each sequence.
INTENSITIES = {
    Sequence.FLAIR: (400, 700, 680, 450),
    Sequence.T1: (600, 450, 440, 300),
    Sequence.T1C: (600, 450, 900, 300),
    Sequence.T2: (400, 650, 640, 800),
}
BRAIN_RADII = (20, 24, 20)
TUMOR_CENTER = (-5, 4, 3)
#: Radius in voxels of edema, enhancing rim and necrosis, each within the one before; their labels (BraTS 2023).
TUMOR_RADII = {2: 12, 3: 7, 1: 4}
_TISSUE_OF_LABEL = {2: 1, 3: 2, 1: 3}


@dataclass(frozen=True)
class MadeCase:
    """int16 images of the four sequences and uint8 labels (1 NCR, 2 ED, 3 ET) on one grid."""

    images: dict[Sequence, sitk.Image]
    labels: sitk.Image


def make_case(
    seed: int = 0,
    size: tuple[int, int, int] = (48, 56, 48),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    origin: tuple[float, float, float] = (-20.0, 30.0, 10.0),
    direction: tuple[float, ...] = IDENTITY_DIRECTION,
) -> MadeCase:
    """A made case; `seed` decides the noise. `size` is in (x, y, z) order, `origin` in mm (LPS)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.arange(length) - length // 2 for length in size[::-1]], indexing="ij")
    brain = sum((axis / radius) ** 2 for axis, radius in zip((x, y, z), BRAIN_RADII, strict=True)) <= 1
    distance = np.sqrt(sum((axis - center) ** 2 for axis, center in zip((x, y, z), TUMOR_CENTER, strict=True)))
    labels = np.zeros(brain.shape, np.uint8)
    tissue = np.zeros(brain.shape, np.intp)
    for label, radius in TUMOR_RADII.items():
        inside = brain & (distance <= radius)
        labels[inside], tissue[inside] = label, _TISSUE_OF_LABEL[label]

    def image(array: np.ndarray) -> sitk.Image:
        made = sitk.GetImageFromArray(array)
        made.SetSpacing(spacing)
        made.SetOrigin(origin)
        made.SetDirection(direction)
        return made

    images = {}
    for sequence, levels in INTENSITIES.items():
        signal = np.asarray(levels)[tissue] + rng.normal(0, 30, brain.shape)
        images[sequence] = image(np.where(brain, np.clip(signal, 1, None), 0).astype(np.int16))
    return MadeCase(images, image(labels))


def write_case(
    folder: Path,
    case: MadeCase | None = None,
    sequences: Iterable[Sequence] = SEQUENCES,
    labels: bool = True,
    suffix: str = ".nii.gz",
) -> Path:
    """Write ``flair``, ``t1``, ``t1c``, ``t2`` and ``seg`` (with `suffix`) into a folder, which is returned."""
    made = case or make_case()
    folder.mkdir(parents=True, exist_ok=True)
    for sequence in sequences:
        sitk.WriteImage(made.images[sequence], str(folder / f"{sequence.value}{suffix}"))
    if labels:
        sitk.WriteImage(made.labels, str(folder / f"seg{suffix}"))
    return folder


def write_tiny_model(folder: Path, window_voxels: int = 48**3, seed: int = 0) -> Path:
    """Write a model of a few thousand random weights, which segments something in every brain, and return `folder`.

    With the default, a made case takes several windows; the smallest window is 16³.
    """
    import torch

    from lckd.models import write_bundle
    from lckd.models.bundle import new_card
    from lckd.network import NetworkConfig, build_network

    config = NetworkConfig(channels=(4, 8, 8, 8), decoder_channels=(4, 4, 4), window_voxels=window_voxels)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(config).eval()
        # A fresh network calls next to nothing tumor; this one does for about half of all voxels.
        torch.nn.init.normal_(network.decoder.head.weight, std=0.5)
        torch.nn.init.zeros_(network.decoder.head.bias)
    write_bundle(folder, network, new_card(folder.name, "tiny", network, "Random weights, for tests."))
    return folder

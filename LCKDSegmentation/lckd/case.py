"""The case: one to four sequences of one patient, read into memory and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .discovery import CaseFiles, find_case
from .errors import InputError
from .images import ImageFile, check_intensities, read_images
from .labels import LabelConvention
from .sequences import REFERENCE_PREFERENCE, SEQUENCES, Sequence, Subset, subset_of, subset_title


@dataclass(frozen=True)
class Case:
    """One to four aligned sequences of one patient.

    Attributes:
        name: name of the case.
        images: a 3-D image for each present sequence, in the order of the sequences.
        grid_sequence: the sequence on whose voxels the segmentation will lie.
        sources: the file of each image, if it came from one.
        labels: file of a reference segmentation, if there is one.
        convention: what its numbers mean, if known.
    """

    name: str
    images: Mapping[Sequence, sitk.Image]
    grid_sequence: Sequence
    sources: Mapping[Sequence, ImageFile] = field(default_factory=dict)
    labels: Path | None = None
    convention: LabelConvention | None = None

    @property
    def present(self) -> Subset:
        """The sequences at hand."""
        return subset_of(self.images)

    @property
    def reference(self) -> sitk.Image:
        """The image whose geometry the segmentation takes over."""
        return self.images[self.grid_sequence]

    @staticmethod
    def from_folder(path: str | Path, only: Iterable[Sequence] | None = None, grid: Sequence | None = None) -> Case:
        """Read the case in a folder, or in a 4-D file; `only` these sequences of it.

        Raises:
            InputError: there is no such sequence, or a file is refused.
        """
        return Case.from_found(find_case(Path(path)), only, grid)

    @staticmethod
    def from_files(
        flair: str | Path | None = None,
        t1: str | Path | None = None,
        t1c: str | Path | None = None,
        t2: str | Path | None = None,
        *,
        grid: Sequence | None = None,
        name: str = "case",
    ) -> Case:
        """Read one to four files, one for each sequence.

        Raises:
            InputError: none is given, one is given twice, or a file is refused.
        """
        paths = zip(SEQUENCES, (flair, t1, t1c, t2), strict=True)
        images = {sequence: ImageFile(Path(path)) for sequence, path in paths if path is not None}
        return Case.from_found(CaseFiles(name, images), None, grid)

    @staticmethod
    def from_found(found: CaseFiles, only: Iterable[Sequence] | None = None, grid: Sequence | None = None) -> Case:
        """Read a case whose files are known.

        Raises:
            InputError: a wanted sequence is not there, or a file is refused.
        """
        wanted = found.choose(found.images if only is None else only)
        files = {sequence: found.images[sequence] for sequence in wanted}
        check_distinct(files)
        return Case.from_images(read_images(files), grid, found.name, files, found.labels, found.convention)

    @staticmethod
    def from_images(
        images: Mapping[Sequence, sitk.Image],
        grid: Sequence | None = None,
        name: str = "case",
        sources: Mapping[Sequence, ImageFile] | None = None,
        labels: Path | None = None,
        convention: LabelConvention | None = None,
    ) -> Case:
        """Check images that are in memory.

        Raises:
            InputError: there is none, two are the same, or one cannot be an MRI volume.
        """
        if not images:
            raise InputError("NO_SEQUENCE", "No image was given.", "Give at least one of FLAIR, T1, T1c, T2.")
        ordered = {sequence: images[sequence] for sequence in subset_of(images)}
        for sequence, image in ordered.items():
            shown = sources[sequence].path.name if sources else f"The {sequence.title} image"
            check_intensities(sitk.GetArrayViewFromImage(image), shown)
        _check_not_copies(ordered)
        return Case(name, ordered, _grid_sequence(ordered, grid), sources or {}, labels, convention)


def _grid_sequence(images: Mapping[Sequence, sitk.Image], wanted: Sequence | None) -> Sequence:
    if wanted is None:
        return next(sequence for sequence in REFERENCE_PREFERENCE if sequence in images)
    if wanted not in images:
        raise InputError(
            "SEQUENCE_ABSENT",
            f"The result cannot lie on {wanted.title}, which is not among the images.",
            f"Choose among {subset_title(images)} with --grid.",
        )
    return wanted


def check_distinct(files: Mapping[Sequence, ImageFile]) -> None:
    """Refuse one file given for two sequences.

    Raises:
        InputError: SAME_IMAGE.
    """
    seen: dict[tuple[Path, int | None], Sequence] = {}
    for sequence, file in files.items():
        key = (file.path.resolve(), file.component)
        if key in seen:
            raise _same_image(seen[key], sequence)
        seen[key] = sequence


def _check_not_copies(images: Mapping[Sequence, sitk.Image]) -> None:
    items = list(images.items())
    for number, (first, image_a) in enumerate(items):
        for second, image_b in items[number + 1 :]:
            if image_a.GetSize() == image_b.GetSize() and np.array_equal(
                sitk.GetArrayViewFromImage(image_a), sitk.GetArrayViewFromImage(image_b)
            ):
                raise _same_image(first, second)


def _same_image(first: Sequence, second: Sequence) -> InputError:
    return InputError(
        "SAME_IMAGE",
        f"The same image is given as {first.title} and as {second.title}.",
        "Give each image once; a missing sequence is simply left out.",
    )

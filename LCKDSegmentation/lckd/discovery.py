"""Which files make a case: the folder layouts and file names of the public data sets, and plain names."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .images import ImageFile, image_stem, is_image_name
from .labels import LabelConvention
from .sequences import SEQUENCES, Sequence, Subset, sequence_of_file_name, subset_of, subset_title

#: UCSF-PDGM also has masks of brain and parenchyma, which are no reference.
_SEGMENTATION = re.compile(r"(^|(?<!brain)(?<!parenchyma)[^a-z])(seg|segm|segmentation|labels?)$")
#: How the names of UPENN-GBM's segmentations end that nobody has corrected.
AUTOMATIC_LABELS = "_automated_approx_segm"
#: The origin that a case's name gives away, and with it the meaning of the labels. A 4 in a BraTS-GLI file is the
#: resection cavity of 2024; the earlier BraTS-GLI files have none, so the 2024 convention reads both. BraTS-PED changed
#: its numbers from year to year under the same names, so it is not here.
_ORIGINS = (
    (re.compile(r"^brats-(gli|ssa)-", re.IGNORECASE), LabelConvention.BRATS2024),
    (re.compile(r"^brats(17|18|19|20|2018|2019|2020|2021)_", re.IGNORECASE), LabelConvention.BRATS2021),
    (re.compile(r"^(ucsf-pdgm|upenn-gbm)-", re.IGNORECASE), LabelConvention.BRATS2021),
    (re.compile(r"^brats_\d{3}$", re.IGNORECASE), LabelConvention.MSD),
)
#: The Decathlon keeps the 4-D files of all cases in these folders, and their labels in those that are called labels….
_MSD_IMAGES = ("imagesTr", "imagesTs")
#: UPENN-GBM keeps segmentations beside the folder of the images: the experts', which are fewer, and automatic ones.
_UPENN_IMAGES = "images_structural"
_UPENN_LABELS = (
    ("images_segm", "_segm.nii.gz"),
    ("automated_segm", f"{AUTOMATIC_LABELS}.nii.gz"),
)


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case, not yet read.

    Attributes:
        name: name of the case.
        images: where each present sequence is.
        labels: the reference segmentation, if there is one.
        convention: what its numbers mean, if the name of the case says so.
    """

    name: str
    images: Mapping[Sequence, ImageFile]
    labels: Path | None = None
    convention: LabelConvention | None = None

    def choose(self, wanted: Iterable[Sequence]) -> Subset:
        """The wanted sequences in their order.

        Raises:
            InputError: the case does not have one of them.
        """
        subset = subset_of(wanted)
        absent = [sequence for sequence in subset if sequence not in self.images]
        if absent:
            raise InputError(
                "SEQUENCE_ABSENT",
                f"The case has no {subset_title(absent)} image.",
                f"Choose among {subset_title(self.images)}.",
            )
        return subset


def find_case(path: Path) -> CaseFiles:
    """The case in a folder, or in a 4-D file of the Medical Segmentation Decathlon.

    Raises:
        InputError: the path does not exist, cannot be read, holds no sequence, or holds one twice.
    """
    if not os.path.exists(path):
        message = f"{path} does not exist, or cannot be reached."
        raise InputError("FILE_NOT_FOUND", message, "Check the path of the case.")
    if path.is_file():
        return _msd_case(path)
    images: dict[Sequence, ImageFile] = {}
    segmentations: list[Path] = []
    for file in _images_in(path):
        if _SEGMENTATION.search(image_stem(file).lower()):
            segmentations += [] if _is_own_result(file) else [file]
            continue
        sequence = sequence_of_file_name(image_stem(file))
        if sequence is None:
            continue
        if sequence in images:
            raise InputError(
                "SEQUENCE_TWICE",
                f"{images[sequence].path.name} and {file.name} both claim to be {sequence.title}.",
                "Leave one of them in the folder, or name the files with --flair, --t1, --t1c, --t2.",
            )
        images[sequence] = ImageFile(file)
    if not images:
        raise InputError(
            "NO_SEQUENCE",
            f"No file in {path} has a name that ends in flair, t1, t1c or t2 (or the BraTS names).",
            "Name the files with --flair, --t1, --t1c, --t2.",
        )
    ordered = {sequence: images[sequence] for sequence in SEQUENCES if sequence in images}
    labels = _only_one(segmentations) if segmentations else _labels_elsewhere(path)
    return CaseFiles(case_name(path), ordered, labels, _convention(path, next(iter(ordered.values())).path))


def case_name(path: Path) -> str:
    """The name of the case in a folder, or in a 4-D file; of a link its own."""
    return image_stem(path) if path.is_file() else Path(os.path.abspath(path)).name


def case_paths(root: Path) -> list[Path]:
    """The folders and 4-D files below a folder that `find_case` takes, so that a bad one need not end the others.

    Links are followed as by `folders_below`; a folder or file that is reached twice is one case.

    Raises:
        InputError: there is none.
    """
    if not os.path.isdir(root):
        message = f"The folder {root} does not exist, or cannot be reached."
        raise InputError("FILE_NOT_FOUND", message, "Check the path.")
    folders = folders_below(root)
    paths = [folder for folder in folders if _may_be_case(folder)]
    msd = [f for f in folders if f not in paths and any(place.name in _MSD_IMAGES for place in places_of(f))]
    paths += _each_once(file for folder in msd for file in _images_in(folder))
    if not paths:
        raise InputError(
            "NO_CASE", f"There is no case below {root}.", "Give a folder whose sub-folders hold one case each."
        )
    return sorted(paths)


def folders_below(root: Path) -> list[Path]:
    """A folder and all folders below it, sorted, each once. Links to folders are followed, unless they lead to a folder
    in which they lie.

    A folder that is reached by several paths goes by the one with the fewest links and, of those, the fewest names.
    """
    found: dict[str, Path] = {}
    direct, linked = deque([root]), deque[Path]()
    while direct or linked:
        folder = (direct or linked).popleft()
        real = os.path.realpath(folder)
        if real in found:
            continue
        found[real] = folder
        for child in _folders_in(folder):
            target = os.path.realpath(child)
            if target == os.path.join(real, child.name):
                direct.append(child)
            elif not Path(real).is_relative_to(target):
                linked.append(child)
    return sorted(found.values())


def places_of(path: Path) -> tuple[Path, ...]:
    """A path as it is given and, where that is another, without links: either may tell of which data set it is."""
    return tuple(dict.fromkeys((path, path.parent.resolve() / path.name, path.resolve())))


def _folders_in(folder: Path) -> list[Path]:
    """The folders in a folder and the links to folders, sorted; none if it cannot be read, which `find_case` says."""
    try:
        return sorted(folder / name for name in os.listdir(folder) if os.path.isdir(folder / name))
    except OSError:
        return []


def _each_once(files: Iterable[Path]) -> list[Path]:
    """Of several paths to one file the first that is no link, or else the first."""
    found: dict[str, Path] = {}
    for file in sorted(files, key=os.path.islink):
        found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _may_be_case(folder: Path) -> bool:
    """Whether a folder has a sequence; one that cannot be read may have, and `find_case` refuses it alone."""
    try:
        return any(sequence_of_file_name(image_stem(file)) for file in _images_in(folder))
    except InputError:
        return True


def _is_own_result(file: Path) -> bool:
    """Whether this program wrote the segmentation: what it says must not be compared with itself."""
    stem = image_stem(file)
    reports = [f"{stem}.report.json"] + (["report.json"] if stem == "segmentation" else [])
    return any(file.with_name(report).exists() for report in reports)


def _only_one(segmentations: list[Path]) -> Path:
    """The reference segmentation; of several nobody can say which is meant."""
    if len(segmentations) > 1:
        first, second = segmentations[:2]
        raise InputError(
            "REFERENCE_TWICE",
            f"{first.name} and {second.name} both look like the reference segmentation.",
            "Leave one of them in the folder, or name the images with --flair, --t1, --t1c, --t2.",
        )
    return segmentations[0]


def _labels_elsewhere(folder: Path) -> Path | None:
    """The reference segmentation of a case whose data set keeps them in folders of their own."""
    places = [place for place in places_of(folder) if place.parent.name == _UPENN_IMAGES]
    names = [
        place.parent.parent / labels / f"{place.name}{ending}" for place in places for labels, ending in _UPENN_LABELS
    ]
    return next((file for file in names if file.exists()), None)


def _images_in(folder: Path) -> list[Path]:
    """Image files, sorted; names with a dot in front are leftovers, such as macOS makes beside every file."""
    try:
        return sorted(f for f in folder.iterdir() if f.is_file() and is_image_name(f) and not f.name.startswith("."))
    except OSError as error:
        action = "Ask for permission to read it, or leave it out."
        raise InputError("UNREADABLE_FOLDER", f"The folder {folder} cannot be read.", action) from error


def _msd_case(path: Path) -> CaseFiles:
    """A 4-D file in the order FLAIR, T1w, T1gd, T2w."""
    places = [place for place in places_of(path) if place.parent.name in _MSD_IMAGES]
    names = [file.parent.parent / file.parent.name.replace("images", "labels") / file.name for file in places]
    images = {sequence: ImageFile(path, sequence.index) for sequence in SEQUENCES}
    labels = next((file for file in names if file.exists()), None)
    return CaseFiles(case_name(path), images, labels, LabelConvention.MSD)


def _convention(folder: Path, image: Path) -> LabelConvention | None:
    names = [case_name(folder), folder.resolve().name, image_stem(image)]
    return next((convention for convention in map(known_convention, names) if convention is not None), None)


def known_convention(name: str) -> LabelConvention | None:
    """What the numbers of a segmentation mean by the name of the case or of its image; None if it says nothing."""
    return next((convention for pattern, convention in _ORIGINS if pattern.search(name)), None)

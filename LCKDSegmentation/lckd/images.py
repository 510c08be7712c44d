"""Reading and writing 3-D images, with every refusal a bad file deserves."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .errors import InputError, OutputError

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
#: More voxels than any head scan has; a header that claims more is wrong, and its data would not fit into memory.
MAX_VOXELS = 1024**3 // 2
MIN_SLICES = 8
#: An image with at most this many different whole numbers is a label map.
MAX_LABELS = 10


@dataclass(frozen=True)
class ImageFile:
    """A 3-D image in a file, or one volume (`component`) of a 4-D file."""

    path: Path
    component: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.component is None else f"{self.path}[{self.component}]"


def image_stem(path: Path) -> str:
    """File name without its image suffix; suffixes may be in any case."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def is_image_name(path: Path) -> bool:
    """Whether the suffix is one this program reads."""
    return path.name.lower().endswith(SUFFIXES)


def read_image(source: ImageFile) -> sitk.Image:
    """Read one 3-D scalar image and check that it can be one.

    Raises:
        InputError: missing, empty, unreadable, of another kind, with another number of dimensions, or too large.
    """
    path = source.path
    reader = _open(path)
    size = [length for length in reader.GetSize() if length > 0]
    if np.prod([float(length) for length in size]) > MAX_VOXELS * 4:
        raise InputError(
            "IMAGE_TOO_LARGE",
            f"{path.name} claims {'×'.join(map(str, size))} voxels, more than any head scan has.",
            "Check the file; its header is probably damaged.",
        )
    dimensions = sum(length > 1 for length in size[3:]) + 3
    if source.component is None and (dimensions > 3 or reader.GetNumberOfComponents() > 1):
        raise InputError(
            "NOT_3D",
            f"{path.name} holds several volumes or colours, where one 3-D image is needed.",
            "Give one 3-D file for each sequence, or the whole 4-D file as the case.",
        )
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, "is damaged or cut short") from error
    return _take_volume(image, source)


def _open(path: Path) -> sitk.ImageFileReader:
    """A reader whose header has been read."""
    if not path.exists():
        raise InputError("FILE_NOT_FOUND", f"{path.name} does not exist.", "Check the path.")
    if not is_image_name(path):
        raise InputError(
            "WRONG_SUFFIX", f"{path.name} is not an image file this program reads.", f"Use one of {', '.join(SUFFIXES)}."
        )
    if path.is_dir() or path.stat().st_size == 0:
        raise InputError("EMPTY_FILE", f"{path.name} is empty.", "Export the image again.")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with _quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, "cannot be read as an image") from error
    return reader


def _take_volume(image: sitk.Image, source: ImageFile) -> sitk.Image:
    """Drop the fourth dimension: the chosen component, or the only one."""
    if image.GetDimension() == 4:
        image = image[..., source.component or 0]
    elif image.GetNumberOfComponentsPerPixel() > 1:
        image = sitk.VectorIndexSelectionCast(image, source.component or 0)
    if image.GetDimension() != 3:
        raise InputError("NOT_3D", f"{source.path.name} is not a 3-D image.", "Give a 3-D image.")
    return image


def check_intensities(array: NDArray, name: str) -> None:
    """Refuse what cannot be an MRI volume: one slice, NaN or infinity, a constant, a label map.

    Raises:
        InputError: with the code ONE_SLICE, NOT_FINITE, CONSTANT_IMAGE or LABELS_AS_IMAGE.
    """
    if min(array.shape) < MIN_SLICES:
        raise InputError(
            "ONE_SLICE",
            f"{name} has only {min(array.shape)} slice(s) in one direction.",
            f"Give a volume with at least {MIN_SLICES} slices.",
        )
    if not np.isfinite(array).all():
        raise InputError("NOT_FINITE", f"{name} contains values that are not numbers.", "Export the image again.")
    low, high = array.min(), array.max()
    if low == high:
        raise InputError("CONSTANT_IMAGE", f"{name} has the same value everywhere.", "Choose another image.")
    if high - low <= 255 and _is_label_map(array):
        raise InputError(
            "LABELS_AS_IMAGE",
            f"{name} looks like a segmentation, not like an MRI image.",
            "Choose the image; a segmentation is given with --reference.",
        )


def _is_label_map(array: NDArray) -> bool:
    values = np.unique(array)
    return values.size <= MAX_LABELS and bool(np.array_equal(values, np.rint(values)))


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image so that it exists whole under its name or not at all.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    with writing(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True, compressionLevel=1)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=suffix, prefix=".writing-", dir=path.parent)
    except OSError as error:
        raise _not_writable(path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise _not_writable(path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _not_writable(path: Path) -> OutputError:
    return OutputError(
        "NOT_WRITABLE",
        f"{path.name} cannot be written in {path.parent}.",
        "Check that the folder may be written to and that the disk is not full.",
    )


def _unreadable(path: Path, what: str) -> InputError:
    return InputError("UNREADABLE", f"{path.name} {what}.", "Copy or export the image again.")


@contextlib.contextmanager
def _quiet_itk() -> Iterator[None]:
    """Keep ITK's warnings about damaged files off the terminal; the refusal says it in words."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)

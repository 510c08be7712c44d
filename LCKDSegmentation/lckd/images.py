"""Reading and writing 3-D images, with every refusal a bad file deserves."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .errors import InputError, OutputError, check_path_encoding
from .exact_header import copy_geometry
from .geometry import Grid
from .nifti import check_nifti_data, has_full_length, is_nifti2, not_finite
from .sequences import SEQUENCES

Key = TypeVar("Key")

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
#: Suffixes of one-file formats, the only ones to write: a second file beside could not be replaced in one step.
WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
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
    return read_images({None: source})[None]


def read_images(sources: Mapping[Key, ImageFile]) -> dict[Key, sitk.Image]:
    """Read several 3-D scalar images; a 4-D file that holds several of them is read once.

    Raises:
        InputError: as `read_image`.
    """
    files: dict[Path, sitk.Image] = {}
    for source in sources.values():
        if source.path not in files:
            files[source.path] = _read_file(source)
    return {key: _take_volume(files[source.path], source) for key, source in sources.items()}


def read_grid(source: ImageFile) -> Grid:
    """Where the voxels of an image lie, from its header; of the data, only whether a NIfTI file has all of it.

    Raises:
        InputError: as `read_image`, but for other damage to the data and for NaN.
    """
    with _quiet:
        reader = _open(source.path)
        _check_header(source, reader)
        if _is_nifti(source.path) and not has_full_length(source.path, _fields(reader), math.prod(reader.GetSize())):
            raise _unreadable(source.path, "is damaged or cut short")
    return _grid(reader)


def _read_file(source: ImageFile) -> sitk.Image:
    """Check the header, then that the data is there, then read it."""
    path = source.path
    with _quiet:
        reader = _open(path)
        _check_header(source, reader)
        try:
            if _is_nifti(path) and not check_nifti_data(path, _fields(reader), math.prod(reader.GetSize())):
                raise _unreadable(path, "is damaged or cut short")
            return reader.Execute()
        except RuntimeError as error:
            raise _unreadable(path, "is damaged or cut short") from error


def _check_header(source: ImageFile, reader: sitk.ImageFileReader) -> None:
    size = reader.GetSize()
    _check_size(source, size[:3], math.prod(size[3:]) * reader.GetNumberOfComponents())


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))


def _fields(reader: sitk.ImageFileReader) -> dict[str, str]:
    """The header's fields by name, as text."""
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def _open(path: Path) -> sitk.ImageFileReader:
    """A reader whose header has been read."""
    check_path_encoding(path, InputError)
    if not os.path.exists(path):
        raise InputError("FILE_NOT_FOUND", f"{path.name} does not exist, or cannot be reached.", "Check the path.")
    if path.is_dir():
        raise InputError(
            "NOT_A_FILE", f"{path.name} is a folder, where an image file is needed.", "Name the file in it."
        )
    if not is_image_name(path):
        raise InputError(
            "WRONG_SUFFIX",
            f"{path.name} is not an image file this program reads.",
            f"Use one of {', '.join(SUFFIXES)}.",
        )
    if path.stat().st_size == 0:
        raise InputError("EMPTY_FILE", f"{path.name} is empty.", "Export the image again.")
    reader = sitk.ImageFileReader()
    reader.SetFileName(itk_name(path, InputError))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise InputError(
                "SHEARED",
                f"The voxel axes of {path.name} are not at right angles.",
                "Resample the image to a regular grid first.",
            ) from error
        if is_nifti2(path):
            message = f"{path.name} is NIfTI-2, which this program does not read."
            raise InputError("NIFTI2", message, "Save the image as NIfTI-1.") from error
        raise _unreadable(path, "cannot be read as an image") from error
    return reader


def itk_name(path: Path, kind: type[InputError] | type[OutputError]) -> str:
    """The name by which ITK opens a file. On Windows it opens only names in ASCII: there, folders that have others go
    by their short names, as ``C:\\Users\\JRG~1``. The file name itself stays, since its suffix says the format.

    Raises:
        LckdError: PATH_NOT_ASCII, of that kind: it has no such name.
    """
    if sys.platform != "win32" or str(path).isascii():
        return str(path)
    name = str(_short_name(path.parent) / path.name)
    if not name.isascii():
        message = f"{path} holds letters that cannot be used for image files on this Windows drive."
        raise kind("PATH_NOT_ASCII", message, "Use file and folder names with the letters a to z only.")
    return name


def _short_name(folder: Path) -> Path:
    """The short name on Windows of a folder that is there, or its own where the drive keeps none."""
    if sys.platform != "win32":
        return folder
    get_short_name = ctypes.WinDLL("kernel32").GetShortPathNameW
    length = get_short_name(str(folder), None, 0)
    buffer = ctypes.create_unicode_buffer(max(length, 1))
    return Path(buffer.value) if length and get_short_name(str(folder), buffer, length) else folder


def _check_size(source: ImageFile, size: tuple[int, ...], volumes: int) -> None:
    """Refuse a wrong number of volumes, and headers so large that reading what they promise would fill the memory."""
    name = source.path.name
    if math.prod(size) > MAX_VOXELS:
        raise InputError(
            "IMAGE_TOO_LARGE",
            f"{name} claims {'×'.join(map(str, size))} voxels, more than any head scan has.",
            "Check the file; its header is probably damaged.",
        )
    if len(size) < 3 or (source.component is None and volumes > 1):
        raise InputError(
            "NOT_3D",
            f"{name} is not one 3-D image: it is flat, or holds several volumes or colors.",
            "Give one 3-D file for each sequence, or the whole 4-D file as the case.",
        )
    if source.component is not None and volumes != len(SEQUENCES):
        raise InputError(
            "NOT_4D",
            f"{name} holds {volumes} volume(s), where the four of FLAIR, T1, T1c, T2 are needed.",
            "Give a folder as the case, or name the files with --flair, --t1, --t1c, --t2.",
        )


def _take_volume(image: sitk.Image, source: ImageFile) -> sitk.Image:
    """Drop the fourth dimension: the chosen component, or the only one."""
    component = source.component or 0
    if image.GetNumberOfComponentsPerPixel() > 1:
        image = sitk.VectorIndexSelectionCast(image, component)
    while image.GetDimension() > 3:
        image = image[..., component if image.GetSize()[-1] > 1 else 0]
    return image


def check_intensities(array: NDArray, name: str) -> None:
    """Refuse what cannot be an MRI volume: one slice, NaN or infinity, a constant, a label map.

    Raises:
        InputError: with the code ONE_SLICE, NOT_FINITE, CONSTANT_IMAGE or LABELS_AS_IMAGE.
    """
    check_slices(array.shape, name)
    if not np.isfinite(array).all():
        raise not_finite(name)
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputError("CONSTANT_IMAGE", f"{name} has the same value everywhere.", "Choose another image.")
    if high - low <= 255 and _is_label_map(array):
        raise InputError(
            "LABELS_AS_IMAGE",
            f"{name} looks like a segmentation, not like an MRI image.",
            "Choose the image; a segmentation is given with --reference.",
        )


def check_slices(shape: tuple[int, ...], name: str) -> None:
    """Refuse an image of this size in voxels if it is no volume.

    Raises:
        InputError: ONE_SLICE.
    """
    if min(shape) < MIN_SLICES:
        raise InputError(
            "ONE_SLICE",
            f"{name} has only {min(shape)} slice(s) in one direction.",
            f"Give a volume with at least {MIN_SLICES} slices.",
        )


def _is_label_map(array: NDArray) -> bool:
    values = np.unique(array)
    return values.size <= MAX_LABELS and bool(np.array_equal(values, np.rint(values)))


def write_image(image: sitk.Image, path: Path, like: ImageFile | None = None) -> None:
    """Write an image so that it exists whole under its name or not at all.

    Args:
        image: what to write.
        path: where.
        like: the file whose geometry the image has; it is then equal to the last bit, which writing alone is not.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    with writing(path) as temporary:
        sitk.WriteImage(image, itk_name(temporary, OutputError), useCompression=True, compressionLevel=1)
        _check_written(temporary)
        if like is not None and _grid_of(like) == Grid.of(image):
            copy_geometry(like.path, temporary)


def _check_written(path: Path) -> None:
    """Read back what was written: on a full disk ITK ends a file early and says nothing."""
    try:
        _read_file(ImageFile(path))
    except InputError as error:
        raise OSError(error.message) from error


def _grid_of(source: ImageFile) -> Grid:
    """The grid of a file that has been read before."""
    with _quiet:
        return _grid(_open(source.path))


def _grid(reader: sitk.ImageFileReader) -> Grid:
    """The grid of the three spatial dimensions, as the header has it."""
    number = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (number, number))[:3, :3].ravel().tolist()
    return Grid(reader.GetSize()[:3], reader.GetSpacing()[:3], reader.GetOrigin()[:3], tuple(direction))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=suffix, prefix=".writing-", dir=path.parent)
    except OSError as error:
        raise not_writable(path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise not_writable(path) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def not_writable(path: Path) -> OutputError:
    """The error for a file that cannot be written."""
    return OutputError(
        "NOT_WRITABLE",
        f"{path.name} cannot be written in {path.parent}.",
        "Check that the folder may be written to and that the disk is not full.",
    )


def _unreadable(path: Path, what: str) -> InputError:
    return InputError("UNREADABLE", f"{path.name} {what}.", "Copy or export the image again.")


class _Silence:
    """Keeps ITK's remarks on damaged files off the terminal, also those of the libraries in it that write to stderr
    themselves; the refusal says it in words. Both belong to the whole process, so that of several threads the first
    takes them away and the last gives them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads == 1:
                shown = sitk.ProcessObject.GetGlobalWarningDisplay()
                sitk.ProcessObject.SetGlobalWarningDisplay(False)
                self._undo.callback(sitk.ProcessObject.SetGlobalWarningDisplay, shown)
                self._undo.enter_context(_stderr_closed())

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._undo.close()


_quiet = _Silence()


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    try:
        kept = os.dup(2)
    except OSError:  # There is none, as in a program without a terminal.
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)

"""Files that are refused: the code, one sentence, one action, quickly, quietly, and with nothing written.

Each test writes the real bad file and gives it to the whole job.
"""

import gzip
import os
import shutil
import struct
import threading
import time
import tracemalloc

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_case, write_case

from lckd import images
from lckd.case import Case
from lckd.discovery import CaseFiles, find_case
from lckd.engine import Engine, Settings
from lckd.errors import InputError
from lckd.geometry import Grid
from lckd.images import ImageFile, check_intensities, read_image
from lckd.jobs import Job, segment_job
from lckd.nifti import check_nifti_data
from lckd.progress import Progress
from lckd.reference import read_reference
from lckd.report import peak_memory_mb
from lckd.sequences import SEQUENCES, Sequence

FLAIR, T1, T1C, T2 = SEQUENCES
ALL_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


@pytest.fixture(scope="module")
def engine(tiny_model):
    return Engine(tiny_model, Settings(device="cpu", threads=1))


@pytest.fixture(scope="module")
def made():
    return make_case()


@pytest.fixture
def refused(engine, tmp_path, capfd):
    """Runs the whole job on files, or on a folder, and returns the refusal after the checks that hold for all."""

    def run(files, code):
        output = tmp_path / "out"
        started = time.perf_counter()
        with pytest.raises(InputError) as caught:
            segment_job(engine, Job(_found(files), output), Progress())
        error = caught.value
        assert error.code == code
        assert error.exit_status == 3
        assert error.message.endswith(".")
        assert error.message[:1].strip()
        assert error.action.endswith(".")
        assert "Traceback" not in str(error)
        assert "itk" not in str(error).lower()
        assert not output.exists()
        assert time.perf_counter() - started < 20
        assert capfd.readouterr() == ("", "")
        return error

    return run


def _found(files):
    if not isinstance(files, dict):
        return find_case(files)
    return CaseFiles("case", {sequence: ImageFile(path) for sequence, path in files.items()})


def write(array, path, like=None):
    image = array if isinstance(array, sitk.Image) else sitk.GetImageFromArray(array)
    if like is not None:
        image.CopyInformation(like)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def array_of(made, sequence=T1):
    return sitk.GetArrayFromImage(made.images[sequence])


def test_no_sequence(refused, tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing here")
    assert str(folder) in refused(folder, "NO_SEQUENCE").message
    refused({}, "NO_SEQUENCE")
    with pytest.raises(InputError) as error:
        Case.from_files()
    assert error.value.code == "NO_SEQUENCE"


@pytest.mark.parametrize("how", ["path", "symlink", "copy", "other format"])
def test_the_same_image_twice(refused, made, tmp_path, how):
    first = write(made.images[T1], tmp_path / "a.nii.gz")
    second = tmp_path / ("b.mha" if how == "other format" else "b.nii.gz")
    if how == "path":
        second = tmp_path / "." / "x" / ".." / "a.nii.gz"
        (tmp_path / "x").mkdir()
    elif how == "symlink":
        second.symlink_to(first)
    elif how == "copy":
        shutil.copy(first, second)
    else:
        write(made.images[T1], second)
    error = refused({T1: first, T1C: second}, "SAME_IMAGE")
    assert "T1 " in error.message
    assert "T1c" in error.message


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".nhdr"])
def test_random_bytes(refused, tmp_path, suffix):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(4000))
    assert path.name in refused({T1: path}, "UNREADABLE").message


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
def test_a_file_that_is_cut_short(refused, made, tmp_path, suffix, compressed, kept):
    whole = tmp_path / f"whole{suffix}"
    sitk.WriteImage(made.images[T1], str(whole), useCompression=compressed)
    read_image(ImageFile(whole))
    content = whole.read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: max(30, int(len(content) * kept))])
    refused({T1: path}, "UNREADABLE")


@pytest.mark.parametrize("where", ["data", "checksum"])
def test_a_packed_file_with_a_flipped_byte(refused, tmp_path, where):
    # With this size, header and data end where a read buffer does: the checksum must be reached all the same.
    array = (np.random.default_rng(0).normal(size=(40, 38, 43)) * 300).astype(np.int16)
    path = write(array, tmp_path / "t1.nii.gz")
    assert (352 + array.nbytes) % 2**17 == 0
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if where == "data" else -6] ^= 0xFF
    path.write_bytes(content)
    assert not check_nifti_data(path, {"bitpix": "16", "datatype": "4", "vox_offset": "352"}, array.size)
    refused({T1: path}, "UNREADABLE")


def test_a_packed_file_that_is_called_nii(refused, made, tmp_path):
    path = tmp_path / "t1.nii"
    shutil.copy(write(made.images[T1], tmp_path / "t1.nii.gz"), path)
    refused({T1: path}, "UNREADABLE")


def test_an_unpacked_file_that_is_called_nii_gz(made, tmp_path):
    path = tmp_path / "t1.nii.gz"
    shutil.copy(write(made.images[T1], tmp_path / "t1.nii"), path)
    assert np.array_equal(sitk.GetArrayFromImage(read_image(ImageFile(path))), array_of(made))


@pytest.mark.parametrize("name", ["t1.nii", "t1.nii.gz"])
def test_nifti_2_is_called_by_its_name(refused, made, tmp_path, name):
    nibabel.save(nibabel.Nifti2Image(array_of(made), np.eye(4)), tmp_path / name)
    refused({T1: tmp_path / name}, "NIFTI2")


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_an_empty_file(refused, tmp_path, suffix):
    path = tmp_path / f"empty{suffix}"
    path.touch()
    refused({T1: path}, "EMPTY_FILE")


@pytest.mark.parametrize("name", ["t1.dcm", "t1.txt", "t1", "t1.gz", "t1.png"])
def test_a_wrong_suffix(refused, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"anything")
    assert ".nii.gz" in refused({T1: path}, "WRONG_SUFFIX").action


def test_a_missing_file(refused, tmp_path):
    refused({T1: tmp_path / "absent.nii.gz"}, "FILE_NOT_FOUND")
    refused(tmp_path / "absent", "FILE_NOT_FOUND")
    (tmp_path / "dangling.nii.gz").symlink_to(tmp_path / "absent.nii.gz")
    refused({T1: tmp_path / "dangling.nii.gz"}, "FILE_NOT_FOUND")


@pytest.mark.parametrize("name", ["folder", "folder.nii.gz"])
def test_a_folder_given_as_a_file(refused, tmp_path, name):
    (tmp_path / name).mkdir()
    refused({T1: tmp_path / name}, "NOT_A_FILE")


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_four_dimensions_where_three_are_due(refused, made, tmp_path, suffix):
    stack = sitk.JoinSeries([made.images[sequence] for sequence in SEQUENCES])
    refused({T1: write(stack, tmp_path / f"four{suffix}")}, "NOT_3D")


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_colors(refused, made, tmp_path, suffix):
    color = sitk.Compose(*[sitk.Cast(made.images[s], sitk.sitkUInt8) for s in (FLAIR, T1, T2)])
    refused({T1: write(color, tmp_path / f"color{suffix}")}, "NOT_3D")


def test_a_flat_image(refused, made, tmp_path):
    refused({T1: write(array_of(made)[24], tmp_path / "flat.mha")}, "NOT_3D")


def test_a_single_volume_in_four_dimensions_is_read(made, tmp_path):
    for suffix in (".nrrd", ".mha", ".nii.gz"):
        path = write(sitk.JoinSeries([made.images[T1]]), tmp_path / f"single{suffix}")
        assert np.array_equal(sitk.GetArrayFromImage(read_image(ImageFile(path))), array_of(made))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_numbers(refused, made, tmp_path, value, suffix, dtype):
    array = array_of(made).astype(dtype)
    array[20, 20, 20] = value
    refused({T1: write(array, tmp_path / f"t1{suffix}")}, "NOT_FINITE")


def test_values_that_are_not_numbers_in_the_other_byte_order(refused, made, tmp_path):
    array = array_of(made).astype(">f4")
    path = tmp_path / "big.nii"
    path.write_bytes(nifti_header(array.shape[::-1], 16, 32, order=">") + array.tobytes())
    assert np.array_equal(sitk.GetArrayFromImage(read_image(ImageFile(path))), array_of(made))
    array[20, 20, 20] = np.nan
    path.write_bytes(nifti_header(array.shape[::-1], 16, 32, order=">") + array.tobytes())
    refused({T1: path}, "NOT_FINITE")


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_volume(refused, made, tmp_path, value):
    refused({T1: write(np.full((20, 20, 20), value, np.int16), tmp_path / "t1.nii.gz")}, "CONSTANT_IMAGE")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice(refused, made, tmp_path, axis):
    array = np.take(array_of(made), [24], axis)
    refused({T1: write(array, tmp_path / "t1.mha")}, "ONE_SLICE")


@pytest.mark.parametrize("labels", ["tumor", "brain mask", "float"])
def test_a_label_file_given_as_image(refused, made, tmp_path, labels):
    array = sitk.GetArrayFromImage(made.labels)
    array = {"tumor": array, "brain mask": (array_of(made) > 0).astype(np.uint8), "float": array.astype(np.float32)}
    refused({T1: write(array[labels], tmp_path / "t1.nii.gz")}, "LABELS_AS_IMAGE")


def test_an_image_of_few_bits_is_no_label_file(made):
    check_intensities((array_of(made) // 40).astype(np.uint8), "8 bits")
    check_intensities(np.where(array_of(made) > 0, 32767, -32768).astype(np.int16) + array_of(made) % 20, "wide range")


def nifti_header(size, datatype, bits, order="<"):
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", header, 70, datatype, bits)
    struct.pack_into(f"{order}8f", header, 76, *[1.0] * 8)
    struct.pack_into(f"{order}3f", header, 108, 352, 1, 0)
    struct.pack_into(f"{order}2h", header, 252, 0, 1)
    struct.pack_into(f"{order}12f", header, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    header[344:348] = b"n+1\0"
    return bytes(header)


HUGE = {
    "huge.nii": lambda n: nifti_header((n, n, n), 4, 16),
    "huge.nii.gz": lambda n: gzip.compress(nifti_header((n, n, n), 4, 16)),
    "huge.nrrd": lambda n: (
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: {n} {n} {n}\nendian: little\nencoding: raw\n\n".encode()
    ),
    "huge.mha": lambda n: (
        f"NDims = 3\nDimSize = {n} {n} {n}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n".encode()
    ),
    "huge.mhd": lambda n: (
        f"NDims = 3\nDimSize = {n} {n} {n}\nElementType = MET_SHORT\nElementDataFile = absent.raw\n".encode()
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_header_that_claims_too_much(refused, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(HUGE[name](2000))
    started, before = time.perf_counter(), peak_memory_mb()
    assert "2000×2000×2000" in refused({T1: path}, "IMAGE_TOO_LARGE").message
    assert time.perf_counter() - started < 2
    assert peak_memory_mb() - before < 100


@pytest.mark.parametrize("name", ["huge.nii", "huge.nii.gz"])
def test_a_header_without_data_costs_no_memory(refused, tmp_path, name):
    """Also where the size by itself would be possible."""
    path = tmp_path / name
    path.write_bytes(HUGE[name](700))
    tracemalloc.start()
    before = peak_memory_mb()
    refused({T1: path}, "UNREADABLE")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert peak_memory_mb() - before < 100


def test_voxel_axes_that_are_not_at_right_angles(refused, made, tmp_path):
    array = array_of(made)
    header = bytearray(nifti_header(array.shape[::-1], 4, 16))
    struct.pack_into("<12f", header, 280, 1, 0.4, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    path = tmp_path / "t1.nii"
    path.write_bytes(bytes(header) + array.astype("<i2").tobytes())
    refused({T1: path}, "SHEARED")


def test_fields_of_view_that_differ_wildly(refused, made, tmp_path):
    files = {T1: write(made.images[T1], tmp_path / "t1.nii.gz")}
    slab = made.images[T1C][:, :, 20:29]
    files[T1C] = write(slab, tmp_path / "t1c.nii.gz")
    assert "%" in refused(files, "FIELD_OF_VIEW").message


def test_sequences_that_do_not_overlap(refused, made, tmp_path):
    other = sitk.Image(made.images[T2])
    other.SetOrigin((900.0, 30.0, 10.0))
    files = {T1: write(made.images[T1], tmp_path / "t1.nii.gz"), T2: write(other, tmp_path / "t2.nii.gz")}
    refused(files, "NO_OVERLAP")


def test_a_spacing_in_the_wrong_unit(refused, made, tmp_path):
    image = sitk.Image(made.images[T1])
    image.SetSpacing((1000.0, 1000.0, 1000.0))
    refused({T1: write(image, tmp_path / "t1.nrrd")}, "FIELD_OF_VIEW")


def test_a_sequence_that_is_not_there(engine, made, tmp_path):
    folder = write_case(tmp_path / "case", made, sequences=[T1, T2])
    for job in (
        Job(find_case(folder), tmp_path / "out", only=(T1C,)),
        Job(find_case(folder), tmp_path / "out", grid=T1C),
    ):
        with pytest.raises(InputError) as error:
            segment_job(engine, job, Progress())
        assert error.value.code == "SEQUENCE_ABSENT"
        assert "T1, T2" in error.value.action
    assert not (tmp_path / "out").exists()


def test_a_bad_file_of_a_sequence_that_is_not_wanted_does_no_harm(engine, made, tmp_path):
    folder = write_case(tmp_path / "case", made, sequences=[T1])
    (folder / "t2.nii.gz").write_bytes(b"noise")
    result = segment_job(engine, Job(find_case(folder), tmp_path / "out", only=(T1,)), Progress())
    assert result.report["present"] == ["t1"]


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_spaces_and_letters_of_other_alphabets(engine, made, tmp_path, suffix, capfd):
    folder = write_case(tmp_path / "Müller, Jürgen – 脳腫瘍 (1)", made, sequences=[FLAIR, T1C], suffix=suffix)
    output = tmp_path / "Ergebnis für Ω"
    result = segment_job(engine, Job(find_case(folder), output), Progress())
    assert result.case.present == (FLAIR, T1C)
    for name in ("segmentation.nii.gz", "report.json", "preview.png"):
        assert (output / name).stat().st_size > 0
    written = sitk.ReadImage(str(output / "segmentation.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(written), result.labels)
    assert capfd.readouterr().err == ""


def test_names_in_upper_case(made, tmp_path):
    folder = write_case(tmp_path / "case", made, sequences=[T1])
    (folder / "t1.nii.gz").rename(folder / "PATIENT_T1.NII.GZ")
    assert Case.from_folder(folder).present == (Sequence.T1,)


def test_a_reference_segmentation_that_is_an_image(made, tmp_path):
    path = write(made.images[T1], tmp_path / "seg.nii.gz")
    with pytest.raises(InputError, match="brats2023 does not know"):
        read_reference(path, Grid.of(made.labels))


def test_reading_in_two_threads_gives_stderr_back():
    """A batch reads the next case while it writes the last one: the second to begin may be the last to end."""
    before = os.fstat(2)
    first, second = threading.Event(), threading.Event()

    def read() -> None:
        with images._quiet:
            second.set()
            first.wait(10)

    thread = threading.Thread(target=read)
    with images._quiet:
        thread.start()
        second.wait(10)
    assert not os.path.samestat(os.fstat(2), before), "the other thread is still reading"
    first.set()
    thread.join()
    assert os.path.samestat(os.fstat(2), before)

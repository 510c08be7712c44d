"""DICOM series of MR images made for tests: one file a slice, with all that the standard asks of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

#: What is made up; it is found again in whatever is derived from the series.
PATIENT_ID, PATIENT_NAME, STUDY_ID = "P-0815", "Phantom^Tumor", "S1"


@dataclass(frozen=True)
class Study:
    """What the series of one examination share."""

    uid: str
    frame_of_reference: str


@dataclass(frozen=True)
class Series:
    """A series as written: its UID, and the file of each SOP instance, in the order of the slices."""

    uid: str
    study: Study
    files: dict[str, Path]


def new_study() -> Study:
    """An examination that nobody had."""
    return Study(generate_uid(), generate_uid())


def write_series(folder: Path, voxels: np.ndarray, ijk_to_ras: np.ndarray, study: Study) -> Series:
    """Write voxels (k, j, i) of type int16 with a geometry (4×4, to RAS, in mm) as a series of MR images."""
    folder.mkdir(parents=True)
    uid = generate_uid()
    files: dict[str, Path] = {}
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_ras
    for index, pixels in enumerate(voxels):
        image = Dataset()
        _describe_patient_and_study(image, study)
        _describe_series(image, uid, study)
        _describe_acquisition(image)
        _place(image, to_lps, index)
        _fill(image, pixels)
        path = folder / f"IM{index:04d}.dcm"
        _save(image, path)
        files[str(image.SOPInstanceUID)] = path
    return Series(uid, study, files)


def _describe_patient_and_study(image: Dataset, study: Study) -> None:
    image.PatientName, image.PatientID = PATIENT_NAME, PATIENT_ID
    image.PatientBirthDate, image.PatientSex = "19700101", "O"
    image.StudyInstanceUID, image.StudyID = study.uid, STUDY_ID
    image.StudyDate, image.StudyTime = "20240102", "101112"
    image.StudyDescription = "MRI brain"
    image.ReferringPhysicianName, image.AccessionNumber = "", ""


def _describe_series(image: Dataset, uid: str, study: Study) -> None:
    image.Modality, image.SeriesInstanceUID = "MR", uid
    image.SeriesNumber, image.SeriesDescription = 5, "T1 POST"
    image.BodyPartExamined, image.PatientPosition = "BRAIN", "HFS"
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = study.frame_of_reference, ""
    image.Manufacturer = "Made for tests"


def _describe_acquisition(image: Dataset) -> None:
    image.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    image.ScanningSequence, image.SequenceVariant, image.ScanOptions = "GR", "SP", ""
    image.MRAcquisitionType = "3D"
    image.RepetitionTime, image.EchoTime, image.EchoTrainLength = 2000, 3, 1


def _place(image: Dataset, to_lps: np.ndarray, index: int) -> None:
    """Position and orientation of a slice; `to_lps` is 4×4, from voxel indices."""
    spacing = np.linalg.norm(to_lps[:3, :3], axis=0)
    row, column = (to_lps[:3, axis] / spacing[axis] for axis in (0, 1))
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = _decimals(to_lps[:3, 3] + index * to_lps[:3, 2])
    image.ImageOrientationPatient = _decimals([*row, *column])
    image.PixelSpacing = _decimals([spacing[1], spacing[0]])
    image.SliceThickness, image.SpacingBetweenSlices = _decimals([spacing[2], spacing[2]])


def _decimals(values: np.ndarray | list[float]) -> list[DSfloat]:
    """Numbers in the 16 characters that DICOM has for each."""
    return [DSfloat(float(value), auto_format=True) for value in values]


def _fill(image: Dataset, pixels: np.ndarray) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()


def _save(image: Dataset, path: Path) -> None:
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)

"""Instances made by code, and the bytes of a data set in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom.dsutils import split_dataset


def make_dataset(*, transfer_syntax_uid: str = ExplicitVRLittleEndian, pixels: int = 64, **elements: Any) -> Dataset:
    """Return a small CT image of nobody, with file meta information.

    Parameters
    ----------
    transfer_syntax_uid
        An uncompressed one, or a compressed one with a ``PixelData`` that is compressed already.
    pixels
        Rows, and columns, of 16 bits each; 0: no image.
    **elements
        By keyword; they replace what would be there, and None takes it away.
    """
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Test^Nobody", "TEST-1", "19700101", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyDescription, ds.SeriesDescription = "20200101", "120000", "Study", "Series"
    ds.Modality, ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "CT", "A-1", "1", ""
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    if pixels:
        ds.Rows = ds.Columns = pixels
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = bytes(index % 13 for index in range(2 * pixels * pixels))
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", CTImageStorage)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID") or generate_uid()
    return ds


def make_file(folder: Path, **elements: Any) -> Path:
    """Write a data set of :func:`make_dataset` into a folder, as a file named by its SOP Instance UID."""
    ds = make_dataset(**elements)
    path = folder / f"{ds.file_meta.MediaStorageSOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def dataset_bytes(path: Path) -> bytes:
    """Return the bytes of a Part 10 file behind its file meta information."""
    _, offset = split_dataset(path)
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read()

"""Instances made by code, for trying things out: nobody's images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from karnak_core.model import Outgoing
from karnak_core.part10 import read_outgoing

SIDE = 128


def sample_instances(folder: Path, slices: int = 8) -> list[Outgoing]:
    """Write a CT and an MR series, a secondary capture and a PDF; return what is needed to send them."""
    folder.mkdir(parents=True, exist_ok=True)
    study = generate_uid()
    made = [
        *_series("CT", str(CTImageStorage), study, slices),
        *_series("MR", str(MRImageStorage), study, slices // 2),
        *_series("OT", str(SecondaryCaptureImageStorage), study, 1),
        _pdf(study),
    ]
    found = []
    for ds in made:
        path = folder / f"{ds.Modality}-{ds.InstanceNumber}.dcm"
        ds.save_as(path, enforce_file_format=True)
        found.append(read_outgoing(path))
    return found


def _series(modality: str, sop_class_uid: str, study: str, count: int) -> list[Dataset]:
    series = generate_uid()
    made = []
    for number in range(1, count + 1):
        ds = _instance(modality, sop_class_uid, study, series, number)
        ds.Rows = ds.Columns = SIDE
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = _disc(number / count).tobytes()
        made.append(ds)
    return made


def _pdf(study: str) -> Dataset:
    ds = _instance("DOC", str(EncapsulatedPDFStorage), study, generate_uid(), 1)
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = b"%PDF-1.4\n%%EOF\n"
    return ds


def _instance(modality: str, sop_class_uid: str, study: str, series: str, number: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(sop_class_uid)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Sample^Nobody", "SAMPLE-1", "", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyDescription = "20200101", "120000", "Sample study"
    ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "", "", "1"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, 1, number
    return ds


def _disc(height: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """Return a disc that grows and shrinks along the series, shape (SIDE, SIDE)."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2
    radius = SIDE / 2 * np.sin(np.pi * height / 1.1 + 0.2)
    return np.where(np.hypot(rows, columns) < radius, 2000, 100).astype(np.uint16)

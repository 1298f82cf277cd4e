"""The instances that are sent: made by code, nobody's images; each as large as asked."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    generate_uid,
)

#: bytes of a file of these without its pixel data, about
HEADER_BYTES = 1024
#: bytes of one frame of the large object, (512, 512) of 16 bits
FRAME_BYTES = 512 * 512 * 2


def write_instances(folder: Path, count: int, size: int) -> list[Path]:
    """Write ``count`` CT instances of about ``size`` bytes each, a hundred to a series; return their files."""
    folder.mkdir(parents=True)
    columns = 512 if size > 256_000 else 64
    rows = max(1, (size - HEADER_BYTES) // (2 * columns))
    pixels = np.random.default_rng(7).integers(0, 4096, rows * columns, dtype=np.uint16).tobytes()
    study = generate_uid()
    series = ""
    paths = []
    for number in range(count):
        if number % 100 == 0:
            series = generate_uid()
        ds = _header("CT", str(CTImageStorage), study, series, number)
        ds.Rows, ds.Columns = rows, columns
        ds.PixelData = pixels
        path = folder / f"{number:05}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_large_instance(path: Path, size: int) -> Path:
    """Write one multi-frame instance of about ``size`` bytes, never held whole in memory."""
    frames = max(1, size // FRAME_BYTES)
    ds = _header("OT", str(MultiFrameGrayscaleWordSecondaryCaptureImageStorage), generate_uid(), generate_uid(), 1)
    ds.Rows = ds.Columns = 512
    ds.NumberOfFrames = frames
    ds.save_as(path, enforce_file_format=True)
    frame = np.random.default_rng(7).integers(0, 4096, FRAME_BYTES // 2, dtype=np.uint16).tobytes()
    with open(path, "ab") as file:
        # (7FE0,0010) OW, explicit VR: PS3.5 section 7.1.2
        file.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, frames * FRAME_BYTES))
        for _ in range(frames):
            file.write(frame)
    return path


def _header(modality: str, sop_class_uid: str, study: str, series: str, number: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(sop_class_uid)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Benchmark^Nobody", "BENCH-1", "", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyDescription, ds.StudyID = "20200101", "120000", "Benchmark", "1"
    ds.AccessionNumber, ds.ReferringPhysicianName = "", ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, 1, number
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    return ds

"""Structure set, plan and dose of a patient still belong together, and to their image, under new UIDs."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from karnak_core.deidentify import Project, Result, basic_profile

pytestmark = pytest.mark.filterwarnings("ignore")

PROJECT = Project(name="STUDY-A", secret=bytes(16))
ROOT = "1.2.826.0.1.3680043.8.498.77"
STRUCTURES, PLAN, DOSE = f"{ROOT}.1", f"{ROOT}.2", f"{ROOT}.3"


def make(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def refer(sop_class_uid: str, sop_instance_uid: str) -> list[Dataset]:
    return [make(ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=sop_instance_uid)]


@pytest.fixture
def image() -> Dataset:
    return pydicom.dcmread(Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm")


def object_of(image: Dataset, sop_class_uid: str, sop_instance_uid: str, modality: str, **values: Any) -> Dataset:
    ds = make(
        SOPClassUID=sop_class_uid,
        SOPInstanceUID=sop_instance_uid,
        StudyInstanceUID=image.StudyInstanceUID,
        SeriesInstanceUID=f"{sop_instance_uid}.1",
        PatientName="Quill^Peter",
        PatientID="PATIENT-1",
        PatientBirthDate="19800615",
        PatientSex="M",
        StudyDate="20200110",
        StudyTime="101112",
        StudyID="1",
        AccessionNumber="A-1",
        ReferringPhysicianName="Dr^Who",
        OperatorsName="Dr^Who",
        Manufacturer="maker",
        Modality=modality,
        SeriesNumber=1,
        InstanceNumber=1,
    )
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def structure_set(image: Dataset) -> Dataset:
    series = make(
        SeriesInstanceUID=image.SeriesInstanceUID,
        ContourImageSequence=refer(image.SOPClassUID, image.SOPInstanceUID),
    )
    study = make(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=image.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    contour = make(
        ContourImageSequence=refer(image.SOPClassUID, image.SOPInstanceUID),
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=3,
        ContourData=["1", "2", "3", "4", "5", "3", "7", "8", "3"],
    )
    return object_of(
        image,
        RTStructureSetStorage,
        STRUCTURES,
        "RTSTRUCT",
        StructureSetLabel="LABEL",
        StructureSetDate="20200110",
        StructureSetTime="101112",
        ReferencedFrameOfReferenceSequence=[
            make(FrameOfReferenceUID=image.FrameOfReferenceUID, RTReferencedStudySequence=[study])
        ],
        StructureSetROISequence=[
            make(
                ROINumber=1,
                ReferencedFrameOfReferenceUID=image.FrameOfReferenceUID,
                ROIName="Liver",
                ROIGenerationAlgorithm="MANUAL",
            )
        ],
        ROIContourSequence=[make(ReferencedROINumber=1, ROIDisplayColor=[255, 0, 0], ContourSequence=[contour])],
        RTROIObservationsSequence=[
            make(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter="Dr^Who")
        ],
        ApprovalStatus="APPROVED",
        ReviewDate="20200111",
        ReviewTime="101112",
        ReviewerName="Dr^Who",
    )


def plan(image: Dataset) -> Dataset:
    return object_of(
        image,
        RTPlanStorage,
        PLAN,
        "RTPLAN",
        FrameOfReferenceUID=image.FrameOfReferenceUID,
        PositionReferenceIndicator="",
        RTPlanLabel="LABEL",
        RTPlanDate="20200110",
        RTPlanTime="101112",
        RTPlanGeometry="PATIENT",
        ReferencedStructureSetSequence=refer(RTStructureSetStorage, STRUCTURES),
        DoseReferenceSequence=[
            make(
                DoseReferenceNumber=1,
                DoseReferenceUID=f"{ROOT}.9",
                DoseReferenceStructureType="SITE",
                DoseReferenceType="TARGET",
            )
        ],
        PatientSetupSequence=[make(PatientSetupNumber=1, PatientPosition="HFS", SetupTechnique="ISOCENTRIC")],
        ApprovalStatus="UNAPPROVED",
    )


def dose(image: Dataset) -> Dataset:
    return object_of(
        image,
        RTDoseStorage,
        DOSE,
        "RTDOSE",
        FrameOfReferenceUID=image.FrameOfReferenceUID,
        PositionReferenceIndicator="",
        DoseUnits="GY",
        DoseType="PHYSICAL",
        DoseSummationType="PLAN",
        ReferencedRTPlanSequence=refer(RTPlanStorage, PLAN),
        ReferencedStructureSetSequence=refer(RTStructureSetStorage, STRUCTURES),
    )


def test_structure_set_plan_and_dose_point_at_each_other_and_at_the_image(
    image: Dataset, as_file: Callable[[Dataset, Dataset], bytes], new_errors: Callable[[bytes, bytes], list[str]]
) -> None:
    def deidentified(made: Dataset) -> Dataset:
        before = as_file(made, made)
        result = basic_profile().apply(pydicom.dcmread(BytesIO(before)), PROJECT, "PSN-1")
        assert isinstance(result, Result)
        data = as_file(result.dataset, made)
        assert new_errors(before, data) == []
        for word in (ROOT, "Quill", "Who", "PATIENT-1", "202001", image.SOPInstanceUID, image.StudyInstanceUID):
            assert word.encode() not in data, word
        return pydicom.dcmread(BytesIO(data))

    given = PROJECT.hasher.uid
    new_image = basic_profile().apply(image, PROJECT, "PSN-1")
    assert isinstance(new_image, Result)
    structures, planned, dosed = (deidentified(made) for made in (structure_set(image), plan(image), dose(image)))

    (frame,) = structures.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == new_image.dataset.FrameOfReferenceUID == given(image.FrameOfReferenceUID)
    assert structures.StructureSetROISequence[0].ReferencedFrameOfReferenceUID == frame.FrameOfReferenceUID
    (study,) = frame.RTReferencedStudySequence
    assert study.ReferencedSOPInstanceUID == structures.StudyInstanceUID == new_image.dataset.StudyInstanceUID
    (series,) = study.RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == new_image.dataset.SeriesInstanceUID
    (contour,) = structures.ROIContourSequence[0].ContourSequence
    for (reference,) in (series.ContourImageSequence, contour.ContourImageSequence):
        assert reference.ReferencedSOPInstanceUID == new_image.dataset.SOPInstanceUID
        assert reference.ReferencedSOPClassUID == image.SOPClassUID
    assert list(contour.ContourData) == [1, 2, 3, 4, 5, 3, 7, 8, 3]

    for referring in (planned, dosed):
        assert referring.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == structures.SOPInstanceUID
        assert referring.FrameOfReferenceUID == frame.FrameOfReferenceUID
    assert dosed.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == planned.SOPInstanceUID
    assert planned.DoseReferenceSequence[0].DoseReferenceUID == given(f"{ROOT}.9")
    assert planned.PatientSetupSequence[0].PatientPosition == "HFS"

"""Objects that highdicom makes are still such objects to highdicom, and refer to the new image."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from karnak_core.deidentify import Project, Result, basic_profile, make_file_meta

pytestmark = pytest.mark.filterwarnings("ignore")
hd = pytest.importorskip("highdicom", reason="a development dependency")

PROJECT = Project(name="STUDY-A", secret=bytes(16))
SERIES = {"series_number": 2, "instance_number": 1, "manufacturer": "maker"}


@pytest.fixture
def source() -> Dataset:
    return pydicom.dcmread(Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm")


def uids(number: int) -> dict[str, str]:
    return {"series_instance_uid": f"1.2.826.0.1.7.{number}.1", "sop_instance_uid": f"1.2.826.0.1.7.{number}.2"}


def deidentified(made: Dataset) -> tuple[Dataset, bytes]:
    """Return an object de-identified, written and read, and its bytes."""
    file = BytesIO()
    made.save_as(file)
    result = basic_profile().apply(pydicom.dcmread(BytesIO(file.getvalue())), PROJECT, "PSN-1")
    assert isinstance(result, Result)
    result.dataset.file_meta = make_file_meta(
        result.dataset,
        transfer_syntax_uid=made.file_meta.TransferSyntaxUID,
        implementation_class_uid="2.25.1",
        implementation_version_name="KARNAK",
    )
    out = BytesIO()
    pydicom.dcmwrite(out, result.dataset, enforce_file_format=True)
    return pydicom.dcmread(BytesIO(out.getvalue())), out.getvalue()


def assert_only_the_new(source: Dataset, data: bytes) -> None:
    assert (PROJECT.hasher.uid(source.SOPInstanceUID) or "").encode() in data
    for word in (source.SOPInstanceUID, source.StudyInstanceUID, "Who", "Quill", "ward", "1.2.826.0.1.7"):
        assert word.encode() not in data, word


def test_segmentation_gives_the_pixels_of_the_new_image(source: Dataset) -> None:
    mask = np.zeros((1, source.Rows, source.Columns), np.uint8)
    mask[0, 10:20, 10:20] = 1
    algorithm = hd.AlgorithmIdentificationSequence(
        name="algorithm", version="1", family=codes.cid7162.ArtificialIntelligence
    )
    segment = hd.seg.SegmentDescription(
        1, "liver", codes.SCT.Organ, codes.SCT.Liver,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC, algorithm_identification=algorithm,
    )  # fmt: skip
    made = hd.seg.Segmentation(
        source_images=[source],
        pixel_array=mask,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        manufacturer_model_name="model",
        software_versions="1",
        device_serial_number="4711",
        content_creator_name="Dr^Who",
        **SERIES,
        **uids(1),
    )
    new, data = deidentified(made)
    assert_only_the_new(source, data)
    read = hd.seg.Segmentation.from_dataset(new)
    uid = PROJECT.hasher.uid(source.SOPInstanceUID)
    pixels = read.get_pixels_by_source_instance([uid], ignore_spatial_locations=True)
    assert (pixels[..., 0] == mask).all()


def measurement_report(source: Dataset) -> Any:
    person = hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(name="Dr^Who"),
    )
    region = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POINT,
        graphic_data=np.array([[1.0, 2.0]]),
        source_image=hd.sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID),
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid="1.2.826.0.1.7.9", identifier="Nodule of Quill"),
        referenced_region=region,
        finding_type=codes.SCT.Mass,
        measurements=[hd.sr.Measurement(name=codes.SCT.Length, value=12.5, unit=codes.UCUM.Millimeter)],
    )
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=person),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )


def test_measurement_report_keeps_its_measurements(source: Dataset) -> None:
    made = hd.sr.Comprehensive3DSR(
        evidence=[source],
        content=measurement_report(source),
        is_complete=True,
        is_final=True,
        is_verified=True,
        verifying_observer_name="Dr^Who",
        verifying_organization="ward",
        **SERIES,
        **uids(2),
    )
    new, data = deidentified(made)
    assert_only_the_new(source, data)
    content = hd.sr.Comprehensive3DSR.from_dataset(new).content
    (group,) = content.get_planar_roi_measurement_groups()
    (measured,) = group.get_measurements()
    assert (measured.value, measured.unit.value) == (12.5, "mm")
    assert group.finding_type == codes.SCT.Mass
    assert group.tracking_uid == PROJECT.hasher.uid("1.2.826.0.1.7.9")


def test_key_object_selection_refers_to_the_new_image(source: Dataset) -> None:
    made = hd.ko.KeyObjectSelectionDocument(
        evidence=[source],
        content=hd.ko.KeyObjectSelection(document_title=codes.DCM.OfInterest, referenced_objects=[source]),
        **SERIES,
        **uids(3),
    )
    new, data = deidentified(made)
    assert_only_the_new(source, data)
    read = hd.ko.KeyObjectSelectionDocument.from_dataset(new)
    _, _, instance = read.resolve_reference(PROJECT.hasher.uid(source.SOPInstanceUID))
    assert instance == PROJECT.hasher.uid(source.SOPInstanceUID)

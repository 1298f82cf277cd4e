"""Objects that highdicom makes are still such objects to highdicom, and refer to the new image."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from karnak_core.deidentify import Project, Result, basic_profile

pytestmark = pytest.mark.filterwarnings("ignore")
hd = pytest.importorskip("highdicom", reason="a development dependency")

PROJECT = Project(name="STUDY-A", secret=bytes(16))
Deidentified = Callable[[Dataset], tuple[Dataset, bytes]]
SERIES = {"series_number": 2, "instance_number": 1, "manufacturer": "maker"}


@pytest.fixture
def source() -> Dataset:
    return pydicom.dcmread(Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm")


def uids(number: int) -> dict[str, str]:
    return {"series_instance_uid": f"1.2.826.0.1.7.{number}.1", "sop_instance_uid": f"1.2.826.0.1.7.{number}.2"}


@pytest.fixture
def deidentified(
    as_file: Callable[[Dataset, Dataset], bytes], new_errors: Callable[[bytes, bytes], list[str]]
) -> Deidentified:
    """Return an object de-identified, written and read, and its bytes; it is as valid as it was."""

    def deidentified(made: Dataset) -> tuple[Dataset, bytes]:
        file = BytesIO()
        made.save_as(file)
        result = basic_profile().apply(pydicom.dcmread(BytesIO(file.getvalue())), PROJECT, "PSN-1")
        assert isinstance(result, Result)
        data = as_file(result.dataset, made)
        assert new_errors(file.getvalue(), data) == []
        return pydicom.dcmread(BytesIO(data)), data

    return deidentified


def tree(item: Dataset, *, root: bool = True) -> Any:
    """Return the structure of a content tree: relationships, types of values, concepts and codes."""
    codes_of = [
        tuple(str(code.get(keyword)) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
        for name in ("ConceptNameCodeSequence", "ConceptCodeSequence")
        for code in item.get(name, [])
    ]
    kind = ("" if root else item.get("RelationshipType"), item.get("ValueType"))
    return kind, codes_of, [tree(child, root=False) for child in item.get("ContentSequence", [])]


def assert_only_the_new(source: Dataset, data: bytes) -> None:
    assert (PROJECT.hasher.uid(source.SOPInstanceUID) or "").encode() in data
    for word in (source.SOPInstanceUID, source.StudyInstanceUID, "Who", "Quill", "ward", "1.2.826.0.1.7"):
        assert word.encode() not in data, word


def test_segmentation_gives_the_pixels_of_the_new_image(source: Dataset, deidentified: Deidentified) -> None:
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


def test_measurement_report_keeps_its_measurements(source: Dataset, deidentified: Deidentified) -> None:
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
    assert tree(new) == tree(made)
    assert group.tracking_uid == PROJECT.hasher.uid("1.2.826.0.1.7.9")


def test_key_object_selection_refers_to_the_new_image(source: Dataset, deidentified: Deidentified) -> None:
    made = hd.ko.KeyObjectSelectionDocument(
        evidence=[source],
        content=hd.ko.KeyObjectSelection(document_title=codes.DCM.OfInterest, referenced_objects=[source]),
        **SERIES,
        **uids(3),
    )
    new, data = deidentified(made)
    assert_only_the_new(source, data)
    assert tree(new) == tree(made)
    read = hd.ko.KeyObjectSelectionDocument.from_dataset(new)
    _, _, instance = read.resolve_reference(PROJECT.hasher.uid(source.SOPInstanceUID))
    assert instance == PROJECT.hasher.uid(source.SOPInstanceUID)


def test_report_of_images_keeps_its_tree_and_loses_everybody(source: Dataset, deidentified: Deidentified) -> None:
    context = measurement_report(source)
    library = hd.sr.ImageLibrary([source])
    text = hd.sr.TextContentItem(
        name=codes.DCM.Finding,
        value="Quill was seen in the ward",
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )
    when = hd.sr.DateTimeContentItem(
        name=codes.DCM.StudyDate, value="20200110101112", relationship_type=hd.sr.RelationshipTypeValues.CONTAINS
    )
    who = hd.sr.PnameContentItem(
        name=codes.DCM.PersonObserverName, value="Dr^Who", relationship_type=hd.sr.RelationshipTypeValues.CONTAINS
    )
    context[0].ContentSequence.extend([*library, text, when, who])
    made = hd.sr.EnhancedSR(evidence=[source], content=context[0], is_complete=True, **SERIES, **uids(5))
    new, data = deidentified(made)
    assert_only_the_new(source, data)
    assert b"20200110" not in data
    assert tree(new) == tree(made)
    last = {item.ValueType: item for item in new.ContentSequence}
    assert (last["TEXT"].TextValue, last["PNAME"].PersonName) == ("UNKNOWN", "UNKNOWN")
    assert last["DATETIME"].DateTime


def test_presentation_state_still_presents_the_new_image(source: Dataset, deidentified: Deidentified) -> None:
    annotation = hd.pr.GraphicAnnotation(
        referenced_images=[source],
        graphic_layer=(layer := hd.pr.GraphicLayer("LAYER1", order=1)),
        graphic_objects=[
            hd.pr.GraphicObject(
                graphic_type=hd.pr.GraphicTypeValues.POLYLINE,
                graphic_data=np.array([[1.0, 2.0], [3.0, 4.0]]),
                units=hd.pr.AnnotationUnitsValues.PIXEL,
                tracking_id="Nodule of Quill",
                tracking_uid="1.2.826.0.1.7.9",
            )
        ],
        text_objects=[
            hd.pr.TextObject(text_value="Quill", units=hd.pr.AnnotationUnitsValues.PIXEL, anchor_point=(1.0, 2.0))
        ],
    )
    made = hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[source],
        manufacturer_model_name="model",
        software_versions="1",
        device_serial_number="4711",
        content_label="LABEL",
        content_creator_name="Dr^Who",
        graphic_layers=[layer],
        graphic_annotations=[annotation],
        **SERIES,
        **uids(4),
    )
    new, data = deidentified(made)
    assert_only_the_new(source, data)
    image = PROJECT.hasher.uid(source.SOPInstanceUID)
    assert new.ReferencedSeriesSequence[0].SeriesInstanceUID == PROJECT.hasher.uid(source.SeriesInstanceUID)
    (kept,) = new.GraphicAnnotationSequence
    references = [*new.ReferencedSeriesSequence[0].ReferencedImageSequence, *kept.ReferencedImageSequence]
    assert [one.ReferencedSOPInstanceUID for one in references] == [image, image]
    (drawn,) = kept.GraphicObjectSequence
    assert list(drawn.GraphicData) == [1.0, 2.0, 3.0, 4.0]
    assert drawn.TrackingUID == PROJECT.hasher.uid("1.2.826.0.1.7.9")
    assert (kept.GraphicLayer, new.GraphicLayerSequence[0].GraphicLayer) == ("LAYER1", "LAYER1")

"""Objects that refer to others still do, to the new UIDs, and say nothing about the patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

NewUid = Callable[[str], str]
IMAGE = "1.2.3.1"
STUDY = "1.2.3.2"
SERIES = "1.2.3.3"
FRAME_OF_REFERENCE = "1.2.3.4"
CT = "1.2.840.10008.5.1.4.1.1.2"


def make(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def reference(uid: str = IMAGE) -> Dataset:
    return make(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=uid)


def code(value: str, meaning: str) -> Dataset:
    return make(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning=meaning)


def general(image: Dataset, sop_class: str, modality: str, **values: Any) -> Dataset:
    """Return an object of the same patient, study and frame of reference."""
    image.SOPClassUID = sop_class
    image.SOPInstanceUID = "1.2.3.9"
    image.SeriesInstanceUID = "1.2.3.8"
    image.Modality = modality
    del image.Rows, image.Columns
    for keyword, value in values.items():
        setattr(image, keyword, value)
    return image


def levels(dataset: Dataset) -> Iterator[Dataset]:
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from levels(item)


def assert_refers_to_the_new_image(new: Dataset, new_uid: NewUid, times: int = 1) -> None:
    found = [level for level in levels(new) if "ReferencedSOPInstanceUID" in level]
    assert len(found) == times
    assert {item.ReferencedSOPInstanceUID for item in found} == {new_uid(IMAGE)}
    assert {item.ReferencedSOPClassUID for item in found} == {CT}


@pytest.fixture
def silent() -> Callable[[Dataset], None]:
    """Assert that nothing identifying is left in a data set."""

    def silent(new: Dataset) -> None:
        text = str(new)
        for word in ("Quill", "PATIENT-1", "19800615", "20200110", "Dr Who", "4711", STUDY + "\n", "ward"):
            assert word not in text, word

    return silent


def test_structured_report_keeps_its_tree_without_identity(
    image: Dataset, deidentify: Callable[..., Dataset], new_uid: NewUid, silent: Callable[[Dataset], None]
) -> None:
    name = [code("121008", "Person Observer Name")]
    items = [
        make(RelationshipType="HAS OBS CONTEXT", ValueType="PNAME", ConceptNameCodeSequence=name, PersonName="Dr Who"),
        make(
            RelationshipType="HAS OBS CONTEXT",
            ValueType="UIDREF",
            ConceptNameCodeSequence=[code("121012", "Device Observer UID")],
            UID="1.2.3.77",
        ),
        make(
            RelationshipType="CONTAINS",
            ValueType="TEXT",
            ConceptNameCodeSequence=[code("121071", "Finding")],
            TextValue="Quill has a mass, seen in ward 7 on 20200110",
        ),
        make(
            RelationshipType="CONTAINS",
            ValueType="NUM",
            ConceptNameCodeSequence=[code("G-A22A", "Length")],
            MeasuredValueSequence=[
                make(NumericValue="12.5", MeasurementUnitsCodeSequence=[code("mm", "millimeter")]),
            ],
            ContentSequence=[
                make(RelationshipType="INFERRED FROM", ValueType="IMAGE", ReferencedSOPSequence=[reference()]),
            ],
        ),
        make(RelationshipType="CONTAINS", ValueType="DATE", Date="20200110"),
        make(
            RelationshipType="CONTAINS",
            ValueType="CODE",
            ConceptNameCodeSequence=[code("121071", "Finding")],
            ConceptCodeSequence=[code("M-01000", "Mass")],
        ),
    ]
    report = general(
        image,
        "1.2.840.10008.5.1.4.1.1.88.33",
        "SR",
        ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE",
        CompletionFlag="COMPLETE",
        VerificationFlag="VERIFIED",
        ConceptNameCodeSequence=[code("126000", "Imaging Measurement Report")],
        VerifyingObserverSequence=[
            make(
                VerifyingOrganization="ward",
                VerificationDateTime="20200110",
                VerifyingObserverName="Dr Who",
                VerifyingObserverIdentificationCodeSequence=[code("4711", "Dr Who")],
            )
        ],
        CurrentRequestedProcedureEvidenceSequence=[
            make(
                StudyInstanceUID=STUDY,
                ReferencedSeriesSequence=[make(SeriesInstanceUID=SERIES, ReferencedSOPSequence=[reference()])],
            )
        ],
        ContentSequence=items,
    )
    new = deidentify(report)
    silent(new)
    assert new.ConceptNameCodeSequence[0].CodeValue == "126000"
    kinds = [(item.RelationshipType, item.ValueType) for item in new.ContentSequence]
    assert kinds == [(item.RelationshipType, item.ValueType) for item in items]
    observer, device, text, number, day, finding = new.ContentSequence
    assert (observer.PersonName, text.TextValue) == ("UNKNOWN", "UNKNOWN")
    assert new_uid("1.2.3.77") == device.UID
    measured = number.MeasuredValueSequence[0]
    assert (measured.NumericValue, measured.MeasurementUnitsCodeSequence[0].CodeValue) == (12.5, "mm")
    assert day.Date not in ("", "20200110")
    assert finding.ConceptCodeSequence[0].CodeMeaning == "Mass"
    (verifier,) = new.VerifyingObserverSequence
    assert (verifier.VerifyingObserverName, verifier.VerifyingOrganization) == ("UNKNOWN", "UNKNOWN")
    (evidence,) = new.CurrentRequestedProcedureEvidenceSequence
    assert evidence.StudyInstanceUID == new.StudyInstanceUID == new_uid(STUDY)
    assert evidence.ReferencedSeriesSequence[0].SeriesInstanceUID == new_uid(SERIES)
    assert_refers_to_the_new_image(new, new_uid, 2)


def test_key_object_selection_refers_to_the_new_image(
    image: Dataset, deidentify: Callable[..., Dataset], new_uid: NewUid, silent: Callable[[Dataset], None]
) -> None:
    new = deidentify(
        general(
            image,
            "1.2.840.10008.5.1.4.1.1.88.59",
            "KO",
            ValueType="CONTAINER",
            ConceptNameCodeSequence=[code("113000", "Of Interest")],
            CurrentRequestedProcedureEvidenceSequence=[
                make(
                    StudyInstanceUID=STUDY,
                    ReferencedSeriesSequence=[make(SeriesInstanceUID=SERIES, ReferencedSOPSequence=[reference()])],
                )
            ],
            ContentSequence=[
                make(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=[reference()]),
                make(RelationshipType="CONTAINS", ValueType="TEXT", TextValue="ask Dr Who"),
            ],
        )
    )
    silent(new)
    assert_refers_to_the_new_image(new, new_uid, 2)


def test_structure_set_refers_to_the_new_images_and_frame_of_reference(
    image: Dataset, deidentify: Callable[..., Dataset], new_uid: NewUid, silent: Callable[[Dataset], None]
) -> None:
    series = make(SeriesInstanceUID=SERIES, ContourImageSequence=[reference()])
    study = make(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=IMAGE,
        RTReferencedSeriesSequence=[series],
    )
    new = deidentify(
        general(
            image,
            "1.2.840.10008.5.1.4.1.1.481.3",
            "RTSTRUCT",
            StructureSetLabel="Quill",
            StructureSetDate="20200110",
            ReferencedFrameOfReferenceSequence=[
                make(FrameOfReferenceUID=FRAME_OF_REFERENCE, RTReferencedStudySequence=[study])
            ],
            StructureSetROISequence=[
                make(ROINumber=1, ReferencedFrameOfReferenceUID=FRAME_OF_REFERENCE, ROIName="Liver")
            ],
            ROIContourSequence=[
                make(
                    ReferencedROINumber=1,
                    ContourSequence=[
                        make(
                            ContourImageSequence=[reference()],
                            ContourGeometricType="POINT",
                            NumberOfContourPoints=1,
                            ContourData=["1", "2", "3"],
                        )
                    ],
                )
            ],
        )
    )
    silent(new)
    (frame,) = new.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == new_uid(FRAME_OF_REFERENCE)
    assert new.StructureSetROISequence[0].ReferencedFrameOfReferenceUID == new_uid(FRAME_OF_REFERENCE)
    (contour,) = new.ROIContourSequence[0].ContourSequence
    assert list(contour.ContourData) == [1, 2, 3]
    assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == new_uid(IMAGE)
    referenced = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == new_uid(SERIES)
    assert referenced.ContourImageSequence[0].ReferencedSOPInstanceUID == new_uid(IMAGE)


def test_segmentation_refers_to_the_image_of_each_frame(
    image: Dataset, deidentify: Callable[..., Dataset], new_uid: NewUid, silent: Callable[[Dataset], None]
) -> None:
    derivation = make(
        DerivationCodeSequence=[code("113076", "Segmentation")],
        SourceImageSequence=[
            make(
                ReferencedSOPClassUID=CT,
                ReferencedSOPInstanceUID=IMAGE,
                PurposeOfReferenceCodeSequence=[code("121322", "Source image")],
            )
        ],
    )
    new = deidentify(
        general(
            image,
            "1.2.840.10008.5.1.4.1.1.66.4",
            "SEG",
            ContentCreatorName="Dr Who",
            ReferencedSeriesSequence=[make(SeriesInstanceUID=SERIES, ReferencedInstanceSequence=[reference()])],
            SegmentSequence=[make(SegmentNumber=1, SegmentLabel="Liver", SegmentAlgorithmType="MANUAL")],
            PerFrameFunctionalGroupsSequence=[make(DerivationImageSequence=[derivation])],
        )
    )
    silent(new)
    assert_refers_to_the_new_image(new, new_uid, 2)
    assert new.ReferencedSeriesSequence[0].SeriesInstanceUID == new_uid(SERIES)
    assert new.SegmentSequence[0].SegmentLabel == "Liver"


def test_presentation_state_keeps_its_graphics_without_its_text(
    image: Dataset, deidentify: Callable[..., Dataset], new_uid: NewUid, silent: Callable[[Dataset], None]
) -> None:
    graphic = make(GraphicData=[1.0, 2.0], GraphicType="POINT", GraphicAnnotationUnits="PIXEL")
    annotation = make(
        ReferencedImageSequence=[reference()],
        GraphicLayer="LAYER1",
        TextObjectSequence=[make(UnformattedTextValue="Quill", AnchorPoint=[1.0, 2.0])],
        GraphicObjectSequence=[graphic],
    )
    new = deidentify(
        general(
            image,
            "1.2.840.10008.5.1.4.1.1.11.1",
            "PR",
            ContentLabel="LABEL",
            PresentationCreationDate="20200110",
            ReferencedSeriesSequence=[make(SeriesInstanceUID=SERIES, ReferencedImageSequence=[reference()])],
            GraphicAnnotationSequence=[annotation],
        )
    )
    silent(new)
    assert new.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID == new_uid(IMAGE)
    (kept,) = new.GraphicAnnotationSequence
    assert kept.TextObjectSequence[0].UnformattedTextValue == "UNKNOWN"
    assert list(kept.GraphicObjectSequence[0].GraphicData) == [1.0, 2.0]
    assert kept.GraphicLayer == "LAYER1"

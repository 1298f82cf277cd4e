"""What is found where, and what is not: one value planted in a data set that says nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.dataset import Dataset

from karnak_core.leaks import Encoded

Find = Callable[..., list[str]]
Make = Callable[..., Dataset]
Encode = Callable[..., Encoded]

NAME = "the received part of Patient's Name stands in {}"
PATIENT_ID = "the received Patient ID stands in {}"
BIRTH_DATE = "the received Patient's Birth Date stands in {}"
COMMENTS = "(0010,4000)"


def code(value: str, meaning: str) -> Dataset:
    dataset = Dataset()
    dataset.CodeValue, dataset.CodingSchemeDesignator, dataset.CodeMeaning = value, "DCM", meaning
    return dataset


# ---- where -----------------------------------------------------------------------------------------------------------


def test_instance_without_any_identifier_is_silent(leaks: Find, make: Make) -> None:
    sent = make(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        SOPInstanceUID="2.25.1",
        StudyInstanceUID="2.25.2",
        PatientName="PSN-1",
        PatientID="PSN-1",
        SliceThickness="1.5",
        StudyDescription="cardiac, with petering out contrast; Quillington; PID-902101",
    )
    assert leaks(sent) == []


def test_instance_that_nothing_was_done_to_is_full_of_them(leaks: Find, received: Dataset) -> None:
    assert leaks(received) == [
        "the received SOP Instance UID stands in (0008,0018)",
        "the received Accession Number stands in (0008,0050)",
        NAME.format("(0010,0010)"),
        PATIENT_ID.format("(0010,0020)"),
        BIRTH_DATE.format("(0010,0030)"),
        "the received Study Instance UID stands in (0020,000D)",
        "the received Series Instance UID stands in (0020,000E)",
        "the received Frame of Reference UID stands in (0020,0052)",
    ]


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_identifiers_are_found_in_every_encoding(
    leaks: Find, make: Make, encode: Encode, received: Dataset, implicit: bool, little: bool
) -> None:
    item = make(ReferencedSOPInstanceUID="1.2.826.0.1.77.1")
    sent = make(PatientComments="seen: peter", ReferencedImageSequence=[make(), item])
    encoded = encode(sent, implicit=implicit, little=little)
    for before in (received, encode(received, implicit=implicit, little=little)):
        assert leaks(encoded, before=before) == [
            "the received SOP Instance UID stands in (0008,1140)[1].(0008,1155)",
            NAME.format(COMMENTS),
        ]


def test_nested_content_of_a_report_is_searched(leaks: Find, make: Make) -> None:
    text = make(
        ValueType="TEXT", ConceptNameCodeSequence=[code("121071", "Finding")], TextValue="Mr QUILL-STARLORD: ok"
    )
    name = make(ValueType="PNAME", PersonName="Doe^Jason")
    sent = make(ValueType="CONTAINER", ContentSequence=[code("1", "x"), make(ContentSequence=[text, name])])
    assert leaks(sent) == [
        NAME.format("(0040,A730)[1].(0040,A730)[0].(0040,A160)"),
        NAME.format("(0040,A730)[1].(0040,A730)[1].(0040,A123)"),
    ]


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("LO", "x PID-90210 y"),
        ("UT", "id=pid-90210;"),
        ("UI", "1.2.826.0.1.77.3"),
        ("UN", b"PID-90210 "),
        ("UN", b"\0\1\2\3PID-90210\0\0"),
        ("OB", b"\xff\xd8\xff 1.2.826.0.1.77.3\0"),
        ("OB", "P\0I\0D\0-\x009\x000\x002\x001\x000\0\0\0".encode("latin-1")),
        ("OB", "\0P\0I\0D\0-\x009\x000\x002\x001\x000\0\0".encode("latin-1")),
        ("OW", "Seen by 1.2.826.0.1.77.3".encode("utf-16-le")),
        ("OW", b"\0\0PID-90210\0\0\0"),
    ],
)
@pytest.mark.parametrize("implicit", [False, True])
def test_private_elements_are_searched(
    leaks: Find, encode: Encode, make: Make, vr: str, value: Any, implicit: bool
) -> None:
    sent = make(Modality="CT")
    sent.add_new(0x00090010, "LO", "ACME")
    sent.add_new(0x00091001, vr, value)
    found = leaks(encode(sent, implicit=implicit))
    assert [leak.endswith("stands in (0009,1001)") for leak in found] == [True]


@pytest.mark.parametrize("implicit", [False, True])
def test_private_sequence_in_un_is_searched(leaks: Find, encode: Encode, make: Make, implicit: bool) -> None:
    inner = encode(make(PatientID="PID-90210", StudyDate="20200101"), implicit=True).dataset
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    sent = make(Modality="CT")
    sent.add_new(0x00090010, "LO", "ACME")
    sent.add_new(0x00091001, "UN", item)
    assert leaks(encode(sent, implicit=implicit)) == [PATIENT_ID.format("(0009,1001)[0].(0010,0020)")]


def test_file_meta_information_is_searched(leaks: Find, make: Make, encode: Encode) -> None:
    def short(element: int, vr: bytes, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return b"\2\0" + element.to_bytes(2, "little") + vr + len(value).to_bytes(2, "little") + value

    meta = short(3, b"UI", b"1.2.826.0.1.77.1") + short(16, b"UI", b"1.2.840.10008.1.2.1") + short(22, b"AE", b"QUILL")
    sent = encode(make(Modality="CT"), file_meta=bytes(128) + b"DICM" + meta)
    assert leaks(sent) == ["the received SOP Instance UID stands in (0002,0003)", NAME.format("(0002,0016)")]
    preamble = b"PID-90210".ljust(128, b"\0")
    sent = encode(make(Modality="CT"), file_meta=preamble + b"DICM")
    assert leaks(sent) == [PATIENT_ID.format("preamble")]


def test_uid_of_the_received_file_meta_information_is_an_identifier(leaks: Find, make: Make, encode: Encode) -> None:
    meta = bytes(128) + b"DICM\2\0\3\0UI\x08\x001.2.3.99"
    assert leaks(make(UID="1.2.3.99"), before=encode(make(Modality="CT"), file_meta=meta)) == [
        "the received Media Storage SOP Instance UID stands in (0040,A124)"
    ]


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "quill-starlord",
        "QUILL",
        "Starlord",
        "Peter's knee",
        "knee of peter_2",
        "[Jason]",
        "20200110QUILL2.dcm",
        "ＱＵＩＬＬ",  # full width
    ],
)
def test_part_of_a_name_is_found_as_a_whole_word(leaks: Find, make: Make, text: str) -> None:
    assert leaks(make(SpecificCharacterSet="ISO_IR 192", PatientComments=text)) == [NAME.format(COMMENTS)]


@pytest.mark.parametrize("text", ["Petersen", "Aquill", "StarlordX", "Jasonsson"])
def test_part_of_another_word_is_no_name(leaks: Find, make: Make, text: str) -> None:
    assert leaks(make(PatientComments=text)) == []


@pytest.mark.parametrize(
    ("keyword", "what"),
    [
        ("PatientName", "part of Patient's Name"),
        ("OtherPatientNames", "part of Other Patient Names"),
        ("PatientBirthName", "part of Patient's Birth Name"),
        ("PatientMotherBirthName", "part of Patient's Mother's Birth Name"),
        ("ResponsiblePerson", "part of Responsible Person"),
    ],
)
def test_names_of_and_around_the_patient_are_searched(leaks: Find, make: Make, keyword: str, what: str) -> None:
    found = leaks(make(StudyDescription="for Gamora"), before=make(**{keyword: "Zen^Gamora"}))
    assert found == [f"the received {what} stands in (0008,1030)"]


def test_name_of_a_physician_is_not_the_patients(leaks: Find, make: Make) -> None:
    before = make(ReferringPhysicianName="House^Gregory", OperatorsName="Roe^Jane")
    assert leaks(make(StudyDescription="House of Gregory, Roe, Jane"), before=before) == []


def test_short_part_of_a_name_is_searched_in_names_and_ids_only(leaks: Find, make: Make) -> None:
    before = make(PatientName="Li^Bo")
    quiet = make(StudyDescription="li bo", Manufacturer="LI", Modality="BO")
    assert leaks(quiet, before=before) == []
    loud = make(PerformingPhysicianName="LI^Wei", PatientComments="was Bo")
    assert leaks(loud, before=before) == [NAME.format("(0008,1050)"), NAME.format(COMMENTS)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Müller", "muller"),
        ("Sørensen", "SORENSEN"),
        ("Łukasz", "Lukasz"),
        ("Nuñez-Peña", "Nunez"),
        ("O'Brien", "obrien"),
    ],
)
def test_name_is_found_without_its_accents_and_hyphens(leaks: Find, make: Make, name: str, text: str) -> None:
    before = make(SpecificCharacterSet="ISO_IR 192", PatientName=name)
    assert leaks(make(PatientComments=f"for {text}"), before=before) == [NAME.format(COMMENTS)]


def test_name_of_two_is_found_as_one_word(leaks: Find, make: Make) -> None:
    assert leaks(make(PatientComments="QUILLSTARLORD")) == [NAME.format(COMMENTS)]


def test_short_name_is_not_found_without_its_accents_and_hyphens(leaks: Find, make: Make) -> None:
    before = make(SpecificCharacterSet="ISO_IR 192", PatientName="Bär^Al-Ab^Юрий^길동")
    assert leaks(make(SpecificCharacterSet="ISO_IR 192", PatientComments="bar alab юрии"), before=before) == []


def test_title_and_no_name_are_no_names(leaks: Find, make: Make) -> None:
    before = make(PatientName="UNKNOWN^Anonymous^^Prof.^MD")
    assert leaks(make(StudyDescription="UNKNOWN, prof, anonymous, MD", PatientName="UNKNOWN"), before=before) == []


def test_name_that_is_also_a_word_of_a_protocol_holds_it(leaks: Find, make: Make) -> None:
    before = make(PatientName="Head^Test", BodyPartExamined="HEAD")
    assert leaks(make(ProtocolName="Head routine", BodyPartExamined="HEAD"), before=before) == [
        NAME.format("(0018,1030)")
    ]


def test_code_is_exempt_only_when_it_was_received_at_the_same_place(leaks: Find, make: Make) -> None:
    before = make(PatientName="Head^Test", BodyPartExamined="HEAD", RequestAttributesSequence=[make(Laterality="L")])
    assert leaks(make(BodyPartExamined="HEAD"), before=before) == []
    assert leaks(make(ImageType="HEAD"), before=before) == [NAME.format("(0008,0008)")]
    nested = make(RequestAttributesSequence=[make(BodyPartExamined="HEAD")])
    assert leaks(nested, before=before) == [NAME.format("(0040,0275)[0].(0018,0015)")]


@pytest.mark.parametrize(
    ("name", "written", "codec"),
    [
        *(("Groß^Hans", written, codec) for written, codec in (("Groß", "latin_1"), ("GROß", "utf_8"))),
        *(("Διονύσιος", written, "utf_8") for written in ("Διονύσιος", "διονύσιος", "ΔΙΟΝΎΣΙΟΣ")),
        *(("ﾔﾏﾀﾞ^ﾀﾛｳ", written, "shift_jis") for written in ("ﾔﾏﾀﾞ", "ヤマダ")),
        *(("山田^太郎", "山田", codec) for codec in ("shift_jis", "euc_jp", "utf_8", "utf_16_le")),
        *(("王^小东", "小东", codec) for codec in ("gb18030", "utf_8")),
        *(("Иванов^Пётр", "ИВАНОВ", codec) for codec in ("cp1251", "koi8_r", "iso8859_5", "utf_8")),
        *(("İbrahim^Işık", written, "utf_8") for written in ("İbrahim", "Işık")),
        *(("José", written, "utf_8") for written in ("José", "José")),
        ("Ｙａｍａｄａ", "Ｙａｍａｄａ", "utf_8"),
    ],
)
def test_name_is_found_in_bytes_as_devices_write_it(
    name: str, written: str, codec: str, leaks: Find, make: Make
) -> None:
    before = make(SpecificCharacterSet="ISO_IR 192", PatientName=name)
    value = b"\0\1 " + written.encode(codec) + b" \0"
    sent = make(PixelIntensityRelationshipLUTSequence=[make(LUTData=value + b"\0" * (len(value) % 2))])
    sent.PixelIntensityRelationshipLUTSequence[0]["LUTData"].VR = "OW"
    assert leaks(sent, before=before) != []


@pytest.mark.parametrize("keyword", ["SlabThickness", "LUTData", "PatientSize"])
def test_name_among_numbers_is_found_even_if_it_stood_there(keyword: str, leaks: Find) -> None:
    def element(tag: int, value: bytes) -> bytes:
        return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value

    # where no VR is written that of the dictionary counts, whatever the value is
    number = element(tag_for_keyword(keyword) or 0, b"Wolkenstein ")
    name = element(0x00100010, b"Wolkenstein^Quirin")
    before, sent = (Encoded(dataset=value, implicit=True, little=True) for value in (name + number, number))
    assert len(leaks(sent, before=before)) == 1


@pytest.mark.parametrize(
    ("keyword", "value", "what"),
    [
        ("TemporalPositionIndex", None, None),  # nothing planted
        ("BodyPartExamined", "ZEBULON QUENTIN", NAME),
        ("BodyPartExamined", "QUENTIN_ZEBULON", NAME),
        ("ImageType", ["ORIGINAL", "ZEBULON", "QUENTIN"], NAME),
        ("BodyPartExamined", "19610203", BIRTH_DATE),
        ("BodyPartExamined", "M_4711_K", PATIENT_ID),
        ("AcquisitionNumber", "47110815", "the received Accession Number stands in {}"),
        ("SliceThickness", "47110815", "the received Accession Number stands in {}"),
        ("AcquisitionNumber", "19610203", BIRTH_DATE),
    ],
)
def test_identifier_in_a_code_or_number_that_was_received_so_is_a_leak(
    leaks: Find, make: Make, keyword: str, value: Any, what: str | None
) -> None:
    before = make(
        PatientName="QUENTIN^ZEBULON", PatientID="M_4711_K", PatientBirthDate="19610203", AccessionNumber="47110815"
    )
    if value is not None:
        setattr(before, keyword, value)
    tag = tag_for_keyword(keyword) or 0
    place = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    assert leaks(make(**{keyword: value} if value else {}), before=before) == ([what.format(place)] if what else [])


def test_short_id_may_be_a_code_or_number_that_was_received_so(leaks: Find, make: Make) -> None:
    before = make(PatientID="47110", AccessionNumber="ABC", BodyPartExamined="ABC", AcquisitionNumber="47110")
    assert leaks(make(BodyPartExamined="ABC", AcquisitionNumber="47110"), before=before) == []
    assert leaks(make(Laterality="ABC", SeriesNumber="47110"), before=before) == [
        PATIENT_ID.format("(0020,0011)"),
        "the received Accession Number stands in (0020,0060)",
    ]


def test_meaning_of_a_code_may_have_one_word_of_a_name(leaks: Find, make: Make) -> None:
    before = make(PatientName="White^Matt", PatientID="T-A0100", ViewCodeSequence=[code("T-A0095", "White matter")])
    assert leaks(make(ViewCodeSequence=before.ViewCodeSequence), before=before) == []
    # it was not there, or there is more to it
    assert leaks(make(ViewCodeSequence=[code("1", "White blood cells")]), before=before) != []
    before.ViewCodeSequence = [code("T-A0100", "Matt White")]
    assert leaks(make(ViewCodeSequence=before.ViewCodeSequence), before=before) == [
        PATIENT_ID.format("(0054,0220)[0].(0008,0100)"),
        NAME.format("(0054,0220)[0].(0008,0104)"),
    ]


# ---- IDs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keyword",
    [
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "AdmissionID", "StudyID", "RequestedProcedureID"),
        *("FillerOrderNumberImagingServiceRequest", "MedicalRecordLocator", "PatientTelephoneNumbers"),
        *("ClinicalTrialSubjectID", "ServiceEpisodeID"),
    ],
)
def test_ids_are_searched(leaks: Find, make: Make, keyword: str) -> None:
    what = dictionary_description(tag_for_keyword(keyword) or 0)
    before = make(**{keyword: "K-47 11"})
    assert leaks(make(ImageComments="see k-47   11!"), before=before) == [f"the received {what} stands in (0020,4000)"]
    assert leaks(make(ImageComments="see K-47 111, K-4711"), before=before) == []


def test_ids_in_items_are_searched(leaks: Find, make: Make) -> None:
    before = make(
        OtherPatientIDsSequence=[make(PatientID="OTHER-1")], RequestAttributesSequence=[make(AccessionNumber="ACC-2")]
    )
    assert leaks(make(ImageComments="OTHER-1, ACC-2"), before=before) == [
        PATIENT_ID.format("(0020,4000)"),
        "the received Accession Number stands in (0020,4000)",
    ]


def test_id_is_found_without_its_issuer(leaks: Find, make: Make) -> None:
    assert leaks(make(ImageComments="4711-A"), before=make(PatientID="4711-A^^^HOSPITAL&1.2&ISO")) == [
        PATIENT_ID.format("(0020,4000)")
    ]


@pytest.mark.parametrize(
    ("before", "text"), [("PID-4711X", "pid4711x"), ("12/34-5.6", "MRN 123456"), ("A 1 2-3", "A123")]
)
def test_id_is_found_without_its_separators(leaks: Find, make: Make, before: str, text: str) -> None:
    sent = make(ImageComments=f"see {text}.")
    assert leaks(sent, before=make(PatientID=before)) == [PATIENT_ID.format("(0020,4000)")]
    assert leaks(make(ImageComments=f"see {text}7"), before=make(PatientID=before)) == []


def test_id_of_a_few_digits_or_letters_keeps_its_separators(leaks: Find, make: Make) -> None:
    assert leaks(make(ImageComments="12345, 1234, HEADNECK"), before=make(PatientID="123-45")) == []
    assert leaks(make(ImageComments="HEADNECK"), before=make(PatientID="HEAD-NECK")) == []


def test_id_is_found_in_ids_without_its_leading_zeros(leaks: Find, make: Make) -> None:
    before = make(PatientID="0004711")
    assert leaks(make(PatientID="4711", ClinicalTrialSubjectID="X-4711"), before=before) == [
        PATIENT_ID.format("(0010,0020)"),
        PATIENT_ID.format("(0012,0040)"),
    ]
    assert leaks(make(ImageComments="4711", SeriesNumber="4711", StudyID="4711"), before=before) == []
    assert leaks(make(PatientID="711"), before=make(PatientID="0000711")) == []


def test_short_number_is_searched_in_ids_only(leaks: Find, make: Make) -> None:
    before = make(PatientID="123")
    sent = make(SeriesDescription="phase 123", InstanceNumber="123", SliceThickness="123", PatientWeight="123")
    assert leaks(sent, before=before) == []
    assert leaks(make(ClinicalTrialSubjectID="123"), before=before) == [PATIENT_ID.format("(0012,0040)")]
    assert leaks(make(PatientName="P^123"), before=before) == [PATIENT_ID.format("(0010,0010)")]


def test_one_or_two_digits_are_an_id_only_as_the_whole_value(leaks: Find, make: Make) -> None:
    before = make(AccessionNumber="1", PatientID="17")
    assert leaks(make(PatientName="PSN-17", ClinicalTrialSubjectID="PSN-1"), before=before) == []
    assert leaks(make(PatientName="17^", AccessionNumber="1"), before=before) == [
        "the received Accession Number stands in (0008,0050)",
        PATIENT_ID.format("(0010,0010)"),
    ]


def test_lesser_ids_of_three_characters_are_not_searched(leaks: Find, make: Make) -> None:
    before = make(StudyID="ABC", RequestedProcedureID="CTH")
    assert leaks(make(StudyID="ABC", SeriesDescription="CTH", PatientID="ABC"), before=before) == []


def test_number_is_found_in_numbers_as_a_whole(leaks: Find, make: Make) -> None:
    before = make(PatientID="1234", ExposureTime="5")
    assert leaks(make(ExposureTime="1234"), before=before) == [PATIENT_ID.format("(0018,1150)")]
    assert leaks(make(TriggerTime="1234.5", ImagePositionPatient=[1234.5, 0.1234, 12345]), before=before) == []
    assert leaks(make(SeriesDescription="1234.5 mm, 0.1234"), before=before) == []
    assert leaks(make(SeriesDescription="MRN 1234."), before=before) == [PATIENT_ID.format("(0008,103E)")]


def test_number_that_was_received_at_the_same_place_is_no_leak(leaks: Find, make: Make) -> None:
    before = make(PatientID="1234", ExposureTime="1234")
    assert leaks(make(ExposureTime="1234"), before=before) == []


def test_long_number_is_found_beside_letters(leaks: Find, make: Make) -> None:
    before = make(PatientID="901234", AccessionNumber="12345")
    sent = make(ImageComments="MRN901234x")
    sent.add_new(0x00090010, "LO", "ACME")
    sent.add_new(0x00091001, "OB", b"\x01MRN901234\0")
    assert leaks(sent, before=before) == [PATIENT_ID.format("(0009,1001)"), PATIENT_ID.format("(0020,4000)")]
    assert leaks(make(ImageComments="A12345, 9012345, 1.901234.2"), before=before) == []


def test_long_number_is_found_as_part_of_a_uid(leaks: Find, make: Make) -> None:
    before = make(PatientID="90210421", PatientBirthDate="19800605", AccessionNumber="10008")
    sent = make(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", SOPInstanceUID="1.2.90210421.3", StudyInstanceUID="1.19800605")
    assert leaks(sent, before=before) == [PATIENT_ID.format("(0008,0018)"), BIRTH_DATE.format("(0020,000D)")]


def test_id_in_the_form_of_a_uid_is_found_as_one(leaks: Find, make: Make) -> None:
    before = make(PatientID="1.2.3.4.77")
    assert leaks(make(UID="1.2.3.4.77"), before=before) == [PATIENT_ID.format("(0040,A124)")]
    assert leaks(make(UID="1.2.3.4.771"), before=before) == []


def test_address_is_found_as_a_whole_and_by_its_lines(leaks: Find, make: Make) -> None:
    before = make(PatientAddress="12 Milano Street, Springfield, ZZ 12345")
    address = "the received Patient's Address stands in (0020,4000)"
    assert leaks(make(ImageComments="lives at 12 milano street"), before=before) == [address]
    assert leaks(make(ImageComments="Springfield General, Milano Street"), before=before) == []


# ---- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("born 1980-06-05", "1980.06.05", "1980/06/05", "05.06.1980", "05/06/1980", "06/05/1980"),
        *(
            "1980-6-5",
            "1980/6/5",
            "5 JUN 1980",
            "05-Jun-1980",
            "5JUN1980",
            "June 5, 1980",
            "Jun 05 1980",
            "5 june 1980",
        ),
        *("5.6.1980", "6/5/1980", "(19800605)", "1980-06-05T10:11", "DOB19800605", "PID|1||19800605000000|M"),
    ],
)
def test_birth_date_is_found_as_people_write_it(leaks: Find, make: Make, text: str) -> None:
    assert leaks(make(PatientComments=text)) == [BIRTH_DATE.format(COMMENTS)]


@pytest.mark.parametrize(
    "text",
    [
        "119800605",
        "198006051",
        "1980-06-051",
        "15.6.1980",
        "15 jun 1980",
        "1980-6-51",
        "5 jun 19801",
        "1980",
        "1980-06",
    ],
)
def test_other_numbers_are_no_birth_date(leaks: Find, make: Make, text: str) -> None:
    assert leaks(make(PatientComments=text)) == []


def test_birth_date_is_found_in_dates(leaks: Find, make: Make) -> None:
    sent = make(StudyDate="19800605", AcquisitionDateTime="19800605101112.5+0100", SeriesDate="19800606")
    sent.ScheduledProcedureStepStartDateTime = "20200101\\19800605"
    assert leaks(sent) == [
        BIRTH_DATE.format("(0008,0020)"),
        BIRTH_DATE.format("(0008,002A)"),
        BIRTH_DATE.format("(0040,4005)"),
    ]


# ---- UIDs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1.2.826.0.1.77.2", "study 1.2.826.0.1.77.2.", "/x/1.2.826.0.1.77.2.dcm"])
def test_uid_is_found_in_texts(leaks: Find, make: Make, text: str) -> None:
    assert leaks(make(PatientComments=text)) == [f"the received Study Instance UID stands in {COMMENTS}"]


@pytest.mark.parametrize("text", ["1.2.826.0.1.77.21", "1.2.826.0.1.77", "1.2.826.0.1.77.2.1", "11.2.826.0.1.77.2"])
def test_part_of_a_uid_is_another_uid(leaks: Find, make: Make, text: str) -> None:
    assert leaks(make(PatientComments=text, UID=text)) == []


def test_uids_of_kinds_are_no_identifiers(leaks: Find, make: Make) -> None:
    coded = make(CodingSchemeUID="1.2.3.4.1", ContextUID="1.2.3.4.2", MappingResourceUID="1.2.3.4.3")
    before = make(
        SOPClassUID="1.2.3.4.5.6",
        ReferencedImageSequence=[make(ReferencedSOPClassUID="1.2.3.4.5.7")],
        ConceptNameCodeSequence=[coded],
        UID="1.2.840.10008.15.1.1",
    )
    before.add_new(0x00090010, "LO", "ACME")
    before.add_new(0x00091001, "UI", "1.2.3.4.5.6")  # its private class
    assert leaks(before, before=before) == []


def test_uids_of_instances_are_found_wherever_they_came_from(leaks: Find, make: Make) -> None:
    before = make(
        ReferencedSeriesSequence=[make(ReferencedSOPSequence=[make(ReferencedSOPInstanceUID="1.2.3.4.1")])],
        ConcatenationUID="1.2.3.4.2",
        TrackingUID="1.2.3.4.3",
        DimensionOrganizationSequence=[make(DimensionOrganizationUID="1.2.3.4.4")],
    )
    before.add_new(0x00090010, "LO", "ACME")
    before.add_new(0x00091001, "UI", "1.2.3.4.5")
    sent = make(UID=["1.2.3.4.5", "1.2.3.4.4", "1.2.3.4.3", "1.2.3.4.2", "1.2.3.4.1"])
    kinds = ("Referenced SOP Instance UID", "Concatenation UID", "Tracking UID", "Dimension Organization UID")
    assert set(leaks(sent, before=before)) == {
        f"the received {what} stands in (0040,A124)" for what in (*kinds, "UID in (0009,1001)")
    }


# ---- character sets --------------------------------------------------------------------------------------------------


JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"


@pytest.mark.parametrize(
    ("before_in", "sent_in", "name", "text"),
    [
        (["", "ISO 2022 IR 87"], "ISO_IR 192", JAPANESE, "患者山田様"),
        (["", "ISO 2022 IR 87"], "ISO_IR 192", JAPANESE, "ﾔﾏﾀﾞ YAMADA"),
        ("ISO_IR 192", ["", "ISO 2022 IR 87"], JAPANESE, "太郎"),
        (["", "ISO 2022 IR 149"], "ISO_IR 192", KOREAN, "길동님"),
        ("ISO_IR 192", ["", "ISO 2022 IR 149"], KOREAN, "吉洞"),
        ("GB18030", "ISO_IR 192", "Wang^XiaoDong=王^小东", "病人小东"),
        ("GB18030", "GBK", "Wang^XiaoDong=王^小东", "病人小东"),
        ("ISO_IR 144", "ISO_IR 192", "Люкceмбypг", "о ЛЮКCEМБYPГ."),
        ("ISO_IR 100", "ISO_IR 192", "Buc^Jérôme", "JÉRÔME"),
        ("ISO_IR 192", "ISO_IR 100", "Strauß^Äneas", "ÄNEAS"),
        ("ISO_IR 100", "", "Strauß^Ann", "STRAUSS"),
        ("ISO_IR 126", "ISO_IR 192", "Διονυσιος", "διονυσιοσ"),
    ],
)
def test_name_is_found_in_another_character_set(
    leaks: Find, make: Make, before_in: Any, sent_in: Any, name: str, text: str
) -> None:
    before = make(SpecificCharacterSet=before_in, PatientName=name)
    sent = make(SpecificCharacterSet=sent_in, PatientComments=text)
    assert leaks(sent, before=before) == [NAME.format(COMMENTS)]


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("vr", ["OB", "UN"])
def test_name_is_found_in_bytes_of_unknown_encoding(leaks: Find, make: Make, codec: str, vr: str) -> None:
    before = make(SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=王^小东")
    sent = make(SpecificCharacterSet="ISO_IR 100")
    sent.add_new(0x00090010, "LO", "ACME")
    sent.add_new(0x00091001, vr, b"\0\1" + "小东!".encode(codec) + b"\0\2")
    assert leaks(sent, before=before) == [NAME.format("(0009,1001)")]


def test_name_is_found_when_the_character_set_is_not_what_it_says(leaks: Find, make: Make) -> None:
    before = make(SpecificCharacterSet="ISO_IR 192", PatientName="Jérôme")
    sent = Encoded(
        dataset=b"\x08\0\x05\0CS\x0a\0ISO_IR 192\x10\0\0\x40LT\x08\0J\xe9r\xf4me  ", implicit=False, little=True
    )
    assert leaks(sent, before=before) == [NAME.format(COMMENTS)]


def test_item_may_have_a_character_set_of_its_own(leaks: Find, make: Make) -> None:
    before = make(SpecificCharacterSet="ISO_IR 192", PatientName="Ж^Дмитрий")
    item = make(SpecificCharacterSet="ISO_IR 144", TextValue="для Дмитрий")
    assert leaks(make(SpecificCharacterSet="ISO_IR 100", ContentSequence=[item]), before=before) == [
        NAME.format("(0040,A730)[0].(0040,A160)")
    ]


def test_single_ideograph_is_searched_in_names_only(leaks: Find, make: Make) -> None:
    before = make(SpecificCharacterSet="ISO_IR 192", PatientName="Wang^Wei=王^伟")
    utf_8 = {"SpecificCharacterSet": "ISO_IR 192"}
    assert leaks(make(**utf_8, ImageComments="王 cm"), before=before) == []
    assert leaks(make(**utf_8, OperatorsName="王^小东"), before=before) == [NAME.format("(0008,1070)")]


# ---- what is let out -------------------------------------------------------------------------------------------------


def test_pseudonym_that_is_an_identifier_is_a_leak(leaks: Find, make: Make) -> None:
    for pseudonym, what in (
        ("PID-90210", "Patient ID"),
        ("X-PID-90210", "Patient ID"),
        ("ACC4711", "Accession Number"),
        ("PETER", "part of Patient's Name"),
        ("19800605", "Patient's Birth Date"),
        ("1.2.826.0.1.77.2", "Study Instance UID"),
    ):
        sent = make(PatientName=pseudonym, PatientID="5f3e", ClinicalTrialSubjectID=pseudonym)
        assert leaks(sent) == [f"the received {what} stands in {place}" for place in ("(0010,0010)", "(0012,0040)")]
    assert leaks(make(PatientName="12"), before=make(PatientID="12")) == [PATIENT_ID.format("(0010,0010)")]


def test_received_subject_id_may_be_the_pseudonym(leaks: Find, make: Make) -> None:
    before = make(ClinicalTrialSubjectID="SUBJ-17", PatientID="PID-90210")
    sent = make(PatientName="SUBJ-17", ClinicalTrialSubjectID="SUBJ-17", PatientID="5f3e")
    assert leaks(sent, before=before) == []
    sent.PatientComments = "SUBJ-17"
    sent.PatientName = "Mr SUBJ-17"
    assert leaks(sent, before=before) == [
        f"the received Clinical Trial Subject ID stands in {place}" for place in ("(0010,0010)", COMMENTS)
    ]
    # it is one of the patient or of an order, too
    for keyword in ("PatientID", "AccessionNumber", "AdmissionID", "PatientName"):
        both = make(ClinicalTrialSubjectID="SUBJ17", **{keyword: "SUBJ17"})
        assert len(leaks(make(ClinicalTrialSubjectID="SUBJ17"), before=both)) == 1


def test_identifier_that_the_profile_keeps_is_not_searched(leaks: Find, received: Dataset) -> None:
    kept = frozenset((0x0020000D, 0x0020000E, 0x00080018, 0x00200052, 0x00100030, 0x00100010))
    assert leaks(received, kept=kept) == [
        "the received Accession Number stands in (0008,0050)",
        PATIENT_ID.format("(0010,0020)"),
    ]


def test_kept_identifier_may_stand_elsewhere_too(leaks: Find, make: Make) -> None:
    before = make(SOPInstanceUID="1.2.3.4.1", ReferencedImageSequence=[make(ReferencedSOPInstanceUID="1.2.3.4.1")])
    assert leaks(before, before=before, kept=frozenset((0x00080018,))) == []


def test_patient_id_is_not_let_out_by_an_order_that_has_the_same(leaks: Find, make: Make) -> None:
    before = make(PatientID="ID-4711", AccessionNumber="ID-4711", RequestedProcedureID="ACC-12", StudyID="ACC-12")
    kept = frozenset((0x00080050, 0x00200010))
    assert leaks(before, before=before, kept=kept) == [
        PATIENT_ID.format("(0008,0050)"),
        PATIENT_ID.format("(0010,0020)"),
    ]
    assert leaks(make(AccessionNumber="ID-4711"), before=before, kept=kept | {0x00100020}) == []


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_no_more_than_a_hundred_leaks_are_told(leaks: Find, make: Make) -> None:
    sent = make(ReferencedImageSequence=[make(ReferencedSOPInstanceUID="1.2.826.0.1.77.1") for _ in range(3000)])
    assert len(leaks(sent)) == 100


def test_leak_tells_no_value(leaks: Find, received: Dataset) -> None:
    told = "\n".join(leaks(received)).casefold()
    for value in ("quill", "peter", "jason", "90210", "1980", "4711", "826"):
        assert value not in told

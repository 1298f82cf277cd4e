"""What the elements of a profile do to a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import BaseTag

from karnak_core.deidentify import (
    BUILT_IN,
    DeidentificationError,
    Entry,
    Excluded,
    Lookup,
    Profile,
    ProfileElement,
    Project,
    Result,
    Rule,
    Visit,
    basic_profile,
    file_head,
    make_file_meta,
)
from karnak_core.errors import Permanent, Retryable
from karnak_core.expressions import Replace

Deidentify = Callable[..., Dataset]
MakeProfile = Callable[..., Profile]
NewUid = Callable[[str], str]


# ---- the patient -----------------------------------------------------------------------------------------------------


def test_patient_becomes_the_pseudonym(image: Dataset, deidentify: Deidentify) -> None:
    image.ClinicalTrialSubjectReadingID = "R"
    image.DeidentificationMethod = "by hand"
    new = deidentify(image)
    assert (new.PatientName, new.PatientID) == ("PSN-1", "3409EBB62BA0557BBA4F28F25C8401CB")
    assert (new.ClinicalTrialSponsorName, new.ClinicalTrialProtocolID) == ("STUDY-A", "Dicom Basic Profile")
    assert new.ClinicalTrialSubjectID == "PSN-1"
    assert new.PatientIdentityRemoved == "YES"
    assert new.DeidentificationMethod == "basic.dicom.profile"
    assert [item.CodeValue for item in new.DeidentificationMethodCodeSequence] == ["113100"]
    assert (new.InstanceCreationDate, new.InstanceCreationTime) == ("20260102", "040405.000000")
    assert "ClinicalTrialSubjectReadingID" not in new


@pytest.mark.parametrize(
    ("element", "name"),
    [
        ("{name: n, codename: action.on.specific.tags, action: K, tags: [00100010]}", "PSN-1"),
        ("{name: n, codename: action.on.specific.tags, action: Z, tags: [00100010]}", ""),
        ("{name: n, codename: expression.on.tags, arguments: {expr: \"Replace('X')\"}, tags: [00100010]}", "X"),
        ("{name: n, codename: expression.on.tags, arguments: {expr: 'null'}, tags: [00100010]}", "PSN-1"),
    ],
)
def test_name_is_the_pseudonym_unless_an_element_gave_another(
    image: Dataset, deidentify: Deidentify, make_profile: MakeProfile, element: str, name: str
) -> None:
    assert deidentify(image, make_profile(f"  - {element}", basic=True)).PatientName == name


@pytest.mark.parametrize("pseudonym", ["", "  ", "a\\b", "x" * 65, "a\nb"])
def test_bad_pseudonym_is_refused_without_saying_it(image: Dataset, project: Project, pseudonym: str) -> None:
    with pytest.raises(DeidentificationError, match="pseudonym") as error:
        basic_profile().apply(image, project, pseudonym)
    assert not pseudonym.strip() or pseudonym not in str(error.value)


@pytest.mark.parametrize("patient_id", ["", "  ", None])
def test_instance_without_patient_id_is_refused(image: Dataset, project: Project, patient_id: str | None) -> None:
    if patient_id is None:
        del image.PatientID
    else:
        image.PatientID = patient_id
    with pytest.raises(DeidentificationError, match="no Patient ID"):
        basic_profile().apply(image, project, "P")
    with pytest.raises(DeidentificationError, match="no Patient ID"):
        basic_profile().morph(image, project)


def test_methods_are_claimed_where_they_were_applied(
    image: Dataset, deidentify: Deidentify, make_profile: MakeProfile
) -> None:
    profile = make_profile(
        "  - {name: a, codename: action.on.privatetags, action: X}\n"
        "  - {name: b, codename: action.on.privatetags, action: K, "
        "condition: \"tagValueIsPresent(#Tag.Modality,'MR')\"}\n"
        "  - {name: c, codename: action.on.dates, option: shift, arguments: {days: 1, seconds: 0}}",
        basic=True,
    )
    new = deidentify(image, profile)
    assert [item.CodeValue for item in new.DeidentificationMethodCodeSequence] == ["113107", "113100"]
    assert new[0x00120063].value == [
        "action.on.privatetags-action.on.privatetags-action.on.dates",
        "basic.dicom.profile",
    ]


# ---- sequences -------------------------------------------------------------------------------------------------------


def make_item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def test_items_are_decided_by_their_own_values(
    image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile
) -> None:
    image.ReferencedStudySequence = [
        make_item(StudyDate="20010105", PatientID="NESTED"),
        make_item(StudyDate=""),
    ]
    profile = make_profile(
        "  - {name: d, codename: action.on.dates, option: shift, arguments: {days: 5, seconds: 0}}\n"
        "  - {name: e, codename: expression.on.tags, arguments: {expr: \"Replace(stringValue + '!')\"}, "
        "tags: [00100020]}"
    )
    new = morph(image, profile)
    assert (new.StudyDate, new.PatientID) == ("20200105", "PATIENT-1!")
    assert [item.StudyDate for item in new.ReferencedStudySequence] == ["20001231", ""]
    assert new.ReferencedStudySequence[0].PatientID == "NESTED!"


def test_elements_in_a_kept_sequence_inherit_keep_but_earlier_elements_act(
    image: Dataset, deidentify: Deidentify, make_profile: MakeProfile
) -> None:
    image.RequestAttributesSequence = [make_item(RequestedProcedureID="R", ScheduledProcedureStepID="S")]
    profile = make_profile(
        "  - {name: x, codename: action.on.specific.tags, action: X, tags: [00401001]}\n"
        "  - {name: k, codename: action.on.specific.tags, action: K, tags: [00400275]}",
        basic=True,
    )
    (item,) = deidentify(image, profile).RequestAttributesSequence
    assert "RequestedProcedureID" not in item
    assert item.ScheduledProcedureStepID == "S"


def test_sequence_is_removed_or_emptied_as_a_unit(
    image: Dataset, deidentify: Deidentify, make_profile: MakeProfile
) -> None:
    image.ReferencedStudySequence = [make_item(ReferencedSOPInstanceUID="1.2.3")]
    image.RequestAttributesSequence = [make_item(RequestedProcedureID="R")]
    image.ProcedureCodeSequence = [make_item(CodeValue="C")]
    profile = make_profile(
        "  - {name: x, codename: action.on.specific.tags, action: X, tags: [00081110]}\n"
        "  - {name: z, codename: action.on.specific.tags, action: Z, tags: [00400275]}\n"
        "  - {name: d, codename: action.on.specific.tags, action: D, tags: [00081032]}"
    )
    new = deidentify(image, profile)
    assert "ReferencedStudySequence" not in new
    assert list(new.RequestAttributesSequence) == []
    assert list(new.ProcedureCodeSequence) == []


def test_combined_action_on_a_sequence_follows_its_type(
    image: Dataset, deidentify: Deidentify, new_uid: NewUid
) -> None:
    reference = make_item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID="1.2.9")
    image.ReferencedImageSequence = [reference]  # type 3 in a CT image
    assert "ReferencedImageSequence" not in deidentify(image)
    image.SOPClassUID = "1.2.3.4.5"  # of which nothing is known: the strictest
    (item,) = deidentify(image).ReferencedImageSequence
    assert item.ReferencedSOPInstanceUID == new_uid("1.2.9")
    assert item.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_code_that_identifies_a_person_becomes_unknown(image: Dataset, deidentify: Deidentify) -> None:
    person = make_item(CodeValue="4711", CodingSchemeDesignator="99HOSPITAL", CodeMeaning="Quill^Peter")
    image.add_new(0x00401101, "SQ", [person])
    (item,) = deidentify(image)[0x00401101].value
    assert (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning) == ("261665006", "SCT", "Unknown")


def test_unknown_sequences_are_walked_under_the_basic_profile(image: Dataset, deidentify: Deidentify) -> None:
    inner = make_item(PatientName="Quill^Peter", StudyInstanceUID="1.2.3.2")
    inner.add_new(0x00090010, "LO", "ACME")
    inner.add_new(0x00091001, "LO", "secret")
    image.add_new(0x00189999, "SQ", [make_item(RequestAttributesSequence=[inner])])
    encoded = str(deidentify(image))
    assert "Quill" not in encoded
    assert "secret" not in encoded
    assert "1.2.3.2\n" not in encoded


def test_sequence_sent_as_un_is_still_a_sequence(
    image: Dataset, deidentify: Deidentify, encode: Callable[..., bytes], read_back: Callable[..., Dataset]
) -> None:
    item = make_item(ReferencedSOPInstanceUID="1.2.9", PatientName="Quill^Peter")
    value = b"\xfe\xff\x00\xe0" + len(encode(item, implicit=True)).to_bytes(4, "little") + encode(item, implicit=True)
    received = read_back(image)
    for tag in (0x00081115, 0x00189999):
        raw = RawDataElement(BaseTag(tag), "UN", len(value), value, 0, False, True)
        received._dict[BaseTag(tag)] = raw
    result = basic_profile().apply(received, Project(name="P", secret=bytes(16)), "PSN")
    assert isinstance(result, Result)
    # a tag that the dictionary knows, and one that it does not
    for new in result.dataset[0x00081115], result.dataset[0x00189999]:
        assert new.value[0].PatientName == ""
        assert new.value[0].ReferencedSOPInstanceUID.startswith("2.25.")


# ---- values ----------------------------------------------------------------------------------------------------------


def test_every_value_of_an_element_is_replaced(image: Dataset, deidentify: Deidentify, new_uid: NewUid) -> None:
    image.FailedSOPInstanceUIDList = ["1.2.3.1", "1.2.3.7"]
    image.add_new(0x00180012, "DA", ["20200110", "20200111"])
    assert deidentify(image).FailedSOPInstanceUIDList == [new_uid("1.2.3.1"), new_uid("1.2.3.7")]


def test_every_date_of_an_element_is_shifted(
    image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile
) -> None:
    image.add_new(0x00181200, "DA", ["20200110", "20200301"])
    image.add_new(0x00181201, "TM", ["1010", "235959.5"])
    image.add_new(0x0008002A, "DT", "20200110101112.123456+0200")
    profile = make_profile("  - {name: d, codename: action.on.dates, option: shift, arguments: {days: 1, seconds: 60}}")
    new = morph(image, profile)
    assert new[0x00181200].value == ["20200109", "20200229"]
    assert new[0x00181201].value == ["100900.000000", "235859.500000"]
    assert new[0x0008002A].value == "20200109101012.123456+0200"


def test_one_invalid_date_among_several_empties_or_removes_them(
    image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile
) -> None:
    image[0x00080020]._value = ["20200110", "soon"]
    image.add_new(0x00181200, "DA", None)
    image[0x00181200]._value = "soon"
    profile = make_profile("  - {name: d, codename: action.on.dates, option: shift, arguments: {days: 1, seconds: 60}}")
    new = morph(image, profile)
    assert new.StudyDate == ""
    assert "soon" not in str(new)


def test_new_value_has_to_be_of_its_vr(image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile) -> None:
    profile = make_profile(
        "  - {name: r, codename: expression.on.tags, arguments: {expr: Replace(getString(#Tag.PatientID))}, "
        "tags: [00280010]}"
    )
    with pytest.raises(DeidentificationError) as error:
        morph(image, profile)
    assert str(error.value) == "(0028,0010) US: the new value is not one of this VR"
    image.PatientID = "77"
    assert morph(image, profile).Rows == 77


def test_class_uids_stay_whatever_the_profile_says(
    image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile, new_uid: NewUid
) -> None:
    profile = make_profile("  - {name: u, codename: action.on.specific.tags, action: U, tags: [XXXXXXXX]}")
    new = morph(image, profile)
    assert (new.SOPClassUID, new.PatientID, new.Rows) == (image.SOPClassUID, "PATIENT-1", 4)
    assert new.SOPInstanceUID == new_uid("1.2.3.1")


def test_replace_uid_does_what_its_name_says(
    image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile, new_uid: NewUid
) -> None:
    new = morph(image, make_profile("  - {name: u, codename: replace.uid, tags: [0020000D]}"))
    assert (new.StudyInstanceUID, new.SeriesInstanceUID) == (new_uid("1.2.3.2"), "1.2.3.3")


# ---- private elements, additions -------------------------------------------------------------------------------------


def test_kept_private_elements_keep_their_creator_in_items_too(
    image: Dataset, deidentify: Deidentify, make_profile: MakeProfile
) -> None:
    for level in (image, item := make_item(Modality="CT")):
        level.add_new(0x70530010, "LO", "Philips PET Private Group")
        level.add_new(0x70531000, "DS", "1.5")
        level.add_new(0x70531001, "DS", "2.5")
    image.add_new(0x00189999, "SQ", [item])
    profile = make_profile(
        '  - {name: k, codename: action.on.privatetags, action: K, tags: ["(7053,xx00)"]}', basic=True
    )
    new = deidentify(image, profile)
    for level in (new, new[0x00189999].value[0]):
        assert level[0x70530010].value == "Philips PET Private Group"
        assert level[0x70531000].value == 1.5
        assert 0x70531001 not in level


def test_added_private_element_goes_into_the_block_of_its_creator(
    image: Dataset, deidentify: Deidentify, make_profile: MakeProfile
) -> None:
    image.add_new(0x00210010, "LO", "OTHER")
    image.add_new(0x00211001, "LO", "secret")
    profile = make_profile(
        "  - {name: a, codename: action.add.private.tag, arguments: {value: v, vr: LO, privateCreator: ME}, "
        "tags: [00211134]}",
        basic=True,
    )
    new = deidentify(image, profile)
    assert (new[0x00210011].value, new[0x00211134].value) == ("ME", "v")
    assert 0x00211001 not in new
    image[0x00210010].value = "ME"
    new = deidentify(image, profile)
    assert (new[0x00210010].value, new[0x00211034].value) == ("ME", "v")
    assert 0x00210011 not in new


def test_addition_does_not_depend_on_other_elements(
    image: Dataset, deidentify: Deidentify, make_profile: MakeProfile
) -> None:
    profile = make_profile(
        "  - {name: k, codename: action.on.specific.tags, action: K, tags: [XXXXXXXX]}\n"
        "  - {name: a, codename: action.add.tag, arguments: {value: 'YES'}, tags: [00280301]}\n"
        "  - {name: b, codename: action.add.tag, arguments: {value: '1'}, tags: [300A0002]}"
    )
    new = deidentify(image, profile)
    assert new.BurnedInAnnotation == "YES"
    assert 0x300A0002 not in new  # no attribute of a CT image
    image.SOPClassUID = "1.2.3.4.5"
    assert "BurnedInAnnotation" not in deidentify(image, profile)


def test_expression_may_add(image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile) -> None:
    profile = make_profile(
        "  - {name: e, codename: expression.on.tags, arguments: "
        "{expr: \"Add(#Tag.PatientComments, #VR.LT, 'checked')\"}, tags: [XXXXXXXX]}"
    )
    assert morph(image, profile).PatientComments == "checked"
    image.PatientComments = "old"
    assert morph(image, profile).PatientComments == "old"


# ---- exclusion, answers, third parties -------------------------------------------------------------------------------


def test_profile_may_exclude_an_instance(image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile) -> None:
    image.RequestAttributesSequence = [make_item(PatientComments="VIP")]
    profile = make_profile(
        "  - {name: No VIPs, codename: expression.on.tags, arguments: "
        "{expr: \"stringValue == 'VIP' ? ExcludeInstance() : null\"}, tags: [00104000]}"
    )
    result = morph(image, profile)
    assert isinstance(result, Excluded)
    assert result.reason == "Instance excluded by profile: No VIPs"


API = (
    "  - {{name: a, codename: action.replace.api, arguments: {{url: 'http://h/{{{{getString(#Tag.PatientID)}}}}', "
    "responsePath: value, authConfig: lab{0}}}, tags: [00104000]}}"
)


def test_api_is_asked_through_the_caller(image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile) -> None:
    image.PatientID, image.PatientComments = "a/b c", "x"
    asked: list[Lookup] = []

    def fetch(request: Lookup) -> str:
        asked.append(request)
        return '{"value": "found"}'

    assert morph(image, make_profile(API.format("")), fetch=fetch).PatientComments == "found"
    assert asked == [Lookup(method="GET", url="http://h/a%2Fb%20c", body=None, authenticator="lab")]


@pytest.mark.parametrize("error", [Retryable("503"), Permanent("404")])
def test_error_of_the_api_is_passed_on_unless_there_is_a_default(
    image: Dataset, morph: Callable[..., Any], make_profile: MakeProfile, error: Exception
) -> None:
    image.PatientComments = "x"

    def fetch(_request: Lookup) -> str:
        raise error

    with pytest.raises(type(error), match=str(error)):
        morph(image, make_profile(API.format("")), fetch=fetch)
    assert morph(image, make_profile(API.format(", defaultValue: none")), fetch=fetch).PatientComments == "none"


def test_third_party_adds_a_codename(image: Dataset, project: Project) -> None:
    def shout(visit: Visit) -> Replace:
        return Replace((visit.string_value() or "").upper())

    def read(entry: Entry) -> Rule:
        tags = entry.require_tags()
        return Rule(decide=lambda tag: shout if tag in tags else None)

    elements: Sequence[ProfileElement] = (*BUILT_IN, ProfileElement(codename="example.shout", read=read))
    text = "profileElements:\n  - {name: s, codename: example.shout, tags: [00081030]}"
    profile = Profile.from_yaml(text, elements)
    assert profile.check() == ()
    result = profile.morph(image, project)
    assert isinstance(result, Result)
    assert result.dataset.StudyDescription == "CARDIAC"
    assert len(Profile.from_yaml(text).check()) == 1


# ---- changes, errors, file meta --------------------------------------------------------------------------------------


def test_changes_tell_before_after_and_who_decided(image: Dataset, project: Project, new_uid: NewUid) -> None:
    image.ReferencedSeriesSequence = [make_item(SeriesInstanceUID="1.2.3.3")]
    result = basic_profile().apply(image, project, "PSN-1")
    assert isinstance(result, Result)
    found = {change.path: (change.before, change.after, change.codename) for change in result.changes}
    assert found["(0020,000D)"] == ("1.2.3.2", new_uid("1.2.3.2"), "basic.dicom.profile")
    assert found["(0008,1115)[0].(0020,000E)"] == ("1.2.3.3", new_uid("1.2.3.3"), "basic.dicom.profile")
    assert found["(0008,1030)"] == ("cardiac", None, "basic.dicom.profile")
    assert found["(0010,0010)"] == ("Quill^Peter", "PSN-1", "")
    assert found["(0012,0062)"] == (None, "YES", "")
    assert "(0028,0010)" not in found
    assert "(0008,1115)" not in found
    plain = basic_profile().apply(image, project, "PSN-1", changes=False)
    assert isinstance(plain, Result)
    assert plain.changes == ()


def test_received_data_set_keeps_its_values(
    image: Dataset, project: Project, encode: Callable[..., bytes], read_back: Callable[..., Dataset]
) -> None:
    image.ReferencedSeriesSequence = [make_item(SeriesInstanceUID="1.2.3.3")]
    received = read_back(image)
    before = encode(received)
    basic_profile().apply(received, project, "PSN-1", changes=True)
    assert encode(received) == before


def test_elements_that_are_read_later_are_read(
    image: Dataset, project: Project, encode: Callable[..., bytes], tmp_path: Path, make_profile: MakeProfile
) -> None:
    image.ImageComments = "Quill " * 100
    image.DerivationDescription = "kept " * 100
    path = tmp_path / "image"
    path.write_bytes(bytes(128) + b"DICM" + encode(image))
    received = pydicom.dcmread(path, defer_size=100, force=True)
    profile = make_profile(
        "  - {name: z, codename: action.on.specific.tags, action: Z, tags: [00204000]}\n"
        "  - {name: k, codename: action.on.specific.tags, action: K, tags: [00082111]}",
        basic=True,
    )
    result = profile.apply(received, project, "PSN-1")
    assert isinstance(result, Result)
    out = encode(result.dataset)
    assert b"Quill" not in out
    assert b"kept kept" in out


def test_value_that_cannot_be_decoded_fails_without_being_quoted(
    image: Dataset, project: Project, encode: Callable[..., bytes], make_profile: MakeProfile
) -> None:
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientComments = "cafe"
    encoded = encode(image).replace(b"cafe", b"caf\xe9")
    received = pydicom.dcmread(BytesIO(encoded), force=True)
    profile = make_profile(
        "  - {name: e, codename: expression.on.tags, arguments: {expr: Replace(stringValue + '!')}, tags: [00104000]}"
    )
    with pytest.raises(DeidentificationError, match=r"\(0010,4000\) LT") as error:
        profile.morph(received, project)
    assert "caf" not in str(error.value)


def test_condition_that_cannot_be_decided_fails(image: Dataset, project: Project, make_profile: MakeProfile) -> None:
    profile = make_profile(
        "  - {name: e, codename: action.on.specific.tags, action: X, tags: [00104000], condition: 'null'}"
    )
    image.PatientComments = "x"
    with pytest.raises(DeidentificationError, match="profile element 'e': condition"):
        profile.morph(image, project)


def test_file_meta_is_made_of_the_new_data_set(image: Dataset, project: Project, new_uid: NewUid) -> None:
    result = basic_profile().apply(image, project, "PSN-1")
    assert isinstance(result, Result)
    given = {
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "implementation_class_uid": "2.25.1",
        "implementation_version_name": "KARNAK",
    }
    meta = make_file_meta(result.dataset, **given)
    assert meta.MediaStorageSOPInstanceUID == new_uid("1.2.3.1")
    assert "1.2.3.1\n" not in str(meta)
    file = BytesIO()
    pydicom.dcmwrite(file, FileDataset("", {}, file_meta=meta, preamble=bytes(128)), enforce_file_format=True)
    assert file_head(result.dataset, **given) == file.getvalue()
    del result.dataset.SOPInstanceUID
    for make in (make_file_meta, file_head):
        with pytest.raises(DeidentificationError, match="no SOP Instance UID"):
            make(result.dataset, **given)

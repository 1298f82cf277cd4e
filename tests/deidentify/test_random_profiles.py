"""Arbitrary data sets under arbitrary profiles: what holds whatever is in them."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from karnak_core.deidentify import (
    DeidentificationError,
    Excluded,
    Lookup,
    Profile,
    Project,
    Result,
    decode_dataset,
    encode_dataset,
)
from karnak_core.deidentify.forms import fits
from karnak_core.deidentify.tables import confidentiality_table
from karnak_core.errors import Permanent
from karnak_core.expressions.values import public_vr
from karnak_core.testing import missing

pytestmark = pytest.mark.filterwarnings("ignore")

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROJECT = Project(name="STUDY-A", secret=bytes.fromhex("0123456789abcdef0123456789abcdef"))
#: what an element that the profile removes has for a value
SECRET = "S3CR3T-V4LU3"
LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
CHARACTER_SET, PATIENT_ID, SOP_CLASS_UID = 0x00080005, 0x00100020, 0x00080016


# ---- data sets, encoded by code of their own -------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """An element: a value, or items."""

    tag: int
    vr: str
    value: bytes | tuple[tuple[Made, ...], ...]
    undefined: bool = False


def encoded(elements: tuple[Made, ...], implicit: bool, little: bool) -> bytes:
    order = "<" if little else ">"

    def items(made: Made) -> bytes:
        parts = []
        for item in made.value:
            assert isinstance(item, tuple)
            own = encoded(item, implicit, little)
            if made.undefined:
                own += struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0)
            parts.append(struct.pack(order + "HHI", 0xFFFE, 0xE000, 0xFFFFFFFF if made.undefined else len(own)) + own)
        if made.undefined:
            parts.append(struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0))
        return b"".join(parts)

    data = []
    for made in elements:
        value = made.value if isinstance(made.value, bytes) else items(made)
        length = 0xFFFFFFFF if made.undefined else len(value)
        head = struct.pack(order + "HH", made.tag >> 16, made.tag & 0xFFFF)
        vr = made.vr.encode()
        if implicit:
            data.append(head + struct.pack(order + "I", length) + value)
        elif vr in LONG_VRS:
            data.append(head + vr + b"\0\0" + struct.pack(order + "I", length) + value)
        else:
            data.append(head + vr + struct.pack(order + "H", length) + value)
    return b"".join(data)


LISTED = sorted(tag for tag in confidentiality_table().codes if tag > 0x00080005 and public_vr(tag) not in ("UN", "SQ"))
OTHERS = [0x00080060, 0x00180050, 0x00200013, 0x00081150, 0x00280010, 0x00280106, 0x00080040, 0x00189074, 0x00186030]
PRIVATE = [0x00090010, 0x00091001, 0x00091002, 0x00291010, 0x00290010, 0x60010001, 0x00090001, 0x0009FF01]
OVERLAYS = [0x60000010, 0x60003000, 0x60020022, 0x60023000, 0x50000005]
SEQUENCES = sorted(
    {tag for tag in confidentiality_table().codes if public_vr(tag) == "SQ"}
    | {0x00081115, 0x00400275, 0x52009230, 0x00289145, 0x00091003, 0x00400260}
)
TEXTS = [
    b"",
    b" ",
    b"Quill^Peter ",
    b"a\\b ",
    b"\\",
    b"1.2.3\0",
    b"20200110",
    b"20200110101112.5+0100",
    b"101112",
    b"012Y",
]
TEXTS += [b"-1", b"1.5 ", b"20201399", b"\xe4\xf6", b"\x1b$B", b"\xff\xfe\x00\xe0", b"\0" * 8, b"x" * 300, b"\xcf\x80"]
VALUES = st.sampled_from(TEXTS) | st.binary(max_size=12).map(lambda value: value + b"\0" * (len(value) % 2))
TAGS = st.sampled_from(LISTED + OTHERS) | st.sampled_from(PRIVATE + OVERLAYS)
EXPLICIT_VRS = st.sampled_from(["LO", "UN", "UI", "DA", "SQ", "US", "OB", "PN", "AT", "FD", "SV", "UT", "DS"])


def usual_vr(tag: int) -> str:
    if tag >> 16 & 1:
        return "LO"
    vr = public_vr(tag)
    return vr if len(vr) == 2 else {"US or SS": "US"}.get(vr, "OW")


@st.composite
def levels(draw: st.DrawFn, depth: int) -> tuple[Made, ...]:
    made = {}
    for tag in draw(st.lists(TAGS, max_size=7)):
        vr = draw(EXPLICIT_VRS) if draw(st.integers(0, 9)) == 0 else usual_vr(tag)
        value = draw(VALUES)
        if vr == "SQ":
            vr = "UN"
        made[tag] = Made(tag, vr, value + b" " * (len(value) % 2))
    if depth:
        for tag in draw(st.lists(st.sampled_from(SEQUENCES), max_size=2)):
            items = draw(st.lists(levels(depth - 1), max_size=3))
            made[tag] = Made(tag, "SQ", tuple(items), undefined=draw(st.booleans()))
    if draw(st.integers(0, 5)) == 0:
        terms = [b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87 ", b"ISO_IR 144", b"NONSENSE"]
        made[CHARACTER_SET] = Made(CHARACTER_SET, "CS", draw(st.sampled_from(terms)))
    return tuple(made[tag] for tag in sorted(made))


SOP_CLASSES = [
    b"1.2.840.10008.5.1.4.1.1.2\0",
    b"1.2.840.10008.5.1.4.1.1.88.33\0",
    b"1.2.840.10008.5.1.4.1.1.66.4",
    b"1.2.3 ",
]


@st.composite
def instances(draw: st.DrawFn) -> tuple[Made, ...]:
    made = {one.tag: one for one in draw(levels(3))}
    made[SOP_CLASS_UID] = Made(SOP_CLASS_UID, "UI", draw(st.sampled_from(SOP_CLASSES)).ljust(26, b"\0"))
    made[PATIENT_ID] = Made(PATIENT_ID, "LO", b"PATIENT-1 ")
    return tuple(made[tag] for tag in sorted(made))


ENCODINGS = st.sampled_from([(False, True), (True, True), (False, False)])


# ---- profiles --------------------------------------------------------------------------------------------------------

PATTERNS = ["0010XXXX", "XXXXXXXX", "0008XXXX", "(0040,A7XX)", "XXXX1001", "60xx3000", "0009,xxxx", "XXXX,0010"]
TAG_TEXTS = st.lists(
    st.sampled_from(LISTED + OTHERS + PRIVATE + SEQUENCES).map(lambda tag: f"{tag:08X}") | st.sampled_from(PATTERNS),
    min_size=1,
    max_size=4,
)
CONDITIONS = [
    "tagIsPresent(#Tag.StudyDate)",
    "tagValueContains('0010,0010', 'Quill')",
    "!tagValueBeginsWith(#Tag.Modality, 'C')",
    "tagValueIsPresent(#Tag.PatientID, 'PATIENT-1') and not tagIsPresent(#Tag.StationName)",
    "tagValueEndsWith('00080050', '1') || true",
]
EXPRESSIONS = [
    "stringValue == null ? null : Replace(stringValue.toLowerCase())",
    "vr == #VR.PN ? Remove() : Keep()",
    "UID()",
    "ComputePatientAge()",
    "stringValue != null && stringValue matches '[0-9]+' ? ReplaceNull() : null",
    "tagIsPresent(#Tag.CodeValue) ? Add(#Tag.ImageComments, #VR.LT, 'π') : null",
    "Replace(getString(#Tag.PatientName))",
    "getString(tag) == 'x' ? ExcludeInstance() : null",
]
ADDED = ["00280301", "00104000", "00080050", "00120062", "00181000", "00204000", "00080012"]
DATE_OPTIONS: list[dict[str, Any]] = [
    {"option": "shift", "arguments": {"days": 10, "seconds": 3600}},
    {"option": "shift", "arguments": {"days": -(2**31), "seconds": 2**31 - 1}},
    {"option": "shift_range", "arguments": {"max_days": 100, "max_seconds": 60, "min_days": -5}},
    {"option": "shift_by_tag", "arguments": {"days_tag": "00200013", "seconds_tag": "(0018,0050)"}},
    {"option": "date_format", "arguments": {"remove": "day"}},
    {"option": "format_date", "arguments": {"remove": "month_day"}},
]


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(["tags", "private", "dates", "expression", "add", "add private", "api", "uid", "basic", "tags"])
    )
    tags, excluded = draw(TAG_TEXTS), draw(st.just([]) | TAG_TEXTS)
    rule: dict[str, Any]
    match kind:
        case "tags":
            action = draw(st.sampled_from(["K", "X", "Z", "D", "DDum", "U"]))
            rule = {"codename": "action.on.specific.tags", "action": action, "tags": tags, "excludedTags": excluded}
        case "private":
            action = draw(st.sampled_from(["K", "X", "Z", "D", "DDum", "U"]))
            rule = {"codename": "action.on.privatetags", "action": action}
            rule |= {"tags": tags, "excludedTags": excluded} if draw(st.booleans()) else {}
        case "dates":
            rule = {"codename": "action.on.dates", **draw(st.sampled_from(DATE_OPTIONS)), "excludedTags": excluded}
            rule |= {"tags": tags} if draw(st.booleans()) else {}
        case "expression":
            arguments = {"expr": draw(st.sampled_from(EXPRESSIONS))}
            rule = {"codename": "expression.on.tags", "arguments": arguments, "tags": tags, "excludedTags": excluded}
        case "add":
            tag = draw(st.sampled_from(ADDED))
            vr = usual_vr(int(tag, 16))
            texts = ["YES", "1", "", "a\\b"] + ["π"] * (vr in ("LO", "LT", "SH"))
            value = draw(st.sampled_from([text for text in texts if fits(vr, text)]))
            rule = {"codename": "action.add.tag", "arguments": {"value": value}, "tags": [tag]}
        case "add private":
            arguments = {"value": "7", "vr": draw(st.sampled_from(["LO", "IS", "UT", "FD", "US"]))}
            arguments |= {"privateCreator": "MAKER"} if draw(st.booleans()) else {}
            rule = {"codename": "action.add.private.tag", "arguments": arguments, "tags": ["(0009,1001)"]}
        case "api":
            arguments = {
                "url": "http://h/{{getString(#Tag.PatientID)}}",
                "responsePath": draw(st.sampled_from(["", "/a"])),
            }
            arguments |= {"defaultValue": "none"} if draw(st.booleans()) else {}
            rule = {"codename": "action.replace.api", "arguments": arguments, "tags": tags, "excludedTags": excluded}
        case "uid":
            rule = {"codename": "replace.uid", "action": draw(st.sampled_from(["U", "X", "Z"])), "tags": tags}
        case _:
            rule = {"codename": "basic.dicom.profile"}
    if draw(st.integers(0, 3)) == 0:
        rule["condition"] = draw(st.sampled_from(CONDITIONS))
    return rule


PROFILES = st.lists(rules(), max_size=6)


def profile_of(chosen: list[dict[str, Any]]) -> Profile:
    elements = []
    for number, rule in enumerate(chosen):
        if rule["codename"] != "basic.dicom.profile" or rule["codename"] not in [one["codename"] for one in elements]:
            elements.append({"name": f"element {number}", **rule})
    profile = Profile.from_yaml(yaml.safe_dump({"name": "random", "profileElements": elements}))
    assert profile.check(to_apply=True) == ()
    return profile


def fetch(lookup: Lookup) -> str:
    """Answer as a service that knows some patients would."""
    if len(lookup.url) % 3 == 0:
        raise Permanent("the service knows nothing of that")
    return '{"a": "answer"}' if len(lookup.url) % 3 == 1 else "answer"


# ---- what holds ------------------------------------------------------------------------------------------------------


def outcome(
    profile: Profile, value: bytes, implicit: bool, little: bool, *, morph: bool, changes: bool = False
) -> bytes | str:
    """Return the new data set's bytes; the reason where there is none."""
    try:
        dataset = decode_dataset(value, implicit=implicit, little=little)
        if morph:
            result = profile.morph(dataset, PROJECT, fetch=fetch, changes=changes)
        else:
            result = profile.apply(dataset, PROJECT, "PSN-1", fetch=fetch, at=AT, changes=changes)
        if isinstance(result, Excluded):
            return result.reason
        assert isinstance(result, Result)
        return encode_dataset(result.dataset, implicit=implicit, little=little)
    except (DeidentificationError, Permanent) as error:
        return str(error)


def places(dataset: Dataset, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], int]]:
    """Return where each element is, and its tag."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag in dataset.keys():  # noqa: SIM118 - iterating over a data set decodes its elements
            yield place, int(tag)
            raw = dataset.get_item(tag)
            if raw.VR == "SQ" or (raw.VR is None and public_vr(int(tag)) == "SQ"):
                for number, item in enumerate(dataset[tag].value or ()):
                    yield from places(item, (*place, int(tag), number))


#: what an element of the profile cannot remove
FIXED = {CHARACTER_SET, PATIENT_ID, SOP_CLASS_UID}


@st.composite
def with_secret(draw: st.DrawFn) -> tuple[tuple[Made, ...], int]:
    """Return an instance in which a tag has a value of its own, wherever it occurs, and the tag."""
    elements = draw(instances())
    every = sorted({made.tag for made in flat(elements) if isinstance(made.value, bytes)} - FIXED)
    tag = draw(st.sampled_from(every)) if every else 0x00080050
    return marked((*elements, Made(tag, "LO", b"")) if not every else elements, tag), tag


def flat(elements: tuple[Made, ...]) -> Iterator[Made]:
    for made in elements:
        yield made
        for item in made.value if isinstance(made.value, tuple) else ():
            yield from flat(item)


def marked(elements: tuple[Made, ...], tag: int) -> tuple[Made, ...]:
    found = []
    for made in elements:
        if isinstance(made.value, tuple):
            items = tuple(marked(item, tag) for item in made.value)
            found.append(Made(made.tag, made.vr, items, made.undefined))
        else:
            found.append(Made(tag, made.vr, SECRET.encode()) if made.tag == tag else made)
    return tuple(sorted(found, key=lambda made: made.tag))


def check_removed(
    made: tuple[tuple[Made, ...], int], chosen: list[dict[str, Any]], how: tuple[bool, bool, bool]
) -> None:
    elements, tag = made
    implicit, little, morph = how
    value = encoded(elements, implicit, little)
    first = {"codename": "action.on.specific.tags", "action": "X", "tags": [f"{tag:08X}"]}
    # an expression may copy a value to elsewhere, which is its author's wish
    chosen = [rule for rule in chosen if "getString(#Tag.PatientName)" not in str(rule) or tag != 0x00100010]
    new = outcome(profile_of([first, *chosen]), value, implicit, little, morph=morph)
    if isinstance(new, str):
        assert SECRET not in new
        assert "Quill" not in new
    else:
        assert SECRET.encode() not in new


def check_same(elements: tuple[Made, ...], chosen: list[dict[str, Any]], how: tuple[bool, bool, bool]) -> None:
    implicit, little, morph = how
    value = encoded(elements, implicit, little)
    profile = profile_of(chosen)
    new = outcome(profile, value, implicit, little, morph=morph)
    assert new == outcome(profile_of(chosen), value, implicit, little, morph=morph)
    assert new == outcome(profile, value, implicit, little, morph=morph, changes=True)
    if isinstance(new, str):
        return
    read = pydicom.filereader.read_dataset(BytesIO(new), implicit, little)
    structure = sorted(places(read))
    assert structure == sorted(places(decode_dataset(new, implicit=implicit, little=little)))
    # what is added once, a name too, is treated as what was there the next time
    if morph and not any("condition" in rule or "expr" in str(rule) or "add" in rule["codename"] for rule in chosen):
        again = outcome(profile, new, implicit, little, morph=morph)
        if isinstance(again, bytes):
            read_again = pydicom.filereader.read_dataset(BytesIO(again), implicit, little)
            assert sorted(places(read_again)) == structure


HOW = st.tuples(ENCODINGS, st.booleans()).map(lambda two: (*two[0], two[1]))
IN_CI = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@IN_CI
@given(with_secret(), PROFILES, HOW)
def test_what_is_to_be_removed_is_gone_from_the_bytes(
    made: tuple[tuple[Made, ...], int], chosen: list[dict[str, Any]], how: tuple[bool, bool, bool]
) -> None:
    check_removed(made, chosen, how)


@IN_CI
@given(instances(), PROFILES, HOW)
def test_outcome_is_the_same_again_is_readable_and_settles(
    elements: tuple[Made, ...], chosen: list[dict[str, Any]], how: tuple[bool, bool, bool]
) -> None:
    check_same(elements, chosen, how)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(instances(), PROFILES, HOW)
def test_dcmtk_reads_what_it_could_read_before(
    elements: tuple[Made, ...], chosen: list[dict[str, Any]], how: tuple[bool, bool, bool]
) -> None:
    implicit, little, morph = how
    value = encoded(elements, implicit, little)
    new = outcome(profile_of(chosen), value, implicit, little, morph=morph)
    if isinstance(new, bytes):
        syntax = "-ti" if implicit else "-te" if little else "-tb"
        assert dumps(new, syntax) or not dumps(value, syntax)


def dumps(value: bytes, syntax: str) -> bool:
    dcmdump = shutil.which("dcmdump") or missing("DCMTK")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dataset"
        file.write_bytes(value)
        done = subprocess.run([dcmdump, "-q", "-f", syntax, file], capture_output=True, check=False, timeout=60)
    return done.returncode == 0

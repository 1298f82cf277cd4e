"""What holds for every data set: arbitrary ones, pydicom's own test files, from many threads, and again and again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from pydicom.errors import InvalidDicomError

from karnak_core.deidentify import DeidentificationError, Excluded, Profile, Project, Result, basic_profile
from karnak_core.deidentify.tables import confidentiality_table
from karnak_core.expressions.values import public_vr

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROJECT = Project(name="STUDY-A", secret=bytes.fromhex("0123456789abcdef0123456789abcdef"))
NAME = "Quillington^Peregrine"
PATIENT_ID = "PID-90210-XYZZY"
ROOT_UID = "1.2.826.0.1.3680043.7777"
DAY = "19631122"


def encoded(dataset: Dataset) -> bytes:
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return file.getvalue()


# ---- arbitrary data sets ---------------------------------------------------------------------------------------------

#: one identifying value for each VR
IDENTIFYING: dict[str, list[str]] = {
    **{vr: [NAME, PATIENT_ID] for vr in ("PN", "LO", "LT", "ST", "UT", "SH", "UC")},
    "UI": [f"{ROOT_UID}.{number}" for number in (1, 2)],
    "DA": [DAY],
    "DT": [f"{DAY}101112"],
}
LISTED = sorted(
    (tag, vr) for tag in confidentiality_table().codes if tag > 0x00080000 and (vr := public_vr(tag)) in IDENTIFYING
)
PRIVATE = [(0x00090010, "LO"), (0x00091001, "LO"), (0x00091002, "UI"), (0x00091003, "DA"), (0x7FE11001, "UT")]
#: kept ones, with values that say nothing
NEUTRAL = [(0x00080060, "CS"), (0x00180050, "DS"), (0x00200013, "IS"), (0x00081150, "UI"), (0x00280010, "US")]
VALUES: dict[str, Any] = {"CS": "CT", "DS": "1.5", "IS": "7", "UI": "1.2.840.10008.5.1.4.1.1.2", "US": 512}
SEQUENCES = sorted(
    {
        tag
        for tag in (*confidentiality_table().codes, 0x00081115, 0x00400275, 0x52009230, 0x0040A730, 0x00091010)
        if tag == 0x00091010 or public_vr(tag) == "SQ"
    }
)


def add(dataset: Dataset, tag: int, vr: str, value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.add_new(tag, vr, value)


@st.composite
def datasets(draw: st.DrawFn, depth: int = 3) -> Dataset:
    dataset = Dataset()
    for tag, vr in draw(st.lists(st.sampled_from(LISTED + PRIVATE), max_size=8)):
        values = draw(st.lists(st.sampled_from(IDENTIFYING[vr]), min_size=1, max_size=3))
        add(dataset, tag, vr, values[0] if vr in ("LT", "ST", "UT") else values)
    for tag, vr in draw(st.lists(st.sampled_from(NEUTRAL), max_size=3)):
        add(dataset, tag, vr, VALUES[vr])
    if depth:
        for tag in draw(st.lists(st.sampled_from(SEQUENCES), max_size=3)):
            add(dataset, tag, "SQ", draw(st.lists(datasets(depth=depth - 1), max_size=2)))
    return dataset


@st.composite
def instances(draw: st.DrawFn) -> Dataset:
    dataset = draw(datasets())
    add(dataset, 0x00080016, "UI", draw(st.sampled_from(SOP_CLASSES)))
    add(dataset, 0x00080018, "UI", f"{ROOT_UID}.1")
    add(dataset, 0x00100010, "PN", NAME)
    add(dataset, 0x00100020, "LO", PATIENT_ID)
    return dataset


SOP_CLASSES = [
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.11.1",
    "1.2.840.10008.5.1.4.1.1.481.3",
    "1.2.3.4.5",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(instances(), st.booleans())
def test_nothing_identifying_is_left_in_the_encoded_output(dataset: Dataset, implicit: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = BytesIO()
        pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        received = pydicom.dcmread(BytesIO(file.getvalue()), force=True)
        result = basic_profile().apply(received, PROJECT, "PSN-1", at=AT)
        assert isinstance(result, Result)
        out = BytesIO()
        pydicom.dcmwrite(out, result.dataset, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    for value in (NAME, NAME.partition("^")[0], PATIENT_ID, ROOT_UID, DAY):
        assert value.encode() not in out.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200), st.integers(0, 2), st.sampled_from(["basic", "all dates", "all texts"]))
def test_damaged_data_sets_are_refused_or_de_identified(damage: bytes, where: int, rules: str) -> None:
    profiles = {
        "basic": "  - {name: b, codename: basic.dicom.profile}",
        "all dates": "  - {name: d, codename: action.on.dates, option: shift, arguments: {days: 1, seconds: 1}}",
        "all texts": "  - {name: e, codename: expression.on.tags, tags: [XXXXXXXX], "
        "arguments: {expr: \"stringValue == 'x' ? Remove() : null\"}}",
    }
    profile = Profile.from_yaml(f"profileElements:\n{profiles[rules]}\n")
    head = Dataset()
    head.PatientID = PATIENT_ID
    head.SOPClassUID = SOP_CLASSES[0]
    head.add_new(0x00400275, "SQ", [Dataset()])
    given_bytes = encoded(head)
    place = (0, len(given_bytes) // 2, len(given_bytes))[where]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            received = pydicom.dcmread(BytesIO(given_bytes[:place] + damage + given_bytes[place:]), force=True)
        except Exception:  # the reader's business
            return
        problem = ""
        try:
            profile.apply(received, PROJECT, "PSN-1", at=AT, changes=True)
        except DeidentificationError as error:
            problem = str(error)
    assert PATIENT_ID not in problem


TEXTS = st.text(max_size=20)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        TEXTS | st.sampled_from(["action.on.dates", "basic.dicom.profile", "K", "(0010,00XX)", "1", "null", "~"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "codename",
                        "action",
                        "tags",
                        "arguments",
                        "option",
                        "condition",
                        "masks",
                        "profileElements",
                    ]
                )
                | TEXTS,
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_any_document_is_a_profile_or_has_problems(document: Any) -> None:
    profile = Profile.from_yaml(yaml.safe_dump(document))
    assert profile.check() or isinstance(document, dict)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_profile_or_has_problems(text: str) -> None:
    Profile.from_yaml(text).check()


# ---- pydicom's test files --------------------------------------------------------------------------------------------


def files() -> list[Path]:
    """Return the files that come with pydicom."""
    return sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))


def dumps(data: bytes, folder: Path) -> bool:
    """Tell whether DCMTK can read a data set; without DCMTK, it can."""
    dcmdump = shutil.which("dcmdump")
    if dcmdump is None:
        return True
    file = folder / "dataset"
    file.write_bytes(data)
    return subprocess.run([dcmdump, "-q", "-f", file], capture_output=True, check=False).returncode == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_basic_profile_over_the_files_of_pydicom(path: Path, tmp_path: Path) -> None:
    try:
        received = pydicom.dcmread(path)
    except InvalidDicomError:
        received = pydicom.dcmread(path, force=True)
    if "Rows" not in received and "SOPClassUID" not in received:
        pytest.skip("no instance")
    uids = {str(received.get(keyword) or "") for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")}
    names = [str(received.get("PatientName") or "")]
    received.PatientID = PATIENT_ID
    implicit, little = received.original_encoding
    encoding = {"implicit_vr": bool(implicit), "little_endian": little is not False, "enforce_file_format": False}
    try:
        pydicom.dcmwrite(before := BytesIO(), received, **encoding)
    except Exception:
        pytest.skip("pydicom cannot write it as it is")
    if path.name == "rtplan_truncated.dcm":
        with pytest.raises(DeidentificationError, match="items cannot be read"):
            basic_profile().apply(received, PROJECT, "PSN-1", at=AT)
        return
    result = basic_profile().apply(received, PROJECT, "PSN-1", at=AT)
    assert isinstance(result, Result)
    out = BytesIO()
    pydicom.dcmwrite(out, result.dataset, **encoding)
    assert dumps(out.getvalue(), tmp_path) or not dumps(before.getvalue(), tmp_path)
    again = pydicom.dcmread(BytesIO(out.getvalue()), force=True)
    assert (again.PatientID, again.PatientIdentityRemoved) != (PATIENT_ID, "")
    data = bytearray(out.getvalue())
    for value in [PATIENT_ID, *filter(lambda uid: len(uid) > 12, uids), *filter(lambda name: len(name) > 6, names)]:
        assert value.encode("latin-1", "ignore") not in data
    assert not again.get("StudyDate")
    assert not [element for element in again.iterall() if element.tag.is_private]


# ---- threads, determinism --------------------------------------------------------------------------------------------

BUSY = """\
name: Busy
profileElements:
  - {name: d, codename: action.on.dates, option: shift_range, arguments: {max_days: 100, max_seconds: 60}}
  - {name: k, codename: action.on.specific.tags, action: K, tags: ["(0028,XXXX)"]}
  - name: a
    codename: action.add.private.tag
    arguments: {value: x, vr: LO, privateCreator: ME}
    tags: ["(0057,1000)"]
  - name: e
    codename: expression.on.tags
    arguments: {expr: "stringValue != null && stringValue.length() > 60 ? Remove() : null"}
    tags: [XXXXXXXX]
    condition: "tagIsPresent(#Tag.Modality)"
  - {name: b, codename: basic.dicom.profile}
"""


@pytest.mark.filterwarnings("ignore")
def test_one_profile_serves_many_threads() -> None:
    names = ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "reportsi.dcm", "liver_1frame.dcm"]
    paths = [path for path in files() if path.name in names]
    assert len(paths) >= 4

    def run(profile: Profile, path: Path) -> bytes:
        dataset = pydicom.dcmread(path)
        dataset.PatientID = f"{PATIENT_ID}-{path.name}"
        result = profile.apply(dataset, PROJECT, "PSN-1", at=AT)
        assert not isinstance(result, Excluded)
        implicit, _ = dataset.original_encoding
        out = BytesIO()
        pydicom.dcmwrite(out, result.dataset, implicit_vr=bool(implicit), little_endian=True, enforce_file_format=False)
        return out.getvalue()

    alone = {path: run(Profile.from_yaml(BUSY), path) for path in paths}
    shared = Profile.from_yaml(BUSY)
    with ThreadPoolExecutor(8) as pool:
        for path, found in pool.map(lambda path: (path, run(shared, path)), paths * 16):
            assert found == alone[path]


def test_same_input_gives_the_same_bytes(
    image: Dataset, read_back: Callable[..., Dataset], encode: Callable[..., bytes]
) -> None:
    received = read_back(image)
    first, second = (basic_profile().apply(received, PROJECT, "PSN-1", at=AT) for _ in range(2))
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert encode(first.dataset) == encode(second.dataset)


def test_uids_do_not_depend_on_the_process() -> None:
    code = (
        "from karnak_core.deidentify import Hasher;"
        "print(Hasher(bytes.fromhex('0123456789abcdef0123456789abcdef')).uid('1.2.3'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "2.25.31695080194351860144840013590562676791"

"""The basic profile leaves objects as valid as they were, by dciodvfy, over every data set of pydicom's test files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import DeidentificationError, Profile, Project, Result, basic_profile, encode_dataset
from karnak_core.deidentify.visit import CLASS_UIDS

pytestmark = pytest.mark.filterwarnings("ignore")

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROJECT = Project(name="STUDY-A", secret=bytes.fromhex("0123456789abcdef0123456789abcdef"))

#: files that cannot be de-identified, and why
REFUSED = {
    "DICOMDIR-nooffset": "its records cannot be read",
    "rtplan_truncated.dcm": "cut off",
}
#: files that pydicom cannot write, whatever is in them, and files that dciodvfy cannot compare
UNFIT = {
    "SC_rgb_jpeg.dcm": "the data set is not in the transfer syntax that its file names",
    "MR_truncated.dcm": "its pixel data is cut off, and pads differently when it is written",
    "image_dfl.dcm": "dciodvfy does not know deflated data sets",
}
#: Creator-Version UID: of a device's software
SOFTWARE = 0x00089123
#: UIDs of the standard (PS3.6 Annex A): well known, and nobody's
STANDARD = "1.2.840.10008."


@dataclass(frozen=True, kw_only=True)
class Sample:
    path: Path
    received: Dataset
    new: Dataset


def sample(path: Path) -> Sample | None:
    """Return a file and what the basic profile makes of it, None for one that is no instance."""
    received = pydicom.dcmread(path)
    if not received.get("SOPClassUID") or not received.get("SOPInstanceUID") or path.name in REFUSED:
        return None
    if not received.get("PatientID"):
        received.PatientID = "PID-1"
    result = basic_profile().apply(received, PROJECT, "PSN-1", at=AT)
    assert isinstance(result, Result)
    return Sample(path=path, received=received, new=result.dataset)


@pytest.fixture
def samples(sample_files: list[Path]) -> list[Sample]:
    return [found for path in sample_files if (found := sample(path))]


def test_dciodvfy_finds_nothing_that_it_did_not_find_before(
    samples: list[Sample], as_file: Callable[[Dataset, Dataset], bytes], new_errors: Callable[[bytes, bytes], list[str]]
) -> None:
    def compared(one: Sample) -> tuple[str, list[str]]:
        return one.path.name, new_errors(as_file(one.received, one.received), as_file(one.new, one.received))

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(compared, [one for one in samples if one.path.name not in UNFIT]))
    assert {name: errors for name, errors in found if errors} == {}
    assert len(found) > 180


def test_files_that_are_cut_off_are_refused(sample_files: list[Path]) -> None:
    paths = [path for path in sample_files if path.name in REFUSED]
    assert len(paths) == len(REFUSED)
    for path in paths:
        received = pydicom.dcmread(path)
        received.PatientID = "PID-1"
        with pytest.raises(DeidentificationError, match="items cannot be read"):
            basic_profile().apply(received, PROJECT, "PSN-1", at=AT)


def uids(dataset: Dataset, place: str = "") -> Iterator[tuple[str, int, str]]:
    """Return place, tag and value of each UID."""
    for element in dataset:
        here = f"{place}{element.tag}"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from uids(item, f"{here}[{number}].")
        elif element.VR == "UI" and element.value:
            values = [element.value] if isinstance(element.value, str) else element.value
            yield from ((f"{here}.{number}", int(element.tag), str(value)) for number, value in enumerate(values))


def test_every_uid_is_the_new_one_or_one_of_the_standard_wherever_it_stands(
    samples: list[Sample], as_file: Callable[[Dataset, Dataset], bytes]
) -> None:
    wrong = []
    for one in samples:
        if one.path.name in UNFIT:
            continue
        before = {place: value for place, _, value in uids(one.received)}
        for place, tag, value in uids(pydicom.dcmread(BytesIO(as_file(one.new, one.received)))):
            stays = value == before.get(place) and (tag in CLASS_UIDS or tag == SOFTWARE or value.startswith(STANDARD))
            if not stays and value != PROJECT.hasher.uid(before.get(place, "")):
                wrong.append((one.path.name, place))
    assert wrong == []


KEEP_PRIVATE = """\
name: Keep
profileElements:
  - {name: p, codename: action.on.privatetags, action: K}
  - {name: b, codename: basic.dicom.profile}
"""


def test_private_elements_that_are_kept_keep_their_creators(sample_files: list[Path]) -> None:
    profile = Profile.from_yaml(KEEP_PRIVATE)
    orphans, count = [], 0
    for path in sample_files:
        received = pydicom.dcmread(path)
        received.PatientID = "PID-1"
        if path.name in REFUSED:
            continue
        before = private_elements(received)
        result = profile.apply(received, PROJECT, "PSN-1", at=AT)
        assert isinstance(result, Result)
        after = private_elements(result.dataset)
        count += len(after)
        orphans += [(path.name, place) for place in before if after.get(place) != before[place]]
    assert orphans == []
    assert count > 1000


def private_elements(dataset: Dataset) -> dict[str, str]:
    """Return the private data elements at the root, and the creator of each; empty where it has none."""
    return {
        str(tag): str(dataset[creator].value) if (creator := tag.group << 16 | tag.element >> 8) in dataset else ""
        for tag in list(dataset.keys())
        if tag.is_private and tag.element >= 0x1000
    }


CODE = """
import hashlib, json, sys, warnings
from datetime import UTC, datetime
from pathlib import Path
import pydicom
from karnak_core.deidentify import Project, basic_profile, encode_dataset
warnings.simplefilter("ignore")
found = {}
for path in json.load(sys.stdin):
    received = pydicom.dcmread(path)
    received.PatientID = received.get("PatientID") or "PID-1"
    project = Project(name="STUDY-A", secret=bytes.fromhex("0123456789abcdef0123456789abcdef"))
    result = basic_profile().apply(received, project, "PSN-1", at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    implicit, little = received.original_encoding
    data = encode_dataset(result.dataset, implicit=implicit, little=little)
    found[path] = hashlib.sha256(data).hexdigest(), str(result.dataset.SOPInstanceUID)
json.dump(found, sys.stdout)
"""


def test_two_passes_and_two_processes_give_the_same_bytes_and_uids(samples: list[Sample]) -> None:
    samples = [one for one in samples if one.path.name not in UNFIT]
    for one in samples:
        implicit, little = one.received.original_encoding
        again = basic_profile().apply(one.received, PROJECT, "PSN-1", at=AT)
        assert isinstance(again, Result)
        encoding = {"implicit": bool(implicit), "little": bool(little)}
        assert encode_dataset(again.dataset, **encoding) == encode_dataset(one.new, **encoding)
    paths = json.dumps([str(one.path) for one in samples])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "2")
    ]
    found = [json.loads(process.communicate(paths)[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert found[0] == found[1]
    assert {path: uid for path, (_, uid) in found[0].items()} == {
        str(one.path): str(one.new.SOPInstanceUID) for one in samples
    }

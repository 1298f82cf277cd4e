"""The check and the engine: they share no code, and what the engine made of any file says nothing to the check."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset

from karnak_core.deidentify import Profile, Project, Result, basic_profile, decode_dataset, encode_dataset
from karnak_core.leaks import Encoded, find_leaks

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROJECT = Project(name="STUDY-A", secret=bytes.fromhex("0123456789abcdef0123456789abcdef"))


def test_check_has_no_code_of_the_engine() -> None:
    script = (
        "import sys, karnak_core.leaks.check; print(*sorted(n for n in sys.modules if n.startswith('karnak_core')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    parts = {name.split(".")[1] for name in done.stdout.split() if "." in name}
    assert "leaks" in parts
    # what `import karnak_core` and the check itself need; neither is the engine, nor anything that the engine uses
    assert parts - {"leaks", "errors", "hookspecs", "model"} == set()


def deidentified(received: Encoded, profile: Profile) -> Encoded:
    dataset = decode_dataset(received.dataset, implicit=received.implicit, little=received.little)
    result = profile.apply(dataset, PROJECT, "PSN-1", at=AT, changes=False)
    assert isinstance(result, Result)
    value = encode_dataset(result.dataset, implicit=received.implicit, little=received.little)
    return Encoded(dataset=value, implicit=received.implicit, little=received.little)


#: one is cut off: nothing comes out of the engine
FILES = [
    path for path in sorted(Path(pydicom.data.__file__).parent.rglob("*.dcm")) if path.name != "rtplan_truncated.dcm"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_output_of_the_basic_profile_has_no_leak(path: Path, encode: Callable[..., Encoded]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        implicit, little = dataset.original_encoding
        alone = Dataset({tag: dataset.get_item(tag) for tag in list(dataset.keys()) if tag.group > 2})
        if not alone.get("PatientID"):
            alone.PatientID = "PID-90210"  # the engine wants one
        received = encode(alone, implicit=implicit, little=little)
    sent = deidentified(received, basic_profile())
    assert find_leaks(received, sent) == ()
    assert find_leaks(received, received) != ()


def test_every_uid_of_an_instance_is_another_one_after_the_basic_profile(encode: Callable[..., Encoded]) -> None:
    dataset = Dataset()
    dataset.PatientID = "PID-90210"
    uids = [tag for tag, entry in sorted(DicomDictionary.items()) if entry[0] == "UI" and tag >> 16 > 4]
    for tag in uids:
        dataset.add_new(tag, "UI", f"1.2.3.{tag}")
    received = encode(dataset)
    leaks = find_leaks(received, deidentified(received, basic_profile()))
    # Referenced Content Item: not in PS3.15 table E.1-1
    assert {leak.path for leak in leaks} <= {"(0070,1904)"}


def test_what_a_profile_forgets_is_found(received: Dataset, encode: Callable[..., Encoded]) -> None:
    text = """\
name: Careless
version: '1'
profileElements:
  - {name: description, codename: action.on.specific.tags, action: K, tags: ["(0008,1030)"]}
  - {name: basic, codename: basic.dicom.profile}
"""
    received.StudyDescription = "Knee of PETER"
    before = encode(received)
    leaks = find_leaks(before, deidentified(before, Profile.from_yaml(text)))
    assert [str(leak) for leak in leaks] == ["the received part of Patient's Name stands in (0008,1030)"]

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import Excluded, Hasher, Profile, Project, Result, basic_profile

SECRET = bytes.fromhex("0123456789abcdef0123456789abcdef")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def project() -> Project:
    return Project(name="STUDY-A", secret=SECRET)


@pytest.fixture
def new_uid() -> Callable[[str], str]:
    """Return what replaces a UID."""
    hasher = Hasher(SECRET)
    return lambda uid: hasher.uid(uid) or ""


@pytest.fixture
def encode() -> Callable[..., bytes]:
    def encode(dataset: Dataset, *, implicit: bool = False, little: bool = True) -> bytes:
        file = BytesIO()
        pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
        return file.getvalue()

    return encode


@pytest.fixture
def read_back(encode: Callable[..., bytes]) -> Callable[..., Dataset]:
    """Return a data set as it is when it has been encoded and read."""

    def read_back(dataset: Dataset, **encoding: bool) -> Dataset:
        return pydicom.dcmread(BytesIO(encode(dataset, **encoding)), force=True)

    return read_back


@pytest.fixture
def make_profile() -> Callable[..., Profile]:
    """Return a profile of elements given as YAML, without problems."""

    def make_profile(elements: str, *, basic: bool = False) -> Profile:
        text = f"name: Test\nversion: '1'\nprofileElements:\n{elements}\n"
        if basic:
            text += "  - {name: basic, codename: basic.dicom.profile}\n"
        profile = Profile.from_yaml(text)
        assert profile.check() == ()
        return profile

    return make_profile


@pytest.fixture
def deidentify(project: Project, read_back: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """De-identify an encoded data set, return the result encoded and read."""

    def deidentify(dataset: Dataset, profile: Profile | None = None, **given: Any) -> Dataset:
        encoding = {key: given.pop(key) for key in ("implicit", "little") if key in given}
        received = read_back(dataset, **encoding)
        result = (profile or basic_profile()).apply(received, project, given.pop("pseudonym", "PSN-1"), at=AT, **given)
        assert isinstance(result, Result)
        return read_back(result.dataset, **encoding)

    return deidentify


@pytest.fixture
def morph(project: Project, read_back: Callable[..., Dataset]) -> Callable[..., Dataset | Excluded]:
    """Morph tags of an encoded data set, return the result encoded and read."""

    def morph(dataset: Dataset, profile: Profile, **given: Any) -> Dataset | Excluded:
        result = profile.morph(read_back(dataset), project, **given)
        return result if isinstance(result, Excluded) else read_back(result.dataset)

    return morph


@pytest.fixture
def image() -> Dataset:
    """Return a small CT image without pixels, of a made-up patient."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.SOPInstanceUID = "1.2.3.1"
    dataset.StudyInstanceUID = "1.2.3.2"
    dataset.SeriesInstanceUID = "1.2.3.3"
    dataset.FrameOfReferenceUID = "1.2.3.4"
    dataset.Modality = "CT"
    dataset.StudyDate = "20200110"
    dataset.StudyTime = "101112"
    dataset.PatientName = "Quill^Peter"
    dataset.PatientID = "PATIENT-1"
    dataset.PatientBirthDate = "19800615"
    dataset.StudyDescription = "cardiac"
    dataset.Rows = 4
    dataset.Columns = 4
    return dataset

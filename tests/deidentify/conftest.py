from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import Excluded, Hasher, Profile, Project, Result, basic_profile, make_file_meta
from karnak_core.testing import missing

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


@pytest.fixture(scope="session")
def sample_files() -> list[Path]:
    """Return every DICOM file of pydicom's and of pydicom-data's that names its transfer syntax."""
    found = []
    for package, folder in (("pydicom", "data/test_files"), ("data_store", "data")):
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        for path in sorted((Path(spec.origin).parent / folder).rglob("*")):
            if path.is_file() and path.read_bytes()[128:132] == b"DICM" and "no_meta" not in path.name:
                meta = pydicom.filereader.read_file_meta_info(path)
                if "TransferSyntaxUID" in meta:
                    found.append(path)
    return found


@pytest.fixture(scope="session")
def as_file() -> Callable[[Dataset, Dataset], bytes]:
    """Return a data set as a file in the transfer syntax of another one."""

    def as_file(dataset: Dataset, received: Dataset) -> bytes:
        copy = Dataset(dict(dataset.items()), parent_encoding=dataset._parent_encoding)
        copy.set_original_encoding(*dataset.original_encoding, dataset.original_character_set or None)
        copy.file_meta = make_file_meta(
            dataset,
            transfer_syntax_uid=received.file_meta.TransferSyntaxUID,
            implementation_class_uid="2.25.1",
            implementation_version_name="KARNAK",
        )
        file = BytesIO()
        pydicom.dcmwrite(file, copy, enforce_file_format=True)
        return file.getvalue()

    return as_file


@pytest.fixture(scope="session")
def new_errors() -> Callable[[bytes, bytes], list[str]]:
    """Return the errors that dciodvfy has for a file and not for another one, without the values in them."""
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        missing("dciodvfy (dicom3tools)")

    def errors(file: bytes) -> Counter[str]:
        with tempfile.NamedTemporaryFile() as temporary:
            temporary.write(file)
            temporary.flush()
            done = subprocess.run([dciodvfy, "-new", temporary.name], capture_output=True, check=False, timeout=60)
        lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
        # its first line is the IOD that it recognised, or an error
        assert lines
        return Counter(_without_value(line) for line in lines if line.startswith("Error"))

    def new_errors(before: bytes, after: bytes) -> list[str]:
        return sorted((errors(after) - errors(before)).elements())

    return new_errors


def _without_value(line: str) -> str:
    """Return an error of dciodvfy with its place and its rule: values stand in angle brackets, as places do."""
    return re.sub(r"<(?!/)[^<>]*>", "<>", line)

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from karnak_core.leaks import Encoded, find_leaks


@pytest.fixture
def encode() -> Callable[..., Encoded]:
    """Encode a data set."""

    def encode(dataset: Dataset, *, implicit: bool = False, little: bool = True, file_meta: bytes = b"") -> Encoded:
        file = BytesIO()
        pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
        return Encoded(dataset=file.getvalue(), implicit=implicit, little=little, file_meta=file_meta)

    return encode


@pytest.fixture
def make() -> Callable[..., Dataset]:
    """Make a data set of keywords and values."""

    def make(**values: Any) -> Dataset:
        dataset = Dataset()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return dataset

    return make


@pytest.fixture
def received(make: Callable[..., Dataset]) -> Dataset:
    """Return what a made-up patient's image says."""
    return make(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        SOPInstanceUID="1.2.826.0.1.77.1",
        StudyInstanceUID="1.2.826.0.1.77.2",
        SeriesInstanceUID="1.2.826.0.1.77.3",
        FrameOfReferenceUID="1.2.826.0.1.77.4",
        AccessionNumber="ACC4711",
        Modality="CT",
        BodyPartExamined="HEAD",
        PatientName="Quill-Starlord^Peter^Jason",
        PatientID="PID-90210",
        PatientBirthDate="19800605",
        StudyID="7",
        SliceThickness="1.5",
    )


@pytest.fixture
def leaks(received: Dataset, encode: Callable[..., Encoded]) -> Callable[..., list[str]]:
    """Return what is found in a data set to be sent, as text."""

    def leaks(sent: Dataset | Encoded, *, before: Dataset | Encoded = received, **given: Any) -> list[str]:
        first, second = (one if isinstance(one, Encoded) else encode(one) for one in (before, sent))
        return [str(leak) for leak in find_leaks(first, second, **given)]

    return leaks

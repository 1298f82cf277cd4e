"""Character sets are respected, and left for UTF-8 only when a new value needs it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from karnak_core.deidentify import DeidentificationError, Profile, Project, basic_profile

KEEP_COMMENTS = "  - {name: k, codename: action.on.specific.tags, action: K, tags: [00204000]}"


@pytest.fixture
def keeping(make_profile: Callable[..., Profile]) -> Profile:
    return make_profile(KEEP_COMMENTS, basic=True)


def encoded(text: str, *, implicit: bool, terms: str, codec: str, encode: Callable[..., bytes],
            dataset: Dataset) -> Dataset:  # fmt: skip
    """Return a data set read from bytes in which comments and comments of an item are encoded by hand."""
    item = Dataset()
    item.ImageComments = "@" * len(text.encode(codec))
    dataset.SpecificCharacterSet = terms.split("\\")
    dataset.ImageComments = item.ImageComments
    dataset.add_new(0x00081115, "SQ", [item])
    given = encode(dataset, implicit=implicit).replace(b"@" * len(text.encode(codec)), text.encode(codec))
    return pydicom.dcmread(BytesIO(given), force=True)


SETS = [
    ("ISO_IR 100", "latin-1", "Größe"),
    ("ISO_IR 144", "iso8859-5", "Люкceмбypг"),
    ("ISO_IR 192", "utf-8", "Größe 患者"),
    ("GB18030", "gb18030", "王小东"),
]


@pytest.mark.parametrize(("terms", "codec", "text"), SETS)
@pytest.mark.parametrize("implicit", [False, True])
def test_kept_text_keeps_its_bytes(
    image: Dataset, keeping: Profile, project: Project, encode: Callable[..., bytes],
    terms: str, codec: str, text: str, implicit: bool,
) -> None:  # fmt: skip
    received = encoded(text, implicit=implicit, terms=terms, codec=codec, encode=encode, dataset=image)
    result: Any = keeping.apply(received, project, "PSN-1")
    out = encode(result.dataset, implicit=implicit)
    assert out.count(text.encode(codec)) == 2
    new = pydicom.dcmread(BytesIO(out), force=True)
    assert new.SpecificCharacterSet == terms
    assert new.ImageComments == new[0x00081115].value[0].ImageComments == text


@pytest.mark.parametrize(("terms", "codec", "text"), SETS)
def test_data_set_becomes_utf8_when_a_new_value_needs_it(
    image: Dataset, keeping: Profile, project: Project, encode: Callable[..., bytes], terms: str, codec: str, text: str
) -> None:
    received = encoded(text, implicit=False, terms=terms, codec=codec, encode=encode, dataset=image)
    result: Any = keeping.apply(received, project, "Ωmega患")
    new = pydicom.dcmread(BytesIO(encode(result.dataset)), force=True)
    fits = terms in ("ISO_IR 192", "GB18030")
    assert new.SpecificCharacterSet == (terms if fits else "ISO_IR 192")
    assert new.ImageComments == new[0x00081115].value[0].ImageComments == text
    assert (str(new.PatientName), new.ClinicalTrialSubjectID) == ("Ωmega患", "Ωmega患")


def test_code_extensions_become_utf8(
    image: Dataset, keeping: Profile, project: Project, encode: Callable[..., bytes]
) -> None:
    text = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    image.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    image.ImageComments = "@" * len(text)
    received = pydicom.dcmread(BytesIO(encode(image).replace(b"@" * len(text), text)), force=True)
    same: Any = keeping.apply(received, project, "PSN")
    assert text in encode(same.dataset)
    wide: Any = keeping.apply(received, project, "Ω")
    new = pydicom.dcmread(BytesIO(encode(wide.dataset)), force=True)
    assert new.ImageComments == "Yamada^Tarou=山田^太郎"


def test_item_with_its_own_character_set_is_converted_too(
    image: Dataset, keeping: Profile, project: Project, encode: Callable[..., bytes]
) -> None:
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 144"
    item.ImageComments = "@@@@"
    image.add_new(0x00081115, "SQ", [item])
    received = pydicom.dcmread(BytesIO(encode(image).replace(b"@@@@", "Люкc".encode("iso8859-5"))), force=True)
    result: Any = keeping.apply(received, project, "患")
    (new,) = pydicom.dcmread(BytesIO(encode(result.dataset)), force=True)[0x00081115].value
    assert "SpecificCharacterSet" not in new
    assert new.ImageComments == "Люкc"


def test_text_that_cannot_be_converted_fails(
    image: Dataset, keeping: Profile, project: Project, encode: Callable[..., bytes]
) -> None:
    image.SpecificCharacterSet = "ISO_IR 13"
    image.ImageComments = "@@@@"
    received = pydicom.dcmread(BytesIO(encode(image).replace(b"@@@@", b"\xfd\xfe\xfd\xfe")), force=True)
    keeping.apply(received, project, "PSN")
    with pytest.raises(DeidentificationError, match=r"\(0020,4000\) LT: its value cannot be decoded"):
        keeping.apply(received, project, "患")


def test_character_set_stays_when_the_profile_removes_everything(
    image: Dataset, project: Project, make_profile: Callable[..., Profile]
) -> None:
    image.SpecificCharacterSet = "ISO_IR 100"
    profile = make_profile("  - {name: x, codename: action.on.specific.tags, action: X, tags: [XXXXXXXX]}")
    result: Any = profile.apply(image, project, "Zoë")
    assert result.dataset.SpecificCharacterSet == "ISO_IR 100"
    assert result.dataset.ClinicalTrialSubjectID == "Zoë"


def test_names_of_project_and_profile_may_be_in_any_script(image: Dataset) -> None:
    result: Any = basic_profile().apply(image, Project(name="研究", secret=bytes(16)), "PSN")
    assert result.dataset.ClinicalTrialSponsorName == "研究"
    assert result.dataset.SpecificCharacterSet == "ISO_IR 192"

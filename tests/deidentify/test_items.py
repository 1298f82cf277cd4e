"""Items are read strictly, whatever their encoding, and written as they were read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from karnak_core.deidentify import DeidentificationError, decode_dataset, encode_dataset
from karnak_core.deidentify.items import ItemReader, MalformedItems, encoded_items

ENCODINGS = [(False, True), (True, True), (False, False)]


def make_item(depth: int = 2) -> Dataset:
    item = Dataset()
    item.CodeValue = "C"
    item.ImageComments = "x" * 7
    item.add_new(0x00420011, "OB", b"\1" * 70000)
    item.Rows = 5
    if depth:
        item.ConceptCodeSequence = [make_item(depth - 1), Dataset()]
        item.ContentSequence = []
    return item


def value_of(items: list[Dataset], implicit: bool, little: bool, undefined: bool) -> bytes:
    """Return how pydicom encodes the items of a sequence."""
    holder = Dataset()
    for item in items:
        for level in (item, *(one for inner in item.get("ConceptCodeSequence", []) for one in (inner,))):
            level.is_undefined_length_sequence_item = undefined
            if "ConceptCodeSequence" in level:
                level["ConceptCodeSequence"].is_undefined_length = undefined
    holder.ProcedureCodeSequence = items
    file = BytesIO()
    pydicom.dcmwrite(file, holder, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    return file.getvalue()[8 if implicit else 12 :]


@pytest.mark.parametrize(("implicit", "little"), ENCODINGS)
@pytest.mark.parametrize("undefined", [False, True])
def test_items_are_read_and_written_as_pydicom_does(implicit: bool, little: bool, undefined: bool) -> None:
    value = value_of([make_item(), Dataset(), make_item(0)], implicit, little, undefined)
    found = ItemReader(value, implicit=implicit, little=little).items("iso8859")
    assert [item == made for item, made in zip(found, [make_item(), Dataset(), make_item(0)], strict=True)] == [
        True
    ] * 3
    again = ItemReader(value, implicit=implicit, little=little).items("iso8859")
    written = encoded_items([dict(item.items()) for item in again], implicit=implicit, little=little)
    assert written is not None
    reread = ItemReader(written, implicit=implicit, little=little).items("iso8859")
    assert [one == other for one, other in zip(reread, found, strict=True)] == [True] * 3


def test_fragments_of_an_icon_stay_fragments() -> None:
    icon = Dataset()
    icon.add_new(0x7FE00010, "OB", encapsulate([b"\1\2\3\4", b"\5\6"]))
    icon[0x7FE00010].is_undefined_length = True
    value = value_of([icon], False, True, False)
    found = ItemReader(value, implicit=False, little=True).items("iso8859")
    assert encoded_items([dict(item.items()) for item in found], implicit=False, little=True) == value
    assert found[0].PixelData == icon.PixelData


@pytest.mark.parametrize("undefined", [False, True])
def test_every_cut_off_value_is_refused(undefined: bool) -> None:
    small = Dataset()
    small.CodeValue = "C"
    small.ConceptCodeSequence = [Dataset()]
    for implicit, little in ENCODINGS:
        value = value_of([small], implicit, little, undefined)
        for length in range(1, len(value)):
            with pytest.raises(MalformedItems):
                ItemReader(value[:length], implicit=implicit, little=little).items("iso8859")


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_anything_is_items_or_refused(value: bytes, implicit: bool) -> None:
    for start in (b"", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"):
        try:
            found = ItemReader(start + value, implicit=implicit, little=True).items("iso8859")
        except MalformedItems:
            continue
        assert all(isinstance(item, Dataset) for item in found)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=120), st.booleans())
def test_any_bytes_are_a_data_set_that_gives_them_back_or_refused(value: bytes, implicit: bool) -> None:
    try:
        dataset = decode_dataset(value, implicit=implicit)
    except DeidentificationError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(encode_dataset(dataset, implicit=implicit)) <= len(value)


def test_items_with_other_encodings_are_left_to_pydicom(encode: Callable[..., bytes]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = value_of([make_item(0)], True, True, False)
        (item,) = ItemReader(value, implicit=True, little=True).items("iso8859")
    assert encoded_items([dict(item.items())], implicit=False, little=True) is None
    assert encoded_items([dict(make_item(0).items())], implicit=False, little=True) is None

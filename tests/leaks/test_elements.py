"""The check's own reader of encoded data sets: the same elements as pydicom's, and a plain no to everything else."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from karnak_core.errors import Permanent
from karnak_core.leaks import Encoded, find_leaks
from karnak_core.leaks.elements import Malformed, read_elements

Encode = Callable[..., Encoded]
Make = Callable[..., Dataset]

UNDEFINED = b"\xff\xff\xff\xff"
ITEM = b"\xfe\xff\x00\xe0"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
EMPTY = Encoded(dataset=b"", implicit=False, little=True)


def paths(encoded: Encoded) -> list[str]:
    found = read_elements(encoded.dataset, implicit=encoded.implicit, little=encoded.little)
    return [found.path(tag, level) for tag, _, _, _, level in found.found]


def walked(dataset: Dataset, before: str = "") -> Iterator[str]:
    for element in dataset:
        path = f"{before}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from walked(item, f"{path}[{number}].")
        else:
            yield path


FILES = sorted(Path(pydicom.data.__file__).parent.rglob("test_files/*.dcm"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_elements_of_a_file_are_those_that_pydicom_sees(path: Path, encode: Encode) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        implicit, little = dataset.original_encoding
        alone = Dataset({tag: dataset.get_item(tag) for tag in list(dataset.keys()) if tag.group > 2 and tag.element})
        encoded = encode(alone, implicit=implicit, little=little)
        expected = list(walked(alone))
        if path.name == "rtplan_truncated.dcm":
            with pytest.raises(Malformed):
                paths(encoded)
            return
    found = paths(encoded)
    # pydicom leaves what it does not know as it is; here its items are read
    inside = {path[: path.rindex("[")] for path in found if "[" in path}
    assert [path for path in found if path in expected] == [path for path in expected if path not in inside]
    assert all(any(path.startswith(f"{one}[") for one in expected) for path in found if path not in expected)


def test_items_end_by_length_or_by_delimiter() -> None:
    one = b"\x10\0\x20\0LO\2\0AB"
    sized = ITEM + len(one).to_bytes(4, "little") + one
    delimited = ITEM + UNDEFINED + one + ITEM_END
    sequence = b"\x08\0\x40\x11SQ\0\0"
    for items in (sized, delimited, sized + delimited, delimited + ITEM + bytes(4) + sized):
        for value in (
            sequence + len(items).to_bytes(4, "little") + items,
            sequence + UNDEFINED + items + SEQUENCE_END,
        ):
            found = paths(Encoded(dataset=value + one, implicit=False, little=True))
            assert found[0] == "(0008,1140)[0].(0010,0020)"
            assert found[-1] == "(0010,0020)"
            assert len(found) == items.count(one) + 1


def test_items_in_implicit_vr_are_read_where_explicit_vr_is_meant() -> None:
    inner = b"\x10\0\x20\0\2\0\0\0AB"
    items = (ITEM + len(inner).to_bytes(4, "little") + inner) * 2
    value = b"\x08\0\x40\x11SQ\0\0" + len(items).to_bytes(4, "little") + items + b"\x10\0\x20\0LO\2\0AB"
    assert paths(Encoded(dataset=value, implicit=False, little=True)) == [
        "(0008,1140)[0].(0010,0020)",
        "(0008,1140)[1].(0010,0020)",
        "(0010,0020)",
    ]


def test_un_of_undefined_length_is_read_as_implicit_vr() -> None:
    inner = ITEM + UNDEFINED + b"\x10\0\x20\0\2\0\0\0AB" + ITEM_END
    value = b"\x09\0\x01\x10UN\0\0" + UNDEFINED + inner + SEQUENCE_END + b"\x10\0\x20\0LO\2\0AB"
    assert paths(Encoded(dataset=value, implicit=False, little=True)) == ["(0009,1001)[0].(0010,0020)", "(0010,0020)"]


def test_bytes_that_only_begin_like_items_are_a_value() -> None:
    value = b"\x09\0\x01\x10UN\0\0\x0c\0\0\0" + ITEM + b"\x10\0\0\0ABCD"
    assert paths(Encoded(dataset=value, implicit=False, little=True)) == ["(0009,1001)"]


def test_fragments_of_an_icon_are_one_value() -> None:
    icon = b"\xe0\x7f\x10\0OB\0\0" + UNDEFINED + ITEM + bytes(4) + ITEM + b"\2\0\0\0AB" + SEQUENCE_END
    value = b"\x88\0\0\2SQ\0\0" + UNDEFINED + ITEM + UNDEFINED + icon + ITEM_END + SEQUENCE_END
    assert paths(Encoded(dataset=value, implicit=False, little=True)) == ["(0088,0200)[0].(7FE0,0010)"]


@pytest.mark.parametrize(
    "value",
    [
        b"\x10",
        b"\x10\0\x20\0LO\4\0AB",
        b"\x10\0\x20\0\0\0\2\0AB",
        ITEM + bytes(4),
        SEQUENCE_END,
        b"\x08\0\x40\x11SQ\0\0\x08\0\0\0" + ITEM + b"\1\0\0\0",
        b"\x08\0\x40\x11SQ\0\0\x0a\0\0\0" + b"\x10\0\x20\0LO\2\0AB",
        b"\x08\0\x40\x11SQ\0\0" + UNDEFINED + ITEM + UNDEFINED + ITEM_END,
        b"\x08\0\x40\x11SQ\0\0" + UNDEFINED + ITEM + UNDEFINED + SEQUENCE_END,
        b"\x09\0\x01\x10OB\0\0" + UNDEFINED + ITEM + b"\xff\0\0\0AB",
        b"\x09\0\x01\x10OB\0\0" + UNDEFINED + b"ABCDEFGH",
        (b"\x08\0\x40\x11SQ\0\0" + UNDEFINED + ITEM + UNDEFINED) * 5000,
        (b"\x08\0\x40\x11SQ\0\0" + UNDEFINED + ITEM + UNDEFINED) * 5000 + (ITEM_END + SEQUENCE_END) * 5000,
    ],
)
def test_what_cannot_be_read_is_never_sent(value: bytes) -> None:
    broken = Encoded(dataset=value, implicit=False, little=True)
    with pytest.raises(Permanent) as error:
        find_leaks(EMPTY, broken)
    assert error.value.reason == "leak check: the new data set cannot be read"
    with pytest.raises(Permanent) as error:
        find_leaks(broken, EMPTY)
    assert error.value.reason == "leak check: the received data set cannot be read"


@pytest.mark.parametrize("meta", [b"DICM", bytes(132), bytes(128) + b"DICM\2\0", bytes(128) + b"DICM" + bytes(8)])
def test_file_meta_information_that_cannot_be_read_is_never_sent(meta: bytes) -> None:
    with pytest.raises(Permanent):
        find_leaks(EMPTY, Encoded(dataset=b"", implicit=False, little=True, file_meta=meta))


def test_items_in_un_in_items_in_un_end_somewhere() -> None:
    value = b"x"
    for _ in range(300):
        value = (
            ITEM + (len(value) + 8).to_bytes(4, "little") + b"\x09\0\1\x10" + len(value).to_bytes(4, "little") + value
        )
    value = b"\x09\0\1\x10" + len(value).to_bytes(4, "little") + value
    found = paths(Encoded(dataset=value, implicit=True, little=True))
    assert len(found) == 1  # the innermost that was still looked into
    assert 60 <= found[0].count("[") <= 64


@given(st.data(), st.booleans(), st.booleans())
def test_bytes_of_any_kind_are_read_or_refused(data: st.DataObject, implicit: bool, little: bool) -> None:
    pieces = (ITEM, ITEM_END, SEQUENCE_END, b"\x08\0\x40\x11SQ\0\0", b"\x09\0\1\x10UN\0\0", UNDEFINED, b"\x08\0\0\0")
    parts = data.draw(st.lists(st.one_of(st.sampled_from(pieces), st.binary(max_size=12)), max_size=20))
    encoded = Encoded(dataset=b"".join(parts), implicit=implicit, little=little)
    try:
        found = read_elements(encoded.dataset, implicit=implicit, little=little)
    except Malformed:
        return
    assert all(0 <= start <= stop <= len(encoded.dataset) for _, _, start, stop, _ in found.found)
    assert find_leaks(encoded, EMPTY) == ()

"""Data sets from bytes and to bytes: as pydicom would have them, but sooner, and strictly."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from io import BytesIO

from pydicom import dcmwrite
from pydicom.charset import default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.items import MalformedItems, codecs_of, dataset_of, encoded_elements, read_elements
from karnak_core.expressions.values import UNREADABLE

Elements = dict[BaseTag, DataElement | RawDataElement]


def decode_dataset(
    value: bytes,
    *,
    implicit: bool,
    little: bool = True,
    then: Iterable[DataElement | RawDataElement] = (),
    behind: bytes = b"",
) -> Dataset:
    """Return the data set that these bytes are, its elements still encoded.

    Parameters
    ----------
    value
        A whole data set, or all of it that stands before the pixel data; without file meta information.
    then, behind
        Elements that follow, and the bytes of the last ones.
    implicit, little
        Whether VRs are left out, and whether numbers are little endian, as the transfer syntax says.

    Raises
    ------
    DeidentificationError
        It is cut off or malformed.
    """
    try:
        elements = read_elements(value, implicit=implicit, little=little)
        elements.update((element.tag, element) for element in then)
        if behind:
            elements.update(read_elements(behind, implicit=implicit, little=little))
    except MalformedItems as error:
        raise DeidentificationError(f"the data set cannot be read: {error}") from None
    dataset = dataset_of(elements)
    with suppress(*UNREADABLE):  # their messages may quote a value
        dataset.set_original_encoding(implicit, little, codecs_of(elements) or default_encoding)
        return dataset
    raise DeidentificationError("the data set cannot be read: its Specific Character Set is none")


def encode_dataset(dataset: Dataset, *, implicit: bool, little: bool = True) -> bytes:
    """Return a data set as bytes, without file meta information.

    Raises
    ------
    DeidentificationError
        A value cannot be encoded. Names no value.
    """
    return _encoded(dict(dataset.items()), dataset, implicit, little)


def encode_around(
    dataset: Dataset, last: int, without: Collection[int], *, implicit: bool, little: bool = True
) -> tuple[bytes, bytes]:
    """Return the elements up to a tag, and those behind it, as bytes; raises as `encode_dataset` does.

    Parameters
    ----------
    without
        Tags of elements that are left out.
    """
    before: Elements = {}
    behind: Elements = {}
    for tag, element in dataset.items():
        number = int(tag)
        if number not in without:
            (before if number <= last else behind)[tag] = element
    return _encoded(before, dataset, implicit, little), _encoded(behind, dataset, implicit, little) if behind else b""


def _encoded(elements: Elements, dataset: Dataset, implicit: bool, little: bool) -> bytes:
    """Return elements as bytes; ``dataset`` is the one that they are of."""
    try:
        if dataset.original_encoding == (implicit, little):
            value = encoded_elements(elements, implicit=implicit, little=little)
            if value is not None:
                return value
        part = Dataset(elements)
        was_implicit, was_little = dataset.original_encoding
        if was_implicit is not None and was_little is not None:
            part.set_original_encoding(was_implicit, was_little, dataset.original_character_set)
        file = BytesIO()
        dcmwrite(file, part, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    except UNREADABLE as error:
        problem = f"the new data set cannot be encoded ({type(error).__name__})"
    else:
        return file.getvalue()
    raise DeidentificationError(problem)

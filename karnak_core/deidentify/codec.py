"""Data sets from bytes and to bytes: as pydicom would have them, but sooner, and strictly."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

from pydicom import dcmwrite
from pydicom.charset import default_encoding
from pydicom.dataset import Dataset

from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.items import MalformedItems, codecs_of, encoded_elements, read_elements
from karnak_core.expressions.values import UNREADABLE


def decode_dataset(value: bytes, *, implicit: bool, little: bool = True) -> Dataset:
    """Return the data set that these bytes are, its elements still encoded.

    Parameters
    ----------
    value
        A whole data set, or all of it that stands before the pixel data; without file meta information.
    implicit, little
        Whether VRs are left out, and whether numbers are little endian, as the transfer syntax says.

    Raises
    ------
    DeidentificationError
        It is cut off or malformed.
    """
    try:
        elements = read_elements(value, implicit=implicit, little=little)
    except MalformedItems as error:
        raise DeidentificationError(f"the data set cannot be read: {error}") from None
    dataset = Dataset(elements)
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
    try:
        if dataset.original_encoding == (implicit, little):
            value = encoded_elements(dict(dataset.items()), implicit=implicit, little=little)
            if value is not None:
                return value
        file = BytesIO()
        dcmwrite(file, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    except UNREADABLE as error:
        problem = f"the new data set cannot be encoded ({type(error).__name__})"
    else:
        return file.getvalue()
    raise DeidentificationError(problem)

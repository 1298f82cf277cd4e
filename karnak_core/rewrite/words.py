"""Values that are words of several bytes, from big to little endian: pydicom leaves those as they are."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from karnak_core.errors import Permanent
from karnak_core.expressions.values import UNREADABLE

#: bytes of a word, by VR (PS3.5 section 7.3)
WORDS: Final = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}


def in_little_endian(dataset: Dataset) -> Dataset:
    """Return a data set that was read in big endian with the words of its values the other way round.

    Everything else pydicom turns round when it writes.

    Raises
    ------
    Permanent
        A value is no whole number of words, or an element cannot be read.
    """
    swapped = Dataset()
    for tag in dataset.keys():  # noqa: SIM118 - iterating over a data set decodes its elements
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                element = DataElement(tag, "SQ", Sequence([in_little_endian(item) for item in element.value or ()]))
            elif element.VR in WORDS and isinstance(element.value, bytes):
                value = np.frombuffer(element.value, dtype=f"u{WORDS[element.VR]}").byteswap().tobytes()
                element = DataElement(tag, element.VR, value)
        except UNREADABLE:  # their messages may quote a value
            raise Permanent(f"{tag} cannot be carried over from big endian") from None
        swapped[tag] = element
    swapped.set_original_encoding(None, None, dataset.original_character_set)
    return swapped

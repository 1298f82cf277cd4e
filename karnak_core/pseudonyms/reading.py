"""What sources read from a received data set."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset

from karnak_core.deidentify import DeidentificationError, first_text_of
from karnak_core.errors import Permanent

PATIENT_ID: Final = 0x00100020
ISSUER_OF_PATIENT_ID: Final = 0x00100021


def first_text(dataset: Dataset, tag: int) -> str:
    """Return an element's first value without blanks at its ends; empty where it has none.

    Raises
    ------
    Permanent
        It cannot be decoded.
    """
    try:
        return first_text_of(dataset, tag).strip()
    except DeidentificationError as error:
        raise Permanent(error.reason) from None

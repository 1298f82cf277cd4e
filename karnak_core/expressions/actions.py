"""What an expression decides for one data element: values only, carried out by the de-identification engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave the element as it is."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the element."""


@dataclass(frozen=True, slots=True)
class ReplaceNull:
    """Keep the element and empty its value."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Give the element another value."""

    text: str | None
    """the new value, several values joined with a backslash; None empties the element"""


@dataclass(frozen=True, slots=True)
class Uid:
    """Replace the value by the UID derived from it (expression name ``UID``)."""


@dataclass(frozen=True, slots=True)
class ExcludeInstance:
    """Do not send the instance."""


@dataclass(frozen=True, slots=True)
class ComputePatientAge:
    """Replace the value by the patient's age at the date of the instance."""


@dataclass(frozen=True, slots=True)
class Add:
    """Add another element to the data set, then go on as if nothing had been decided."""

    tag: int
    """group and element number, ``0xGGGGEEEE``"""
    vr: str
    """value representation, DICOM PS3.5 section 6.2"""
    value: str | None
    """the value, several values joined with a backslash; None: an empty element"""


Action = Keep | Remove | ReplaceNull | Replace | Uid | ExcludeInstance | ComputePatientAge | Add

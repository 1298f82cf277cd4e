"""What the leak check gets, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An encoded data set without its pixel data, and the beginning of its file."""

    #: all elements except group 7FE0: those before it and those after it, one after the other
    dataset: bytes = field(repr=False)
    #: whether VRs are left out
    implicit: bool
    #: whether numbers are little endian
    little: bool
    #: preamble, prefix and file meta information (DICOM PS3.10 section 7.1); may be empty
    file_meta: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Leak:
    """An identifier of the received instance that stands in the new one."""

    #: e.g. ``(0008,1140)[0].(0008,1155)``; ``(0002,0003)`` in the file meta information; ``preamble``
    path: str
    #: what it is in the received instance, e.g. ``Patient ID``, ``part of Patient's Name``
    what: str

    def __str__(self) -> str:
        return f"the received {self.what} stands in {self.path}"

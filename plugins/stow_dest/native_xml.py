"""The Native DICOM Model (DICOM PS3.19 annex A.1), read into what the DICOM JSON Model says (PS3.18 annex F).

Only as far as answers need it: sequences and plain values. Document types, and with them entities, are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.parsers import expat

#: elements in one another; an answer has about eight
DEEPEST: Final = 64


class _Reader:
    """Builds data sets while expat reports what it sees."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._data_sets: list[dict[str, Any]] = []
        self._elements: list[dict[str, Any]] = []
        self._text: list[str] | None = None
        self._depth = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError("elements are too deep in one another")
        match name.rpartition(":")[2]:
            case "NativeDicomModel":
                self._data_sets.append({})
            case "Item":
                self._data_sets.append({})
            case "DicomAttribute":
                self._elements.append({"vr": attributes.get("vr", ""), "Value": []})
                if self._data_sets:
                    self._data_sets[-1][attributes.get("tag", "").upper()] = self._elements[-1]
            case "Value":
                self._text = []

    def end(self, name: str) -> None:
        self._depth -= 1
        match name.rpartition(":")[2]:
            case "NativeDicomModel" if self._data_sets:
                self.found.append(self._data_sets.pop())
            case "Item" if self._data_sets:
                item = self._data_sets.pop()
                if self._elements:
                    self._elements[-1]["Value"].append(item)
            case "DicomAttribute" if self._elements:
                self._elements.pop()
            case "Value":
                if self._elements and self._text is not None:
                    self._elements[-1]["Value"].append("".join(self._text).strip())
                self._text = None

    def text(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)


def read_native_xml(document: bytes) -> list[dict[str, Any]]:
    """Return the data sets of a document, as the DICOM JSON Model would have them.

    Raises
    ------
    ValueError
        It is not XML, or has a document type.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {expat.ErrorString(error.code)}") from error
    return reader.found


def _refuse(*_: object) -> None:
    raise ValueError("has a document type")

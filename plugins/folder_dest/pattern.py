"""From a pattern such as ``{PatientID}/{SOPInstanceUID}.dcm`` and an instance's values to the parts of a path.

Every part is a name that all usual file systems take, Windows shares too, whatever the values are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_dict, tag_for_keyword

SOP_INSTANCE_UID: Final = 0x00080018
TRANSFER_SYNTAX_UID: Final = 0x00020010

#: bytes of UTF-8 that a value may have in a name; a UID, at most 64 characters (PS3.5 section 9.1), is never cut
VALUE_BYTES: Final = 64
#: bytes of UTF-8 that a name may have; file systems take 255
NAME_BYTES: Final = 240

#: what has no place in a file name: separators, and what Windows refuses
_UNSAFE: Final = frozenset('/\\<>:"|?*')
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\s*(?:\.|$))", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(r"\{([^{}/]*)\}")
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{8}")
#: value representations that are no text
_NO_TEXT: Final = frozenset({"SQ", "OB", "OW", "OD", "OF", "OL", "OV", "UN", "OB or OW", "US or OW"})


@dataclass(frozen=True)
class Pattern:
    """A pattern that was read: for each name of the path its pieces, text or the tag of a data element."""

    names: tuple[tuple[str | int, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern.

        Raises
        ------
        ValueError
            It cannot be used; the message says why.
        """
        if text.startswith("/"):
            raise ValueError(f"{text!r} is an absolute path; it starts below the directory")
        names = tuple(_parse_name(name, text) for name in text.split("/"))
        if SOP_INSTANCE_UID not in names[-1]:
            raise ValueError(
                f"{text!r} does not end in a file name with {{SOPInstanceUID}}: "
                "without it different instances would share a file"
            )
        return cls(names)

    @property
    def tags(self) -> frozenset[int]:
        """The data elements that are needed to fill it in."""
        return frozenset(piece for name in self.names for piece in name if isinstance(piece, int))

    def tells_apart(self, sop_instance_uid: str) -> bool:
        """Say whether the UID stands in the file name as it is, so that no other instance gets the same name."""
        return _safe_name((SOP_INSTANCE_UID,), {SOP_INSTANCE_UID: sop_instance_uid}) == sop_instance_uid

    def fill_in(self, values: Mapping[int, str]) -> tuple[str, ...]:
        """Return the names of the path, the last one the file's; what is missing in ``values`` becomes ``_``."""
        return tuple(_safe_name(name, values) for name in self.names)


def safe_value(text: str) -> str:
    """Return a value as it may stand in a file name: ``_`` for what may not, and for nothing; cut where too long."""
    text = unicodedata.normalize("NFC", text).strip()
    text = "".join("_" if c in _UNSAFE or not c.isprintable() else c for c in text)
    return text.encode()[:VALUE_BYTES].decode(errors="ignore") or "_"


def _safe_name(pieces: tuple[str | int, ...], values: Mapping[int, str]) -> str:
    name = "".join(piece if isinstance(piece, str) else safe_value(values.get(piece, "")) for piece in pieces)
    # names with a dot in front are hidden, or mean the folder above; Windows drops dots and blanks at the end
    end = len(name.rstrip(". "))
    name = name[:end] + "_" * (len(name) - end)
    if name.startswith("."):
        name = "_" + name[1:]
    return f"_{name}" if _DEVICES.match(name) else name


def _parse_name(name: str, pattern: str) -> tuple[str | int, ...]:
    if not name:
        raise ValueError(f"{pattern!r} has an empty name between or behind slashes")
    pieces: list[str | int] = []
    for index, piece in enumerate(_PLACEHOLDER.split(name)):
        if index % 2:
            pieces.append(_tag(piece))
        elif piece:
            pieces.append(_literal(piece, pattern))
    if isinstance(pieces[0], str) and pieces[0].startswith("."):
        raise ValueError(f"{pattern!r} has a name that begins with a dot: it would be hidden, or lead upwards")
    longest = sum(len(piece.encode()) if isinstance(piece, str) else VALUE_BYTES for piece in pieces)
    if longest > NAME_BYTES:
        raise ValueError(f"{pattern!r} has a name of up to {longest} bytes; at most {NAME_BYTES} fit")
    return tuple(pieces)


def _literal(text: str, pattern: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"{pattern!r} has a brace without its partner")
    unsafe = sorted({c for c in text if c in _UNSAFE or not c.isprintable()})
    if unsafe:
        raise ValueError(f"{pattern!r} has {unsafe[0]!r}, which not every file system takes in a name")
    return text


def _tag(placeholder: str) -> int:
    if _HEXADECIMAL.fullmatch(placeholder):
        tag = int(placeholder, 16)
    else:
        # elements without a keyword have an empty one
        found = tag_for_keyword(placeholder) if placeholder else None
        if found is None:
            raise ValueError(
                f"{{{placeholder}}} is no keyword of DICOM PS3.6 nor a tag of 8 hexadecimal digits{_hint(placeholder)}"
            )
        tag = int(found)
    if tag >> 16 == 0x0002 and tag != TRANSFER_SYNTAX_UID:
        raise ValueError(f"{{{placeholder}}} is no element of the data set (group 0002 is the file's)")
    if dictionary_has_tag(tag) and dictionary_VR(tag) in _NO_TEXT:
        raise ValueError(f"{{{placeholder}}} has no text (VR {dictionary_VR(tag)}) that could be in a file name")
    return tag


def _hint(placeholder: str) -> str:
    close = get_close_matches(placeholder, keyword_dict, n=1)
    return f"; did you mean {{{close[0]}}}?" if close else ""

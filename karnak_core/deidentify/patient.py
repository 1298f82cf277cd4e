"""Who the patient is in a project: attributes that de-identification writes after the profile has been applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydicom.tag import BaseTag

from karnak_core.deidentify.entry import Method
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.level import Elements, Level

#: Clinical Trial Subject Reading ID, Clinical Trial Protocol Ethics Committee Name and Approval Number
_REMOVED = (0x00120042, 0x00120081, 0x00120082)
_PATIENT_NAME = 0x00100010
_METHOD = 0x00120063
_METHOD_CODES = 0x00120064
_LONGEST = 64
#: Patient's Name, Patient ID, Clinical Trial Subject ID and Subject Reading ID: at the root they never go out as they
#: were received, whatever the profile says
NEVER_KEPT = frozenset({_PATIENT_NAME, 0x00100020, 0x00120040, 0x00120042})


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Everything that is written about the patient and how the instance was de-identified."""

    patient_id: str
    pseudonym: str
    #: false: an element of the profile decided what becomes of PatientName
    write_name: bool
    project: str
    profile: str
    codenames: Sequence[str]
    methods: Sequence[Method]
    at: datetime


def checked_pseudonym(pseudonym: str) -> str:
    """Return a pseudonym that fits into PatientName and ClinicalTrialSubjectID.

    Raises
    ------
    DeidentificationError
        It does not. The message does not quote it.
    """
    if not pseudonym.strip():
        raise DeidentificationError("the pseudonym is empty")
    if len(pseudonym) > _LONGEST or "\\" in pseudonym or not pseudonym.isprintable():
        raise DeidentificationError(f"the pseudonym is not {_LONGEST} printable characters at most, without backslash")
    return pseudonym


def attributes(level: Level, identity: Identity) -> Elements:
    """Return the attributes to write at the root."""
    moment = identity.at.astimezone(_central_european_time())
    texts = [
        (0x00080012, "DA", f"{moment.year:04}{moment.month:02}{moment.day:02}"),
        (0x00080013, "TM", moment.strftime("%H%M%S.%f")),
        (0x00100020, "LO", identity.patient_id),
        (0x00120010, "LO", identity.project),
        (0x00120020, "LO", identity.profile),
        (0x00120021, "LO", ""),
        (0x00120030, "LO", ""),
        (0x00120031, "LO", ""),
        (0x00120040, "LO", identity.pseudonym),
        (0x00120062, "CS", "YES"),
    ]
    if identity.write_name:
        texts.append((_PATIENT_NAME, "PN", identity.pseudonym))
    if identity.codenames:
        texts.append((_METHOD, "LO", _joined(identity.codenames)))
    elements: Elements = {BaseTag(tag): level.encoder.text(tag, vr, text) for tag, vr, text in texts}
    items = [(level, _code(level, method)) for method in dict.fromkeys(identity.methods)]
    elements[BaseTag(_METHOD_CODES)] = level.sequence(_METHOD_CODES, items)
    return elements


def removed(identity: Identity) -> Sequence[int]:
    """Return the tags of attributes that do not stay."""
    return _REMOVED if identity.codenames else (*_REMOVED, _METHOD)


def _code(level: Level, method: Method) -> Elements:
    texts = ((0x00080100, "SH", method.value), (0x00080102, "SH", "DCM"), (0x00080104, "LO", method.meaning))
    return {BaseTag(tag): level.encoder.text(tag, vr, text) for tag, vr, text in texts}


def _joined(codenames: Sequence[str]) -> str:
    """Return codenames joined with a dash, in as many values as an LO of 64 characters needs."""
    values: list[str] = []
    for codename in codenames:
        if values and len(values[-1]) + 1 + len(codename) <= _LONGEST:
            values[-1] += f"-{codename}"
        else:
            values.append(codename[:_LONGEST])
    return "\\".join(values)


def _central_european_time() -> tzinfo:
    try:
        return ZoneInfo("CET")
    except ZoneInfoNotFoundError:  # no time zone data on this machine
        return timezone(timedelta(hours=1))

"""Who the patient is in a project: attributes that de-identification writes after the profile has been applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from karnak_core.deidentify.encode import Encoder, tag_of
from karnak_core.deidentify.entry import Method
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.items import encoded_items
from karnak_core.deidentify.level import Elements, Level
from karnak_core.deidentify.undecoded import Element

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
    moment = identity.at.astimezone(central_european_time(identity.at))
    date = f"{moment.year:04}{moment.month:02}{moment.day:02}"
    time = f"{moment.hour:02}{moment.minute:02}{moment.second:02}.{moment.microsecond:06}"
    text = level.encoder.text
    elements: Elements = {
        tag_of(0x00080012): text(0x00080012, "DA", date),
        tag_of(0x00080013): text(0x00080013, "TM", time),
    }
    name = identity.pseudonym if identity.write_name else None
    codenames, methods = tuple(identity.codenames), tuple(dict.fromkeys(identity.methods))
    elements.update(
        _lasting(
            level.encoder, identity.patient_id, identity.pseudonym, name, identity.project, identity.profile, codenames
        )
    )
    elements[tag_of(_METHOD_CODES)] = _codes(level, methods)
    return elements


@lru_cache(maxsize=1024)
def _lasting(
    encoder: Encoder,
    patient_id: str,
    pseudonym: str,
    name: str | None,
    project: str,
    profile: str,
    codenames: tuple[str, ...],
) -> Elements:
    """Return what is the same in all instances of a patient; nobody may change it."""
    texts = [
        (0x00100020, "LO", patient_id),
        (0x00120010, "LO", project),
        (0x00120020, "LO", profile),
        (0x00120021, "LO", ""),
        (0x00120030, "LO", ""),
        (0x00120031, "LO", ""),
        (0x00120040, "LO", pseudonym),
        (0x00120062, "CS", "YES"),
    ]
    if name is not None:
        texts.append((_PATIENT_NAME, "PN", name))
    if codenames:
        texts.append((_METHOD, "LO", _joined(codenames)))
    return {tag_of(tag): encoder.text(tag, vr, text) for tag, vr, text in texts}


def removed(identity: Identity) -> Sequence[int]:
    """Return the tags of attributes that do not stay."""
    return _REMOVED if identity.codenames else (*_REMOVED, _METHOD)


def _codes(level: Level, methods: tuple[Method, ...]) -> Element:
    implicit, little = level.dataset.original_encoding
    if implicit is None or little is None:
        return level.sequence(_METHOD_CODES, [(level, _code(level.encoder, method)) for method in methods])
    return _encoded_codes(level.encoder, implicit, little, methods)


@lru_cache(maxsize=256)
def _encoded_codes(encoder: Encoder, implicit: bool, little: bool, methods: tuple[Method, ...]) -> Element:
    value = encoded_items([_code(encoder, method) for method in methods], implicit=implicit, little=little)
    assert value is not None
    return encoder.raw(_METHOD_CODES, "SQ", value)


def _code(encoder: Encoder, method: Method) -> Elements:
    texts = ((0x00080100, "SH", method.value), (0x00080102, "SH", "DCM"), (0x00080104, "LO", method.meaning))
    return {tag_of(tag): encoder.text(tag, vr, text) for tag, vr, text in texts}


def _joined(codenames: Sequence[str]) -> str:
    """Return codenames joined with a dash, in as many values as an LO of 64 characters needs."""
    values: list[str] = []
    for codename in codenames:
        if values and len(values[-1]) + 1 + len(codename) <= _LONGEST:
            values[-1] += f"-{codename}"
        else:
            values.append(codename[:_LONGEST])
    return "\\".join(values)


def central_european_time(at: datetime) -> tzinfo:
    """Return the zone CET as it is at a moment, by the rule since 1996: whatever zones the machine knows."""
    moment = at.astimezone(UTC)
    begin, end = (datetime(moment.year, month, 31, 1, tzinfo=UTC) for month in (3, 10))
    # both on the last Sunday, at one o'clock UTC (directive 2000/84/EC)
    begin, end = (last - timedelta(days=last.isoweekday() % 7) for last in (begin, end))
    return timezone(timedelta(hours=2 if begin <= moment < end else 1))

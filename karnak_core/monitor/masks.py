"""Keep what was received out of what is told of a destination that de-identifies: a peer may have repeated it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

#: what stands for what must not be told
MASK: Final = "…"
#: facts that tell who it is
IDENTIFYING: Final = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyDate",
    "SeriesDate",
    "StudyDescription",
    "SeriesDescription",
)
#: those of them that are nobody else's
DIRECT: Final = ("PatientID", "PatientName", "PatientBirthDate", "IssuerOfPatientID", "AccessionNumber")
#: IDs, which are taken out however short they are
IDS: Final = ("PatientID", "AccessionNumber")
#: characters; of anything else what is shorter stands in every other sentence
SHORTEST: Final = 3

_UID = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_DATE = re.compile(r"[0-9]{8}")
_SEPARATORS = re.compile(r"[\^=\\]")


def masking(uids: Iterable[str], received: Iterable[Mapping[str, str]]) -> Callable[[str], str]:
    """Return what takes these UIDs, and the values of what was received, out of a text.

    Reasons hold neither as far as we write them; they also have words of peers.
    """
    known = {uid for uid in uids if uid}
    values = {
        value
        for facts in received
        for keyword in IDENTIFYING
        for value in _spellings(facts.get(keyword, ""), 1 if keyword in IDS else SHORTEST)
    }
    alternatives = "|".join(re.escape(value) for value in sorted(values, key=lambda one: (-len(one), one)))
    # an underscore separates the parts of a file's name
    words = re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])", re.IGNORECASE) if values else None

    def mask(text: str) -> str:
        text = _UID.sub(lambda match: MASK if match[0] in known else match[0], text)
        return words.sub(MASK, text) if words else text

    return mask


def _spellings(value: str, shortest: int) -> set[str]:
    """Return a value, the components of a name, these joined, and a date as people write it."""
    parts = [part.strip() for part in _SEPARATORS.split(value)]
    some = [part for part in parts if part]
    every = {value.strip(), " ".join(some), "".join(some), "".join(reversed(some)), *parts, *_dates(value.strip())}
    return {one for one in every if len(one) >= shortest}


def _dates(value: str) -> set[str]:
    if not _DATE.fullmatch(value):
        return set()
    year, month, day = value[:4], value[4:6], value[6:]
    every: set[str] = set()
    for months, days in ((month, day), (month.lstrip("0"), day.lstrip("0"))):
        for order in ((year, months, days), (days, months, year), (months, days, year)):
            every.update(separator.join(order) for separator in ("-", ".", "/", " ", ". ", "_", ""))
    return every

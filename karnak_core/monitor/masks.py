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
#: characters; anything shorter stands in every other sentence
SHORTEST: Final = 3

_UID = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_SEPARATORS = re.compile(r"[\^=\\]")


def masking(uids: Iterable[str], received: Iterable[Mapping[str, str]]) -> Callable[[str], str]:
    """Return what takes these UIDs, and the values of what was received, out of a text.

    Reasons hold neither as far as we write them; they also have words of peers.
    """
    known = {uid for uid in uids if uid}
    values = {value for facts in received for keyword in IDENTIFYING for value in _spellings(facts.get(keyword, ""))}
    alternatives = "|".join(re.escape(value) for value in sorted(values, key=lambda one: (-len(one), one)))
    words = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE) if values else None

    def mask(text: str) -> str:
        text = _UID.sub(lambda match: MASK if match[0] in known else match[0], text)
        return words.sub(MASK, text) if words else text

    return mask


def _spellings(value: str) -> set[str]:
    """Return a value, the components of a name, and these with blanks between them."""
    parts = [part.strip() for part in _SEPARATORS.split(value)]
    every = {value.strip(), " ".join(part for part in parts if part), *parts}
    return {one for one in every if len(one) >= SHORTEST}

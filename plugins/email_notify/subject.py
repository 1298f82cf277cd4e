"""The subject of a mail: prefixes, and the pattern with its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

from karnak_core.model import State
from karnak_core.summary import StudySummary
from karnak_plugins.email_notify.config import EmailNotification
from karnak_plugins.email_notify.pattern import Pattern

#: characters; mail programs show fewer
LONGEST: Final = 200
RECOVERED: Final = "RECOVERED"
WAITING: Final = "WAITING"

VALUES: Final[Mapping[str, Callable[[StudySummary], str]]] = {
    "PatientID": lambda summary: summary.facts.get("PatientID", ""),
    "StudyDescription": lambda summary: summary.facts.get("StudyDescription", ""),
    "StudyDate": lambda summary: iso_date(summary.facts.get("StudyDate", "")),
    "StudyInstanceUID": lambda summary: summary.study_instance_uid,
}


def subject(config: EmailNotification, summary: StudySummary) -> str:
    """Return the subject, in one line."""
    values = [VALUES[name](summary) for name in config.value_names]
    parts = [*_prefixes(config, summary), Pattern(config.subject_pattern).format(values)]
    text = one_line(" ".join(parts))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _prefixes(config: EmailNotification, summary: StudySummary) -> list[str]:
    found = [RECOVERED] if summary.recovered else []
    if summary.failed:
        found.append(config.error_subject_prefix)
    elif summary.count(State.EXCLUDED, State.DISCARDED):
        found.append(config.rejection_subject_prefix)
    elif summary.waiting:
        found.append(WAITING)
    return [prefix for prefix in found if prefix]


def one_line(text: str) -> str:
    """Return a text that can stand in a header: without line ends, other control characters, and encoded words."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", " ", text)
    # RFC 2047 would have mail programs, and EmailMessage, put something else in its place: line ends, too
    return text.replace("=?", "= ?").strip()


def iso_date(text: str) -> str:
    """Return a DICOM date (PS3.5 section 6.2, DA) as people write it; what is none as it is."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])).isoformat() if len(text) == 8 else text
    except ValueError:
        return text

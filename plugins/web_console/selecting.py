"""Which deliveries a page is asked for: the fields of its filter, as they stand in its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from karnak_core.model import State
from karnak_core.spool.views import Filter

MINUTE: Final = 60_000
DAY: Final = 24 * 60 * MINUTE

#: what a period is called, and how many ms it is long; those without are looked at by themselves
PERIODS: Final[Mapping[str, tuple[str, int | None]]] = {
    "5m": ("the last 5 minutes", 5 * MINUTE),
    "15m": ("the last 15 minutes", 15 * MINUTE),
    "1h": ("the last hour", 60 * MINUTE),
    "24h": ("the last 24 hours", DAY),
    "today": ("today", None),
    "7d": ("the last 7 days", 7 * DAY),
    "15d": ("the last 15 days", 15 * DAY),
    "all": ("all", None),
    "custom": ("from … until", None),
}
DEFAULT_PERIOD: Final = "24h"

STATES: Final[Mapping[str, tuple[State, ...]]] = {
    "failed": (State.FAILED,),
    "pending": (State.PENDING, State.LEASED),
    "excluded": (State.EXCLUDED,),
    "sent": (State.SENT,),
    "duplicate": (State.DUPLICATE,),
    "discarded": (State.DISCARDED,),
}

#: the fields, and how many characters each may have
FIELDS: Final[Mapping[str, int]] = {
    "period": 8,
    "from": 32,
    "until": 32,
    "state": 16,
    "destination": 81,
    "node": 16,
    "study": 64,
    "series": 64,
    "instance": 64,
    "patient": 64,
    "text": 100,
    "identities": 1,
}
#: of what most people look for; the others are behind a fold
FIRST: Final = frozenset({"period", "from", "until", "state", "destination", "identities"})


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was asked for."""

    #: by field; what was left empty is not in it
    fields: Mapping[str, str]
    chosen: Filter
    #: what is wrong, by field; then nothing is to be shown, and nothing done
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def identities(self) -> bool:
        """Whether original identities are asked for."""
        return "identities" in self.fields

    @property
    def narrow(self) -> bool:
        """Whether one of the fields behind the fold is used."""
        return bool(set(self.fields) - FIRST)

    @property
    def personal(self) -> bool:
        """Whether something is looked for by what only original identities have."""
        return bool({"patient", "text"} & set(self.fields))

    def query(self, **more: str | None) -> str:
        """Return the query of an address with these fields, others, and without those that are None."""
        fields = {**self.fields, **more}
        return urlencode({name: value for name, value in fields.items() if value is not None})


def selection(given: Mapping[str, str], now: int) -> Selection:
    """Read the fields of a filter.

    Parameters
    ----------
    given
        Query of an address, or form.
    now
        ms since 1970.
    """
    errors: dict[str, str] = {}
    fields: dict[str, str] = {}
    for name, longest in FIELDS.items():
        value = str(given.get(name, "")).strip()
        if not value:
            continue
        if len(value) > longest or not value.isprintable():
            errors[name] = f"at most {longest} characters, none of them a control character"
        else:
            fields[name] = value
    period, state = fields.get("period", DEFAULT_PERIOD), fields.get("state", "")
    if period not in PERIODS:
        errors["period"] = f"none of {', '.join(PERIODS)}"
    if state and state not in STATES:
        errors["state"] = f"none of {', '.join(STATES)}"
    begin, end = _moment(fields, "from", errors), _moment(fields, "until", errors)
    if begin is not None and end is not None and begin >= end:
        errors["until"] = "is not after the beginning"
    if errors:
        return Selection(fields=fields, chosen=Filter(), errors=errors)
    node, destination = fields.get("node"), fields.get("destination")
    if destination and "/" in destination:
        node, destination = destination.rsplit("/", 1)
    since = _since(period, begin, now)
    return Selection(
        fields=fields,
        chosen=Filter(
            forward_node=node,
            destination=destination,
            states=STATES.get(state, ()),
            study_instance_uid=fields.get("study"),
            series_instance_uid=fields.get("series"),
            sop_instance_uid=fields.get("instance"),
            patient_id=fields.get("patient"),
            text=fields.get("text"),
            changed_since=since,
            changed_until=end if period == "custom" else None,
        ),
    )


def _since(period: str, begin: int | None, now: int) -> int | None:
    if period == "custom":
        return begin
    if period == "today":
        here = datetime.fromtimestamp(now / 1000, UTC).astimezone()
        return int(here.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    length = PERIODS[period][1]
    return None if length is None else now - length


def _moment(fields: Mapping[str, str], name: str, errors: dict[str, str]) -> int | None:
    """Return a date and time of this machine's zone, unless it names another, ms since 1970."""
    if name not in fields:
        return None
    try:
        moment = datetime.fromisoformat(fields[name])
        return int(moment.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        errors[name] = "no date and time; write 2026-11-25T20:15"
        return None

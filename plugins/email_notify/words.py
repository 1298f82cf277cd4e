"""A summary in the words of a mail: one view for the HTML and for the plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.uid import UID

from karnak_core.model import State
from karnak_core.summary import FollowUpSummary, SeriesSummary, StudySummary
from karnak_plugins.email_notify.subject import iso_date

#: state -> how a mail calls it; in the order in which it is told
STATES: Final[Mapping[State, str]] = {
    State.SENT: "transferred",
    State.DUPLICATE: "duplicate",
    State.EXCLUDED: "excluded",
    State.FAILED: "failed",
    State.DISCARDED: "discarded",
    State.PENDING: "waiting",
}


@dataclass(frozen=True, kw_only=True)
class Number:
    """How many instances stand in one way."""

    state: State
    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Why:
    """A reason, and how many instances have it."""

    state: State
    count: int
    text: str


@dataclass(frozen=True, kw_only=True)
class SeriesView:
    """A series as a mail shows it."""

    title: str
    uid: str
    #: pairs of name and value
    facts: Sequence[tuple[str, str]]
    received: int
    numbers: Sequence[Number]
    reasons: Sequence[Why]
    again: int


@dataclass(frozen=True, kw_only=True)
class View:
    """A mail before it is laid out."""

    #: good, bad, odd or open: how it ended
    tone: str
    #: the first line
    headline: str
    forward_node: str
    destination: str
    destination_label: str
    #: what is to be known about the values; empty: they are as received
    remark: str
    #: pairs of name and value
    study: Sequence[tuple[str, str]]
    received: int
    numbers: Sequence[Number]
    #: ``500 received = 497 transferred + 2 excluded + 1 failed``
    sum: str
    series: Sequence[SeriesView]
    follow_ups: Sequence[FollowUpSummary]
    #: what happens next; paragraphs
    next: Sequence[str]
    #: commands for who has to decide
    commands: Sequence[str]
    number: int


def view(summary: StudySummary) -> View:
    """Return what a mail says of a study."""
    numbers = _numbers(summary.count)
    return View(
        tone=_tone(summary),
        headline=headline(summary),
        forward_node=summary.forward_node,
        destination=summary.destination,
        destination_label=summary.destination_label,
        remark=_remark(summary),
        study=_study(summary),
        received=summary.received,
        numbers=numbers,
        sum=f"{summary.received} received = " + " + ".join(f"{one.count} {one.name}" for one in numbers),
        series=[_series(one) for one in summary.series],
        follow_ups=[one for one in summary.follow_ups if one.state != "done"],
        next=_next(summary),
        commands=_commands(summary),
        number=summary.number,
    )


def headline(summary: StudySummary) -> str:
    """Return the first line: how it ended."""
    received, failed, waiting = summary.received, summary.count(State.FAILED), summary.count(State.PENDING)
    there = summary.count(State.SENT, State.DUPLICATE)
    kept_back = summary.count(State.EXCLUDED, State.DISCARDED)
    if failed:
        return f"{_instances(failed, of=received)} failed and {_is(failed)} kept."
    if summary.failed:
        return f"{_instances(there, of=received)} {_was(there)} transferred, but what follows the transfer failed."
    if summary.recovered:
        return f"Recovered: what had failed before is done now. {_done(summary, there, kept_back)}"
    if waiting:
        return f"{_instances(waiting, of=received)} still {'waits' if waiting == 1 else 'wait'} to be transferred."
    return _done(summary, there, kept_back)


def _done(summary: StudySummary, there: int, kept_back: int) -> str:
    received = summary.received
    if there == received:
        if summary.count(State.DUPLICATE) == received:
            return f"{_all(received)} at the destination already."
        return f"{_all(received)} transferred."
    if there:
        return f"{_instances(there, of=received)} {_was(there)} transferred; {kept_back} kept back."
    return (
        f"None of {received} instances was transferred: all were kept back."
        if received > 1
        else ("The only instance was kept back.")
    )


def _all(count: int) -> str:
    return "The only instance was" if count == 1 else f"All {count} instances were"


def _instances(count: int, *, of: int) -> str:
    return f"{count} of {of} {'instance' if of == 1 else 'instances'}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _tone(summary: StudySummary) -> str:
    if summary.failed:
        return "bad"
    if summary.waiting:
        return "open"
    return "odd" if summary.count(State.EXCLUDED, State.DISCARDED) else "good"


def _numbers(count: Callable[[State], int]) -> list[Number]:
    found = [Number(state=state, name=name, count=count(state)) for state, name in STATES.items()]
    # what was transferred is always told, also when it is nothing
    return [one for one in found if one.count or one.state is State.SENT]


def _remark(summary: StudySummary) -> str:
    if not summary.deidentified:
        return ""
    if not summary.study_instance_uid and summary.count(State.SENT, State.DUPLICATE):
        return "The destination de-identifies, and what was transferred may be as received: nothing of it is told here."
    if not summary.study_instance_uid:
        return "The destination de-identifies, and nothing was transferred: which study it is cannot be told here."
    return "De-identified: these are the values that were transferred."


def _study(summary: StudySummary) -> list[tuple[str, str]]:
    facts = summary.facts
    pairs = [
        ("Patient ID", facts.get("PatientID", "")),
        ("Study description", facts.get("StudyDescription", "")),
        ("Study date", iso_date(facts.get("StudyDate", ""))),
        ("Accession number", facts.get("AccessionNumber", "")),
        ("Study Instance UID", summary.study_instance_uid),
        ("First received", moment(summary.first_at)),
        ("Last change", moment(summary.last_at)),
    ]
    return [(name, value) for name, value in pairs if value.strip()]


def _series(series: SeriesSummary) -> SeriesView:
    facts = series.facts
    title = " · ".join(
        part
        for part in (
            f"Series {facts['SeriesNumber']}" if facts.get("SeriesNumber") else "",
            facts.get("SeriesDescription", "").strip(),
        )
        if part
    )
    pairs = [
        ("Modality", facts.get("Modality", "")),
        ("Date", iso_date(facts.get("SeriesDate", ""))),
        ("SOP class", ", ".join(UID(uid).name for uid in series.sop_class_uids)),
    ]
    # what a person has to decide about stands first
    order = [State.FAILED, *(state for state in STATES if state is not State.FAILED)]
    return SeriesView(
        title=title or "Series",
        uid=series.series_instance_uid,
        facts=[(name, value) for name, value in pairs if value.strip()],
        received=series.received,
        numbers=_numbers(lambda state: series.counts.get(state, 0)),
        reasons=[
            Why(state=reason.state, count=reason.count, text=f"{_called(reason.state)}: {reason.text}")
            for reason in sorted(series.reasons, key=lambda one: (order.index(one.state), -one.count))
        ],
        again=series.again,
    )


def _called(state: State) -> str:
    return "transferred with a remark" if state is State.SENT else STATES[state]


def _next(summary: StudySummary) -> list[str]:
    said = []
    failed, waiting = summary.count(State.FAILED), summary.count(State.PENDING)
    if failed:
        what = "The instance that failed is" if failed == 1 else f"The {failed} instances that failed are"
        said.append(f"{what} kept in the gateway until somebody retries or discards {'it' if failed == 1 else 'them'}.")
    if any(one.state == State.FAILED for one in summary.follow_ups):
        said.append("What failed after the transfer is tried again when somebody asks for it; nothing is sent again.")
    if waiting:
        said.append(f"{waiting} {'waits and is' if waiting == 1 else 'wait and are'} tried again without being asked.")
    if any(one.state == State.PENDING for one in summary.follow_ups):
        said.append("What follows the transfer is still being tried.")
    if summary.failed or summary.waiting:
        said.append("Another mail follows when that has changed.")
    else:
        said.append("Nothing more is to be done. Another mail comes only when something changes.")
    return said


def _commands(summary: StudySummary) -> list[str]:
    if not summary.count(State.FAILED):
        return []
    study = f" --study {summary.study_instance_uid}" if summary.study_instance_uid else ""
    which = f"--destination {summary.forward_node}/{summary.destination} --state failed{study}"
    return [f"karnak deliveries list {which}", f"karnak deliveries retry {which}"]


def moment(ms: int) -> str:
    """Return a time as the clock on the gateway's wall shows it, with its zone; empty for none."""
    if not ms:
        return ""
    local = datetime.fromtimestamp(ms / 1000).astimezone()
    offset = local.strftime("%z")
    zone = "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:]}"
    return f"{local:%Y-%m-%d %H:%M:%S} {zone}"

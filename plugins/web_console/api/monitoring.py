"""Studies and series added up, and what follows deliveries: follow-ups and notifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from karnak_core.spool import aggregates, follow_up_decisions, notice_decisions, tree
from karnak_core.spool.aggregates import Counts, Series, Study
from karnak_core.spool.searching import Patience, resolved
from karnak_core.spool.tree import Place
from karnak_core.spool.views import iso
from karnak_plugins.web_console import deciding
from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.api.deliveries import (
    SEARCHED,
    Decided,
    Decider,
    DeliveryFilter,
    Reader,
    RowNumber,
    Text,
)
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf, Page, PagingOf

router = APIRouter(tags=["monitoring"])

#: facts that are nobody's
HARMLESS = frozenset({"Modality"})

FollowUpState = Literal["pending", "leased", "done", "failed", "discarded"]
NoticeState = Literal["pending", "leased", "sent", "failed", "discarded"]


class StudyQuery(DeliveryFilter):
    """Of which deliveries, and which part of the studies."""

    identities: bool = Field(
        default=False, description="with the facts of patients as received; needs the scope identities, and is noted"
    )
    limit: int = Field(default=25, ge=1, le=100, description="studies of one answer, at most")
    cursor: Annotated[str, Field(max_length=32)] | None = Field(default=None, description="'next' of the answer before")


class CountsOut(BaseModel):
    """Numbers of deliveries."""

    deliveries: int
    instances: int
    retries: int
    sent: int
    duplicate: int
    excluded: int
    failed: int
    waiting: int
    discarded: int
    first_at: str
    last_at: str


class ReasonOut(BaseModel):
    """Why deliveries stand as they do."""

    state: str
    text: str
    count: int


class SeriesOut(BaseModel):
    """A series at a destination."""

    forward_node: str
    destination: str
    study_instance_uid: str
    series_instance_uid: str
    sent_series_instance_uid: str | None
    sop_class_uids: list[str]
    counts: CountsOut
    reasons: list[ReasonOut]
    facts: dict[str, str] | None = Field(description="as received; null unless identities are asked for")
    sent_facts: dict[str, str] | None = Field(
        description="as sent, without those that are as received unless identities are asked for; null: nothing was"
    )


class StudyOut(BaseModel):
    """A study at a destination."""

    forward_node: str
    destination: str
    study_instance_uid: str
    sent_study_instance_uid: str | None
    counts: CountsOut
    series: list[SeriesOut]


class AfterDecision(BaseModel):
    """What a person decides about."""

    model_config = ConfigDict(extra="forbid")

    id: list[RowNumber] = Field(default_factory=list, max_length=1000)
    destination: Annotated[str, Field(max_length=81)] | None = Field(default=None, description="name, or NODE/NAME")
    state: list[Literal["pending", "failed"]] = Field(default_factory=list, max_length=2)
    study: Text | None = Field(default=None, description="Study Instance UID")
    all: bool = Field(default=False, description="needed where nothing else is named")
    count: int | None = Field(default=None, ge=0, le=2**53, description="where there are more by now, 409")


class FollowUpOut(BaseModel):
    """Something done, or to be done, after instances were sent."""

    id: int
    forward_node: str
    destination: str
    follow_up: str
    subject: str
    state: str
    reason: str
    attempts: int
    not_before: str | None
    study_instance_uid: str | None
    series_instance_uid: str | None
    sent_study_instance_uid: str | None
    sent_series_instance_uid: str | None
    delivery_id: int
    created_at: str
    finished_at: str | None
    decided_by: str | None
    decided_at: str | None


class NotificationOut(BaseModel):
    """What people are told, or to be told, about a study."""

    id: int
    forward_node: str
    destination: str
    notification: str
    state: str
    reason: str
    attempts: int
    not_before: str | None
    study_instance_uid: str
    created_at: str
    finished_at: str | None


@router.get("/studies")
def list_studies(query: Annotated[StudyQuery, Query()], user: Reader, console: ConsoleOf) -> Page[StudyOut]:
    """List studies at destinations with their series: those with failures first, then what was received last.

    One answer has up to 5000 instances, and looks for what matches for a short time only: it may have fewer studies
    than ``limit``, or none, and ``next`` all the same, where the list goes on.
    """
    return _studies(query, user, console)


@router.get("/series")
def list_series(query: Annotated[StudyQuery, Query()], user: Reader, console: ConsoleOf) -> Page[SeriesOut]:
    """List the series of these studies; ``limit`` counts the studies."""
    found = _studies(query, user, console)
    return Page(items=[series for study in found.items for series in study.series], next=found.next)


@router.get("/follow-ups")
def list_follow_ups(
    _user: Reader,
    paging: PagingOf,
    console: ConsoleOf,
    state: Annotated[list[FollowUpState] | None, Query(max_length=5)] = None,
    destination: Annotated[str | None, Query(max_length=81)] = None,
) -> Page[FollowUpOut]:
    """List what is done after instances were sent, the newest first."""
    node, name = split(destination)
    chosen = follow_up_decisions.Filter(forward_node=node, destination=name, states=state or ())
    with console.database.read() as connection:
        found = list(
            follow_up_decisions.follow_ups(
                connection, chosen, limit=paging.limit + 1, newest_first=True, before=paging.number()
            )
        )
    return Page(items=[FollowUpOut(**row) for row in found[: paging.limit]], next=_next(found, paging.limit))


@router.post("/follow-ups/retry")
def retry_follow_ups(decision: AfterDecision, user: Decider, console: ConsoleOf) -> Decided:
    """Do failed follow-ups again, and pending ones now."""
    return Decided(count=deciding.retry_follow_ups(console, user, _follow_ups(decision), decision.count))


@router.post("/follow-ups/discard")
def discard_follow_ups(decision: AfterDecision, user: Decider, console: ConsoleOf) -> Decided:
    """Give up failed and pending follow-ups."""
    return Decided(count=deciding.discard_follow_ups(console, user, _follow_ups(decision), decision.count))


@router.get("/notifications")
def list_notifications(
    _user: Reader,
    paging: PagingOf,
    console: ConsoleOf,
    state: Annotated[list[NoticeState] | None, Query(max_length=5)] = None,
    destination: Annotated[str | None, Query(max_length=81)] = None,
) -> Page[NotificationOut]:
    """List what people are told, the newest first."""
    node, name = split(destination)
    chosen = notice_decisions.Filter(forward_node=node, destination=name, states=state or ())
    with console.database.read() as connection:
        found = list(notice_decisions.notifications(connection, chosen, limit=paging.limit + 1, before=paging.number()))
    return Page(items=[NotificationOut(**row) for row in found[: paging.limit]], next=_next(found, paging.limit))


@router.post("/notifications/retry")
def retry_notifications(decision: AfterDecision, user: Decider, console: ConsoleOf) -> Decided:
    """Tell failed notifications again, and pending ones now."""
    return Decided(count=deciding.retry_notifications(console, user, _notices(decision), decision.count))


@router.post("/notifications/discard")
def discard_notifications(decision: AfterDecision, user: Decider, console: ConsoleOf) -> Decided:
    """Give up failed and pending notifications."""
    return Decided(count=deciding.discard_notifications(console, user, _notices(decision), decision.count))


def split(destination: str | None) -> tuple[str | None, str | None]:
    """Return node and name of what may be NODE/NAME."""
    if destination and not destination.isprintable():
        raise Refused(422, "destination: has a control character")
    if destination and "/" in destination:
        node, name = destination.rsplit("/", 1)
        return node, name
    return None, destination or None


def _studies(query: StudyQuery, user: Identity, console: Console) -> Page[StudyOut]:
    chosen, after = query.chosen(console, user, "studies"), place(query.cursor)
    if query.identities:
        if Scope.IDENTITIES not in user.scopes:
            raise Refused(403, "identities: this needs the scope identities")
        with console.database.write() as connection:
            deciding.looked(connection, user, "studies")
    with console.database.read() as connection:
        cheap = resolved(connection, chosen)
        page = tree.latest(connection, cheap, limit=query.limit, after=after, patience=Patience(SEARCHED))
        found = aggregates.with_series(connection, tree.within(connection, chosen, page.keys), page.keys)
    return Page(items=[_study(one, query.identities) for one in found], next=cursor(page.next))


def place(text: str | None) -> Place | None:
    """Return where a page begins, from its cursor; raises Refused."""
    if text is None:
        return None
    kind, number = text[:1], text[1:]
    if kind not in "fn" or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise Refused(400, "cursor: not the 'next' of an answer")
    return Place(failed=kind == "f", before=int(number))


def cursor(begin: Place | None) -> str | None:
    """Return the cursor of where a page begins."""
    return f"{'f' if begin.failed else 'n'}{begin.before}" if begin else None


def _study(one: Study, identities: bool) -> StudyOut:
    return StudyOut(
        forward_node=one.forward_node,
        destination=one.destination,
        study_instance_uid=one.study_instance_uid,
        sent_study_instance_uid=one.sent_study_instance_uid,
        counts=_counts(one.counts),
        series=[_series(one, series, identities) for series in one.series],
    )


def _series(study: Study, one: Series, identities: bool) -> SeriesOut:
    return SeriesOut(
        forward_node=study.forward_node,
        destination=study.destination,
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=one.series_instance_uid,
        sent_series_instance_uid=one.sent_series_instance_uid,
        sop_class_uids=list(one.sop_class_uids),
        counts=_counts(one.counts),
        reasons=[ReasonOut(state=reason.state, text=reason.text, count=reason.count) for reason in one.reasons],
        facts=dict(one.facts) if identities else None,
        sent_facts=sent_facts(one.facts, one.sent_facts, identities),
    )


def sent_facts(facts: Mapping[str, str], sent: Mapping[str, str], identities: bool) -> dict[str, str] | None:
    """Return what may be shown of the facts that were sent: those that are as received are original identities."""
    if not sent:
        return None
    return {name: value for name, value in sent.items() if identities or name in HARMLESS or value != facts.get(name)}


def _counts(counts: Counts) -> CountsOut:
    numbers: dict[str, Any] = vars(counts)
    return CountsOut(**{**numbers, "first_at": iso(counts.first_at), "last_at": iso(counts.last_at)})


def _next(found: list[dict[str, Any]], limit: int) -> str | None:
    return str(found[limit - 1]["id"]) if len(found) > limit else None


def _follow_ups(decision: AfterDecision) -> follow_up_decisions.Filter:
    _need_something(decision)
    node, name = split(decision.destination)
    return follow_up_decisions.Filter(
        ids=decision.id,
        forward_node=node,
        destination=name,
        states=decision.state,
        study_instance_uid=decision.study,
    )


def _notices(decision: AfterDecision) -> notice_decisions.Filter:
    _need_something(decision)
    node, name = split(decision.destination)
    return notice_decisions.Filter(
        ids=decision.id,
        forward_node=node,
        destination=name,
        states=decision.state,
        study_instance_uid=decision.study,
    )


def _need_something(decision: AfterDecision) -> None:
    if not (decision.id or decision.destination or decision.state or decision.study or decision.all):
        raise Refused(422, "name what to change, or say all: true")

"""Deliveries: what became of every instance at every destination, and what a person decides about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from karnak_core.errors import NotFound
from karnak_core.model import State
from karnak_core.monitor.story import with_times
from karnak_core.spool.searching import Patience, newest
from karnak_core.spool.views import Filter, deliveries
from karnak_plugins.web_console import deciding, sheet
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf, Page, paging
from karnak_plugins.web_console.stories import story_of

router = APIRouter(tags=["deliveries"])

Reader = Annotated[Identity, Depends(require_scope("read"))]
Decider = Annotated[Identity, Depends(require_scope("deliveries"))]
#: seconds that one answer looks for what matches
SEARCHED = 0.1
#: of a row; larger ones no database has
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a control character")
    return text


Text = Annotated[str, Field(max_length=64), AfterValidator(_printable)]
RowNumber = Annotated[int, Field(ge=1, le=2**63 - 1)]


class DeliveryFilter(BaseModel):
    """Which deliveries; what is left out does not narrow."""

    model_config = ConfigDict(extra="forbid")

    id: list[RowNumber] = Field(default_factory=list, max_length=1000, description="their numbers")
    node: Text | None = Field(default=None, description="forward node")
    destination: Annotated[str, Field(max_length=81), AfterValidator(_printable)] | None = Field(
        default=None, description="name of a destination, or NODE/NAME"
    )
    state: list[State] = Field(default_factory=list, max_length=len(State))
    study: Text | None = Field(default=None, description="Study Instance UID, original or sent")
    series: Text | None = Field(default=None, description="Series Instance UID, original or sent")
    instance: Text | None = Field(default=None, description="SOP Instance UID, original or sent")
    since: datetime | None = Field(default=None, description="received at or after; in UTC unless it names a zone")
    until: datetime | None = Field(default=None, description="received before")
    changed_since: datetime | None = Field(default=None, description="received, ended or decided about at or after")
    changed_until: datetime | None = Field(default=None, description="not changed at or after")
    patient_id: Text | None = Field(
        default=None, description="Patient ID, original or sent; needs the scope identities, too"
    )
    text: Annotated[str, Field(max_length=100), AfterValidator(_printable)] | None = Field(
        default=None,
        description="part of a reason, a UID, a patient's ID or name, an accession number or a description; "
        "needs the scope identities, too",
    )

    def chosen(self, console: Console, user: Identity, where: str) -> Filter:
        """Return the filter; what only original identities have is looked for by who may see these, and noted."""
        if self.patient_id or self.text:
            if Scope.IDENTITIES not in user.scopes:
                raise Refused(403, "patient_id, text: to look for a patient needs the scope identities")
            with console.database.write() as connection:
                deciding.looked(connection, user, where, "looked for a patient or a text")
        node, destination = self.node, self.destination
        if destination and "/" in destination:
            node, destination = destination.rsplit("/", 1)
        return Filter(
            ids=self.id,
            forward_node=node,
            destination=destination,
            states=self.state,
            study_instance_uid=self.study,
            series_instance_uid=self.series,
            sop_instance_uid=self.instance,
            since=_ms(self.since),
            until=_ms(self.until),
            changed_since=_ms(self.changed_since),
            changed_until=_ms(self.changed_until),
            patient_id=self.patient_id,
            text=self.text,
        )


class DeliveryQuery(DeliveryFilter):
    """Which deliveries, and which part of them."""

    limit: int = Field(default=100, ge=1, le=1000, description="entries of one answer, at most")
    cursor: Annotated[str, Field(max_length=255)] | None = Field(
        default=None, description="'next' of the answer before"
    )


class ExportQuery(DeliveryFilter):
    """Which deliveries, and how they are written."""

    by: Literal["delivery", "series"] = Field(
        default="delivery",
        description="a row for each; those of series have facts of patients, which needs the scope identities, too",
    )
    delimiter: str = Field(default=",", max_length=1, min_length=1)
    quote: str = Field(default='"', max_length=1, min_length=1)


class Decision(BaseModel):
    """What a person decides about."""

    model_config = ConfigDict(extra="forbid")

    filter: DeliveryFilter
    all: bool = Field(default=False, description="needed where the filter is empty")
    count: int | None = Field(
        default=None,
        ge=0,
        le=2**53,
        description="how many were looked at; where there are more by now, 409 and nothing is changed",
    )


class Decided(BaseModel):
    """What was done."""

    count: int = Field(description="how many are tried again, or given up")


class DeliveryOut(BaseModel):
    """An instance on its way to a destination; times are ISO 8601 in UTC."""

    id: int
    forward_node: str
    destination: str
    state: State
    reason: str
    attempts: int
    not_before: str | None = Field(description="when it is tried next")
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sent_study_instance_uid: str | None
    sent_series_instance_uid: str | None
    sent_sop_instance_uid: str | None
    received_at: str
    finished_at: str | None
    calling_ae_title: str
    peer_host: str
    sop_class_uid: str
    transfer_syntax_uid: str
    size: int = Field(description="bytes")
    decided_by: str | None
    decided_at: str | None


@router.get("/deliveries")
def list_deliveries(query: Annotated[DeliveryQuery, Query()], user: Reader, console: ConsoleOf) -> Page[DeliveryOut]:
    """List deliveries, the newest first, with the names of ``karnak deliveries list --json``.

    One answer looks for what matches for a short time only: it may have fewer entries than ``limit``, or none, and
    ``next`` all the same, where the search goes on.
    """
    chosen, before = query.chosen(console, user, "deliveries"), paging(query.limit, query.cursor).number()
    with console.database.read() as connection:
        found = newest(connection, chosen, limit=query.limit, before=before, patience=Patience(SEARCHED))
    return Page(items=[DeliveryOut(**row) for row in found.rows], next=None if found.next is None else str(found.next))


@router.get("/deliveries/export", response_class=StreamingResponse, responses={200: {"content": {"text/csv": {}}}})
def export(query: Annotated[ExportQuery, Query()], user: Reader, console: ConsoleOf) -> StreamingResponse:
    """Return deliveries as CSV, with a line that names the columns."""
    chosen, by_series = query.chosen(console, user, "an export of deliveries"), query.by == "series"
    if by_series:
        if Scope.IDENTITIES not in user.scopes:
            raise Refused(403, "by: series have facts of patients, which needs the scope identities")
        with console.database.write() as connection:
            deciding.looked(connection, user, "an export of series")
    return sheet.answer(console, chosen, delimiter=query.delimiter, quote=query.quote, by_series=by_series)


@router.post("/deliveries/retry")
def retry(decision: Decision, user: Decider, console: ConsoleOf) -> Decided:
    """Try failed deliveries again, and pending ones now."""
    return Decided(count=deciding.retry(console, user, _decided(decision, console, user), decision.count))


@router.post("/deliveries/discard")
def discard(decision: Decision, user: Decider, console: ConsoleOf) -> Decided:
    """Give up failed and pending deliveries; their files go when nothing else needs them."""
    return Decided(count=deciding.discard(console, user, _decided(decision, console, user), decision.count))


@router.get("/deliveries/{number}")
def get_delivery(number: Number, _user: Reader, console: ConsoleOf) -> DeliveryOut:
    """Return a delivery."""
    return DeliveryOut(**one(console, number))


@router.get("/deliveries/{number}/why")
def why_delivery(number: Number, _user: Reader, console: ConsoleOf) -> dict[str, Any]:
    """Return the whole story of a delivery's instance, and what happens next, as ``karnak why --json``."""
    return with_times(story_of(console, one(console, number)["sop_instance_uid"]))


@router.get("/instances/{uid}/why")
def why(
    uid: Annotated[str, Path(max_length=64, min_length=1, description="original or sent; of a study or series, too")],
    _user: Reader,
    console: ConsoleOf,
) -> dict[str, Any]:
    """Return the whole story of an instance, a series or a study, and what happens next."""
    return with_times(story_of(console, uid))


def one(console: Console, number: int) -> dict[str, Any]:
    """Return a delivery; raises NotFound."""
    with console.database.read() as connection:
        found = next(deliveries(connection, Filter(ids=(number,))), None)
    if found is None:
        raise NotFound(f"there is no delivery {number}")
    return found


def _decided(decision: Decision, console: Console, user: Identity) -> Filter:
    chosen = decision.filter.chosen(console, user, "deliveries")
    if chosen == Filter(ids=[], states=[]) and not decision.all:
        raise Refused(422, "filter: is empty; name what to change, or say all: true")
    return chosen


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)

"""What is not well, since when, and what a person can do about it: read from what ``status`` tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from karnak_core.commands.people import size, span

#: seconds before something expires from which on it is told
EXPIRES_SOON: Final = 30 * 86400
#: seconds that something may wait for a destination that is well, until it is told
LONG: Final = 3600
#: ms since a peer was refused, from which on it is old news
RECENT: Final = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that is not as it should be."""

    #: what it is about
    of: str
    text: str
    #: what to do
    advice: str
    #: bad: somebody must act; warning: somebody should look
    tone: str = "bad"
    #: ms; None: not known
    since: int | None = None
    #: where to do it, and how that is called
    link: str = ""
    link_text: str = ""


def troubles(status: Mapping[str, Any], now: int) -> list[Trouble]:
    """Return everything that is not well, the worst first.

    Parameters
    ----------
    status
        As ``karnak status --json`` prints it.
    now
        ms since 1970.
    """
    found = [
        *_gateway(status),
        *_room(status),
        *(trouble for one in status["destinations"] for trouble in _destination(one)),
        *_after(status),
        *_expiries(status),
        *_refused(status, now),
    ]
    return sorted(found, key=lambda one: one.tone != "bad")


def monitoring(path: str = "", **query: str) -> str:
    """Return an address of the monitoring."""
    return f"/monitoring{path}?{urlencode(query)}"


def _gateway(status: Mapping[str, Any]) -> Iterator[Trouble]:
    if not status["gateway"]["running"] and not status["gateway"]["processes"]:
        yield Trouble(
            of="The gateway", text="does not run: nothing is received or sent.", advice="Start it with karnak serve."
        )


def _room(status: Mapping[str, Any]) -> Iterator[Trouble]:
    free, reserve = status["spool"]["free_bytes"], status["storage"]["reserve"]
    if not status["storage"]["accepting"]:
        yield Trouble(
            of="The disk",
            text=f"is full: {size(free)} are free, and {size(reserve)} are kept free. Nothing is accepted.",
            advice="Make room where the data directory is, or lower storage.reserve.",
        )
    elif free < 2 * reserve:
        yield Trouble(
            of="The disk",
            text=f"fills up: {size(free)} are free; below {size(reserve)} nothing more is accepted.",
            advice="Make room where the data directory is.",
            tone="warning",
        )


def _destination(one: Mapping[str, Any]) -> Iterator[Trouble]:
    name = f"{one['forward_node']}/{one['destination']}"
    waits = f" {_number(one['pending'], 'delivery waits', 'deliveries wait')}." if one["pending"] else ""
    if one["state"] in ("unreachable", "held"):
        words = "cannot be reached" if one["state"] == "unreachable" else "is held"
        yield Trouble(
            of=name,
            text=f"{words}: {one['reason']}.{waits}",
            advice="It is tried again by itself; nothing is lost. Look at the peer, its address and its AE title.",
            since=milliseconds(one["since"]),
            link=monitoring(destination=name, state="pending", period="all"),
            link_text="What waits",
        )
    elif one["pending"] and one["state"] in ("paused", "disabled"):
        yield Trouble(
            of=name,
            text=f"sends nothing: {one['reason']}.{waits}",
            advice="Let it go on in its settings, or discard what waits.",
            tone="warning",
            link=monitoring(destination=name, state="pending", period="all"),
            link_text="What waits",
        )
    elif one["pending"] and (one["oldest_pending_seconds"] or 0) > LONG:
        yield Trouble(
            of=name,
            text=f"is slow: the oldest delivery waits for {span(one['oldest_pending_seconds'])}.{waits}",
            advice="See whether the peer keeps up; more connections may help.",
            tone="warning",
            link=monitoring(destination=name, state="pending", period="all"),
            link_text="What waits",
        )
    if one["failed"]:
        reasons = "; ".join(f"{reason['count']}× {reason['reason'] or 'no reason'}" for reason in one["failed_reasons"])
        yield Trouble(
            of=name,
            text=f"{_number(one['failed'], 'delivery failed and is', 'deliveries failed and are')} kept: {reasons}.",
            advice="Put right what the reason names, then retry; or discard.",
            link=monitoring(destination=name, state="failed", period="all"),
            link_text="What failed",
        )


def _after(status: Mapping[str, Any]) -> Iterator[Trouble]:
    for kind, path, word in (
        ("follow_ups", "/follow-ups", "follow-up"),
        ("notifications", "/notifications", "notification"),
    ):
        for row in status[kind]:
            late = row["oldest_seconds"] > LONG
            if not row["failed"] and not (row["reason"] and late):
                continue
            counts = [f"{row['failed']} failed"] if row["failed"] else []
            counts += [f"{row['pending']} wait"] if row["pending"] else []
            yield Trouble(
                of=f"{row['forward_node']}/{row['destination']}, {word} {row['part']}",
                text=f"{', '.join(counts)}, the oldest for {span(row['oldest_seconds'])}: {row['reason']}.",
                advice="Put right what the reason names, then retry; or discard.",
                tone="bad" if row["failed"] else "warning",
                link=monitoring(path, state="failed" if row["failed"] else "pending"),
                link_text=f"The {word}s",
            )


def _expiries(status: Mapping[str, Any]) -> Iterator[Trouble]:
    for row in status["expiries"]:
        # of a follow-up the name says what it is
        of = row["of"] if row["of"].endswith(row["kind"]) else f"{row['of']}, {row['kind']}"
        renew = "Put a new one in its place." if row["kind"] == "certificate" else "Ask for a new one, and store it."
        if row["problem"]:
            yield Trouble(of=of, text=f"cannot be read: {row['problem']}.", advice="Look at the file.", tone="warning")
        elif row["seconds"] < 0:
            yield Trouble(of=of, text="has expired.", advice=renew, since=milliseconds(row["expires_at"]))
        elif row["seconds"] < EXPIRES_SOON:
            yield Trouble(of=of, text=f"expires in {span(row['seconds'])}.", advice=renew, tone="warning")


def _refused(status: Mapping[str, Any], now: int) -> Iterator[Trouble]:
    since = now - int(RECENT / timedelta(milliseconds=1))
    for row in status["refused_associations"]:
        if (milliseconds(row["last_at"]) or 0) < since:
            continue
        peer = (
            f"{row['calling_ae_title']} at {row['peer_host']}"
            if row["calling_ae_title"]
            else f"A peer at {row['peer_host']}"
        )
        called = f" to {row['called_ae_title']}" if row["called_ae_title"] else ""
        yield Trouble(
            of=f"{peer}{called}",
            text=f"was refused {_number(row['count'], 'time', 'times')}: {row['reason']}.",
            advice="If it may send, add it as a source, or put its AE titles right.",
            tone="warning",
        )


def milliseconds(iso: str | None) -> int | None:
    """Return a time that ``status`` tells, in ms since 1970."""
    if iso is None:
        return None
    return int(datetime.fromisoformat(iso).astimezone(UTC).timestamp() * 1000)


def _number(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {many}"

"""Everything about one delivery, for ``karnak deliveries show``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from rich.markup import escape

from karnak_core.commands.people import STYLES, console, size
from karnak_core.database.tables import delivery, follow_up, instance, notification
from karnak_core.spool import history
from karnak_core.spool.views import Filter, deliveries, iso


def detail(connection: sa.Connection, number: int) -> dict[str, Any] | None:
    """Return what ``show --json`` prints: what ``list`` does, and what belongs to it; None: there is none."""
    found = next(deliveries(connection, Filter(ids=(number,))), None)
    if found is None:
        return None
    row = connection.execute(
        sa.select(instance.c.facts, instance.c.path, delivery.c.sent_facts, delivery.c.waits_for)
        .join(delivery, delivery.c.instance_id == instance.c.id)
        .where(delivery.c.id == number)
    ).one()
    gone = found["sent_sop_instance_uid"] is not None
    return {
        **found,
        "facts": row.facts,
        # what has none of its own went out with those it came with
        "sent_facts": (row.sent_facts or row.facts) if gone else None,
        "kept": row.path is not None,
        "waits_for_pseudonym": row.waits_for is not None,
        "decisions": [{**asdict(one), "decided_at": iso(one.decided_at)} for one in history.of(connection, [number])],
        "follow_ups": _after(connection, follow_up, found, follow_up.c.subject, _of_study()),
        "notifications": _after(
            connection,
            notification,
            found,
            notification.c.study_instance_uid.label("subject"),
            notification.c.study_instance_uid == found["study_instance_uid"],
        ),
    }


def _of_study() -> sa.ColumnElement[bool]:
    same = instance.alias()
    return follow_up.c.instance_id.in_(
        sa.select(same.c.id).where(
            same.c.study_instance_uid == sa.bindparam("study"), same.c.series_instance_uid == sa.bindparam("series")
        )
    )


def _after(
    connection: sa.Connection,
    table: sa.Table,
    found: dict[str, Any],
    subject: sa.ColumnElement[Any],
    belongs: sa.ColumnElement[bool],
) -> list[dict[str, Any]]:
    rows = connection.execute(
        sa.select(
            table.c.part,
            subject,
            table.c.state,
            table.c.reason,
            table.c.attempts,
            table.c.not_before,
            table.c.created_at,
            table.c.finished_at,
        )
        .where(table.c.forward_node == found["forward_node"], table.c.destination == found["destination"], belongs)
        .order_by(table.c.id),
        {"study": found["study_instance_uid"], "series": found["series_instance_uid"]},
    ).mappings()
    return [{name: iso(value) if name in _TIMES else value for name, value in row.items()} for row in rows]


_TIMES = ("not_before", "created_at", "finished_at")


def print_detail(found: dict[str, Any]) -> None:
    """Print it for people: how it stands, then what was received beside what was sent, then what follows."""
    out = console()
    for name, value in found.items():
        if isinstance(value, dict | list) or (name == "sent_facts" and value is None):
            continue
        shown = size(value) if name == "size" else "" if value is None else str(value)
        style = STYLES.get(shown, "") if name == "state" else ""
        out.print(f"{name:28} [{style}]{escape(shown)}[/]" if style else f"{name:28} {escape(shown)}")
    received, sent = found["facts"], found["sent_facts"]
    out.print(f"\n[bold]{'':28} {'received':40} sent[/]")
    for name in sorted({*received, *(sent or {})}):
        after = "" if sent is None else sent.get(name, "")
        style = "yellow" if sent is not None and after != received.get(name, "") else ""
        line = f"{name:28} {escape(received.get(name, '')):40} {escape(after)}"
        out.print(f"[{style}]{line}[/]" if style else line)
    for one in found["decisions"]:
        before = f"; before that: {one['reason']}" if one["reason"] else ""
        out.print(f"\n{one['what']} {one['decided_at']} by {escape(one['decided_by'])}{escape(before)}")
    for kind, word in (("follow_ups", "follow-up"), ("notifications", "notification")):
        for row in found[kind]:
            ended = row["finished_at"] or f"next {row['not_before']}"
            reason = f": {row['reason']}" if row["reason"] else ""
            style = STYLES.get(row["state"], "cyan")
            what = escape(f"{word} {row['part']} for {row['subject']}")
            out.print(f"\n{what}: [{style}]{row['state']}[/] {ended}{escape(reason)}")

"""``karnak status``: in one screen, what is stuck and why."""

from __future__ import annotations

import json
from typing import Any

import click
import sqlalchemy as sa

from karnak_core.commands.common import Place, data_options
from karnak_core.commands.people import console, size, span, table
from karnak_core.config import store
from karnak_core.config.models import Configuration
from karnak_core.database import Database
from karnak_core.database.tables import instance, refusal
from karnak_core.model import Health
from karnak_core.spool import tallies
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.views import DestinationNumbers, destination_numbers, iso


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@data_options
def status(place: Place, as_json: bool) -> None:
    """Show how every destination is, and what waits for it."""
    database = place.open_existing()
    following = store.Following.start(database, place)
    found = snapshot(database, following.configuration, SpoolFolder(place.data_directory / "spool"))
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)


def snapshot(database: Database, configuration: Configuration, folder: SpoolFolder) -> dict[str, Any]:
    """Return what ``status --json`` prints."""
    with database.read() as connection:
        numbers = destination_numbers(connection)
        totals = tallies.read(connection)
        spooled = connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(instance.c.size), 0)).where(instance.c.path.is_not(None))
        ).scalar_one()
        refusals = connection.execute(sa.select(refusal).order_by(refusal.c.last_at.desc()).limit(10)).all()
    configured = {
        (node.ae_title, destination.name): destination
        for node in configuration.forward_nodes
        for destination in node.destinations
    }
    destinations = []
    removed = {key for key, known in numbers.items() if key not in configured and (known.pending or known.failed)}
    for key in [*configured, *sorted(removed)]:
        known = numbers.get(key) or _nothing_yet(*key)
        state, reason = known.health, known.reason
        if key not in configured:
            state, reason = Health.DISABLED, "removed from the configuration"
        elif not configured[key].enabled:
            state, reason = Health.DISABLED, "enabled is false"
        elif configured[key].paused:
            state, reason = Health.PAUSED, "paused is true"
        destinations.append(
            {
                "forward_node": known.forward_node,
                "destination": known.destination,
                "state": state.value,
                "reason": reason,
                "pending": known.pending,
                "sent": known.sent,
                "duplicate": known.duplicate,
                "excluded": known.excluded,
                "failed": known.failed,
                "discarded": known.discarded,
                "oldest_pending_seconds": known.oldest_pending_seconds,
            }
        )
    return {
        "destinations": destinations,
        "instances": {
            name: sum(count for (_, _, key), count in totals.items() if key == name)
            for name in (tallies.RECEIVED, tallies.REFUSED)
        },
        "spool": {"bytes": int(spooled), "free_bytes": folder.free_bytes()},
        "refused_associations": [
            {
                "called_ae_title": row.called_ae_title,
                "calling_ae_title": row.calling_ae_title,
                "peer_host": row.peer_host,
                "reason": row.reason,
                "count": row._mapping["count"],
                "last_at": iso(row.last_at),
            }
            for row in refusals
        ],
    }


def _nothing_yet(forward_node: str, destination: str) -> DestinationNumbers:
    return DestinationNumbers(
        forward_node=forward_node,
        destination=destination,
        health=Health.OK,
        reason="",
        pending=0,
        sent=0,
        duplicate=0,
        excluded=0,
        failed=0,
        discarded=0,
        oldest_pending_seconds=None,
    )


def _show(found: dict[str, Any]) -> None:
    out = console()
    spool, instances = found["spool"], found["instances"]
    out.print(
        f"received {instances['received']}, refused {instances['refused']}; "
        f"spool {size(spool['bytes'])}, {size(spool['free_bytes'])} free"
    )
    columns = ("destination", "state", "pending", "sent", "duplicate", "excluded", "failed", "discarded", "oldest")
    rows = [
        (
            f"{row['forward_node']}/{row['destination']}",
            row["state"],
            *(row[name] for name in columns[2:-1]),
            span(row["oldest_pending_seconds"]),
        )
        for row in found["destinations"]
    ]
    out.print(table(columns, rows))
    for row in found["destinations"]:
        if row["reason"]:
            out.print(f"{row['forward_node']}/{row['destination']} is {row['state']}: {row['reason']}", markup=False)
        if row["failed"]:
            out.print(
                f"{row['forward_node']}/{row['destination']}: {row['failed']} failed and kept; see "
                f"`karnak deliveries list --state failed --destination {row['destination']}`",
                markup=False,
            )
    for row in found["refused_associations"]:
        out.print(
            f"refused {row['count']}x, last {row['last_at']}: {_who(row)}: {row['reason']}",
            markup=False,
        )


def _who(row: dict[str, Any]) -> str:
    if not row["called_ae_title"]:
        # it came no further than to connect
        return f"a peer at {row['peer_host']}"
    return f"{row['calling_ae_title']} at {row['peer_host']} to {row['called_ae_title']}"

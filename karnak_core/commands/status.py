"""``karnak status``: in one screen, what is stuck and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
from rich.markup import escape
from rich.text import Text

from karnak_core.commands.common import Place, data_options
from karnak_core.commands.people import console, size, span, table
from karnak_core.config import store
from karnak_core.deliver.contexts import Contexts
from karnak_core.errors import KarnakError
from karnak_core.monitor import expiries, standing
from karnak_core.monitor.expiries import Expiry
from karnak_core.spool.files import SpoolFolder

#: days before something expires from which on it is told
EXPIRES_SOON = 30
#: how each state looks where there is colour
STYLES = {"ok": "green", "unreachable": "bold red", "held": "bold red", "paused": "yellow", "disabled": "dim"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@data_options
def status(place: Place, as_json: bool) -> None:
    """Show how every destination is, and what waits for it."""
    database = place.open_existing()
    following = store.Following.start(database, place)
    found = standing.as_json(
        standing.look(database, following.configuration, SpoolFolder(place.data_directory / "spool")),
        running=standing.runs(place.data_directory),
        expiries=_expiries(place, following),
    )
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)


def _expiries(place: Place, following: store.Following) -> Iterator[Expiry]:
    yield from expiries.certificates(following.configuration)
    try:
        contexts = Contexts(following.plugins, place.open_vault(), place.data_directory)
    except KarnakError:
        # whoever has no key to the secrets may still see how things stand
        return
    yield from expiries.tokens(contexts.of(following.configuration, "", "").authenticators)
    contexts.close_all_but(None)


def _show(found: dict[str, Any]) -> None:
    out = console()
    spool, instances, storage = found["spool"], found["instances"], found["storage"]
    out.print(
        f"received {instances['received']}, refused {instances['refused']}; "
        f"spool {size(spool['bytes'])}, {size(spool['free_bytes'])} free"
    )
    out.print(_running(found["gateway"]))
    if not storage["accepting"]:
        out.print(
            f"[bold red]nothing is accepted: less than {size(storage['reserve'])} are free (storage.reserve)[/]",
        )
    out.print(_destinations(found["destinations"]))
    lines = [*_stuck(found), *(_refused(row) for row in found["refused_associations"])]
    for line in ["", *lines] if lines else []:
        out.print(line)


def _running(gateway: dict[str, Any]) -> str:
    roles = Counter(one["role"] for one in gateway["processes"])
    words = ", ".join(role if count == 1 else f"{count} {role}" for role, count in sorted(roles.items()))
    if gateway["running"]:
        return f"[green]running[/]: {words}" if words else "[green]running[/]"
    if words:
        return f"[yellow]not running here[/]; elsewhere, or until a minute ago: {words}"
    return "[bold red]not running[/]: nothing is received or sent until `karnak serve`"


def _destinations(rows: list[dict[str, Any]]) -> Any:
    columns = ("destination", "state", "pending", "oldest", "failed", "sent", "duplicate", "excluded", "discarded")
    made = table(columns, ())
    for column in made.columns[2:]:
        column.justify = "right"
    for row in rows:
        counts = [Text(str(row[name]), style="" if row[name] else "dim") for name in columns[5:]]
        made.add_row(
            Text(f"{row['forward_node']}/{row['destination']}"),
            Text(row["state"], style=STYLES[row["state"]]),
            Text(str(row["pending"]), style="" if row["pending"] else "dim"),
            span(row["oldest_pending_seconds"]),
            Text(str(row["failed"]), style="bold red" if row["failed"] else "dim"),
            *counts,
        )
    return made


def _stuck(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line for everything that does not go its way, with what can be done."""
    for row in found["destinations"]:
        name = escape(f"{row['forward_node']}/{row['destination']}")
        if row["reason"]:
            since = f" for {span(-_seconds(row['since']))}" if row["since"] else ""
            yield f"{name} is [{STYLES[row['state']]}]{row['state']}[/]{since}: {escape(row['reason'])}"
            if row["next_probe_at"]:
                soon = span(max(0.0, _seconds(row["next_probe_at"])))
                yield f"    [dim]next try in {soon}; at once by: karnak probe {name}[/]"
        if row["failed"]:
            reasons = "; ".join(f"{one['count']}x {one['reason'] or 'no reason'}" for one in row["failed_reasons"])
            yield f"{name}: [bold red]{row['failed']} failed[/] and kept: {escape(reasons)}"
            yield f"    [dim]karnak deliveries list --state failed --destination {name}[/]"
    for kind, word in (("follow_ups", "follow-up"), ("notifications", "notification")):
        for row in found[kind]:
            name = escape(f"{row['forward_node']}/{row['destination']} {word} {row['part']}")
            counts = [f"{row['pending']} waiting"] if row["pending"] else []
            counts += [f"[bold red]{row['failed']} failed[/]"] if row["failed"] else []
            reason = f": {escape(row['reason'])}" if row["reason"] else ""
            yield f"{name}: {', '.join(counts)}, the oldest for {span(row['oldest_seconds'])}{reason}"
            if row["failed"]:
                place = escape(f"{row['forward_node']}/{row['destination']}")
                yield f"    [dim]karnak {word}s list --state failed --destination {place}[/]"
    for row in found["expiries"]:
        if row["problem"]:
            yield f"{escape(row['of'])}: when its {row['kind']} expires cannot be seen: {escape(row['problem'])}"
        elif row["seconds"] < 0:
            yield f"[bold red]{_expires(row)} expired {span(-row['seconds'])} ago, on {_minute(row)}[/]"
        elif row["seconds"] < EXPIRES_SOON * 86400:
            yield f"[yellow]{_expires(row)} expires in {span(row['seconds'])}, on {_minute(row)}[/]"


def _expires(row: dict[str, Any]) -> str:
    # of a follow-up the name says what it is
    return escape(row["of"] if row["of"].endswith(row["kind"]) else f"{row['of']}: its {row['kind']}")


def _minute(row: dict[str, Any]) -> str:
    return f"{datetime.fromisoformat(row['expires_at']):%Y-%m-%d %H:%M} UTC"


def _refused(row: dict[str, Any]) -> str:
    last = f"last {span(-_seconds(row['last_at']))} ago"
    return f"refused {row['count']}x, {last}: {escape(_who(row))}: {escape(row['reason'])}"


def _seconds(moment: str) -> float:
    """Return how far in the future a moment is; negative: in the past."""
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


def _who(row: dict[str, Any]) -> str:
    if not row["called_ae_title"]:
        # it came no further than to connect
        return f"a peer at {row['peer_host']}"
    return f"{row['calling_ae_title']} at {row['peer_host']} to {row['called_ae_title']}"

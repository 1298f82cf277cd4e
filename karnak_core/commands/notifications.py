"""``karnak notifications``: list, retry and discard what people are told."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import click

from karnak_core.commands.common import Place, data_options, fail, who
from karnak_core.commands.people import console, table
from karnak_core.spool import notice_decisions as decisions
from karnak_core.spool.notice_decisions import STATES, Filter

#: shown to people without a limit
SHOWN = 100


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose notifications; the command gets them as ``chosen``."""

    @click.option("--id", "ids", type=int, multiple=True, help="Number; may be repeated.")
    @click.option("--node", "forward_node", help="Forward node.")
    @click.option("--destination", help="Destination name, or NODE/NAME.")
    @click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="May be repeated.")
    @click.option("--study", "study_instance_uid", help="Study Instance UID, as received.")
    @functools.wraps(command)
    def with_filter(
        *arguments: Any,
        ids: tuple[int, ...],
        forward_node: str | None,
        destination: str | None,
        states: tuple[str, ...],
        study_instance_uid: str | None,
        **options: Any,
    ) -> Any:
        if destination and "/" in destination:
            forward_node, destination = destination.rsplit("/", 1)
        chosen = Filter(
            ids=ids,
            forward_node=forward_node,
            destination=destination,
            states=states,
            study_instance_uid=study_instance_uid,
        )
        return command(*arguments, chosen=chosen, **options)

    return with_filter


@click.group()
def notifications() -> None:
    """See what people are told of studies, and decide about what could not be told."""


@notifications.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1), help="At most this many.  [default: 100; with --json: all]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@data_options
def list_(place: Place, chosen: Filter, limit: int | None, as_json: bool) -> None:
    """List notifications, the newest first."""
    with place.open_existing().read() as connection:
        if as_json:
            for row in decisions.notifications(connection, chosen, limit=limit):
                click.echo(json.dumps(row))
            return
        rows = list(decisions.notifications(connection, chosen, limit=limit or SHOWN))
    console().print(
        table(
            ("id", "destination", "notification", "state", "attempts", "since", "reason"),
            (
                (
                    row["id"],
                    f"{row['forward_node']}/{row['destination']}",
                    row["notification"],
                    row["state"],
                    row["attempts"],
                    row["created_at"],
                    row["reason"],
                )
                for row in rows
            ),
        )
    )
    if limit is None and len(rows) == SHOWN:
        click.echo(f"the newest {SHOWN} are shown; --limit shows more", err=True)


@notifications.command()
@filter_options
@click.option("--all", "everything", is_flag=True, help="Needed to retry without any filter.")
@data_options
def retry(place: Place, chosen: Filter, everything: bool) -> None:
    """Have failed notifications told again, and pending ones now."""
    _need_filter(chosen, everything)
    with place.open_existing().write() as connection:
        outdated = decisions.drop_outdated(connection, chosen)
        count = decisions.retry(connection, chosen)
    click.echo(f"{count} notifications are tried again")
    if outdated:
        click.echo(f"{outdated} are not: a newer one about the same study was told", err=True)


@notifications.command()
@filter_options
@click.option("--all", "everything", is_flag=True, help="Needed to discard without any filter.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_options
def discard(place: Place, chosen: Filter, everything: bool, yes: bool) -> None:
    """Give up failed and pending notifications."""
    _need_filter(chosen, everything)
    if not yes:
        click.confirm("Nobody is told what is discarded. Go on?", abort=True)
    with place.open_existing().write() as connection:
        count = decisions.discard(connection, chosen, who())
    click.echo(f"{count} notifications are discarded")


def _need_filter(chosen: Filter, everything: bool) -> None:
    if chosen == Filter() and not everything:
        fail("name what to change by a filter, or say --all", 2)

"""``karnak follow-ups``: list, retry and discard what is done after instances were sent."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from karnak_core.commands.common import Place, data_options, fail, who
from karnak_core.commands.people import console, table
from karnak_core.spool import follow_up_decisions as decisions
from karnak_core.spool import wakeups
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.follow_up_decisions import STATES, Filter

#: shown to people without a limit
SHOWN = 100


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose follow-ups; the command gets them as ``chosen``."""

    @click.option("--id", "ids", type=int, multiple=True, help="Number; may be repeated.")
    @click.option("--node", "forward_node", help="Forward node.")
    @click.option("--destination", help="Destination name, or NODE/NAME.")
    @click.option("--follow-up", help="Its name, or its type.")
    @click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="May be repeated.")
    @click.option("--study", "study_instance_uid", help="Study Instance UID, original or sent.")
    @click.option("--series", "series_instance_uid", help="Series Instance UID, original or sent.")
    @functools.wraps(command)
    def with_filter(
        *arguments: Any,
        ids: tuple[int, ...],
        forward_node: str | None,
        destination: str | None,
        follow_up: str | None,
        states: tuple[str, ...],
        study_instance_uid: str | None,
        series_instance_uid: str | None,
        **options: Any,
    ) -> Any:
        if destination and "/" in destination:
            forward_node, destination = destination.rsplit("/", 1)
        chosen = Filter(
            ids=ids,
            forward_node=forward_node,
            destination=destination,
            follow_up=follow_up,
            states=states,
            study_instance_uid=study_instance_uid,
            series_instance_uid=series_instance_uid,
        )
        return command(*arguments, chosen=chosen, **options)

    return with_filter


@click.group("follow-ups")
def follow_ups() -> None:
    """See what is done after instances were sent, and decide about what failed."""


@follow_ups.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1), help="At most this many.  [default: 100; with --json: all]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@data_options
def list_(place: Place, chosen: Filter, limit: int | None, as_json: bool) -> None:
    """List follow-ups, the newest first."""
    with place.open_existing().read() as connection:
        if as_json:
            for row in decisions.follow_ups(connection, chosen, limit=limit, newest_first=True):
                click.echo(json.dumps(row))
            return
        rows = list(decisions.follow_ups(connection, chosen, limit=limit or SHOWN, newest_first=True))
    console().print(
        table(
            ("id", "destination", "follow-up", "state", "attempts", "since", "series as sent", "reason"),
            (
                (
                    row["id"],
                    f"{row['forward_node']}/{row['destination']}",
                    row["follow_up"],
                    row["state"],
                    row["attempts"],
                    row["created_at"],
                    row["sent_series_instance_uid"],
                    row["reason"],
                )
                for row in rows
            ),
        )
    )
    if limit is None and len(rows) == SHOWN:
        click.echo(f"the newest {SHOWN} are shown; --limit shows more", err=True)


@follow_ups.command()
@filter_options
@click.option("--all", "everything", is_flag=True, help="Needed to retry without any filter.")
@data_options
def retry(place: Place, chosen: Filter, everything: bool) -> None:
    """Try failed follow-ups again, and pending ones now."""
    _need_filter(chosen, everything)
    database = place.open_existing()
    with database.write() as connection:
        count = decisions.retry(connection, chosen, who())
    with closing(wakeups.open_wakeups(database, place.data_directory)) as wake:
        wake.publish([wakeups.AFTERWARDS])
    click.echo(f"{count} follow-ups are tried again")


@follow_ups.command()
@filter_options
@click.option("--all", "everything", is_flag=True, help="Needed to discard without any filter.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_options
def discard(place: Place, chosen: Filter, everything: bool, yes: bool) -> None:
    """Give up failed and pending follow-ups; the files kept for them go when nothing else needs them."""
    _need_filter(chosen, everything)
    if not yes:
        click.confirm("What is discarded is not done. Go on?", abort=True)
    with place.open_existing().write() as connection:
        count, removable = decisions.discard(connection, chosen, who())
    SpoolFolder(place.data_directory / "spool").remove(removable)
    click.echo(f"{count} follow-ups are discarded")


def _need_filter(chosen: Filter, everything: bool) -> None:
    if chosen == Filter() and not everything:
        fail("name what to change by a filter, or say --all", 2)

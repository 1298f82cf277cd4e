"""``karnak follow-ups``: list, retry and discard what is done after instances were sent."""

from __future__ import annotations

from contextlib import closing

import click

from karnak_core.commands import choosing
from karnak_core.commands.common import Place, data_options, who
from karnak_core.commands.people import state
from karnak_core.spool import follow_up_decisions as decisions
from karnak_core.spool import wakeups
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.follow_up_decisions import STATES, Filter

LISTED: choosing.Columns = {
    "id": "id",
    "destination": choosing.where,
    "follow-up": "follow_up",
    "state": lambda row: state(row["state"]),
    "attempts": "attempts",
    "since": "created_at",
    "series as sent": "sent_series_instance_uid",
    "reason": "reason",
}

filter_options = choosing.filter_options(
    Filter,
    choosing.IDS,
    choosing.NODE,
    choosing.DESTINATION,
    click.option("--follow-up", help="Its name, or its type."),
    choosing.states_option(STATES),
    choosing.STUDY,
    choosing.SERIES,
)


@click.group("follow-ups")
def follow_ups() -> None:
    """See what is done after instances were sent, and decide about what failed."""


@follow_ups.command("list")
@filter_options
@choosing.list_options
@data_options
def list_(place: Place, chosen: Filter, limit: int | None, as_json: bool) -> None:
    """List follow-ups, the newest first."""
    choosing.print_rows(
        place,
        lambda connection, most: decisions.follow_ups(connection, chosen, limit=most, newest_first=True),
        LISTED,
        limit=limit,
        as_json=as_json,
    )


@follow_ups.command()
@filter_options
@choosing.decision_options("retry")
@data_options
def retry(place: Place, chosen: Filter) -> None:
    """Try failed follow-ups again, and pending ones now."""
    database = place.open_existing()
    with database.write() as connection:
        count = decisions.retry(connection, chosen, who())
    with closing(wakeups.open_wakeups(database, place.data_directory)) as wake:
        wake.publish([wakeups.AFTERWARDS])
    click.echo(f"{count} follow-ups are tried again")


@follow_ups.command()
@filter_options
@choosing.decision_options("discard")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_options
def discard(place: Place, chosen: Filter, yes: bool) -> None:
    """Give up failed and pending follow-ups; the files kept for them go when nothing else needs them."""
    if not yes:
        click.confirm("What is discarded is not done. Go on?", abort=True)
    with place.open_existing().write() as connection:
        count, removable = decisions.discard(connection, chosen, who())
    SpoolFolder(place.data_directory / "spool").remove(removable)
    click.echo(f"{count} follow-ups are discarded")

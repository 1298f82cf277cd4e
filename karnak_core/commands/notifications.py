"""``karnak notifications``: list, retry and discard what people are told."""

from __future__ import annotations

import click

from karnak_core.commands import choosing
from karnak_core.commands.common import Place, data_options, who
from karnak_core.commands.people import state
from karnak_core.spool import notice_decisions as decisions
from karnak_core.spool.notice_decisions import STATES, Filter

LISTED: choosing.Columns = {
    "id": "id",
    "destination": choosing.where,
    "notification": "notification",
    "state": lambda row: state(row["state"]),
    "attempts": "attempts",
    "since": "created_at",
    "reason": "reason",
}

filter_options = choosing.filter_options(
    Filter,
    choosing.IDS,
    choosing.NODE,
    choosing.DESTINATION,
    choosing.states_option(STATES),
    click.option("--study", "study_instance_uid", help="Study Instance UID, as received."),
)


@click.group()
def notifications() -> None:
    """See what people are told of studies, and decide about what could not be told."""


@notifications.command("list")
@filter_options
@choosing.list_options
@data_options
def list_(place: Place, chosen: Filter, limit: int | None, as_json: bool) -> None:
    """List notifications, the newest first."""
    choosing.print_rows(
        place,
        lambda connection, most: decisions.notifications(connection, chosen, limit=most),
        LISTED,
        limit=limit,
        as_json=as_json,
    )


@notifications.command()
@filter_options
@choosing.decision_options("retry")
@data_options
def retry(place: Place, chosen: Filter) -> None:
    """Have failed notifications told again, and pending ones now."""
    with place.open_existing().write() as connection:
        outdated = decisions.drop_outdated(connection, chosen)
        count = decisions.retry(connection, chosen)
    click.echo(f"{count} notifications are tried again")
    if outdated:
        click.echo(f"{outdated} are not: a newer one about the same study was told", err=True)


@notifications.command()
@filter_options
@choosing.decision_options("discard")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_options
def discard(place: Place, chosen: Filter, yes: bool) -> None:
    """Give up failed and pending notifications."""
    if not yes:
        click.confirm("Nobody is told what is discarded. Go on?", abort=True)
    with place.open_existing().write() as connection:
        count = decisions.discard(connection, chosen, who())
    click.echo(f"{count} notifications are discarded")

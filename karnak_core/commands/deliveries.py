"""``karnak deliveries``: list, show, retry, discard, export, and the studies that they belong to."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, TextIO

import click

from karnak_core.commands import choosing
from karnak_core.commands.cells import cell
from karnak_core.commands.common import Place, data_options, fail, who
from karnak_core.commands.delivery_detail import detail, print_detail
from karnak_core.commands.people import state
from karnak_core.commands.series_sheet import COLUMNS, series_rows
from karnak_core.commands.study_tree import print_studies, study_json
from karnak_core.config.store import Following
from karnak_core.model import State
from karnak_core.spool import aggregates, decisions, wakeups
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.views import FIELDS, Filter
from karnak_core.spool.views import deliveries as select_deliveries


class Moment(click.ParamType[int]):
    """A date, or date and time, of this machine's time zone unless it names one; ms since 1970."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse ISO 8601."""
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date; write 2026-11-25 or 2026-11-25T20:15", param, ctx)
        return int(moment.astimezone(UTC).timestamp() * 1000)


LISTED: choosing.Columns = {
    "id": "id",
    "destination": choosing.where,
    "state": lambda row: state(row["state"]),
    "attempts": "attempts",
    "received": "received_at",
    "SOP instance": "sop_instance_uid",
    "reason": "reason",
}

filter_options = choosing.filter_options(
    Filter,
    choosing.IDS,
    choosing.NODE,
    choosing.DESTINATION,
    choosing.states_option([state.value for state in State]),
    choosing.STUDY,
    choosing.SERIES,
    click.option("--instance", "--sop", "sop_instance_uid", help="SOP Instance UID, original or sent."),
    click.option("--since", type=Moment(), help="Received at or after."),
    click.option("--until", type=Moment(), help="Received before."),
    click.option("--changed-since", type=Moment(), help="Received, ended or decided about at or after."),
    click.option("--changed-until", type=Moment(), help="Last received, ended or decided about before."),
    click.option("--patient", "patient_id", help="Patient ID, original or sent."),
    click.option("--text", help="Part of a reason, a UID, a patient's ID or name, an accession number, a description."),
)


@click.group()
def deliveries() -> None:
    """See what became of every instance, and decide about what failed."""


@deliveries.command("list")
@filter_options
@choosing.list_options
@data_options
def list_(place: Place, chosen: Filter, limit: int | None, as_json: bool) -> None:
    """List deliveries, the newest first."""
    choosing.print_rows(
        place,
        lambda connection, most: select_deliveries(connection, chosen, limit=most, newest_first=True),
        LISTED,
        limit=limit,
        as_json=as_json,
    )


@deliveries.command()
@click.argument("number", type=int)
@click.option("--json", "as_json", is_flag=True)
@data_options
def show(place: Place, number: int, as_json: bool) -> None:
    """Show everything about one delivery."""
    with place.open_existing().read() as connection:
        found = detail(connection, number)
    if found is None:
        fail(f"there is no delivery {number}", 2)
    if as_json:
        click.echo(json.dumps(found))
    else:
        print_detail(found)


@deliveries.command()
@filter_options
@choosing.decision_options("retry")
@data_options
def retry(place: Place, chosen: Filter) -> None:
    """Try failed deliveries again, and pending ones now."""
    database = place.open_existing()
    with database.write() as connection:
        count = decisions.retry(connection, chosen, who())
        topics = decisions.pending_topics(connection)
    with closing(wakeups.open_wakeups(database, place.data_directory)) as wake:
        wake.publish(topics)
    click.echo(f"{count} deliveries are tried again")


@deliveries.command()
@filter_options
@choosing.decision_options("discard")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_options
def discard(place: Place, chosen: Filter, yes: bool) -> None:
    """Give up failed and pending deliveries; their files go when nothing else needs them."""
    if not yes:
        click.confirm("Discarded instances are not sent. Go on?", abort=True)
    with place.open_existing().write() as connection:
        count, removable = decisions.discard(connection, chosen, who())
    SpoolFolder(place.data_directory / "spool").remove(removable)
    click.echo(f"{count} deliveries are discarded")


@deliveries.command()
@filter_options
@click.option("--aggregate", is_flag=True, help="A row for each series, with the columns of the Java Karnak.")
@click.option("--delimiter", default=",", show_default=True, help="One character; \\t for a tabulator.")
@click.option("--quote", default='"', show_default=True, help="One character.")
@click.option(
    "--output", type=click.File("w", encoding="utf-8", lazy=False), default="-", help="File; default: stdout."
)
@data_options
def export(place: Place, chosen: Filter, aggregate: bool, delimiter: str, quote: str, output: TextIO) -> None:
    """Write deliveries as CSV with a header line.

    Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if len(delimiter) != 1 or len(quote) != 1 or delimiter == quote or {delimiter, quote} & {"\r", "\n"}:
        fail("--delimiter and --quote are one character each, different, and no line end", 2)
    sheet = csv.writer(output, delimiter=delimiter, quotechar=quote, lineterminator="\n")
    database = place.open_existing()
    if aggregate:
        configuration = Following.start(database, place).configuration
        with database.read() as connection:
            sheet.writerow(COLUMNS)
            sheet.writerows([cell(value) for value in row] for row in series_rows(connection, configuration, chosen))
    else:
        sheet.writerow(FIELDS)
        with database.read() as connection:
            for row in select_deliveries(connection, chosen):
                sheet.writerow([cell(row[name]) for name in FIELDS])
    if output is not sys.stdout:
        output.flush()


@deliveries.command()
@filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Studies, at most.")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True, help="Studies passed over.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@data_options
def studies(place: Place, chosen: Filter, limit: int, offset: int, as_json: bool) -> None:
    """Show studies with their series, and why what was not sent was not: those with failures first."""
    with place.open_existing().read() as connection:
        page = aggregates.studies(connection, chosen, limit=limit, offset=offset)
    if as_json:
        for study in page.studies:
            click.echo(json.dumps(study_json(study)))
        return
    print_studies(page.studies)
    if page.total > offset + len(page.studies):
        click.echo(f"{len(page.studies)} of {page.total} studies; --offset {offset + limit} shows more", err=True)

"""What the commands share that list, retry and discard rows of the ledger: options that choose rows, and lists."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import click

from karnak_core.commands.common import WRONG, Place, fail
from karnak_core.commands.people import console, table

Command = Callable[..., Any]
Option = Callable[[Command], Command]
Row = Mapping[str, Any]
#: heading -> key of the row, or what is shown of it
Columns = Mapping[str, str | Callable[[Row], object]]

#: shown to people without a limit
SHOWN: Final = 100

# several filters have these
IDS: Final = click.option("--id", "ids", type=int, multiple=True, help="Number; may be repeated.")
NODE: Final = click.option("--node", "forward_node", help="Forward node.")
DESTINATION: Final = click.option("--destination", help="Destination name, or NODE/NAME.")
STUDY: Final = click.option("--study", "study_instance_uid", help="Study Instance UID, original or sent.")
SERIES: Final = click.option("--series", "series_instance_uid", help="Series Instance UID, original or sent.")

# of what a list shows
_LIMIT: Final = click.option(
    "--limit", type=click.IntRange(1), help=f"At most this many.  [default: {SHOWN}; with --json: all]"
)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")


def states_option(names: Sequence[str]) -> Option:
    """Return the option that chooses by state."""
    return click.option("--state", "states", type=click.Choice(names), multiple=True, help="May be repeated.")


def filter_options(kind: type[Any], *options: Option) -> Option:
    """Return what adds options to a command, which gets them as ``chosen``: a dataclass with a field for each."""

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def with_filter(*arguments: Any, **given: Any) -> Any:
            keys = {field.name: given.pop(field.name) for field in fields(kind)}
            if keys["destination"] and "/" in keys["destination"]:
                keys["forward_node"], keys["destination"] = keys["destination"].rsplit("/", 1)
            return command(*arguments, chosen=kind(**keys), **given)

        return _with(with_filter, options)

    return add


def list_options(command: Command) -> Command:
    """Add ``limit`` and ``as_json``, as :func:`print_rows` takes them."""
    return _with(command, (_LIMIT, _JSON))


def decision_options(verb: str) -> Option:
    """Return what adds the check that something was chosen, or everything on purpose."""

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def with_check(*arguments: Any, chosen: Any, everything: bool, **given: Any) -> Any:
            if chosen == type(chosen)() and not everything:
                fail("name what to change by a filter, or say --all", WRONG)
            return command(*arguments, chosen=chosen, **given)

        said = f"Needed to {verb} without any filter."
        return _with(with_check, (click.option("--all", "everything", is_flag=True, help=said),))

    return add


def print_rows(
    place: Place,
    rows: Callable[[Any, int | None], Iterator[Row]],
    columns: Columns,
    *,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print rows as a table, or each as a line of JSON.

    Parameters
    ----------
    rows
        Gives at most so many rows, all for None, by a connection.
    """
    with place.open_existing().read() as connection:
        if as_json:
            for row in rows(connection, limit):
                click.echo(json.dumps(row))
            return
        shown: Iterable[Row] = list(rows(connection, limit or SHOWN))
    cells = [[row[show] if isinstance(show, str) else show(row) for show in columns.values()] for row in shown]
    console().print(table(list(columns), cells))
    if limit is None and len(cells) == SHOWN:
        click.echo(f"the newest {SHOWN} are shown; --limit shows more", err=True)


def where(row: Row) -> str:
    """Return the destination of a row."""
    return f"{row['forward_node']}/{row['destination']}"


def _with(command: Command, options: Iterable[Option]) -> Command:
    for option in reversed(list(options)):
        command = option(command)
    return command

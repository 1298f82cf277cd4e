"""What the commands of ``karnak pseudonyms`` that change something share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import click
import sqlalchemy as sa

from karnak_core.commands.common import WRONG, Place, fail, who
from karnak_core.commands.project_secrets import configuration_of
from karnak_core.config.quantities import parse_duration
from karnak_core.database import Database
from karnak_core.model import now_ms
from karnak_core.pseudonyms.entries import TEXTS, PseudonymError
from karnak_core.spool import waiting, wakeups

PROJECT = click.option("--project", required=True, help="Name of the project.")
#: of what is changed: how many were stored or deleted, and what deliveries may have waited for
Change = Callable[[sa.Connection], tuple[int, frozenset[str]]]


class Expiry(click.ParamType[float]):
    """A duration, such as ``7 days``, or ``never``; seconds, infinite for never."""

    name = "duration|never"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it."""
        if isinstance(value, float):
            return value
        if str(value).strip().lower() == "never":
            return float("inf")
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(f"{error}; or never", param, ctx)
        # 3000 years are as good as never, and no date would do for more
        if not 0 < seconds < 1e11:
            self.fail(f"{value!r} is not more than 0, or too long; write never", param, ctx)
        return seconds


EXPIRES_IN = click.option("--expires-in", type=Expiry(), help="e.g. '7 days', or never.  [default: never]")


def expires_at(seconds: float | None) -> int | None:
    """Return when something expires that is stored now, ms since 1970; None: never."""
    return None if seconds is None or seconds == float("inf") else now_ms() + int(seconds * 1000)


def need_project(db: Database, place: Place, name: str) -> None:
    """End with exit status 2 where the configuration has no such project."""
    known = [project.name for project in configuration_of(db, place).projects]
    if name not in known:
        fail(f"there is no project {name!r}; known: {', '.join(sorted(known)) or 'none'}", WRONG)


def changed(db: Database, place: Place, change: Change) -> tuple[int, int]:
    """Store or delete; return how many, and how many deliveries are tried again because of it.

    Ends with exit status 2, and nothing changed, where what is to be stored is wrong.
    """
    try:
        with db.write() as connection:
            count, keys = change(connection)
            woken, topics = waiting.wake(connection, keys, who())
    except PseudonymError as error:
        fail(error, WRONG)
    if topics:
        with closing(wakeups.open_wakeups(db, place.data_directory)) as wake:
            wake.publish(topics)
    return count, woken


def also(woken: int) -> str:
    """Say how many deliveries are tried again; nothing where none is."""
    return f"; {counted(woken, 'delivery that failed', 'deliveries that failed')} tried again" if woken else ""


def counted(count: int, one: str, many: str) -> str:
    """Return a number, its noun and the verb that follows."""
    return f"{count} {one} is" if count == 1 else f"{count} {many} are"


@contextmanager
def opened(place: Place) -> Iterator[Database]:
    """Open the database of a gateway that is there."""
    with closing(place.open_existing()) as db:
        yield db


def entry_options(required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that an entry is made of; the command gets them as ``texts``, those not given left out."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_texts(*arguments: Any, **options: Any) -> Any:
            texts = {name: options.pop(name) for name in TEXTS}
            return command(
                *arguments, texts={name: text for name, text in texts.items() if text is not None}, **options
            )

        made: Callable[..., Any] = with_texts
        for option in (
            click.option("--last-name", help="For people who look somebody up."),
            click.option("--first-name", help="For people who look somebody up."),
            click.option("--issuer", help="Issuer of the Patient ID; none: any."),
            click.option("--patient-id", required=required, help="Patient ID (0010,0020)."),
            click.option("--pseudonym", required=required, help="The patient's name in the project."),
        ):
            made = option(made)
        return made

    return decorate

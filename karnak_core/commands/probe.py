"""``karnak probe``: would this destination take instances?"""

from __future__ import annotations

from contextlib import closing

import click

from karnak_core.commands.asking import ask
from karnak_core.commands.common import Place, data_options, fail
from karnak_core.commands.destinations import Found, find_destination
from karnak_core.config.afterwards import FollowUp, by_key
from karnak_core.errors import DeliveryError
from karnak_core.monitor.expiries import said_by
from karnak_core.spool import decisions, expiring, follow_ups, health, wakeups
from karnak_core.spool.follow_ups import Part


@click.command()
@click.argument("name", metavar="DESTINATION")
@data_options
def probe(place: Place, name: str) -> None:
    """Ask a destination, NODE/NAME or NAME, and say what was seen. One that was held goes on when it answers.

    What is done after instances were sent to it is asked likewise.
    """
    found = find_destination(place, name)
    problems = [*_ask_destination(place, found), *_ask_follow_ups(place, found)]
    if problems:
        fail("\n".join(problems))


def _ask_destination(place: Place, found: Found) -> list[str]:
    destination = found.destination
    try:
        click.echo(ask(found.kind, destination.options, found.context))
    except DeliveryError as error:
        return [error.reason]
    with found.database.write() as connection:
        health.note_answer(connection, found.forward_node, destination.name)
        topics = decisions.pending_topics(connection)
    with closing(wakeups.open_wakeups(found.database, place.data_directory)) as wake:
        wake.publish(topics)
    if not destination.enabled:
        click.echo(f"{found.forward_node}/{destination.name} is disabled: nothing is sent to it")
    elif destination.paused:
        click.echo(f"{found.forward_node}/{destination.name} is paused: instances are queued, but held")
    return []


def _ask_follow_ups(place: Place, found: Found) -> list[str]:
    problems = []
    for key, configured in by_key(found.destination.follow_ups).items():
        part = (found.forward_node, found.destination.name, key)
        try:
            click.echo(f"follow-up {key}: {_ask_follow_up(found, part, configured)}")
        except DeliveryError as error:
            problems.append(f"follow-up {key}: {error.reason}")
            continue
        with found.database.write() as connection:
            follow_ups.due_now(connection, part)
        with closing(wakeups.open_wakeups(found.database, place.data_directory)) as wake:
            wake.publish([wakeups.AFTERWARDS])
    return problems


def _ask_follow_up(found: Found, of: Part, configured: FollowUp) -> str:
    kind = found.plugins.follow_ups[configured.type]
    with closing(kind.open(configured.options, found.context_of(kind))) as part:
        try:
            return part.probe()
        finally:
            # for the status: nobody else may have asked yet
            with found.database.write() as connection:
                expiring.keep(connection, of, configured.secrets_digest, said_by(part))

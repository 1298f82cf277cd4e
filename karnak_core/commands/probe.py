"""``karnak probe``: would this destination take instances?"""

from __future__ import annotations

from contextlib import closing

import click

from karnak_core.commands.common import Place, data_options, fail
from karnak_core.commands.destinations import find_destination
from karnak_core.errors import DeliveryError
from karnak_core.spool import decisions, health, wakeups


@click.command()
@click.argument("name", metavar="DESTINATION")
@data_options
def probe(place: Place, name: str) -> None:
    """Ask a destination, NODE/NAME or NAME, and say what was seen. One that was held goes on when it answers."""
    found = find_destination(place, name)
    destination = found.destination
    try:
        part = found.kind.open(destination.options, found.context)
        try:
            click.echo(part.probe())
        finally:
            part.close()
    except DeliveryError as error:
        fail(error)
    with found.database.write() as connection:
        health.note_answer(connection, found.forward_node, destination.name)
        topics = decisions.pending_topics(connection)
    with closing(wakeups.open_wakeups(found.database, place.data_directory)) as wake:
        wake.publish(topics)
    if not destination.enabled:
        click.echo(f"{found.forward_node}/{destination.name} is disabled: nothing is sent to it")
    elif destination.paused:
        click.echo(f"{found.forward_node}/{destination.name} is paused: instances are queued, but held")

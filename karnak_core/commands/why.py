"""``karnak why``: the whole story of an instance, a series or a study."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
from rich.markup import escape

from karnak_core.commands.common import FAILED, Place, data_options, fail
from karnak_core.commands.people import STYLES, console, moment, size
from karnak_core.config import store
from karnak_core.monitor import standing, story
from karnak_core.monitor.next_step import Next
from karnak_core.monitor.story import Afterwards, AtDestination, Group, Reception, Story
from karnak_core.spool import standing as ledger


@click.command()
@click.argument("uid")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@data_options
def why(place: Place, uid: str, as_json: bool) -> None:
    """Tell what happened to an instance, a series or a study, and what happens next.

    UID is a SOP, Series or Study Instance UID, as it was received or as it was sent. The exit status is 1 when nothing
    is known about it.
    """
    database = place.open_existing()
    configuration = store.Following.start(database, place).configuration
    with database.read() as connection:
        # on a shared ledger others may do it
        running = standing.runs(place.data_directory) or bool(ledger.live_processes(connection))
        found = story.tell(connection, configuration, uid.strip(), running=running)
    if found is None:
        fail(
            f"nothing is known about {uid}: it was not received here, or what became of it was forgotten after "
            f"{configuration.storage.retention_days} days (storage.retention_days); karnak status says who was refused",
            FAILED,
        )
    if as_json:
        click.echo(json.dumps(story.with_times(found)))
        return
    out = console()
    for line in _lines(found):
        out.print(line)


def _lines(found: Story) -> Iterator[str]:
    sent = " (as it was sent)" if found.as_sent else ""
    yield f"[bold]{found.kind} {escape(found.uid)}[/]{sent}"
    if found.kind != "study":
        group = found.destinations[0].groups[0]
        series = f", series {group.series_instance_uid}" if found.kind == "instance" else ""
        yield f"of study {escape(group.study_instance_uid)}{escape(series)}"
    for reception in found.receptions:
        yield _reception(reception)
    for destination in found.destinations:
        yield ""
        yield from _at_destination(destination, found.kind)


def _reception(one: Reception) -> str:
    when = moment(one.first_at) if one.first_at == one.last_at else f"{moment(one.first_at)} to {moment(one.last_at)}"
    return (
        f"received {when}: {_number(one.instances, 'instance')}, {size(one.bytes)}, "
        f"from {escape(one.calling_ae_title)} at {escape(one.peer_host)} by {escape(one.forward_node)}"
    )


def _at_destination(one: AtDestination, kind: str) -> Iterator[str]:
    where = f" ({escape(one.where)})" if one.where else " (not in the configuration any more)"
    yield f"[bold]{escape(one.forward_node)}/{escape(one.destination)}[/]{where}"
    if one.changed_by:
        how = "de-identified" if one.changed_by["how"] == "de_identification" else "changed"
        yield f"  {how} for project {one.changed_by['project']} by profile {escape(one.changed_by['profile'])}"
    for group in one.groups:
        yield from _group(group, kind)
    for row in one.follow_ups:
        yield from _afterwards(row, "follow-up")
    for row in one.notifications:
        yield from _afterwards(row, "notification")


def _group(one: Group, kind: str) -> Iterator[str]:
    who = "" if kind == "instance" else f"{_number(one.count, 'instance')} of series {one.series_instance_uid}: "
    times = f" after {_number(one.attempts, 'attempt')}" if one.attempts else ""
    when = f" {moment(one.finished_at)}" if one.finished_at else ""
    reason = f": {escape(one.reason)}" if one.reason else ""
    style = STYLES.get(one.state, "cyan")
    if one.state == "pending":
        last = f"; tried {_number(one.attempts, 'time')}, last{reason}" if one.attempts else reason
        yield f"  {escape(who)}[{style}]waits[/]{last}"
    elif one.state == "excluded":
        yield f"  {escape(who)}[{style}]excluded[/]{when} by a rule{reason}"
    else:
        yield f"  {escape(who)}[{style}]{one.state}[/]{when}{times}{reason}"
    if one.sent_sop_instance_uids:
        yield f"    as {escape(_sent(one, kind))}"
    if one.decided_by:
        yield f"    {escape(one.decided_by)} decided about it {moment(one.decided_at)}"
    yield from _next(one.next)


def _sent(one: Group, kind: str) -> str:
    parts = [f"study {one.sent_study_instance_uid}", f"series {one.sent_series_instance_uid}"]
    return ", ".join([*([f"instance {one.sent_sop_instance_uids[0]}"] if kind == "instance" else []), *parts])


def _afterwards(one: Afterwards, what: str) -> Iterator[str]:
    when = f" {moment(one.finished_at)}" if one.finished_at else ""
    times = f" after {_number(one.attempts, 'attempt')}" if one.attempts else ""
    reason = f": {escape(one.reason)}" if one.reason else ""
    state = "waits" if one.state == "pending" else one.state
    style = STYLES.get(one.state, "cyan")
    yield f"  {what} {escape(one.part)} for {escape(one.subject)}: [{style}]{state}[/]{when}{times}{reason}"
    yield from _next(one.next)


def _next(following: Next) -> Iterator[str]:
    since = f" (since {moment(following.since)})" if following.since is not None else ""
    at = f", {moment(following.at)}" if following.at is not None else ""
    yield f"    [dim]next:[/] {escape(following.words)}{at}{since}"
    for command in following.commands:
        yield f"      {escape(command)}"


def _number(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"

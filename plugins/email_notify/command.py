"""``karnak mail-test``: does the mail server take our mails?"""

from __future__ import annotations

import click

from karnak_core.commands.common import WRONG, Place, data_options, fail
from karnak_core.commands.destinations import find_destination
from karnak_core.errors import DeliveryError
from karnak_plugins.email_notify.addresses import address
from karnak_plugins.email_notify.config import EmailNotification
from karnak_plugins.email_notify.notifier import EmailNotifier
from karnak_plugins.email_notify.sample import sample_summary


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("mail-test")
@click.argument("name", metavar="DESTINATION")
@click.option("--to", callback=_address, help="Who gets the mail.  [default: the recipients of the notifications]")
@data_options
def mail_test(place: Place, name: str, to: str | None) -> None:
    """Send a mail about a study that does not exist, as NODE/NAME or NAME would, and say what the server said."""
    found = find_destination(place, name)
    mails = [one.options for one in found.destination.notifications if isinstance(one.options, EmailNotification)]
    if to is not None:
        mails = [(mails[0] if mails else EmailNotification(recipients=to)).model_copy(update={"recipients": to})]
    if not mails:
        fail(f"{name} has no notification of type email; add one, or name who gets the mail with --to", WRONG)
    summary = sample_summary(found.forward_node, found.destination.name, found.destination.type)
    context = found.context_of(found.plugins.notifiers["email"])
    for config in mails:
        try:
            said = EmailNotifier(config, context).notify(summary)
        except DeliveryError as error:
            fail(error)
        click.echo(f"sent to {said}")

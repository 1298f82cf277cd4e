"""Notifications of type ``email``: what became of a study, as a mail (RFC 5322) by SMTP (RFC 5321)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from karnak_core import hookimpl
from karnak_core.kinds import Kind, Section
from karnak_core.model import Notifier
from karnak_plugins.email_notify.command import mail_test
from karnak_plugins.email_notify.config import EmailNotification, MailServer
from karnak_plugins.email_notify.notifier import EmailNotifier

EMAIL = Kind(
    name="email",
    config=EmailNotification,
    open=EmailNotifier,
    summary="a mail to people",
    section=Section(name="email_notify", config=MailServer),
)


@hookimpl
def karnak_register_notifiers() -> Sequence[Kind[Any, Notifier]]:
    """Offer the type ``email``."""
    return [EMAIL]


@hookimpl
def karnak_register_commands(cli: click.Group) -> None:
    """Add ``karnak mail-test``."""
    cli.add_command(mail_test)

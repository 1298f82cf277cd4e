"""The part behind a notification of type ``email``."""

from __future__ import annotations

import logging

from karnak_core.errors import Retryable
from karnak_core.model import OpenContext
from karnak_core.summary import StudySummary
from karnak_plugins.email_notify.config import EmailNotification, MailServer
from karnak_plugins.email_notify.mail import make_mail
from karnak_plugins.email_notify.smtp import send
from karnak_plugins.email_notify.waits import Waits

logger = logging.getLogger(__name__)


class EmailNotifier:
    """Sends mails; connects for each one, and keeps nothing."""

    def __init__(self, config: EmailNotification, context: OpenContext) -> None:
        self._config = config
        self._reveal = context.reveal
        self._server = context.section if isinstance(context.section, MailServer) else MailServer()

    def notify(self, summary: StudySummary) -> str:
        """Send the mail; return who has it, with the server's words."""
        recipients = self._config.addresses
        sender = self._server.sender
        mail = make_mail(self._config, summary, sender, recipients)
        waits = Waits(summary.remembered)
        try:
            said = send(self._server, self._reveal, mail, sender, recipients, waits=waits.wait)
        except Retryable as error:
            error.remember = waits.remember()
            raise
        if "; " in said:
            logger.warning("a mail did not reach everybody: %s", said)
        return said

    def close(self) -> None:
        """Nothing is kept open."""

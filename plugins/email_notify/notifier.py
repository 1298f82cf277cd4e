"""The part behind a notification of type ``email``."""

from __future__ import annotations

import logging
from typing import Final

from karnak_core.model import OpenContext, now_ms
from karnak_core.summary import StudySummary
from karnak_plugins.email_notify.config import EmailNotification, MailServer
from karnak_plugins.email_notify.mail import make_mail
from karnak_plugins.email_notify.smtp import send

logger = logging.getLogger(__name__)

#: ms for which a mail waits for recipients that the server cannot take now; then the others get it
WAIT_FOR_ALL: Final = 3_600_000


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
        said = send(
            self._server,
            self._reveal,
            make_mail(self._config, summary, sender, recipients),
            sender,
            recipients,
            all_or_none=now_ms() - summary.made_at < WAIT_FOR_ALL,
        )
        if "; " in said:
            logger.warning("a mail did not reach everybody: %s", said)
        return said

    def close(self) -> None:
        """Nothing is kept open."""

"""A mail server that keeps what it gets, and refuses what it is told to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import TYPE_CHECKING, Any

from karnak_core.testing.waiting import PATIENCE, free_port, missing, wait_until

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail as it came."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    #: the connection was encrypted
    tls: bool
    #: who had logged in; empty: nobody
    username: str

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain text."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """The HTML."""
        return self._part("html")

    def _part(self, subtype: str) -> str:
        part = self.message.get_body((subtype,))
        assert part is not None, f"the mail has no {subtype} part"
        return str(part.get_content())


@dataclass
class RunningMailServer:
    """Made by :func:`run_mail_server`."""

    port: int
    mails: list[Mail] = field(default_factory=list)
    #: recipient -> answer: ``550 unknown``; taken away, it is taken
    refused: dict[str, str] = field(default_factory=dict)
    #: called with what came before it is answered; returns another answer than ``250``, or None
    before_answer: Callable[[Mail], str | None] = lambda mail: None

    def wait_for(self, count: int, seconds: float = PATIENCE) -> list[Mail]:
        """Wait for this many mails, and return all."""
        wait_until(lambda: len(self.mails) >= count, seconds, lambda: [mail.subject for mail in self.mails])
        return list(self.mails)


@contextmanager
def run_mail_server(
    port: int = 0,
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    accounts: Mapping[str, str] | None = None,
) -> Iterator[RunningMailServer]:
    """Run a mail server on the loopback.

    Parameters
    ----------
    port
        0: a free one.
    starttls, tls
        The server's certificate: TLS is required, by STARTTLS or from the first byte.
    accounts
        Username -> password; then a login is required.
    """
    try:
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult
    except ImportError:
        missing("aiosmtpd")
    running = RunningMailServer(port=port or free_port())

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        username, password = data.login.decode(), data.password.decode()
        good = (accounts or {}).get(username) == password
        return AuthResult(success=good, handled=False, auth_data=username)

    served: list[SMTP] = []

    class Following(Controller):
        """Remembers whom it serves."""

        def factory(self) -> SMTP:
            made: SMTP = super().factory()  # type: ignore[no-untyped-call]
            served.append(made)
            return made

    controller = Following(
        _Keeping(running, encrypted=tls is not None, login=accounts is not None),
        hostname="127.0.0.1",
        port=running.port,
        server_hostname="mail.test",
        ready_timeout=PATIENCE,
        tls_context=starttls,
        require_starttls=starttls is not None,
        ssl_context=tls,
        authenticator=authenticate if accounts is not None else None,
        # TLS from the first byte it does not know of; without accounts no login is offered
        auth_require_tls=accounts is None,
    )
    controller.start()
    try:
        yield running
    finally:
        asyncio.run_coroutine_threadsafe(_hang_up(served), controller.loop).result(PATIENCE)
        controller.stop()


async def _hang_up(served: list[SMTP]) -> None:
    """End connections: stopped with the server they would complain that nobody closed them."""
    for smtp in served:
        if smtp.transport is not None:
            smtp.transport.close()
    # what was closed is told so by the loop, one layer after the other
    for _ in range(100):
        await asyncio.sleep(0)


class _Keeping:
    def __init__(self, running: RunningMailServer, *, encrypted: bool, login: bool) -> None:
        self._running = running
        self._encrypted = encrypted
        self._login = login
        self._lock = threading.Lock()

    async def handle_MAIL(
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if answer := self._running.refused.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        mail = Mail(
            sender=envelope.mail_from or "",
            recipients=tuple(envelope.rcpt_tos),
            message=message,
            tls=self._encrypted or session.ssl is not None,
            username=str(session.auth_data or "") if session.authenticated else "",
        )
        answer = self._running.before_answer(mail)
        with self._lock:
            if answer is None:
                self._running.mails.append(mail)
        return answer or "250 2.0.0 accepted"

"""One mail to one server, and what the server's answers mean (RFC 5321 section 4.2)."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Any, Final

from karnak_core import tls
from karnak_core.config.tls import ClientTLS
from karnak_core.errors import Misconfigured, Permanent, Retryable, Unreachable
from karnak_plugins.email_notify.bound import Bound, BoundSMTP, BoundSMTPS
from karnak_plugins.email_notify.config import MailServer

#: characters of an answer that are kept
LONGEST_ANSWER: Final = 300
#: a whole mail may take as many times as long as the server may be silent
TIMEOUTS: Final = 4

Answer = tuple[int, bytes]


def send(
    server: MailServer,
    reveal: Callable[[Any], str],
    message: EmailMessage,
    sender: str,
    recipients: Sequence[str],
    *,
    waits: Callable[[str], bool] = lambda _to: True,
) -> str:
    """Hand a mail over; return what the server said, and whom it did not take.

    Parameters
    ----------
    waits
        Says of a recipient whom the server cannot take now whether all wait for him, so that nobody gets it twice.

    Raises
    ------
    Unreachable, Retryable
        The server is away, or said that it may work later (4xx).
    Misconfigured
        Login, TLS or sender were refused: no mail will go out until somebody changes something.
    Permanent
        It takes none of the recipients, or not this mail (5xx).
    """
    peer = f"mail server {server.host}:{server.port}"
    with (
        _said_in_words(peer),
        _in_time(peer, TIMEOUTS * server.timeout) as bound,
        _connected(server, reveal, peer, bound) as smtp,
    ):
        code, answer = smtp.mail(sender)
        if code != 250:
            _refused(peer, f"the sender {sender}", (code, answer), for_all=True)
        refused = {to: found for to in recipients if (found := smtp.rcpt(to))[0] not in (250, 251)}
        later = {to: found for to, found in refused.items() if found[0] < 500}
        # asked of each: it is noted since when he is waited for
        waited_for = [to for to in later if waits(to)]
        if len(refused) == len(recipients) or waited_for:
            to = next(iter(waited_for or later or refused))
            found = refused[to]
            raise (Retryable if later else Permanent)(f"{peer} refuses the recipient {to}: {_words(found)}")
        # RFC 5321 section 4.5.2 and line ends are smtplib's
        code, answer = smtp.data(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))
        if code != 250:
            _refused(peer, "the mail", (code, answer), for_all=False)
    taken = ", ".join(to for to in recipients if to not in refused)
    left_out = "".join(f"; {to} refused: {_words(found)}" for to, found in refused.items())
    return f"{taken} ({_words((code, answer))}){left_out}"


@contextmanager
def _in_time(peer: str, seconds: float) -> Iterator[Bound]:
    """Give a whole mail so many seconds: smtplib's timeout begins anew with every byte."""
    bound = Bound(seconds)
    try:
        yield bound
    except (OSError, smtplib.SMTPException) as error:
        if bound.reached:
            raise Unreachable(f"{peer} takes too long: more than {seconds:g} s for a mail") from error
        raise
    finally:
        bound.end()


@contextmanager
def _connected(server: MailServer, reveal: Callable[[Any], str], peer: str, bound: Bound) -> Iterator[smtplib.SMTP]:
    smtp = _connection(server, bound)
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            if not smtp.has_extn("starttls"):
                raise Misconfigured(f"{peer} offers no STARTTLS; see security")
            code, answer = smtp.starttls(context=_context(server))
            if code != 220:
                _refused(peer, "STARTTLS", (code, answer), for_all=True)
            smtp.ehlo_or_helo_if_needed()
        if server.username:
            smtp.login(server.username, reveal(server.password))
        yield smtp
    finally:
        # what it thinks of our leaving changes nothing any more
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()
        smtp.close()


def _connection(server: MailServer, bound: Bound) -> smtplib.SMTP:
    if server.security == "tls":
        return BoundSMTPS(bound, server.host, server.port, timeout=server.timeout, context=_context(server))
    return BoundSMTP(bound, server.host, server.port, timeout=server.timeout)


def _context(server: MailServer) -> ssl.SSLContext:
    return tls.client_context(ClientTLS(ca=server.ca)).get()


@contextmanager
def _said_in_words(peer: str) -> Iterator[None]:
    """Turn what the library raises into what is to be done."""
    try:
        yield
    except tls.TlsFileError as error:
        raise Misconfigured(f"{peer}: {error}") from error
    except smtplib.SMTPAuthenticationError as error:
        _refused(peer, "the login", (error.smtp_code, _bytes(error.smtp_error)), for_all=True)
    except smtplib.SMTPNotSupportedError as error:
        raise Misconfigured(f"{peer} offers no login that we know") from error
    except smtplib.SMTPServerDisconnected as error:
        # smtplib says the same of a server that says nothing
        if isinstance(error.__context__, TimeoutError):
            raise Unreachable(f"{peer} does not answer in time") from error
        raise Unreachable(f"{peer}: the connection ended before the mail was taken") from error
    except smtplib.SMTPDataError as error:
        _refused(peer, "the mail", (error.smtp_code, _bytes(error.smtp_error)), for_all=False)
    except smtplib.SMTPResponseException as error:
        # of the greeting, of EHLO
        _refused(peer, "us", (error.smtp_code, _bytes(error.smtp_error)), for_all=True)
    except smtplib.SMTPException as error:
        raise Misconfigured(f"{peer} offers no login that we know") from error
    except ssl.SSLError as error:
        if tls.is_cut(error):
            raise Unreachable(f"{peer}: {tls.in_words(error)}") from error
        raise Misconfigured(f"{peer}: {tls.in_words(error)}") from error
    except TimeoutError as error:
        raise Unreachable(f"{peer} does not answer in time") from error
    except OSError as error:
        raise Unreachable(f"{peer}: {error.strerror or type(error).__name__}") from error


def _refused(peer: str, what: str, answer: Answer, *, for_all: bool) -> None:
    """Raise what an answer means.

    Parameters
    ----------
    for_all
        True: no mail would be taken; a 5xx is for somebody to change something.
    """
    reason = f"{peer} refuses {what}: {_words(answer)}"
    if answer[0] < 500:
        raise Retryable(reason)
    raise (Misconfigured if for_all else Permanent)(reason)


def _words(answer: Answer) -> str:
    text = " ".join(answer[1].decode("utf-8", "replace").split())
    text = "".join(character for character in text if character.isprintable())
    return f"{answer[0]} {text[:LONGEST_ANSWER]}".strip()


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")

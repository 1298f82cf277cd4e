"""A summary -> a mail: plain text and HTML with the same words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache
from importlib import resources
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from karnak_core import __version__
from karnak_core.model import now_ms
from karnak_core.summary import StudySummary
from karnak_plugins.email_notify.config import EmailNotification
from karnak_plugins.email_notify.subject import subject
from karnak_plugins.email_notify.words import SeriesView, View, view

#: series in the HTML, as many as fit; the plain text has all
MOST_SERIES: Final = (60, 30, 15, 7, 3)
#: bytes; mail programs cut HTML at about 100 KB
LARGEST_HTML: Final = 95_000


def make_mail(config: EmailNotification, summary: StudySummary, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Return the mail; the same every time for the same summary, its date and Message-ID too."""
    shown = view(summary)
    message = EmailMessage()
    message["Subject"] = subject(config, summary)
    message["From"] = sender
    message["To"] = [Address(addr_spec=one) for one in recipients]
    made_at = summary.made_at or now_ms()
    message["Date"] = format_datetime(datetime.fromtimestamp(made_at / 1000, UTC))
    message["Message-ID"] = f"<{summary.id or made_at}@{sender.rpartition('@')[2]}>"
    # RFC 3834: no answer by a machine, please
    message["Auto-Submitted"] = "auto-generated"
    message["X-Mailer"] = f"Karnak {__version__}"
    message.set_content(as_text(shown), cte="quoted-printable")
    message.add_alternative(as_html(shown), subtype="html", cte="quoted-printable")
    return message


def as_text(shown: View) -> str:
    """Return the mail as plain text."""
    text = _environment().get_template("mail.txt.j2").render(mail=shown, wide=_wide, version=__version__)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def as_html(shown: View) -> str:
    """Return the mail as HTML that needs nothing else: no script, no image, no network."""
    html = ""
    for most in MOST_SERIES:
        first, rest = shown.series[:most], shown.series[most:]
        template = _environment().get_template("mail.html.j2")
        html = template.render(
            mail=shown, series=first, left_out=len(rest), left_out_received=_received(rest), version=__version__
        )
        if len(html.encode()) <= LARGEST_HTML:
            break
    return html


def _received(series: Sequence[SeriesView]) -> int:
    return sum(one.received for one in series)


def _wide(pairs: Sequence[tuple[str, str]]) -> int:
    return max((len(name) for name, _ in pairs), default=0)


@cache
def _environment() -> Environment:
    # values of data sets are anybody's: in HTML everything is escaped
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=lambda name: bool(name and name.endswith(".html.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    return environment


def _source(name: str) -> str:
    return (resources.files("karnak_plugins.email_notify") / name).read_text("utf-8")


def plain(text: str) -> str:
    """Return a text in one line, without characters that are not to be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())

"""Mails to a real server: none, STARTTLS and TLS, login, and what its answers mean."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

import pytest
import trustme

from karnak_core.errors import Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import now_ms
from karnak_core.summary import StudySummary
from karnak_core.testing import Mail, RunningMailServer, free_port, run_mail_server
from karnak_plugins.email_notify.notifier import EmailNotifier

MakeNotifier = Callable[..., EmailNotifier]


@pytest.fixture
def summary(make_summary: Callable[..., StudySummary]) -> StudySummary:
    return make_summary(made_at=now_ms())


def encrypted_server(
    security: str, context: ssl.SSLContext, accounts: Mapping[str, str] | None = None
) -> AbstractContextManager[RunningMailServer]:
    if security == "tls":
        return run_mail_server(tls=context, accounts=accounts)
    return run_mail_server(starttls=context, accounts=accounts)


def test_mail_arrives_at_everybody(make_notifier: MakeNotifier, summary: StudySummary) -> None:
    with run_mail_server() as server:
        notifier = make_notifier("a@x.org, b@y.org", port=server.port)
        assert notifier.notify(summary) == "a@x.org, b@y.org (250 2.0.0 accepted)"
        (mail,) = server.mails
    assert (mail.sender, mail.recipients) == ("karnak@hospital.example", ("a@x.org", "b@y.org"))
    assert (mail.tls, mail.username) == (False, "")
    assert mail.subject == "ERROR [Karnak Notification] P1 Thorax"
    assert mail.message["To"] == "a@x.org, b@y.org"
    assert "1 of 500 instances failed" in mail.text
    assert "1 of 500 instances failed" in mail.html


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_encrypted_and_logged_in(
    make_notifier: MakeNotifier, summary: StudySummary, security: str, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    with encrypted_server(security, server_tls, accounts={"karnak": "good"}) as server:
        keys = {"port": server.port, "security": security, "ca": ca_file, "username": "karnak"}
        make_notifier(**keys, password="good").notify(summary)
        with pytest.raises(Misconfigured, match="refuses the login: 535 ") as raised:
            make_notifier(**keys, password="bad-one").notify(summary)
    assert "bad-one" not in raised.value.reason
    assert [(mail.tls, mail.username) for mail in server.mails] == [(True, "karnak")]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_certificate_of_somebody_else_is_refused(
    make_notifier: MakeNotifier, summary: StudySummary, security: str, ca_file: str
) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(other)
    with (
        encrypted_server(security, other) as server,
        pytest.raises(Misconfigured, match=r"mail server 127.0.0.1"),
    ):
        make_notifier(port=server.port, security=security, ca=ca_file).notify(summary)
    assert server.mails == []


def test_certificate_of_another_host_is_refused(
    make_notifier: MakeNotifier, summary: StudySummary, authority: trustme.CA, ca_file: str
) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(other)
    with run_mail_server(starttls=other) as server, pytest.raises(Misconfigured):
        make_notifier(port=server.port, security="starttls", ca=ca_file).notify(summary)


def test_no_mail_goes_out_in_the_clear_where_starttls_is_asked_for(
    make_notifier: MakeNotifier, summary: StudySummary
) -> None:
    with run_mail_server() as server, pytest.raises(Misconfigured, match="offers no STARTTLS"):
        make_notifier(port=server.port, security="starttls").notify(summary)
    assert server.mails == []


def test_login_that_the_server_does_not_offer_is_a_mistake(make_notifier: MakeNotifier, summary: StudySummary) -> None:
    with run_mail_server() as server, pytest.raises(Misconfigured, match="offers no login"):
        make_notifier(port=server.port, username="karnak", password="good").notify(summary)


def test_server_that_is_away_is_tried_again(make_notifier: MakeNotifier, summary: StudySummary) -> None:
    with pytest.raises(Unreachable, match="Connection refused"):
        make_notifier(port=free_port()).notify(summary)


def test_server_that_says_nothing_is_tried_again(make_notifier: MakeNotifier, summary: StudySummary) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="does not answer in time"):
        make_notifier(port=silent.getsockname()[1], timeout=0.2).notify(summary)


@pytest.mark.parametrize(
    ("security", "greeting"), [("none", b"220-"), ("none", b"220 here\r\n"), ("tls", b"220 here\r\n")]
)
def test_server_that_drips_is_given_up_in_the_end(
    make_notifier: MakeNotifier,
    summary: StudySummary,
    security: str,
    greeting: bytes,
    server_tls: ssl.SSLContext,
    ca_file: str,
) -> None:
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        with suppress(OSError):
            if security == "tls":
                connection = server_tls.wrap_socket(connection, server_side=True)
            connection.sendall(greeting)
            while not done.wait(0.1):
                connection.sendall(b"2")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        try:
            notifier = make_notifier(port=listener.getsockname()[1], timeout=1.5, security=security, ca=ca_file)
            with pytest.raises(Unreachable, match=r"takes too long: more than 6 s for a mail"):
                notifier.notify(summary)
        finally:
            done.set()
            thread.join()


def test_recipient_that_nobody_knows_is_left_out_and_named(make_notifier: MakeNotifier, summary: StudySummary) -> None:
    with run_mail_server() as server:
        server.refused["b@y.org"] = "550 5.1.1 unknown user"
        said = make_notifier("a@x.org, b@y.org", port=server.port).notify(summary)
    assert said == "a@x.org (250 2.0.0 accepted); b@y.org refused: 550 5.1.1 unknown user"
    assert [mail.recipients for mail in server.mails] == [("a@x.org",)]


def test_mail_that_nobody_may_have_has_failed(make_notifier: MakeNotifier, summary: StudySummary) -> None:
    with run_mail_server() as server:
        server.refused["a@x.org"] = "550 5.1.1 unknown user"
        with pytest.raises(Permanent, match=r"refuses the recipient a@x.org: 550 5.1.1 unknown user"):
            make_notifier("a@x.org", port=server.port).notify(summary)


def test_recipient_who_cannot_have_it_now_delays_it_for_all_and_then_only_for_himself(
    make_notifier: MakeNotifier, summary: StudySummary
) -> None:
    # the mail server was away for two hours
    old = replace(summary, made_at=now_ms() - 2 * 3_600_000)
    with run_mail_server() as server:
        server.refused["b@y.org"] = "450 4.2.1 come back later"
        notifier = make_notifier("a@x.org, b@y.org", port=server.port)
        with pytest.raises(Retryable, match=r"450 4.2.1 come back later") as first:
            notifier.notify(old)
        since = waits_since(first.value)
        # nearly an hour later, and when the clock was put back
        for earlier in (3_500_000, -10_000_000):
            remembered = {"waits": {"b@y.org": since - earlier}}
            with pytest.raises(Retryable) as again:
                notifier.notify(replace(old, remembered=remembered))
            assert since - 3_500_000 <= waits_since(again.value) <= now_ms()
        assert server.mails == []
        said = notifier.notify(replace(old, remembered={"waits": {"b@y.org": since - 3_600_000}}))
        assert said.endswith("; b@y.org refused: 450 4.2.1 come back later")
        assert [mail.recipients for mail in server.mails] == [("a@x.org",)]


def waits_since(error: Retryable) -> int:
    """Since when b@y.org, and nobody else, is waited for, ms; as the next attempt is told."""
    assert error.remember is not None
    ((to, since),) = error.remember["waits"].items()
    assert to == "b@y.org"
    return int(since)


@pytest.mark.parametrize(
    ("answer", "error"), [("451 4.3.0 disk full", Retryable), ("554 5.7.1 looks like spam", Permanent)]
)
def test_answer_to_the_mail_says_whether_it_is_tried_again(
    make_notifier: MakeNotifier, summary: StudySummary, answer: str, error: type[Exception]
) -> None:
    def refuse(_mail: Mail) -> str:
        return answer

    with run_mail_server() as server:
        server.before_answer = refuse
        with pytest.raises(error, match=f"refuses the mail: {answer}") as raised:
            make_notifier(port=server.port).notify(summary)
    assert type(raised.value) is error
    # it belongs to a patient
    assert "P1" not in str(raised.value)

"""The keys of a notification of type ``email``, and of the mail server."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from karnak_plugins.email_notify.config import EmailNotification, MailServer


def refused(model: Any, **keys: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(keys)
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in raised.value.errors())


def test_defaults_are_those_of_the_user_documentation() -> None:
    config = EmailNotification(recipients="a@x.org")
    assert (config.error_subject_prefix, config.rejection_subject_prefix) == ("ERROR", "REJECTED")
    assert config.subject_pattern == "[Karnak Notification] %s %.30s"
    assert config.value_names == ("PatientID", "StudyDescription")


def test_recipients_are_a_list_with_commas() -> None:
    config = EmailNotification.model_validate({"recipients": " a@x.org,b.c+d@y.example ,, A@x.org"})
    assert config.addresses == ("a@x.org", "b.c+d@y.example")


@pytest.mark.parametrize("recipients", ["", " ", ",", " , "])
def test_at_least_one_recipient_is_needed(recipients: str) -> None:
    assert "at least one mail address" in refused(EmailNotification, recipients=recipients)


@pytest.mark.parametrize(
    "address",
    [
        *("nobody", "a@", "@x.org", "a b@x.org", "a@x..org", "a@-x.org", "a@x.org\nBcc: b@y.org", ".a@x.org"),
        *("a@[10.0.0.1]", "Ward <a@x.org>", "ä@x.org", f"{'a' * 65}@x.org", f"a@{'x' * 64}.org"),
    ],
)
def test_every_recipient_is_checked(address: str) -> None:
    assert f"{address!r} is not a mail address" in refused(EmailNotification, recipients=f"good@x.org, {address}")


def test_every_wrong_recipient_is_named() -> None:
    problems = refused(EmailNotification, recipients="one, two@x.org, three")
    assert "'one'" in problems
    assert "'three'" in problems
    assert "two@x.org" not in problems


def test_unknown_subject_value_is_refused() -> None:
    problems = refused(EmailNotification, recipients="a@x.org", subject_values="PatientID,PatientName")
    assert problems.startswith("subject_values: ")
    assert "'PatientName' cannot stand in a subject; known: PatientID, StudyDescription" in problems


def test_subject_values_are_trimmed() -> None:
    config = EmailNotification(recipients="a@x.org", subject_values=" StudyDate , StudyInstanceUID ")
    assert config.value_names == ("StudyDate", "StudyInstanceUID")


def test_pattern_that_needs_more_values_than_there_are_is_refused() -> None:
    problems = refused(EmailNotification, recipients="a@x.org", subject_values="PatientID")
    assert problems.startswith("subject_pattern: ")
    assert "needs 2 values, and subject_values has 1" in problems
    EmailNotification(recipients="a@x.org", subject_values="PatientID", subject_pattern="%s")


def test_pattern_with_an_unknown_specifier_is_refused() -> None:
    assert "'%d' at character 1 is unknown" in refused(EmailNotification, recipients="a@x.org", subject_pattern="%d")


@pytest.mark.parametrize("key", ["error_subject_prefix", "rejection_subject_prefix", "subject_pattern"])
def test_no_line_end_gets_into_a_header(key: str) -> None:
    assert "line ends" in refused(EmailNotification, recipients="a@x.org", **{key: "x\r\nBcc: b@y.org"})


def test_login_is_refused_in_halves() -> None:
    assert "username and password go together" in refused(MailServer, username="karnak")
    assert "username and password go together" in refused(MailServer, password="secret")
    assert MailServer.model_validate({"username": "", "password": ""}).username == ""


def test_mail_server_has_the_defaults_of_a_local_one() -> None:
    server = MailServer()
    assert (server.host, server.port, server.security, server.sender) == ("localhost", 25, "none", "karnak@localhost")


def test_mail_server_reads_its_port_and_refuses_what_is_none() -> None:
    assert MailServer.model_validate({"port": 587}).port == 587
    assert "port: " in refused(MailServer, port=0)
    assert "security: " in refused(MailServer, security="SSL")
    assert "sender: " in refused(MailServer, sender="nobody")

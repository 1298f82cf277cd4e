"""A mail says everything, in both forms, and nothing that could be mistaken for markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from karnak_core.model import State
from karnak_core.summary import FollowUpSummary, Reason, SeriesSummary, StudySummary
from karnak_plugins.email_notify.config import EmailNotification
from karnak_plugins.email_notify.mail import make_mail

CONFIG = EmailNotification(recipients="ward@hospital.example")
Make = Callable[..., StudySummary]


def mail_of(summary: StudySummary) -> EmailMessage:
    return make_mail(CONFIG, summary, "karnak@hospital.example", CONFIG.addresses)


def parts(summary: StudySummary) -> tuple[str, str]:
    """The plain text, and the text of the HTML, without runs of blanks."""
    message = mail_of(summary)
    text, html = (message.get_body((subtype,)) for subtype in ("plain", "html"))
    assert text is not None
    assert html is not None
    shown = re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", html.get_content())
    return tuple(re.sub(r"\s+", " ", some) for some in (text.get_content(), shown))  # type: ignore[return-value]


@pytest.mark.parametrize("form", [0, 1], ids=["plain", "html"])
def test_mail_says_all_of_it_in_both_forms(make_summary: Make, failed_follow_up: FollowUpSummary, form: int) -> None:
    text = parts(make_summary(follow_ups=(failed_follow_up,)))[form]
    for words in (
        "1 of 500 instances failed and is kept.",
        "FORWARD",
        "stow https://pacs.example.org/studies",
        "P1",
        "Thorax",
        "2026-11-03",
        "A7",
        "1.2.3",
        "500 received = 497 transferred + 2 excluded + 1 failed",
        "Series 3 · Lung",
        "1.2.3.1",
        "CT Image Storage",
        "200 received: 197 transferred",
        "2 excluded: SOP class not authorized",
        "1 failed: 0xA900 data set does not match",
        "1.2.3.2",
        "300 received: 300 transferred",
        "kheops_album oncology",
        "404 unknown series",
        "kept in the gateway until somebody retries or discards it",
        "karnak deliveries retry --destination FORWARD/cloud --state failed --study 1.2.3",
    ):
        assert words in text, words
    assert re.search(r"First received:? 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", text)


def test_recovery_is_said_in_the_first_line(make_summary: Make) -> None:
    text, html = parts(make_summary({State.SENT: 500}, recovered=True))
    assert text.startswith("Recovered: what had failed before is done now. All 500 instances were transferred.")
    assert "Recovered: what had failed before is done now." in html


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({State.SENT: 1}, "The only instance was transferred."),
        ({State.DUPLICATE: 2}, "All 2 instances were at the destination already."),
        ({State.SENT: 3, State.EXCLUDED: 2}, "3 of 5 instances were transferred; 2 kept back."),
        ({State.EXCLUDED: 2}, "None of 2 instances was transferred: all were kept back."),
        ({State.SENT: 1, State.PENDING: 2}, "2 of 3 instances still wait to be transferred."),
        ({State.SENT: 1, State.FAILED: 2}, "2 of 3 instances failed and are kept."),
    ],
)
def test_first_line_says_how_it_ended(make_summary: Make, counts: dict[State, int], words: str) -> None:
    assert parts(make_summary(counts))[0].startswith(words)


def test_values_are_no_markup(make_summary: Make) -> None:
    summary = make_summary({State.SENT: 1}, facts={"PatientID": "<script>alert(1)</script>", "StudyDate": "a&b"})
    html = mail_of(summary).get_body(("html",))
    assert html is not None
    assert "<script" not in html.get_content()
    assert "&lt;script&gt;" in html.get_content()


def test_mail_needs_nothing_from_elsewhere(make_summary: Make) -> None:
    html = mail_of(make_summary()).get_body(("html",))
    assert html is not None
    assert not re.search(r"src=|href=|url\(|@import|<img|<link|<script", html.get_content())


def test_values_cannot_add_lines_to_the_plain_text(make_summary: Make) -> None:
    summary = make_summary({State.SENT: 1}, facts={"PatientID": "P1\n\nAll is well"})
    message = mail_of(summary).get_body(("plain",))
    assert message is not None
    assert "P1 All is well" in message.get_content()


@pytest.mark.parametrize(
    "value",
    [
        "=?utf-8?q?a=0D=0ABcc:_evil@x.org=0D=0A=0D=0A<h1>body</h1>?=",
        "=?utf-8?b?YQ0KQmNjOiBldmlsQHgub3JnDQoNCmJvZHk=?=",
        "==?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3D0D=3D0ABcc=3A_evil=3F=3D?=",
        "ä =?utf-8?q?a=0D=0ABcc:_evil@x.org?= " * 20,
        "=?utf-8?q?h=C3=A9?=",
    ],
)
def test_encoded_words_in_values_stay_words(make_summary: Make, value: str) -> None:
    message = mail_of(make_summary({State.SENT: 1}, facts={"PatientID": value}))
    parsed = message_from_bytes(message.as_bytes(policy=default.clone(linesep="\r\n")), policy=default)
    for some in (message, parsed):
        assert some["Bcc"] is None
        assert "= ?utf-8?" in some["Subject"]
        assert not re.search(r"[\r\n]|é", some["Subject"])
    assert parsed.get_content_type() == "multipart/alternative"


def test_mail_is_the_same_whenever_it_is_made(make_summary: Make) -> None:
    first, second = mail_of(make_summary()), mail_of(make_summary())
    assert first["Message-ID"] == second["Message-ID"] == "<0123456789abcdef@hospital.example>"
    assert first["Date"] == second["Date"]
    assert first["Auto-Submitted"] == "auto-generated"


def test_nothing_can_be_told_of_a_study_that_was_not_sent_where_it_is_de_identified(make_summary: Make) -> None:
    nameless = SeriesSummary(series_instance_uid="", counts={State.FAILED: 3})
    summary = make_summary(deidentified=True, study_instance_uid="", facts={}, series=(nameless,))
    text, html = parts(summary)
    for some in (text, html):
        assert "nothing was transferred: which study it is cannot be told here" in some
        assert "3 received = 0 transferred + 3 failed" in some
    assert mail_of(summary)["Subject"] == "ERROR [Karnak Notification]"


def test_what_went_out_before_the_destination_de_identified_is_said_to_be_untold(make_summary: Make) -> None:
    nameless = SeriesSummary(series_instance_uid="", counts={State.SENT: 3})
    for some in parts(make_summary(deidentified=True, study_instance_uid="", facts={}, series=(nameless,))):
        assert "what was transferred may be as received: nothing of it is told here" in some
        assert "3 received = 3 transferred" in some


@pytest.mark.parametrize("reasons", [0, 20])
def test_study_of_many_series_is_cut_in_the_html_only(make_summary: Make, reasons: int) -> None:
    why = tuple(Reason(state=State.SENT, text=f"{number} {'x' * 480}", count=1) for number in range(reasons))
    series = tuple(
        SeriesSummary(series_instance_uid=f"1.2.9.{number}", counts={State.SENT: 2}, reasons=why)
        for number in range(200)
    )
    summary = replace(make_summary(), series=series)
    text, html = parts(summary)
    assert "1.2.9.199" in text
    left_out = re.search(r"(\d+) further series with (\d+) instances", html)
    assert left_out is not None
    assert int(left_out[1]) >= 140
    assert int(left_out[2]) == 2 * int(left_out[1])
    raw = mail_of(summary).get_body(("html",))
    assert raw is not None
    assert len(raw.get_content().encode()) < 100_000

"""The subject of a mail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from karnak_core.model import State
from karnak_core.summary import FollowUpSummary, StudySummary
from karnak_plugins.email_notify.config import EmailNotification
from karnak_plugins.email_notify.subject import subject

CONFIG = EmailNotification(recipients="a@x.org")
Make = Callable[..., StudySummary]


@pytest.mark.parametrize(
    ("counts", "prefix"),
    [
        ({State.SENT: 3}, ""),
        ({State.SENT: 2, State.DUPLICATE: 1}, ""),
        ({State.SENT: 3, State.EXCLUDED: 1}, "REJECTED "),
        ({State.SENT: 3, State.DISCARDED: 1}, "REJECTED "),
        ({State.SENT: 3, State.FAILED: 1}, "ERROR "),
        ({State.SENT: 2, State.FAILED: 2, State.EXCLUDED: 1}, "ERROR "),
        ({State.SENT: 3, State.PENDING: 1}, "WAITING "),
    ],
)
def test_prefix_says_how_it_ended(make_summary: Make, counts: dict[State, int], prefix: str) -> None:
    assert subject(CONFIG, make_summary(counts)) == f"{prefix}[Karnak Notification] P1 Thorax"


def test_blank_prefix_is_left_out(make_summary: Make) -> None:
    config = EmailNotification(recipients="a@x.org", error_subject_prefix="", rejection_subject_prefix=" ")
    assert subject(config, make_summary({State.FAILED: 1})) == "[Karnak Notification] P1 Thorax"
    assert subject(config, make_summary({State.EXCLUDED: 1})) == "[Karnak Notification] P1 Thorax"


def test_failure_after_the_transfer_is_an_error(make_summary: Make, failed_follow_up: FollowUpSummary) -> None:
    summary = make_summary({State.SENT: 1}, follow_ups=(failed_follow_up,))
    assert subject(CONFIG, summary).startswith("ERROR ")


def test_recovery_is_in_the_subject(make_summary: Make) -> None:
    assert subject(CONFIG, make_summary({State.SENT: 1}, recovered=True)).startswith("RECOVERED [Karnak")
    kept_back = make_summary({State.SENT: 1, State.EXCLUDED: 1}, recovered=True)
    assert subject(CONFIG, kept_back).startswith("RECOVERED REJECTED [Karnak")


def test_every_value_that_may_be_asked_for_can_stand_there(make_summary: Make) -> None:
    config = EmailNotification(
        recipients="a@x.org",
        subject_values="PatientID,StudyDescription,StudyDate,StudyInstanceUID",
        subject_pattern="%4$s/%3$s/%s/%-8s|",
    )
    assert subject(config, make_summary({State.SENT: 1})) == "1.2.3/2026-11-03/P1/Thorax  |"


def test_value_that_is_not_there_is_empty(make_summary: Make) -> None:
    assert subject(CONFIG, make_summary({State.SENT: 1}, facts={})) == "[Karnak Notification]"


def test_value_cannot_add_a_header(make_summary: Make) -> None:
    facts = {"PatientID": "P1\r\nBcc: thief@x.org", "StudyDescription": "a\u2028b\x00c"}
    text = subject(CONFIG, make_summary({State.SENT: 1}, facts=facts))
    assert text == "[Karnak Notification] P1  Bcc: thief@x.org a b c"


def test_subject_is_not_longer_than_it_should_be(make_summary: Make) -> None:
    text = subject(CONFIG, make_summary({State.SENT: 1}, facts={"PatientID": "ä" * 1024}))
    assert len(text) == 200

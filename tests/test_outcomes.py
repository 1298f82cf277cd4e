"""The table of C-STORE statuses, row by row as the design has it."""

from __future__ import annotations

import pytest

from karnak_core.errors import DeliveryError, Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import Sent
from karnak_core.outcomes import C_STORE, c_store_answer

RETRYABLE = [*range(0xA700, 0xA800), 0x0110, 0x0210, 0x0213]
PERMANENT = [*range(0xA900, 0xAA00), *range(0xC000, 0xD000), 0x0112, 0x0115, 0x0117, 0x0122]


def answer(status: int, comment: str = "") -> Sent | DeliveryError:
    return c_store_answer(status, comment, "PACS at 10.0.0.7:104")


def test_success_is_sent_without_remark() -> None:
    assert answer(0x0000) == Sent()


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_is_sent_with_a_remark(status: int) -> None:
    sent = answer(status, "changed the name")
    assert isinstance(sent, Sent)
    assert not sent.duplicate
    assert f"0x{status:04X}" in sent.warning
    assert "changed the name" in sent.warning


def test_a_duplicate_is_known_as_one() -> None:
    sent = answer(0x0111)
    assert isinstance(sent, Sent)
    assert sent.duplicate


def test_what_is_retryable_is() -> None:
    for status in RETRYABLE:
        assert type(answer(status)) is Retryable, hex(status)


def test_what_is_permanent_is() -> None:
    for status in PERMANENT:
        assert type(answer(status)) is Permanent, hex(status)


def test_not_authorised_is_misconfigured() -> None:
    assert type(answer(0x0124)) is Misconfigured


def test_every_status_has_a_meaning_and_none_counts_for_the_breaker() -> None:
    for status in range(0x10000):
        found = answer(status)
        assert isinstance(found, Sent | DeliveryError)
        assert not isinstance(found, Unreachable)


def test_only_success_warnings_and_duplicate_are_taken_for_sent() -> None:
    sent = [status for status in range(0x10000) if isinstance(answer(status), Sent)]
    # 0001, 0107 and 0116 are warnings too (PS3.7 annex C)
    assert sent == [0x0000, 0x0001, 0x0107, 0x0111, 0x0116, *range(0xB000, 0xC000)]


def test_an_unknown_status_is_never_sent() -> None:
    for status in (0x0002, 0x0106, 0x0211, 0xA800, 0xAA00, 0xFE00, 0xFF00, 0xFF01, 0xFFFF):
        assert type(answer(status)) is Permanent


def test_a_refusal_names_the_peer_the_code_and_its_words() -> None:
    error = answer(0xA700, "disk\r\nfull\0\x1b[31m" + "x" * 200)
    assert isinstance(error, Retryable)
    assert error.reason.startswith("C-STORE refused by PACS at 10.0.0.7:104: 0xA700 out of resources: disk full")
    assert error.reason.isprintable()
    assert len(error.reason) < 160


def test_rows_are_in_order_and_the_last_takes_everything() -> None:
    assert all(row.first <= row.last for row in C_STORE)
    assert (C_STORE[-1].first, C_STORE[-1].last) == (0, 0xFFFF)

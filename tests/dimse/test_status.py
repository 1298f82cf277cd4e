from __future__ import annotations

import pytest

from karnak_core.dimse import describe


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0000, "0x0000 success"),
        (0x0111, "0x0111 duplicate SOP instance"),
        (0x0124, "0x0124 not authorised"),
        (0xA700, "0xA700 out of resources"),
        (0xA7FF, "0xA7FF out of resources"),
        (0xA900, "0xA900 data set does not match SOP class"),
        (0xB007, "0xB007 data set does not match SOP class (warning)"),
        (0xC211, "0xC211 cannot understand"),
        (0xA801, "0xA801 failure"),
        (0xB123, "0xB123 warning"),
        (0x8000, "0x8000 unknown status"),
    ],
)
def test_a_status_is_described_in_words(status, words):
    assert describe(status) == words

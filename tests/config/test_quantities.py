"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karnak_core.config.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2 GiB", 2 * 2**30),
        ("500 MB", 500_000_000),
        ("500MB", 500_000_000),
        ("1.5 kib", 1536),
        ("3 bytes", 3),
        ("7", 7),
        (7, 7),
        (0, 0),
        (1e3, 1000),
    ],
)
def test_a_size_is_read(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7 days", 604800.0),
        ("1 day", 86400.0),
        ("2 weeks", 1209600.0),
        ("15 min", 900.0),
        ("1.5 h", 5400.0),
        ("45", 45.0),
        (45, 45.0),
        (0.1, 0.1),
        ("500 ms", 0.5),
        ("1.1 ms", 0.0011),
    ],
)
def test_a_duration_is_read(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "wrong", ["", "many", "-1", "2 GB/s", "1e999 B", True, None, [], -1, float("inf"), float("nan")]
)
def test_what_is_no_quantity_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a size; write bytes, or a number and kB"):
        parse_size(wrong)
    with pytest.raises(ValueError, match="is not a duration; write seconds, or a number and ms"):
        parse_duration(wrong)


@pytest.mark.parametrize(
    ("value", "written"),
    [(2 * 2**30, "2 GiB"), (500_000_000, "500 MB"), (1024, "1 KiB"), (1000, "1 kB"), (1001, 1001), (0, 0)],
)
def test_a_size_is_written_with_the_largest_unit_that_fits(value: int, written: str | int) -> None:
    assert format_size(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(604800.0, "7 days"), (86400.0, "1 day"), (900.0, "15 min"), (90.0, "90 s"), (0.0, "0 s"), (0.1, "0.1 s")],
)
def test_a_duration_is_written_with_the_largest_unit_that_fits(value: float, written: str) -> None:
    assert format_duration(value) == written


@given(st.integers(min_value=0, max_value=2**63))
def test_a_size_that_was_written_reads_the_same(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.floats(min_value=0, max_value=1e10, allow_nan=False))
def test_a_duration_that_was_written_reads_the_same(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds

"""What is written about the patient and the instance is the same on every machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from karnak_core.deidentify.patient import central_european_time


def test_central_european_time_is_what_it_is_where_zones_are_known() -> None:
    try:
        zone = ZoneInfo("Europe/Brussels")
    except ZoneInfoNotFoundError:
        pytest.skip("this machine knows no time zones")
    moment = datetime(1996, 1, 1, tzinfo=UTC)
    while moment.year < 2038:
        for late in (timedelta(0), timedelta(minutes=59, seconds=59)):
            at = moment + late
            assert at.astimezone(central_european_time(at)).utcoffset() == at.astimezone(zone).utcoffset(), at
        moment += timedelta(hours=1 if moment.month in (3, 10) and moment.day > 23 else 25)


@pytest.mark.parametrize("year", [1, 1980, 9999])
def test_moment_of_any_year_has_a_zone(year: int) -> None:
    at = datetime(year, 6, 1, tzinfo=UTC)
    assert at.astimezone(central_european_time(at)).tzinfo is not None


def test_summer_begins_for_everybody_at_once() -> None:
    before = datetime(2026, 3, 29, 10, 59, 59, tzinfo=timezone(timedelta(hours=10)))
    assert central_european_time(before).utcoffset(None) == timedelta(hours=1)
    assert central_european_time(before + timedelta(seconds=1)).utcoffset(None) == timedelta(hours=2)

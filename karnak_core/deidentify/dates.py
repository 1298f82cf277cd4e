"""Dates, times and ages: read, shifted, made coarser (DICOM PS3.5 section 6.2). Text in, text out.

A text that is no date raises `InvalidDate`, without quoting it.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{0,6}))?)?)?", re.ASCII)
_DT = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?([+-](?:0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)
_AS = re.compile(r"(\d{3})([DWMY]?)", re.ASCII)
_DAY = timedelta(days=1)


class InvalidDate(ValueError):
    """The text is not of its VR."""


def shift_da(text: str, days: int) -> str:
    """Return a DA some days earlier; a day beyond the end of its month counts as the last one."""
    try:
        return _da(_read_da(text) - timedelta(days=days))
    except OverflowError:
        raise InvalidDate("the shifted date is not in the years 1 to 9999") from None


def shift_tm(text: str, seconds: int) -> str:
    """Return a TM some seconds earlier, within the same 24 hours, with six digits of fraction."""
    microseconds = (_read_tm(text) - seconds * 1_000_000) % 86_400_000_000
    return (datetime.min + timedelta(microseconds=microseconds)).strftime("%H%M%S.%f")


def shift_dt(text: str, days: int, seconds: int) -> str:
    """Return a DT some days and seconds earlier: wall clock time, with six digits of fraction and its own offset.

    Missing parts are the first of their kind, and parts that are too large carry into the next, as in the Java Karnak;
    that one goes through the time zone of its host and loses offset and microseconds, which is not followed here.
    """
    parts, offset = _read_dt(text)
    try:
        moment = _moment(*parts) - timedelta(days=days, seconds=seconds)
    except OverflowError:
        raise InvalidDate("the shifted date is not in the years 1 to 9999") from None
    return _dt(moment, offset)


def shift_as(text: str, days: int) -> str:
    """Return an AS that is some days older, counted in whole units of the value; one without a unit is in days."""
    found = _AS.fullmatch(text.strip())
    if not found:
        raise InvalidDate("is not three digits and a unit")
    digits, unit = found.groups()
    per_unit = {"Y": 365, "M": 30, "W": 7}.get(unit, 1)
    # an age has three digits and no sign
    number = max(0, min(999, int(digits) + int(days / per_unit)))
    return f"{number:03}{unit}"


def coarsen_da(text: str, *, months: bool) -> str:
    """Return a DA on the first of its month, or, with ``months``, of its year."""
    found = _read_da(text)
    return _da(found.replace(day=1, month=1 if months else found.month))


def coarsen_dt(text: str, *, months: bool) -> str:
    """Return a DT on the first of its month or year; time and offset stay."""
    (year, month, day, hour, minute, second, micro), offset = _read_dt(text)
    try:
        first = datetime(year, month, 1, hour, minute, second, micro)
    except ValueError:
        raise InvalidDate("a part is out of its range") from None
    if not 1 <= day <= 31:
        raise InvalidDate("a part is out of its range")
    return _dt(first.replace(month=1) if months else first, offset)


def read_da(text: str) -> date | None:
    """Return the date of a DA; None when it is none."""
    try:
        return _read_da(text)
    except InvalidDate:
        return None


def _read_da(text: str) -> date:
    found = _DA.fullmatch(text.strip())
    if found:
        year, month, day = map(int, found.groups())
        if 1 <= day <= 31:
            try:
                return date(year, month, min(day, _last_day(year, month)))
            except ValueError:
                pass
    raise InvalidDate("is not YYYYMMDD")


def _last_day(year: int, month: int) -> int:
    return 31 if month == 12 else (date(year, month + 1, 1) - _DAY).day


def _read_tm(text: str) -> int:
    """Return the microseconds since midnight."""
    found = _TM.fullmatch(text.strip())
    if not found:
        raise InvalidDate("is not HHMMSS.FFFFFF")
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    micro = int((found[4] or "").ljust(6, "0"))
    if (hour, minute, second, micro) == (24, 0, 0, 0):
        return 0
    if hour > 23 or minute > 59 or second > 59:
        raise InvalidDate("a part is out of its range")
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + micro


def _read_dt(text: str) -> tuple[tuple[int, int, int, int, int, int, int], str]:
    found = _DT.fullmatch(text.strip())
    if not found:
        raise InvalidDate("is not YYYYMMDDHHMMSS.FFFFFF&ZZXX")
    year, month, day, hour, minute, second = (
        int(part) if part else default for part, default in zip(found.groups()[:6], (0, 1, 1, 0, 0, 0), strict=True)
    )
    return (year, month, day, hour, minute, second, int((found[7] or "").ljust(6, "0"))), found[8] or ""


def _moment(year: int, month: int, day: int, hour: int, minute: int, second: int, micro: int) -> datetime:
    try:
        first = datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)
    except ValueError:
        raise InvalidDate("a part is out of its range") from None
    return first + timedelta(days=day - 1, hours=hour, minutes=minute, seconds=second, microseconds=micro)


def _da(value: date) -> str:
    # strftime("%Y") does not pad on every platform
    return f"{value.year:04}{value.month:02}{value.day:02}"


def _dt(value: datetime, offset: str) -> str:
    return f"{_da(value)}{value.hour:02}{value.minute:02}{value.second:02}.{value.microsecond:06}{offset}"

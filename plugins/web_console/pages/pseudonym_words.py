"""What pages about pseudonyms say, and dates as people write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from karnak_core.errors import ConfigProblem, ConfigurationError
from karnak_core.model import now_ms


def added(count: int, woken: int, done: str = "stored") -> str:
    """Return the sentence that says what was done."""
    said = f"1 pseudonym is {done}" if count == 1 else f"{count:,} pseudonyms are {done}"
    if woken:
        one = "1 delivery that failed is" if woken == 1 else f"{woken:,} deliveries that failed are"
        said += f"; {one} tried again now"
    return f"{said}."


def ends_on(day: str) -> int | None:
    """Return the end of a day on this machine's clock, ms since 1970; None: no day is written.

    Raises
    ------
    ConfigurationError
        It is no day, or is over.
    """
    if not day:
        return None
    try:
        after = date.fromisoformat(day) + timedelta(days=1)
        end = datetime(after.year, after.month, after.day).astimezone(UTC)
    except (ValueError, OverflowError):
        problem = f"{day!r} is no date; write 2027-01-31"
        raise ConfigurationError([ConfigProblem(place="expires", message=problem)]) from None
    if end.timestamp() * 1000 <= now_ms():
        raise ConfigurationError([ConfigProblem(place="expires", message="this day is over")])
    return int(end.timestamp() * 1000)


def last_day(expires_at: int | None) -> str:
    """Return the day on which something expires, on this machine's clock; empty: it does not."""
    if expires_at is None:
        return ""
    # what ends at midnight was good for the day before
    return datetime.fromtimestamp((expires_at - 1) / 1000, UTC).astimezone().date().isoformat()

"""``action.on.dates``: dates, times and ages shifted, or made coarser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from karnak_core.deidentify.actions import ByType, Choice, Decision
from karnak_core.deidentify.dates import InvalidDate, coarsen_da, coarsen_dt, shift_as, shift_da, shift_dt, shift_tm
from karnak_core.deidentify.entry import Entry, Method, ProfileElement, Rule
from karnak_core.deidentify.hashing import scaled
from karnak_core.deidentify.tags import TagPattern, TagSet
from karnak_core.deidentify.visit import Received, Visit, texts_of
from karnak_core.expressions import Replace

#: Days and seconds by which an instance's dates move back.
Amount = Callable[[Received], tuple[int, int]]

_METHOD = Method(value="113107", meaning="Retain Longitudinal Temporal Information Modified Dates Option")
#: what becomes of a value that is no date
_INVALID = ByType("X/Z/D")
_OPTIONS = ("shift", "shift_range", "shift_by_tag", "date_format")
_SPELLINGS = {"format_date": "date_format"}
_DATE_VRS = frozenset({"AS", "DA", "DT", "TM"})


def shift(vr: str, text: str, days: int, seconds: int) -> str:
    """Return a value of VR DA, TM, DT or AS, shifted; raises `InvalidDate`."""
    if vr == "DA":
        return shift_da(text, days)
    if vr == "TM":
        return shift_tm(text, seconds)
    return shift_dt(text, days, seconds) if vr == "DT" else shift_as(text, days)


def range_amount(received: Received, days: tuple[int, int], seconds: tuple[int, int]) -> tuple[int, int]:
    """Return the patient's own days and seconds from two ranges; both follow from the same hash."""
    return scaled(received.fraction, *days), scaled(received.fraction, *seconds)


def _read(entry: Entry) -> Rule:
    tags, excluded = entry.read_tags(), entry.read_excluded_tags()
    choice = _choice(entry)
    return Rule(
        decide=partial(_on_dates, tags if entry.tags else None, excluded, choice), named=tags.exact, method=_METHOD
    )


def _on_dates(tags: TagSet | None, excluded: TagSet, choice: Choice, tag: int) -> Choice | None:
    return None if tag in excluded or (tags is not None and tag not in tags) else choice


def _choice(entry: Entry) -> Choice:
    option = entry.option.text if entry.option else ""
    match _SPELLINGS.get(option, option):
        case "shift":
            entry.known_arguments("days", "seconds")
            return partial(_shifted, partial(_fixed, (entry.number("days"), entry.number("seconds"))))
        case "shift_range":
            entry.known_arguments("max_days", "max_seconds", "min_days", "min_seconds")
            days = (entry.number("min_days", 0), entry.number("max_days"))
            seconds = (entry.number("min_seconds", 0), entry.number("max_seconds"))
            return partial(_shifted, partial(range_amount, days=days, seconds=seconds))
        case "shift_by_tag":
            entry.known_arguments("days_tag", "seconds_tag")
            return partial(_shifted, partial(_by_tag, _tag(entry, "days_tag"), _tag(entry, "seconds_tag")))
        case "date_format":
            entry.known_arguments("remove")
            remove = entry.require_argument("remove")
            if remove not in ("day", "month_day") and "remove" in entry.arguments:
                line = entry.arguments["remove"].line
                entry.problem(f"argument 'remove': {remove[:40]!r} is not day or month_day", line)
            return partial(_coarsened, remove == "month_day")
    wrong = f"option {option[:40]!r} is unknown" if entry.option else "option is missing"
    entry.problem(f"{wrong}; known are {', '.join(_OPTIONS)}", entry.option.line if entry.option else None)
    return _INVALID


def _tag(entry: Entry, name: str) -> int | None:
    text = entry.arguments.get(name)
    if text is None:
        return None
    try:
        pattern = TagPattern.parse(text.text)
    except ValueError as error:
        entry.problem(f"argument {name!r}: {error}", text.line)
        return None
    if not pattern.is_exact:
        entry.problem(f"argument {name!r}: the tag cannot have an X", text.line)
    return pattern.value


def _fixed(amount: tuple[int, int], _received: Received) -> tuple[int, int]:
    return amount


def _by_tag(days_tag: int | None, seconds_tag: int | None, received: Received) -> tuple[int, int]:
    return _number(received, days_tag), _number(received, seconds_tag)


def _number(received: Received, tag: int | None) -> int:
    """Return the first value of an element at the root; 0 when there is none or it is no number."""
    texts = () if tag is None else texts_of(received.dataset, tag)
    try:
        number = int(texts[0]) if texts and len(texts[0]) <= 12 else 0
    except ValueError:
        return 0
    return number if -(2**31) <= number < 2**31 else 0


def _shifted(amount: Amount, visit: Visit) -> Decision | None:
    if visit.vr not in _DATE_VRS:
        return None
    texts = visit.texts()
    if not any(texts):
        return None
    days, seconds = amount(visit.received)
    return _each(texts, lambda text: shift(visit.vr, text, days, seconds))


def _coarsened(months: bool, visit: Visit) -> Decision | None:
    if visit.vr not in ("DA", "DT"):
        return None
    texts = visit.texts()
    coarsen = coarsen_da if visit.vr == "DA" else coarsen_dt
    return _each(texts, lambda text: coarsen(text, months=months)) if any(texts) else None


def _each(texts: tuple[str, ...], change: Callable[[str], str]) -> Decision:
    try:
        return Replace("\\".join(change(text) if text else "" for text in texts))
    except InvalidDate:
        return _INVALID


# an action has no effect, but profiles of the Java Karnak have one
ON_DATES = ProfileElement(
    codename="action.on.dates", read=_read, keys=("action", "option", "arguments", "tags", "excludedTags")
)

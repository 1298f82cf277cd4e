"""The results for people (tables) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.plan import KILOBYTE, MEGABYTE, Plan
from benchmarks.results import Measurement, Spread, Summary

TITLES = {
    "receive": "Receive: instances a second until the senders have their last response",
    "stalls": "Senders at their defaults (Nagle's algorithm on): instances a second until the last response",
    "forward": "Receive and forward: instances a second until the last one is at storescp",
    "large, receive": "One large object, received",
    "large, forward": "One large object, received and forwarded to storescp",
    "changed": "Receive, de-identify and forward: instances a second until the last one is at storescp",
    "transcoded": "Receive, transcode and forward: instances a second until the last one is at storescp",
    "deidentify": "De-identification in memory, one process: decode, basic profile or what the engine has, encode",
}


def print_tables(console: Console, summaries: Sequence[Summary]) -> None:
    """Print one table for each scenario and size."""
    for (scenario, size), together in groupby(
        sorted(summaries, key=lambda one: (list(TITLES).index(one.case.scenario), one.case.size)),
        key=lambda one: (one.case.scenario, one.case.size),
    ):
        group = list(together)
        console.print()
        title = f"{TITLES[scenario]} ({size_text(size)})"
        table = _engine_table if scenario == "deidentify" else _large_table if "large" in scenario else _rate_table
        console.print(table(title, group))


def write_json(
    file: Path,
    plan: Plan,
    machine: Mapping[str, str],
    measurements: Sequence[Measurement],
    summaries: Sequence[Summary],
) -> None:
    """Write everything that was measured, and the summaries."""
    file.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "plan": asdict(plan),
        "summaries": [asdict(summary) for summary in summaries],
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    file.write_text(json.dumps(result, indent=1) + "\n")


def size_text(size: int) -> str:
    """Return a size as people say it."""
    if size >= MEGABYTE:
        return f"{size / MEGABYTE:.0f} MB"
    return f"{size / KILOBYTE:.0f} KB"


def _rate_table(title: str, summaries: Sequence[Summary]) -> Table:
    table = Table(title=title, title_justify="left", caption=_problems(summaries), caption_justify="left")
    table.add_column("sender")
    table.add_column("associations", justify="right")
    table.add_column("system")
    for name in ("instances", "per second", "net", "karnak is", "net", "CPU ms/instance", "sender"):
        table.add_column(name, justify="right")
    last = None
    for one in summaries:
        first = one.case != last
        if first and last is not None:
            table.add_section()
        last = one.case
        table.add_row(
            one.case.sender if first else "",
            str(one.case.associations) if first else "",
            one.system + (" !" if one.problems else ""),
            str(one.instances),
            _spread(one.rate, ".0f"),
            f"{one.net_rate.median:.0f}",
            _ratio(one, one.gateway_ratio),
            _ratio(one, one.net_gateway_ratio),
            _by_role(one.cpu_milliseconds, ".2f"),
            f"{one.sender_cpu_milliseconds:.2f}",
        )
    return table


def _large_table(title: str, summaries: Sequence[Summary]) -> Table:
    table = Table(title=title, title_justify="left", caption=_problems(summaries), caption_justify="left")
    table.add_column("system")
    for name in ("seconds", "MB/s", "karnak is", "CPU s", "peak resident MB of a process"):
        table.add_column(name, justify="right")
    for one in summaries:
        megabytes = one.case.size / MEGABYTE
        rate = Spread(median=one.rate.median * megabytes, low=one.rate.low * megabytes, high=one.rate.high * megabytes)
        table.add_row(
            one.system + (" !" if one.problems else ""),
            f"{1 / one.rate.median:.2f}",
            _spread(rate, ".0f"),
            _ratio(one, one.gateway_ratio),
            _by_role({role: used / 1e3 for role, used in one.cpu_milliseconds.items()}, ".2f"),
            _by_role({role: peak / MEGABYTE for role, peak in one.peak_resident_bytes.items()}, ".0f"),
        )
    return table


def _engine_table(title: str, summaries: Sequence[Summary]) -> Table:
    table = Table(title=title, title_justify="left", caption=_problems(summaries), caption_justify="left")
    table.add_column("object")
    table.add_column("engine")
    for name in ("objects", "CPU ms an object", "karnak is"):
        table.add_column(name, justify="right")
    for one in summaries:
        table.add_row(
            one.case.sender,
            one.system + (" !" if one.problems else ""),
            str(one.instances),
            _spread(milliseconds(one.rate), ".2f"),
            _ratio(one, one.gateway_ratio),
        )
    return table


def milliseconds(rate: Spread) -> Spread:
    """Return the milliseconds that each takes, of a rate a second."""
    return Spread(median=1e3 / rate.median, low=1e3 / rate.high, high=1e3 / rate.low)


def _spread(spread: Spread, form: str) -> str:
    if spread.low == spread.high:
        return f"{spread.median:{form}}"
    return f"{spread.median:{form}} ({spread.low:{form}}–{spread.high:{form}})"


def _ratio(summary: Summary, ratio: Spread | None) -> str:
    if ratio is None or summary.system == "karnak":
        return ""
    return _spread(ratio, ".2f") + " ×"


def _by_role(values: Mapping[str, float], form: str) -> str:
    parts = [f"{role} {value:{form}}" for role, value in sorted(values.items()) if value > 0]
    return " + ".join(parts) if len(values) > 1 else f"{sum(values.values()):{form}}"


def _problems(summaries: Sequence[Summary]) -> str | None:
    lines = [f"! {one.system}, {one.case.associations}: {problem}" for one in summaries for problem in one.problems]
    return "\n".join(lines) or None

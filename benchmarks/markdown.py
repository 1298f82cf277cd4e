"""``python -m benchmarks.markdown [FILE]``: the results of a run as the tables of the README."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from benchmarks.report import TITLES, size_text

RESULTS = Path(__file__).parent / "results"
HEADER = """\
| size | sender | associations | system | per second | karnak is | CPU ms an instance |
|---|---|--:|---|--:|--:|---|"""
LARGE_HEADER = """\
| system | MB/s | karnak is | CPU s | peak resident MB of a process |
|---|--:|--:|---|---|"""

ENGINE_HEADER = """\
| object | engine | CPU ms an object | karnak is |
|---|---|--:|--:|"""
_HEADERS = {"large, receive": LARGE_HEADER, "large, forward": LARGE_HEADER, "deidentify": ENGINE_HEADER}


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=RESULTS / "latest.json")
def main(file: Path) -> None:
    """Print the tables of FILE."""
    result = json.loads(file.read_text())
    click.echo(f"{result['date'][:10]}; " + ", ".join(f"{name} {value}" for name, value in result["machine"].items()))
    for scenario, together in groupby(result["summaries"], key=lambda one: one["case"]["scenario"]):
        summaries = list(together)
        click.echo(f"\n**{TITLES[scenario]}**\n\n{_HEADERS.get(scenario, HEADER)}")
        last = None
        for one in summaries:
            first = one["case"] != last
            if scenario == "deidentify":
                click.echo(_engine_row(one, first=first))
            else:
                click.echo(_large_row(one) if scenario.startswith("large") else _row(one, first=first))
            last = one["case"]


def _row(one: dict[str, Any], *, first: bool) -> str:
    case = one["case"]
    where = [size_text(case["size"]), case["sender"], str(case["associations"])] if first else ["", "", ""]
    return _line(
        [*where, one["system"], _spread(one["rate"], ".0f"), _ratio(one), _by_role(one["cpu_milliseconds"], ".2f")]
    )


def _large_row(one: dict[str, Any]) -> str:
    megabytes = one["case"]["size"] / 1e6
    return _line(
        [
            one["system"],
            _spread({key: value * megabytes for key, value in one["rate"].items()}, ".0f"),
            _ratio(one),
            _by_role({role: used / 1e3 for role, used in one["cpu_milliseconds"].items()}, ".1f"),
            _by_role({role: peak / 1e6 for role, peak in one["peak_resident_bytes"].items()}, ".0f"),
        ]
    )


def _engine_row(one: dict[str, Any], *, first: bool) -> str:
    rate = one["rate"]
    took = {"median": 1e3 / rate["median"], "low": 1e3 / rate["high"], "high": 1e3 / rate["low"]}
    name = f"{one['case']['sender']}, {size_text(one['case']['size'])}" if first else ""
    return _line([name, one["system"], _spread(took, ".2f"), _ratio(one)])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(spread: dict[str, float], form: str) -> str:
    if spread["low"] == spread["high"]:
        return f"{spread['median']:{form}}"
    return f"{spread['median']:{form}} ({spread['low']:{form}}–{spread['high']:{form}})"


def _ratio(one: dict[str, Any]) -> str:
    ratio = one["gateway_ratio"]
    return "" if ratio is None or one["system"] == "karnak" else _spread(ratio, ".2f") + " ×"


def _by_role(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{role} {value:{form}}" for role, value in sorted(values.items()) if value > 0)


if __name__ == "__main__":
    main()

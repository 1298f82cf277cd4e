"""``python -m benchmarks``: measure, print the tables, write the JSON file."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine
from benchmarks.instances import write_instances, write_large_instance
from benchmarks.plan import ASSOCIATIONS, KILOBYTE, MEGABYTE, SCENARIOS, SIZES, Plan
from benchmarks.programs import MissingProgramError, dcmtk, orthanc
from benchmarks.report import print_tables, size_text, write_json
from benchmarks.results import Measurement, summarise
from benchmarks.scenarios import RUNS, Bench

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option(
    "--scenario", "scenarios", multiple=True, type=click.Choice(SCENARIOS), help="Only these; all by default."
)
@click.option("--size", "sizes", multiple=True, type=click.IntRange(2), help="Kilobytes of an instance; 8 and 530.")
@click.option("--associations", multiple=True, type=click.IntRange(1, 32), help="At once; 1, 4 and 16.")
@click.option("--rounds", type=click.IntRange(1), help="How often each is measured; 3.")
@click.option("--scale", type=click.FloatRange(0.01), help="Times the usual number of instances.")
@click.option("--large-mb", type=click.IntRange(1, 3500), help="Megabytes of the large object; 1000.")
@click.option("--connections", default=4, show_default=True, type=click.IntRange(1, 50), help="Of the destination.")
@click.option("--storescp-pdu", type=click.IntRange(4096, 131072), help="Its maximum PDU length; its default: 16384.")
@click.option("--quick", is_flag=True, help="One round, fewer instances, 4 associations: to see that it works.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("/var/tmp"), show_default=True, help="On a disk.")
@click.option("--json", "file", type=click.Path(path_type=Path), default=RESULTS / "latest.json", help="What to write.")
def main(
    scenarios: tuple[str, ...],
    sizes: tuple[int, ...],
    associations: tuple[int, ...],
    rounds: int | None,
    scale: float | None,
    large_mb: int | None,
    connections: int,
    storescp_pdu: int | None,
    quick: bool,
    work: Path,
    file: Path,
) -> None:
    """Measure the gateway beside DCMTK, Orthanc and pynetdicom."""
    plan = Plan(
        scenarios=scenarios or SCENARIOS,
        sizes=tuple(size * KILOBYTE for size in sizes) or SIZES,
        associations=associations or ((4,) if quick else ASSOCIATIONS),
        rounds=rounds or (1 if quick else 3),
        scale=scale or (0.25 if quick else 1.0),
        large_size=(large_mb or (200 if quick else 1000)) * MEGABYTE,
        connections=connections,
        storescp_pdu=storescp_pdu,
        stalls_instances=20 if quick else 40,
        warm_up=8 if quick else 24,
        quick=quick,
    )
    if _uses_network(plan):
        _need_programs()
    if machine.file_system(work) == "tmpfs":
        raise click.UsageError(
            f"--work {work}: is in memory (tmpfs); fsync costs nothing there: give a folder on a disk"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="karnak-benchmarks-", dir=work))
    try:
        _run(plan, folder, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(plan: Plan, folder: Path, file: Path) -> None:
    console = Console(width=None if sys.stdout.isatty() else 180)
    started = time.monotonic()
    bench = _prepare(plan, folder)
    measurements: list[Measurement] = []
    try:
        for scenario in plan.scenarios:
            for one in RUNS[scenario](bench):
                measurements.append(one)
                _say(console, one, time.monotonic() - started)
    except KeyboardInterrupt:
        console.print("stopped; this is what was measured until now")
    if not measurements:
        return
    summaries = summarise(measurements)
    facts = machine.describe(folder, engines="deidentify" in plan.scenarios, network=_uses_network(plan))
    print_tables(console, summaries)
    console.print()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    write_json(file, plan, facts, measurements, summaries)
    spins = [one.spin_seconds for one in measurements]
    console.print(f"the same loop took {max(spins) / min(spins):.1f} times as long at the worst moment as at the best")
    console.print(f"{time.monotonic() - started:.0f} s; every number is in {file}", highlight=False)


def _prepare(plan: Plan, folder: Path) -> Bench:
    sizes = plan.sizes if _uses_network(plan) else ()
    pools = {size: write_instances(folder / f"instances-{size}", plan.pool(size), size) for size in sizes}
    large = write_large_instance(folder / "large.dcm", plan.large_size) if "large" in plan.scenarios else None
    return Bench(plan=plan, work=folder, pools=pools, large=large)


def _say(console: Console, one: Measurement, seconds: float) -> None:
    case = one.case
    if case.scenario == "deidentify":
        what = f"{case.scenario}, {case.sender}, round {one.round + 1}"
    else:
        what = f"{case.scenario}, {size_text(case.size)}, {case.associations} × {case.sender}, round {one.round + 1}"
    took = f"{one.system} {one.instances} in {one.seconds:.2f} s{': ' + one.problem if one.problem else ''}"
    console.print(
        f"{seconds:4.0f} s: {what}: {took}",
        highlight=False,
    )


def _uses_network(plan: Plan) -> bool:
    return set(plan.scenarios) != {"deidentify"}


def _need_programs() -> None:
    try:
        for name in ("dcmsend", "storescu", "storescp"):
            dcmtk(name)
        orthanc()
    except MissingProgramError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()

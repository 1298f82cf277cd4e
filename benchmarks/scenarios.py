"""What is sent to what, round after round: A B C, A B C, so that a noisy minute hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deidentify import deidentify
from benchmarks.measure import Job, fresh, measure, not_measured, warm_up
from benchmarks.plan import Plan
from benchmarks.results import Case, Measurement
from benchmarks.senders import DCMSEND, DCMSEND_DEFAULTS, PYNETDICOM_DEFAULTS, STORESCU_DEFAULTS, Sender
from benchmarks.systems import Karnak, Orthanc, Pynetdicom, Storescp, System
from benchmarks.systems.running import NotReadyError


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the scenarios work with."""

    plan: Plan
    work: Path
    #: the instances of each size
    pools: Mapping[int, Sequence[Path]]
    large: Path | None

    def receivers(self) -> list[System]:
        """Return everything that receives, each at its best."""
        return [self.karnak(), self.storescp(), Pynetdicom(), Orthanc(no_delay=True, share=1 / 4)]

    def as_installed(self, round_: int) -> list[System]:
        """Return Orthanc as people find it, once: its rate follows from a timer of 40 ms, not from the machine."""
        return [] if self.plan.quick or round_ > 0 else [Orthanc(no_delay=False, share=1 / 32)]

    def karnak(self) -> Karnak:
        """Return the gateway."""
        return Karnak(self.plan.connections)

    def storescp(self) -> Storescp:
        """Return ``storescp``."""
        return Storescp(self.plan.storescp_pdu)


def receive(bench: Bench) -> Iterator[Measurement]:
    """Until the sender has its last response; Nagle's algorithm off at the sender."""
    plan = bench.plan
    for size in plan.sizes:
        for associations in plan.associations:
            case = Case(scenario="receive", size=size, associations=associations, sender=DCMSEND.name)
            for round_ in range(plan.rounds):
                for system in [*bench.receivers(), *bench.as_installed(round_)]:
                    files = bench.pools[size][plan.warm_up :][: plan.instances(size, associations, system.share)]
                    job = Job(case=case, sender=DCMSEND, batches=_split(files, associations))
                    yield from _measured(bench, system, [job], round_)


def stalls(bench: Bench) -> Iterator[Measurement]:
    """The same with senders at their defaults: who waits for whose delayed acknowledgement?"""
    plan = bench.plan
    for size in plan.sizes[: 1 if plan.quick else None]:
        jobs = _stall_jobs(plan, size, bench.pools[size][plan.warm_up :])
        # a timer of 40 ms varies little: fewer rounds
        for round_ in range(min(plan.rounds, 2 if size == min(plan.sizes) else 1)):
            for system in bench.receivers():
                yield from _measured(bench, system, jobs, round_)


def forward(bench: Bench) -> Iterator[Measurement]:
    """Until the last instance is at a ``storescp``; sent straight to it, through the gateway, through Orthanc."""
    plan = bench.plan
    target = bench.storescp()
    systems: list[System] = [bench.karnak(), target, Orthanc(no_delay=True, share=1 / 8)]
    for size in plan.sizes:
        for associations in plan.associations:
            case = Case(scenario="forward", size=size, associations=associations, sender=DCMSEND.name)
            for round_ in range(plan.rounds):
                for system in [*systems, *bench.as_installed(round_)]:
                    files = bench.pools[size][plan.warm_up :][: plan.instances(size, associations, system.share)]
                    job = Job(case=case, sender=DCMSEND, batches=_split(files, associations))
                    yield from _measured(bench, system, [job], round_, target)


def large(bench: Bench) -> Iterator[Measurement]:
    """One object of many frames: received by each, then received and forwarded."""
    plan = bench.plan
    assert bench.large is not None
    target = bench.storescp()
    runs: list[tuple[str, System, System | None]] = [
        *(("large, receive", system, None) for system in bench.receivers()),
        *(("large, forward", system, target) for system in (bench.karnak(), target, Orthanc(no_delay=True, share=1.0))),
    ]
    for round_ in range(min(plan.rounds, 2)):
        for scenario, system, to in runs:
            if round_ > 0 and isinstance(system, Orthanc):
                continue  # takes longer than all others together
            case = Case(scenario=scenario, size=plan.large_size, associations=1, sender=DCMSEND.name)
            job = Job(case=case, sender=DCMSEND, batches=[[bench.large]])
            yield from _measured(bench, system, [job], round_, to, resident=True)


#: Study ID is the pseudonym: it is in every instance
DEIDENTIFIED = {"de_identification": {"project": "BENCH", "pseudonym": {"type": "tag", "tag": "(0020,0010)"}}}
#: transfer syntaxes that are asked for, each lossless
COMPRESSED = ("JPEGLSLossless", "HTJ2KLossless", "JPEG2000Lossless", "JPEGLosslessSV1")


def changed(bench: Bench) -> Iterator[Measurement]:
    """Received and forwarded as they are, and de-identified by the basic profile, searched for leaks."""
    plan = bench.plan
    target = bench.storescp()
    systems = [bench.karnak(), Karnak(plan.connections, doing="de-identifying", keys=DEIDENTIFIED)]
    for size in plan.sizes:
        case = Case(scenario="changed", size=size, associations=4, sender=DCMSEND.name)
        files = bench.pools[size][plan.warm_up :][: plan.instances(size, 4, 1.0)]
        for round_ in range(plan.rounds):
            for system in systems:
                yield from _measured(
                    bench, system, [Job(case=case, sender=DCMSEND, batches=_split(files, 4))], round_, target
                )


def transcoded(bench: Bench) -> Iterator[Measurement]:
    """Received and forwarded as they are, and in other transfer syntaxes, each frame decoded again and compared."""
    plan = bench.plan
    target = bench.storescp()
    size = max(plan.sizes)
    case = Case(scenario="transcoded", size=size, associations=4, sender=DCMSEND.name)
    systems = [
        bench.karnak(),
        *(
            Karnak(plan.connections, doing=syntax, share=1 / 8, keys={"transfer_syntax": syntax})
            for syntax in COMPRESSED
        ),
    ]
    for round_ in range(plan.rounds):
        for system in systems:
            files = bench.pools[size][plan.warm_up :][: plan.instances(size, 4, system.share)]
            yield from _measured(
                bench, system, [Job(case=case, sender=DCMSEND, batches=_split(files, 4))], round_, target
            )


RUNS: Mapping[str, Callable[[Bench], Iterator[Measurement]]] = {
    "receive": receive,
    "stalls": stalls,
    "forward": forward,
    "large": large,
    "changed": changed,
    "transcoded": transcoded,
    "deidentify": lambda bench: deidentify(bench.plan),
}


def _measured(
    bench: Bench,
    system: System,
    jobs: Sequence[Job],
    round_: int,
    target: System | None = None,
    *,
    resident: bool = False,
) -> Iterator[Measurement]:
    """Start, warm up, measure job after job, stop; one that does not come up does not end the run."""
    smallest = bench.pools[min(bench.pools)]
    done = 0
    try:
        with fresh(system, bench.work, target) as stand:
            warm_up(stand, (bench.pools.get(jobs[0].case.size) or smallest)[: bench.plan.warm_up])
            for job in jobs:
                yield measure(stand, job, round_, bench.plan.at_most, resident=resident)
                done += 1
    except NotReadyError as error:
        name = "direct" if target is system else system.name
        for job in jobs[done:]:
            yield not_measured(name, job, round_, str(error))


def _stall_jobs(plan: Plan, size: int, files: Sequence[Path]) -> list[Job]:
    wanted: list[tuple[Sender, int]] = [(DCMSEND_DEFAULTS, associations) for associations in plan.associations]
    wanted += [(STORESCU_DEFAULTS, 1), (PYNETDICOM_DEFAULTS, 1)]
    jobs = []
    start = 0
    for sender, associations in wanted:
        end = start + plan.stalls_instances * associations
        case = Case(scenario="stalls", size=size, associations=associations, sender=sender.name)
        jobs.append(Job(case=case, sender=sender, batches=_split(files[start:end], associations)))
        start = end
    return jobs


def _split(files: Sequence[Path], parts: int) -> list[Sequence[Path]]:
    each = len(files) // parts
    return [files[number * each : (number + 1) * each] for number in range(parts)]

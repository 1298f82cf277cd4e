"""What was measured, and what follows from it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is compared with one another: everything but the system and the round."""

    scenario: str
    #: bytes of an instance, about
    size: int
    associations: int
    sender: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One system in one round of one case."""

    case: Case
    system: str
    round: int
    instances: int
    #: from the start of the senders until the end that the scenario names
    seconds: float
    #: what the same senders need for the same files before their first association request: against a closed port
    preparation_seconds: float
    #: until the senders had their last response; in the receiving scenarios the same as ``seconds``
    answered_seconds: float
    #: CPU seconds of whole processes, by what they do
    cpu_seconds: Mapping[str, float]
    sender_cpu_seconds: float
    #: what a loop that is always the same took just before: how busy the machine was with other things
    spin_seconds: float
    #: highest resident bytes of one process, by what it does; only where it is asked for
    peak_resident_bytes: Mapping[str, int] = field(default_factory=dict)
    #: empty, or why the numbers do not count
    problem: str = ""

    @property
    def rate(self) -> float:
        """Instances per second."""
        return self.instances / self.seconds

    @property
    def net_rate(self) -> float:
        """Instances per second without the senders' preparation."""
        return self.instances / max(1e-9, self.seconds - self.preparation_seconds)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(median=statistics.median(values), low=min(values), high=max(values))


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One system in one case, all rounds."""

    case: Case
    system: str
    instances: int
    rate: Spread
    net_rate: Spread
    #: the gateway's rate divided by this one's, round by round; absent without a gateway in the case
    gateway_ratio: Spread | None
    net_gateway_ratio: Spread | None
    #: median CPU milliseconds an instance, by what the processes do
    cpu_milliseconds: Mapping[str, float]
    sender_cpu_milliseconds: float
    peak_resident_bytes: Mapping[str, int]
    problems: Sequence[str]


def summarise(measurements: Iterable[Measurement], gateway: str = "karnak") -> list[Summary]:
    """Return a summary for each system of each case, in the order measured."""
    groups: dict[Case, dict[str, dict[int, Measurement]]] = defaultdict(lambda: defaultdict(dict))
    for measurement in measurements:
        groups[measurement.case][measurement.system][measurement.round] = measurement
    return [
        _summary(case, system, rounds, systems.get(gateway, {}))
        for case, systems in groups.items()
        for system, rounds in systems.items()
    ]


def _summary(case: Case, system: str, rounds: Mapping[int, Measurement], gateway: Mapping[int, Measurement]) -> Summary:
    every = list(rounds.values())
    good = [one for one in every if not one.problem]
    pairs = [(gateway[one.round], one) for one in good if one.round in gateway and not gateway[one.round].problem]
    # one that failed says how long it was given, not how fast it is
    used = good or every
    return Summary(
        case=case,
        system=system,
        instances=used[0].instances,
        rate=Spread.of([one.rate for one in used]),
        net_rate=Spread.of([one.net_rate for one in used]),
        gateway_ratio=Spread.of([ours.rate / one.rate for ours, one in pairs]) if pairs else None,
        net_gateway_ratio=Spread.of([ours.net_rate / one.net_rate for ours, one in pairs]) if pairs else None,
        cpu_milliseconds={
            role: statistics.median([one.cpu_seconds.get(role, 0.0) / one.instances * 1e3 for one in used])
            for role in used[0].cpu_seconds
        },
        sender_cpu_milliseconds=statistics.median([one.sender_cpu_seconds / one.instances * 1e3 for one in used]),
        peak_resident_bytes={
            role: max(one.peak_resident_bytes.get(role, 0) for one in used) for role in used[0].peak_resident_bytes
        },
        problems=[one.problem for one in every if one.problem],
    )

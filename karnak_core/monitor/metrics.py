"""How the gateway stands, as Prometheus reads it.

Every number is taken from the ledger when it is asked for, so that it is right again at once after a restart. Labels
are names of the configuration: never anything of a patient, nor of a peer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from karnak_core import __version__
from karnak_core.database.tables import delivery, destination_health
from karnak_core.model import Health
from karnak_core.monitor.expiries import Expiry
from karnak_core.monitor.standing import Standing
from karnak_core.spool import tallies
from karnak_core.spool.standing import Open

WHERE = ("forward_node", "destination")


class Numbers(Collector):
    """One picture, as metrics."""

    def __init__(
        self,
        standing: Standing,
        expiries: Iterable[Expiry],
        attempts: dict[tuple[str, str], tuple[int, int]],
        version: int,
    ) -> None:
        self._standing = standing
        self._expiries = [*expiries, *standing.follow_up_expiries]
        #: (node, destination) -> attempts of what is open, transport failures in a row
        self._attempts = attempts
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; one without a value too, so that it is known to be there."""
        found = self._standing
        yield _gauge("karnak_info", "The version of Karnak.", ("version",), [((__version__,), 1)])
        yield _gauge("karnak_configuration_version", "Number of the configuration in use.", (), [((), self._version)])
        roles = sorted({one.role for one in found.processes})
        yield _gauge(
            "karnak_processes",
            "Processes seen within the last minute, of every gateway on this ledger.",
            ("role",),
            [((role,), sum(one.role == role for one in found.processes)) for role in roles],
        )
        yield from self._instances()
        yield from self._deliveries()
        yield from self._destinations()
        yield _gauge("karnak_spool_bytes", "Bytes of instances that are kept.", (), [((), found.spool_bytes)])
        yield _gauge("karnak_free_bytes", "Free bytes of the spool's file system.", (), [((), found.free_bytes)])
        yield _gauge("karnak_reserve_bytes", "Free bytes below which nothing is accepted.", (), [((), found.reserve)])
        yield _open("karnak_follow_ups_open", "What is to be done after deliveries.", found.follow_ups)
        yield _open("karnak_notifications_open", "What people are to be told.", found.notifications)
        for kind in ("certificate", "token"):
            yield _gauge(
                f"karnak_{kind}_expiry_timestamp_seconds",
                f"When a {kind} expires, in seconds since 1970.",
                ("of",),
                [((one.of,), one.at / 1000) for one in self._expiries if one.kind == kind and one.at is not None],
            )

    def _instances(self) -> Iterator[Metric]:
        for name, words in (
            (tallies.RECEIVED, "Instances received."),
            (tallies.REFUSED, "Instances and associations refused."),
        ):
            totals = [((node,), count) for (node, _, key), count in self._standing.totals.items() if key == name]
            yield _counter(f"karnak_instances_{name}", words, ("forward_node",), totals)

    def _deliveries(self) -> Iterator[Metric]:
        states = ("sent", "duplicate", "excluded", "discarded")
        yield _counter(
            "karnak_deliveries",
            "Deliveries that ended, by how.",
            (*WHERE, "state"),
            [
                ((one.numbers.forward_node, one.numbers.destination, state), getattr(one.numbers, state))
                for one in self._standing.destinations
                for state in states
            ],
        )
        yield self._of_each("karnak_deliveries_pending", "Deliveries that wait or are under way.", "pending")
        yield self._of_each("karnak_deliveries_failed", "Deliveries that failed and are kept.", "failed")
        yield self._of_each(
            "karnak_oldest_pending_seconds",
            "Seconds since the oldest instance was received that is not delivered yet; 0: nothing waits.",
            "oldest_pending_seconds",
        )

    def _destinations(self) -> Iterator[Metric]:
        yield _gauge(
            "karnak_destination_state",
            "1 for the state that a destination is in, else 0.",
            (*WHERE, "state"),
            [
                ((one.numbers.forward_node, one.numbers.destination, state.value), int(one.state is state))
                for one in self._standing.destinations
                for state in Health
            ],
        )
        for position, name, words in (
            (0, "karnak_open_delivery_attempts", "Attempts made so far of what is not delivered yet."),
            (1, "karnak_destination_failures", "Transport failures in a row."),
        ):
            yield _gauge(
                name,
                words,
                WHERE,
                [
                    (key, self._attempts.get(key, (0, 0))[position])
                    for one in self._standing.destinations
                    if (key := (one.numbers.forward_node, one.numbers.destination))
                ],
            )

    def _of_each(self, name: str, words: str, of: str) -> Metric:
        return _gauge(
            name,
            words,
            WHERE,
            [
                ((one.numbers.forward_node, one.numbers.destination), getattr(one.numbers, of) or 0)
                for one in self._standing.destinations
            ],
        )


def text(numbers: Numbers) -> bytes:
    """Return what ``/metrics`` answers: the text format of Prometheus, version 0.0.4, in UTF-8."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(numbers)
    return generate_latest(registry)


def attempts(connection: sa.Connection) -> dict[tuple[str, str], tuple[int, int]]:
    """Return of each destination with something open, or in trouble, its attempts and its failures in a row."""
    failures = {(row.forward_node, row.destination): row.failures for row in connection.execute(_FAILURES)}
    made = {(row.forward_node, row.destination): int(row.attempts) for row in connection.execute(_ATTEMPTS)}
    return {key: (made.get(key, 0), failures.get(key, 0)) for key in failures | made}


def _gauge(name: str, words: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    return _filled(GaugeMetricFamily(name, words, labels=labels), values)


def _counter(name: str, words: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    return _filled(CounterMetricFamily(name, words, labels=labels), values)


def _filled(family: Any, values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    for labels, value in values:
        family.add_metric(labels, value)
    found: Metric = family
    return found


def _open(name: str, words: str, several: Sequence[Open]) -> Metric:
    return _gauge(
        name,
        words,
        (*WHERE, "part", "state"),
        [
            ((one.forward_node, one.destination, one.part, state), getattr(one, state))
            for one in several
            for state in ("pending", "failed")
        ],
    )


_ATTEMPTS = (
    sa.select(delivery.c.forward_node, delivery.c.destination, sa.func.sum(delivery.c.attempts).label("attempts"))
    .where(delivery.c.not_before.is_not(None))
    .group_by(delivery.c.forward_node, delivery.c.destination)
)

_FAILURES = sa.select(
    destination_health.c.forward_node, destination_health.c.destination, destination_health.c.failures
)

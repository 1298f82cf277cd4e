"""Deliveries added up: the vectors of the reference, as far as a ledger can hold them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import State
from karnak_core.spool import aggregates
from karnak_core.spool.aggregates import Counts
from karnak_core.spool.views import Filter, deliveries

PRIMARY, MORPH = "primary", "morph"


def at(day: int, month: int = 1) -> int:
    return int(datetime(2026, month, day, 12, tzinfo=UTC).timestamp() * 1000)


class Book:
    """Writes rows of a ledger as they were left by what happened."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self._serial = 0

    def deliver(
        self,
        destination: str,
        study: str,
        series: str,
        state: State | str,
        *,
        count: int = 1,
        when: int = at(1),
        reason: str = "",
        attempts: int = 1,
        sop: str = "",
        modality: str = "CT",
        facts: dict[str, str] | None = None,
        sent: dict[str, str] | None = None,
    ) -> None:
        final = state not in (State.PENDING, State.LEASED, State.FAILED)
        with self._ledger.database.write() as connection:
            for _ in range(count):
                self._serial += 1
                connection.execute(
                    sa.insert(instance).values(
                        id=self._serial,
                        forward_node="GATEWAY",
                        calling_ae_title="CT1",
                        peer_host="127.0.0.1",
                        received_at=when,
                        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                        sop_instance_uid=sop or f"{series}.{self._serial}",
                        study_instance_uid=study,
                        series_instance_uid=series,
                        transfer_syntax_uid="1.2.840.10008.1.2.1",
                        path=None,
                        dataset_offset=132,
                        size=1,
                        facts={"Modality": modality, **(facts or {})},
                    )
                )
                gone = state in (State.SENT, State.DUPLICATE)
                connection.execute(
                    sa.insert(delivery).values(
                        instance_id=self._serial,
                        forward_node="GATEWAY",
                        destination=destination,
                        state=str(state),
                        reason=reason,
                        attempts=attempts,
                        not_before=None if final else when,
                        created_at=when,
                        finished_at=None if state == State.PENDING else when,
                        sent_study_instance_uid=f"9.{study}" if gone else None,
                        sent_series_instance_uid=f"9.{series}" if gone else None,
                        sent_sop_instance_uid=f"9.{series}.{self._serial}" if gone else None,
                        sent_facts=sent if gone else None,
                    )
                )

    def destinations(self, **chosen: Any) -> dict[str, aggregates.DestinationTotals]:
        with self._ledger.database.read() as connection:
            return {one.destination: one for one in aggregates.destinations(connection, Filter(**chosen))}

    def studies(self, limit: int = 25, offset: int = 0, **chosen: Any) -> aggregates.Page:
        with self._ledger.database.read() as connection:
            return aggregates.studies(connection, Filter(**chosen), limit=limit, offset=offset)


@pytest.fixture
def book(ledger: Any) -> Book:
    return Book(ledger)


@pytest.fixture
def reference(book: Book) -> Book:
    """The rows of the reference's vectors for views."""
    ct, tenth, twentieth = "1.2.1.1", at(10), at(20)
    book.deliver(PRIMARY, "1.2.1", ct, State.SENT, count=9, when=tenth)
    book.deliver(PRIMARY, "1.2.1", ct, State.SENT, when=tenth, attempts=2)
    for reason in ("timeout", "timeout"):
        book.deliver(PRIMARY, "1.2.1", "1.2.1.2", State.FAILED, when=twentieth, reason=reason)
    book.deliver(PRIMARY, "1.2.1", "1.2.1.2", State.EXCLUDED, when=twentieth, reason="association-rejected")
    book.deliver(PRIMARY, "1.2.1", "1.2.1.2", State.SENT, count=2, when=twentieth)
    book.deliver(MORPH, "1.2.2", "1.2.2.1", State.SENT, count=2, when=twentieth, attempts=2, modality="MR")
    book.deliver(MORPH, "1.2.2", "1.2.2.1", State.SENT, count=2, when=twentieth, modality="MR")
    return book


def test_destinations_sum_up_what_is_below_them_those_with_failures_first(reference: Book) -> None:
    found = reference.destinations()
    assert list(found) == [PRIMARY, MORPH]
    primary, morph = found.values()
    assert (primary.studies, primary.series) == (1, 2)
    assert primary.counts == Counts(
        deliveries=15, instances=15, retries=1, sent=12, failed=2, excluded=1, first_at=at(10), last_at=at(20)
    )
    assert (morph.studies, morph.series) == (1, 1)
    assert (morph.counts.instances, morph.counts.retries, morph.counts.failed, morph.counts.excluded) == (4, 2, 0, 0)


def test_a_study_has_its_series_those_with_failures_first_and_their_reasons(reference: Book) -> None:
    page = reference.studies()
    assert page.total == 2
    first, second = page.studies
    assert (first.study_instance_uid, second.study_instance_uid) == ("1.2.1", "1.2.2")
    assert [one.series_instance_uid for one in first.series] == ["1.2.1.2", "1.2.1.1"]
    counts = first.counts
    assert (counts.instances, counts.sent, counts.failed, counts.retries, counts.excluded) == (15, 12, 2, 1, 1)
    assert (counts.first_at, counts.last_at) == (at(10), at(20))
    told = [(one.state, one.text, one.count) for one in first.series[0].reasons]
    assert told == [(State.FAILED, "timeout", 2), (State.EXCLUDED, "association-rejected", 1)]
    assert (second.sent_study_instance_uid, second.series[0].facts["Modality"]) == ("9.1.2.2", "MR")
    assert second.series[0].sop_class_uids == ("1.2.840.10008.5.1.4.1.1.2",)


def test_a_node_sums_up_its_destinations(reference: Book) -> None:
    totals = list(reference.destinations().values())
    (node,) = aggregates.nodes(totals, deidentifying=[("GATEWAY", PRIMARY)], morphing=[("GATEWAY", MORPH)])
    assert (node.studies, node.series, node.deidentified, node.tag_morphed) == (2, 3, 15, 4)
    assert (node.counts.instances, node.counts.sent, node.counts.failed) == (19, 16, 2)
    assert (node.counts.retries, node.counts.excluded) == (3, 1)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"states": (State.FAILED,)}, {PRIMARY}),
        ({"states": (State.SENT,)}, {PRIMARY, MORPH}),
        ({"study_instance_uid": "1.2.2"}, {MORPH}),
        ({"study_instance_uid": "9.1.2.2"}, {MORPH}),
        ({"series_instance_uid": "9.1.2.1.1"}, {PRIMARY}),
        ({"series_instance_uid": "1.2.3"}, set()),
        ({"destination": MORPH}, {MORPH}),
        ({"forward_node": "OTHER"}, set()),
        ({"text": "TIME"}, {PRIMARY}),
        ({"text": "9.1.2.2."}, {MORPH}),
    ],
)
def test_filters_narrow_what_is_added_up(reference: Book, chosen: dict[str, Any], names: set[str]) -> None:
    assert reference.destinations(**chosen).keys() == names
    page = reference.studies(**chosen)
    assert {one.destination for one in page.studies} == names
    assert page.total == len(page.studies)


def test_a_range_of_time_leaves_out_what_changed_before_and_after(reference: Book) -> None:
    found = reference.destinations(changed_since=at(19), changed_until=at(21)).values()
    assert sum(one.counts.instances for one in found) == 9
    assert sum(one.series for one in found) == 2
    assert reference.destinations(changed_since=at(21)) == {}
    assert reference.destinations(changed_until=at(10)) == {}
    assert sum(one.counts.instances for one in reference.destinations(since=at(9), until=at(11)).values()) == 10


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("sent", {})], (1, 0, 1, 0, 0, 0)),
        ([("excluded", {"reason": "de-identification abort"})], (1, 0, 0, 0, 0, 1)),
        ([("failed", {"reason": "timeout"})], (1, 0, 0, 0, 1, 0)),
        # again, and there already
        ([("sent", {"sop": "1"}), ("duplicate", {"sop": "1"})], (1, 1, 1, 1, 0, 0)),
        # again, and kept back
        ([("sent", {"sop": "1"}), ("excluded", {"sop": "1"})], (1, 1, 1, 0, 0, 1)),
        ([("sent", {"attempts": 3})], (1, 2, 1, 0, 0, 0)),
    ],
)
def test_what_comes_again_is_a_retry_of_one_instance(
    book: Book, rows: list[tuple[str, dict[str, Any]]], expected: tuple[int, ...]
) -> None:
    for state, options in rows:
        book.deliver("d", "1", "1.1", state, **options)
    counts = book.studies().studies[0].counts
    found = (counts.instances, counts.retries, counts.sent, counts.duplicate, counts.failed, counts.excluded)
    assert found == expected
    assert counts.deliveries == len(rows)


def test_values_are_told_as_received_and_as_sent(book: Book) -> None:
    facts = {"PatientID": "P1", "StudyDescription": "Kopf", "SeriesNumber": "2"}
    book.deliver("d", "1", "1.1", State.FAILED, facts=facts)
    book.deliver("d", "1", "1.2", State.SENT, facts=facts, sent={"PatientID": "X"})
    book.deliver("plain", "1", "1.2", State.SENT, facts=facts)
    by_name = {one.destination: one for one in book.studies().studies}
    study = by_name["d"]
    assert (study.facts["PatientID"], study.sent_facts) == ("P1", {"PatientID": "X"})
    assert (study.series[0].sent_series_instance_uid, study.series[0].sent_facts) == (None, {})
    # nothing changed it
    assert by_name["plain"].sent_facts["PatientID"] == "P1"


def test_a_patient_is_found_by_the_id_as_received_and_as_sent(book: Book, ledger: Any) -> None:
    for name in ('P"1', "Püß", "P1"):
        book.deliver("d", f"1.{name}", "1.1", State.SENT, facts={"PatientID": name}, sent={"PatientID": f"to {name}"})

    def found(**chosen: Any) -> list[str]:
        with ledger.database.read() as connection:
            return [row["study_instance_uid"] for row in deliveries(connection, Filter(**chosen))]

    for name in ('P"1', "Püß", "P1"):
        assert found(patient_id=name) == found(patient_id=f"to {name}") == [f"1.{name}"]
    assert found(patient_id="P") == []
    assert found(text="pü") == found(text="to pü") == ["1.Püß"]
    # the name of a fact is no value of it
    assert found(text="PatientID") == []
    assert found(text="%") == []


def test_pages_follow_one_another_without_gap(book: Book) -> None:
    for number in range(7):
        state = State.FAILED if number in (2, 5) else State.SENT
        book.deliver("d", f"1.{number}", f"1.{number}.1", state, when=at(1 + number))
    pages = [book.studies(limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [page.total for page in pages] == [7, 7, 7, 7]
    order = [one.study_instance_uid for page in pages for one in page.studies]
    assert order == [f"1.{number}" for number in (5, 2, 6, 4, 3, 1, 0)]


def test_every_series_is_given_once(book: Book, ledger: Any) -> None:
    for number in range(120):
        book.deliver("ab"[number % 2], f"1.{number // 2}", f"1.{number}.1", State.SENT)
    with ledger.database.read() as connection:
        found = [
            (study.destination, series.series_instance_uid)
            for study, series in aggregates.series_of_all(connection, Filter())
        ]
    assert len(found) == len(set(found)) == 120

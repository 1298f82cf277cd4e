"""The latest studies, page by page, and counts by destination."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from karnak_core.database.tables import delivery, instance
from karnak_core.model import State
from karnak_core.spool import searching, tree
from karnak_core.spool.searching import Patience
from karnak_core.spool.tree import Counted, Key, Place
from karnak_core.spool.views import Filter


def add(ledger: Any, study: str, state: State = State.SENT, destination: str = "a", **more: Any) -> int:
    """Add an instance of a study with one delivery; return the number of the latter."""
    more = {"created_at": 1000, **more}
    with ledger.database.write() as connection:
        number = connection.execute(
            sa.insert(instance)
            .values(
                forward_node="NODE",
                calling_ae_title="CT",
                peer_host="127.0.0.1",
                received_at=1000,
                sop_class_uid="1.2",
                sop_instance_uid="1.2.3",
                study_instance_uid=study,
                series_instance_uid=f"{study}.1",
                transfer_syntax_uid="1.2.840.10008.1.2",
                path=None,
                dataset_offset=0,
                size=10,
                facts={"PatientID": f"patient of {study}"},
            )
            .returning(instance.c.id)
        ).scalar_one()
        return connection.execute(
            sa.insert(delivery)
            .values(
                instance_id=number,
                forward_node="NODE",
                destination=destination,
                state=state.value,
                not_before=1000 if state in (State.FAILED, State.PENDING, State.LEASED) else None,
                **more,
            )
            .returning(delivery.c.id)
        ).scalar_one()


def pages(ledger: Any, chosen: Filter, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    after: Place | None = None
    with ledger.database.read() as connection:
        while True:
            page = tree.latest(connection, chosen, limit=limit, after=after)
            found.append([study for study, _, _ in page.keys])
            if page.next is None:
                return found
            after = page.next


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
def test_every_study_stands_on_one_page_those_with_failures_first(ledger: Any, limit: int) -> None:
    for study in ("1.1", "1.2", "1.3", "1.4", "1.1", "1.5", "1.3"):
        add(ledger, study)
    add(ledger, "1.4", State.FAILED)
    add(ledger, "1.2", State.FAILED)
    found = pages(ledger, Filter(), limit)
    assert [study for page in found for study in page] == ["1.2", "1.4", "1.3", "1.5", "1.1"]
    assert all(len(page) == limit for page in found[:-1])


def test_long_studies_are_left_behind_in_steps(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "STEP", 2)
    for study in ("1.1", "1.2", "1.2", "1.2", "1.2", "1.2", "1.3"):
        add(ledger, study)
    assert pages(ledger, Filter(), 2) == [["1.3", "1.2"], ["1.1"]]


def test_a_study_stands_once_for_each_destination_and_the_filter_narrows(ledger: Any) -> None:
    add(ledger, "1.1", destination="a")
    add(ledger, "1.1", State.EXCLUDED, destination="b")
    with ledger.database.read() as connection:
        keys: list[Key] = list(tree.latest(connection, Filter(), limit=10).keys)
        assert keys == [("1.1", "NODE", "b"), ("1.1", "NODE", "a")]
        only = tree.latest(connection, Filter(states=(State.EXCLUDED,)), limit=10)
    assert list(only.keys) == [("1.1", "NODE", "b")]


def test_deliveries_are_counted_by_destination_with_failures_first(ledger: Any) -> None:
    add(ledger, "1.1", destination="a")
    add(ledger, "1.1", State.PENDING, destination="a")
    add(ledger, "1.1", State.LEASED, destination="a")
    add(ledger, "1.1", State.FAILED, destination="b")
    with ledger.database.read() as connection:
        found = tree.by_state(connection, Filter())
    assert found.before is None
    assert list(found.counts.items()) == [
        (("NODE", "b"), {State.FAILED: 1}),
        (("NODE", "a"), {State.SENT: 1, State.PENDING: 2}),
    ]


@pytest.mark.parametrize(
    "chosen",
    [
        Filter(study_instance_uid="1.1"),
        Filter(study_instance_uid="9.9"),
        Filter(study_instance_uid="1.1", text="PATIENT OF 1.1"),
        Filter(study_instance_uid="1.1", patient_id="nobody"),
        Filter(series_instance_uid="0.0"),
    ],
)
def test_what_is_searched_for_once_is_the_same_as_what_is_searched_for_each_time(ledger: Any, chosen: Filter) -> None:
    add(ledger, "1.1")
    add(ledger, "1.2", sent_study_instance_uid="9.9")
    add(ledger, "1.3", sent_series_instance_uid="9.9")
    with ledger.database.read() as connection:
        cheap = searching.resolved(connection, chosen)
        assert cheap.ids
        assert cheap != chosen
        assert tree.latest(connection, cheap, limit=9) == tree.latest(connection, chosen, limit=9)
        assert tree.by_state(connection, cheap) == tree.by_state(connection, chosen)
        assert searching.newest(connection, cheap, limit=9) == searching.newest(connection, chosen, limit=9)
        assert searching.resolved(connection, Filter(destination="a")) == Filter(destination="a")


NONE = Patience(0)


def test_a_search_goes_on_where_patience_was_over(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "STEP", 2)
    wanted = [add(ledger, "1.1"), add(ledger, "1.2"), add(ledger, "1.1")]
    add(ledger, "1.3")
    add(ledger, "1.4", created_at=2000)
    chosen = Filter(text="of 1.1")
    with ledger.database.read() as connection:
        first = tree.latest(connection, chosen, limit=5, patience=NONE)
        assert (first.keys, first.looked_back_to) == ([], 1000)
        second = tree.latest(connection, chosen, limit=5, after=first.next, patience=NONE)
        assert [study for study, _, _ in second.keys] == ["1.1"]
        # it is there already, and everything was looked at
        third = tree.latest(connection, chosen, limit=5, after=second.next, patience=NONE)
        assert (third.keys, third.next, third.looked_back_to) == ([], None, None)
        listed = searching.newest(connection, chosen, limit=5, patience=NONE)
        assert (listed.rows, listed.full) == ([], False)
        listed = searching.newest(connection, chosen, limit=5, before=listed.next, patience=NONE)
        assert [row["id"] for row in listed.rows] == [wanted[2]]
        listed = searching.newest(connection, chosen, limit=5, before=listed.next, patience=NONE)
        assert [row["id"] for row in listed.rows] == [wanted[0]]
        assert (listed.next, listed.full) == (None, True)


def test_a_count_goes_on_where_patience_was_over(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "STEP", 2)
    for state in (State.SENT, State.FAILED, State.SENT, State.SENT, State.EXCLUDED):
        add(ledger, "1.1", state)
    counted: list[Counted] = []
    with ledger.database.read() as connection:
        while not counted or counted[-1].before is not None:
            begun = counted[-1] if counted else None
            counted.append(tree.by_state(connection, Filter(), begun=begun, patience=NONE))
    assert [sum(one.counts[("NODE", "a")].values()) for one in counted] == [2, 4, 5]
    assert counted[-1].counts == {("NODE", "a"): {State.SENT: 3, State.FAILED: 1, State.EXCLUDED: 1}}


def test_only_what_can_have_changed_in_a_period_is_looked_at(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "STEP", 2)
    hour = 3600_000
    add(ledger, "1.1", created_at=1 * hour, finished_at=1 * hour)
    late = add(ledger, "1.2", created_at=1 * hour, finished_at=9 * hour)
    waiting = add(ledger, "1.3", State.FAILED, created_at=1 * hour, finished_at=9 * hour)
    new = [add(ledger, "1.4", created_at=9 * hour, finished_at=9 * hour) for _ in range(3)]
    with ledger.database.read() as connection:
        where = searching.ground(connection, Filter(changed_since=8 * hour))
        assert (where.first, where.last, where.apart) == (new[0], new[-1], [waiting, late])
        where = searching.ground(connection, Filter(changed_since=8 * hour, changed_until=8 * hour + 1))
        assert (where.first, where.last) == (new[0], new[0])
        found = tree.latest(connection, Filter(changed_since=8 * hour), limit=9)
        assert [study for study, _, _ in found.keys] == ["1.3", "1.4", "1.2"]
        assert searching.ground(connection, Filter(states=(State.FAILED,))).apart == [waiting]
        assert searching.ground(connection, Filter(since=20 * hour)).first > new[-1]


def test_large_studies_share_no_page(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MOST_INSTANCES", 3)
    for study in ("1.1", "1.1", "1.1", "1.1", "1.2", "1.2", "1.3", "1.3", "1.3"):
        add(ledger, study, State.FAILED if study == "1.2" else State.SENT)
    assert pages(ledger, Filter(), 9) == [["1.2"], ["1.3"], ["1.1"]]

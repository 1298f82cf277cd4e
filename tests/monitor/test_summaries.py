"""What became of a study is counted from its deliveries, and adds up to what was received."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from karnak_core.database.tables import delivery, follow_up
from karnak_core.model import State, now_ms
from karnak_core.monitor.labels import label, without_secrets
from karnak_core.monitor.masks import masking
from karnak_core.monitor.summaries import MOST_REASONS, OTHER_REASONS
from karnak_core.spool import decisions
from karnak_core.spool.views import Filter
from karnak_core.summary import Reason, StudySummary

if TYPE_CHECKING:
    from conftest import Studies

FACTS = {"PatientID": "ORIGINAL-7", "PatientName": "Kenobi^Ben", "AccessionNumber": "ACC-4711"}
ORIGINALS = ("ORIGINAL-7", "Kenobi", "Original", "ACC-4711", "20200101")


@pytest.mark.parametrize(
    ("outcomes", "counts"),
    [
        ([State.SENT], {State.SENT: 1}),
        ([State.SENT] * 3 + [State.PENDING] * 3, {State.SENT: 3, State.PENDING: 3}),
        (
            [State.SENT] * 2 + [State.FAILED] * 2 + [State.EXCLUDED],
            {State.SENT: 2, State.FAILED: 2, State.EXCLUDED: 1},
        ),
        ([State.SENT, State.DUPLICATE], {State.SENT: 1, State.DUPLICATE: 1}),
    ],
)
def test_instances_are_counted_by_how_they_stand(
    studies_anywhere: Studies, outcomes: list[State], counts: dict[State, int]
) -> None:
    studies = studies_anywhere
    studies.receive(len(outcomes))
    for state in outcomes:
        studies.end(state, count=1, reason="" if state is State.SENT else f"because {state}")
    summary = studies.summary().summary
    (series,) = summary.series
    assert series.counts == counts
    assert summary.received == sum(counts.values())
    assert {(one.state, one.text, one.count) for one in series.reasons} == {
        (state, f"because {state}", count) for state, count in counts.items() if state is not State.SENT
    }


def test_what_nobody_has_tried_yet_is_waiting(studies: Studies) -> None:
    studies.receive(2)
    studies.end(State.SENT, count=1)
    assert studies.summary().summary.series[0].counts == {State.SENT: 1, State.PENDING: 1}


def test_instance_that_came_again_counts_once_as_it_stands_now(studies: Studies) -> None:
    uids = studies.receive(2)
    studies.end(State.FAILED, reason="no")
    studies.receive(sop=uids)
    studies.end(State.SENT)
    (series,) = studies.summary().summary.series
    assert (series.counts, series.again, series.reasons) == ({State.SENT: 2}, 2, ())


def test_instance_that_was_there_when_it_came_again_stays_sent(studies: Studies) -> None:
    uids = studies.receive(1)
    studies.end(State.SENT)
    before = studies.summary().told
    studies.receive(sop=uids)
    studies.end(State.DUPLICATE, reason="was there")
    (series,) = studies.summary().summary.series
    assert (series.counts, series.again) == ({State.SENT: 1}, 1)
    # which is no news
    assert studies.summary().told == before


@pytest.mark.parametrize("state", [State.SENT, State.EXCLUDED])
def test_instance_that_comes_again_with_the_same_end_is_no_news(studies: Studies, state: State) -> None:
    uids = studies.receive(1)
    studies.end(state)
    before = studies.summary().told
    studies.receive(sop=uids)
    studies.end(state)
    assert studies.summary().told == before
    assert studies.summary().summary.received == 1


@pytest.mark.parametrize("first", [State.SENT, State.DUPLICATE])
def test_instance_that_is_there_stays_so_when_it_is_kept_back_later(studies: Studies, first: State) -> None:
    uids = studies.receive(1)
    studies.end(first)
    before = studies.summary().told
    studies.receive(sop=uids)
    studies.end(State.EXCLUDED, reason="a rule")
    assert studies.summary().told == before
    studies.receive(sop=uids)
    with studies.database.write() as connection:
        decisions.discard(connection, Filter(), "somebody")
    (series,) = studies.summary().summary.series
    assert series.counts == {first: 1}


def test_series_are_told_apart_and_those_that_failed_come_first(studies: Studies) -> None:
    for number in (3, 1, 2):
        studies.receive(number, series=f"1.2.3.{number}", facts={"SeriesNumber": str(number)})
    studies.end(State.SENT, count=4)
    studies.end(State.FAILED)
    summary = studies.summary().summary
    assert [one.series_instance_uid for one in summary.series] == ["1.2.3.2", "1.2.3.1", "1.2.3.3"]
    assert [one.received for one in summary.series] == [2, 1, 3]


def test_other_studies_and_destinations_are_left_out(studies: Studies) -> None:
    studies.receive(1)
    studies.receive(2, study="1.2.4")
    studies.receive(4, destination="deid")
    studies.end(State.SENT)
    assert studies.summary().summary.received == 1


def test_retries_and_times_are_told(studies: Studies) -> None:
    before = now_ms()
    studies.receive(1)
    studies.end(State.PENDING, reason="later")
    with studies.database.write() as connection:
        assert decisions.retry(connection, Filter(), "somebody") == 1
    for reason in ("later", "still later"):
        studies.end(State.PENDING, reason=reason)
        studies_due(studies)
    studies.end(State.SENT)
    summary = studies.summary().summary
    assert summary.series[0].retries == 2
    assert before <= summary.first_at <= summary.last_at <= now_ms()


def studies_due(studies: Studies) -> None:
    with studies.database.write() as connection:
        connection.execute(sa.text("UPDATE delivery SET not_before = 0 WHERE not_before IS NOT NULL"))


def test_values_are_as_received_where_nothing_changes_them(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.FAILED)
    summary = studies.summary().summary
    assert summary.facts["PatientID"] == "ORIGINAL-7"
    assert (summary.study_instance_uid, summary.series[0].series_instance_uid) == ("1.2.3", "1.2.3.1")
    assert not summary.deidentified


def test_values_are_those_that_were_sent_where_the_destination_de_identifies(studies: Studies) -> None:
    studies.receive(3, destination="deid")
    studies.receive(1, series="1.2.3.2", destination="deid")
    # the first instance of the study is not the one that was sent
    studies.end(State.FAILED, count=1, reason="0xA900", destination="deid")
    studies.end(State.SENT, count=2, destination="deid", changed=True)
    studies.end(State.EXCLUDED, count=1, reason="a rule", destination="deid")
    summary = studies.summary("deid").summary
    assert summary.deidentified
    assert summary.facts["PatientID"] == "PSEUDO"
    assert summary.study_instance_uid == "2.25.1.2.3"
    first, second = summary.series
    assert (first.series_instance_uid, first.facts["SeriesDescription"]) == ("2.25.1.2.3.1", "Lung")
    # of the second nothing was sent
    assert (second.series_instance_uid, second.facts, second.received) == ("", {}, 1)
    assert_nothing_original(summary)


def test_nothing_is_told_of_a_study_that_was_not_sent_where_the_destination_de_identifies(studies: Studies) -> None:
    uid = studies.receive(1, destination="deid")[0]
    words = f"peer says: patient ORIGINAL-7 (kenobi, Ben Kenobi Ben) of {uid} in 1.2.3, code 0xA900"
    studies.end(State.FAILED, reason=words, destination="deid")
    summary = studies.summary("deid").summary
    assert (summary.study_instance_uid, summary.facts) == ("", {})
    assert summary.series[0].reasons[0].text.startswith("peer says: patient … (…, ")
    assert summary.series[0].reasons[0].text.endswith(" of … in …, code 0xA900")
    assert uid not in str(summary.to_json())
    assert_nothing_original(summary)


def test_what_was_sent_before_the_destination_de_identified_is_not_told(studies: Studies) -> None:
    studies.receive(1, destination="deid")
    studies.end(State.SENT, destination="deid", changed=False)
    summary = studies.summary("deid").summary
    assert (summary.study_instance_uid, summary.facts) == ("", {})
    assert summary.count(State.SENT) == 1
    assert_nothing_original(summary)


def test_tags_that_were_changed_before_the_destination_de_identified_are_not_told(studies: Studies) -> None:
    studies.receive(2, destination="deid")
    studies.end(State.SENT, destination="deid", count=1)
    studies.end(State.SENT, destination="deid", changed=True)
    with studies.database.write() as connection:
        # other tags than UIDs
        connection.execute(
            sa.update(delivery)
            .where(delivery.c.id == 1)
            .values(sent_facts={**FACTS, "StudyDescription": "Original study, changed"})
        )
    summary = studies.summary("deid").summary
    assert (summary.study_instance_uid, summary.facts["PatientID"]) == ("2.25.1.2.3", "PSEUDO")
    assert_nothing_original(summary)
    studies.receive(1, study="1.2.4", destination="deid")
    studies.end(State.SENT, destination="deid", changed=True)
    with studies.database.write() as connection:
        connection.execute(
            sa.update(delivery).where(delivery.c.id == 3).values(sent_facts={**FACTS, "StudyDescription": "CT"})
        )
    # whatever it was: these are the patient's
    assert not {"PatientID", "PatientName", "AccessionNumber"} & set(studies.summary("deid", "1.2.4").summary.facts)


def test_follow_up_of_what_was_sent_before_the_destination_de_identified_names_no_series(studies: Studies) -> None:
    studies.receive(1, destination="deid")
    studies.end(State.SENT, destination="deid")
    with studies.database.write() as connection:
        connection.execute(
            sa.insert(follow_up).values(
                instance_id=1,
                delivery_id=1,
                forward_node="FORWARD",
                destination="deid",
                part="album",
                subject="1.2.3/1.2.3.1",
                state="failed",
                reason="404",
                created_at=now_ms(),
                sent={"series_instance_uid": "1.2.3.1"},
            )
        )
    summary = studies.summary("deid").summary
    assert [one.series_instance_uid for one in summary.follow_ups] == [""]
    assert_nothing_original(summary)


def test_reasons_hold_nothing_of_any_instance_of_the_study(studies: Studies) -> None:
    studies.receive(1, destination="deid")
    other = {"PatientID": "77", "PatientName": "Organa^Leia", "PatientBirthDate": "19770525", "AccessionNumber": "QX-9"}
    studies.receive(1, destination="deid", facts=other)
    studies.end(State.SENT, count=1, destination="deid", changed=True)
    reason = "no: 77, QX-9, Organa_Leia.dcm, LeiaOrgana, 1977-05-25, 25.05.1977, 5/25/1977, 25. 5. 1977"
    studies.end(State.FAILED, destination="deid", reason=reason)
    (series,) = studies.summary("deid").summary.series
    (told,) = series.reasons
    assert told.text == "no: …, …, …_….dcm, …, …, …, …, …"


def assert_nothing_original(summary: StudySummary) -> None:
    text = str(summary.to_json())
    for original in ORIGINALS:
        assert original.casefold() not in text.casefold()
    assert "'1.2.3" not in text


def test_reasons_are_bounded_and_still_add_up(studies: Studies) -> None:
    count = MOST_REASONS + 5
    studies.receive(count)
    for number in range(count):
        studies.end(State.FAILED, count=1, reason=f"{number} " + "long " * 500)
    reasons = studies.summary().summary.series[0].reasons
    assert len(reasons) == MOST_REASONS + 1
    assert sum(reason.count for reason in reasons) == count
    assert reasons[-1] == Reason(state=State.FAILED, text=OTHER_REASONS, count=5)
    assert max(len(reason.text) for reason in reasons) == 500


def test_follow_ups_of_the_study_are_told(studies: Studies) -> None:
    studies.receive(1)
    studies.end(State.SENT)
    with studies.database.write() as connection:
        for part, state in (("album", "failed"), ("kheops_album-0123456789ab", "leased")):
            connection.execute(
                sa.insert(follow_up).values(
                    instance_id=1,
                    delivery_id=1,
                    forward_node="FORWARD",
                    destination="pacs",
                    part=part,
                    subject="1.2.3.1",
                    state=state,
                    reason="404",
                    created_at=now_ms(),
                    sent={"series_instance_uid": "1.2.3.1"},
                )
            )
    found = studies.summary()
    assert [(one.label, one.state) for one in found.summary.follow_ups] == [
        ("album", "failed"),
        ("kheops_album", "pending"),
    ]
    assert found.summary.failed
    assert found.follow_ups == {
        "album 1.2.3.1": f"failed {zlib.crc32(b'404'):08x}",
        "kheops_album-0123456789ab 1.2.3.1": "pending",
    }


def test_summary_survives_json(studies: Studies) -> None:
    studies.receive(2)
    studies.end(State.SENT, count=1)
    studies.end(State.FAILED, reason="no")
    summary = studies.summary().summary
    assert StudySummary.from_json(summary.to_json()) == summary
    # written by a later version
    assert StudySummary.from_json({**summary.to_json(), "further": 1}) == summary


def test_study_of_thousands_takes_a_handful_of_queries(studies: Studies) -> None:
    for number in range(5):
        studies.receive(300, series=f"1.2.3.{number}")
    while studies.end(State.SENT):
        pass
    statements: list[str] = []

    @event.listens_for(studies.database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    assert studies.summary().summary.count(State.SENT) == 1500
    assert len(statements) == 3
    plans = []
    with studies.database.read() as connection:
        for statement in statements:
            parameters = ("1.2.3", "FORWARD", "pacs", 1, 2)[: statement.count("?")]
            plans += [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    # nothing is searched through as a whole, however much the ledger has
    assert not [step for step in plans if step.startswith("SCAN")]
    assert any("ix_instance_study_instance_uid" in step for step in plans)
    assert any("ix_follow_up_instance" in step for step in plans)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@pacs.example.org/studies?token=abc#x", "https://pacs.example.org/studies"),
        ("http://[::1]:8042/dicom-web/studies", "http://[::1]:8042/dicom-web/studies"),
        ("http://host:notaport/", ""),
    ],
)
def test_address_is_shown_without_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_destination_is_named_by_its_type_address_and_description(studies: Studies) -> None:
    studies.configure(
        {"name": "pacs", "type": "dicom", "ae_title": "PACS", "hostname": "10.0.0.7", "port": 104},
        {"name": "web", "type": "stow", "url": "https://x.org/studies", "description": "archive"},
    )
    assert label(studies.destination("pacs")) == "dicom PACS at 10.0.0.7:104"
    assert label(studies.destination("web")) == "stow https://x.org/studies (archive)"


def test_masks_leave_what_is_not_of_the_patient() -> None:
    mask = masking({"1.2.3.4"}, [{"PatientID": "104", "PatientName": "Ng^Li", "AccessionNumber": "A+B"}])
    assert mask("1.2.3.4 and 1.2.3.45: 104, 1040, A+B; Li Ng") == "… and 1.2.3.45: …, 1040, …; Li Ng"

"""What is to be told is told, however often the mail server is away and whoever dies."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from plans import plans

from karnak_core.config.store import Following
from karnak_core.database.tables import notification, process
from karnak_core.model import State, now_ms
from karnak_core.monitor.telling import BURST, END_SECONDS, Teller, back_off
from karnak_core.spool import decisions, notice_decisions, notices, retention, standing
from karnak_core.spool.views import Filter
from karnak_core.testing import Mail, RunningMailServer, free_port, run_mail_server

if TYPE_CHECKING:
    from conftest import MakeStudies, Studies

QUIET = 11.0
STOP = threading.Event()


@pytest.fixture
def server() -> Iterator[RunningMailServer]:
    with run_mail_server() as running:
        yield running


def told_by(studies: Studies, port: int, **keys: Any) -> Teller:
    """Have studies told by mails to this port; return who tells."""
    mail = {"type": "email", "recipients": "ward@x.org", "interval": 10, "retry_first": 0.1, "retry_longest": 1, **keys}
    studies.configure(
        {"name": "pacs", "type": "folder", "directory": "received", "notifications": [mail]},
        plugins={"email_notify": {"host": "127.0.0.1", "port": port, "timeout": 5}},
    )
    return another_teller(studies, "teller")


def another_teller(studies: Studies, owner: str) -> Teller:
    with studies.database.write() as connection:
        connection.execute(sa.insert(process).values(owner=owner, node="n", role="monitor", pid=1, seen_at=now_ms()))
    return Teller(studies.database, studies.following, studies.contexts, owner)


def make_due(studies: Studies, *states: State, study: str = "1.2.3") -> None:
    """Have something to tell of a study."""
    for state in states:
        studies.receive(1, study=study)
        studies.end(state, reason="" if state is State.SENT else "0xA900")
    studies.later(QUIET)
    studies.watch.look()


def states(studies: Studies) -> list[tuple[str, int]]:
    return [(row["state"], row["attempts"]) for row in studies.notices()]


def test_mail_is_sent_once_and_the_row_says_to_whom(studies_anywhere: Studies, server: RunningMailServer) -> None:
    studies = studies_anywhere
    teller = told_by(studies, server.port)
    make_due(studies, State.SENT, State.FAILED)
    assert teller.tell(STOP) == 1
    assert teller.tell(STOP) == 0
    (mail,) = server.mails
    assert mail.subject == "ERROR [Karnak Notification] ORIGINAL-7 Original study"
    (row,) = studies.notices()
    assert (row["state"], row["attempts"], row["not_before"], row["lease_owner"]) == ("sent", 1, None, None)
    assert row["reason"] == "ward@x.org (250 2.0.0 accepted)"
    assert row["finished_at"]


def test_server_that_is_away_delays_mails_and_floods_nobody_when_it_is_back(studies: Studies) -> None:
    port = free_port()
    teller = told_by(studies, port)
    make_due(studies, State.SENT, State.FAILED)
    assert teller.tell(STOP) == 1
    (row,) = studies.notices()
    assert (row["state"], row["attempts"]) == ("pending", 1)
    assert row["reason"] == f"mail server 127.0.0.1:{port}: Connection refused"
    # three times something changes meanwhile
    for _ in range(2):
        make_due(studies, State.SENT)
    with studies.database.write() as connection:
        decisions.retry(connection, Filter(states=(State.FAILED,)), "somebody")
    studies.end(State.SENT)
    make_due(studies, State.SENT)
    with run_mail_server(port) as server:
        tell_all(studies, teller)
    (mail,) = server.mails
    # nobody has seen the failure that this would be the recovery of
    assert mail.subject == "[Karnak Notification] ORIGINAL-7 Original study"
    assert "5 received = 5 transferred" in mail.text
    assert "Mail 1 about" in mail.text
    assert [state for state, _ in states(studies)] == ["discarded", "discarded", "discarded", "sent"]


def test_recovery_is_told_as_such_when_the_failure_was_seen(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    make_due(studies, State.FAILED)
    teller.tell(STOP)
    with studies.database.write() as connection:
        decisions.retry(connection, Filter(states=(State.FAILED,)), "somebody")
    studies.end(State.SENT)
    make_due(studies)
    # and once more, before it is told
    make_due(studies, State.SENT)
    tell_all(studies, teller)
    failed, recovered = server.mails
    assert failed.subject.startswith("ERROR ")
    assert recovered.subject.startswith("RECOVERED [Karnak")
    assert recovered.text.startswith("Recovered: what had failed before is done now.")
    assert "Mail 2 about" in recovered.text


def tell_all(studies: Studies, teller: Teller) -> None:
    """Tell what is due, time passing."""
    for _ in range(200):
        studies.later(2)
        teller.tell(STOP)
        if not any(row["not_before"] for row in studies.notices()):
            return
        STOP.wait(0.05)
    raise AssertionError(states(studies))


def test_one_mail_at_a_time_finds_out_whether_the_server_is_back(studies: Studies) -> None:
    teller = told_by(studies, free_port(), retry_first=60, retry_longest=600)
    for number in range(5):
        make_due(studies, State.SENT, study=f"1.2.{number}")
    assert teller.tell(STOP) == 1
    assert teller.tell(STOP) == 0
    assert sum(attempts for _, attempts in states(studies)) == 1


def test_mail_that_is_refused_for_good_has_failed(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    server.refused["ward@x.org"] = "550 5.1.1 unknown user"
    make_due(studies, State.SENT)
    teller.tell(STOP)
    (row,) = studies.notices()
    assert row["state"] == "failed"
    assert "550 5.1.1 unknown user" in row["reason"]
    # it is kept until a person decides
    studies.later(10**6)
    assert teller.tell(STOP) == 0
    server.refused.clear()
    with studies.database.write() as connection:
        assert notice_decisions.retry(connection, notice_decisions.Filter(destination="pacs", states=("failed",))) == 1
    assert teller.tell(STOP) == 1
    assert states(studies) == [("sent", 1)]


def test_newer_mail_replaces_one_that_failed_as_nobody_has_seen_that(
    studies_anywhere: Studies, server: RunningMailServer
) -> None:
    studies = studies_anywhere
    teller = told_by(studies, server.port)
    server.refused["ward@x.org"] = "550 5.1.1 unknown user"
    make_due(studies, State.FAILED)
    make_due(studies, State.FAILED, study="1.2.4")
    while teller.tell(STOP):
        pass
    assert [state for state, _ in states(studies)] == ["failed", "failed"]
    server.refused.clear()
    with studies.database.write() as connection:
        decisions.retry(connection, Filter(states=(State.FAILED,), study_instance_uid="1.2.3"), "somebody")
    studies.end(State.SENT)
    make_due(studies)
    assert teller.tell(STOP) == 1
    assert studies.notices()[0]["reason"] == "replaced by a newer one"
    assert [state for state, _ in states(studies)] == ["discarded", "failed", "sent"]
    # nobody has seen the failure that this would be the recovery of
    (mail,) = server.mails
    assert mail.subject.startswith("[Karnak Notification] ")
    assert "Mail 1 about" in mail.text
    # the one of the other study waits for a person
    with studies.database.write() as connection:
        assert notice_decisions.retry(connection, notice_decisions.Filter()) == 1
    assert teller.tell(STOP) == 1
    assert [state for state, _ in states(studies)] == ["discarded", "sent", "sent"]


def test_older_mail_that_a_person_asks_for_goes_out_as_the_newest_that_failed(
    studies: Studies, server: RunningMailServer
) -> None:
    teller = told_by(studies, server.port)
    make_due(studies, State.FAILED)
    make_due(studies, State.SENT)
    with studies.database.write() as connection:
        connection.execute(sa.update(notification).values(state=State.FAILED, not_before=now_ms()))
        oldest = studies.notices()[0]["id"]
        assert notice_decisions.retry(connection, notice_decisions.Filter(ids=(oldest,))) == 1
    assert teller.tell(STOP) == 1
    (mail,) = server.mails
    assert "2 received = 1 transferred + 1 failed" in mail.text
    assert [state for state, _ in states(studies)] == ["discarded", "sent"]


def test_two_processes_never_tell_of_one_study_at_once(postgresql_url: str, make_studies: MakeStudies) -> None:
    studies = make_studies(postgresql_url)
    told_by(studies, 1)
    make_due(studies, State.SENT)
    make_due(studies, State.SENT)
    make_due(studies, State.SENT, study="1.2.4")
    with studies.database.write() as one:
        # has seen the first of the study only, and has not committed yet
        (first,) = notices.claim(one, "one", 1)
        assert first.study_instance_uid == "1.2.3"
        with studies.database.write() as two:
            assert [notice.study_instance_uid for notice in notices.claim(two, "two", 10)] == ["1.2.4"]
    make_due(studies, State.SENT)
    with studies.database.write() as two:
        # nor when it has
        assert notices.claim(two, "two", 10) == []


def test_mail_that_waits_for_a_recipient_does_so_for_an_hour_over_restarts_and_newer_mails(
    studies: Studies, server: RunningMailServer
) -> None:
    teller = told_by(studies, server.port, recipients="ward@x.org, grey@x.org")
    server.refused["grey@x.org"] = "451 4.7.1 greylisted"
    make_due(studies, State.SENT)
    assert teller.tell(STOP) == 1
    (row,) = studies.notices()
    since = row["summary"]["remembered"]["waits"]["grey@x.org"]
    assert now_ms() - 60_000 <= since <= now_ms()
    # an hour passes; something changes meanwhile, and the gateway is started again
    with studies.database.write() as connection:
        earlier = {"waits": {"grey@x.org": since - 3_600_000}}
        connection.execute(sa.update(notification).values(summary={**row["summary"], "remembered": earlier}))
    make_due(studies, State.SENT)
    teller = told_by_anew(studies, server.port, recipients="ward@x.org, grey@x.org")
    studies.later(2)
    assert teller.tell(STOP) == 1
    (mail,) = server.mails
    assert mail.recipients == ("ward@x.org",)
    assert "2 received = 2 transferred" in mail.text
    assert studies.notices()[-1]["reason"].endswith("; grey@x.org refused: 451 4.7.1 greylisted")


def test_thousands_that_failed_are_one_line_and_cost_nothing(
    studies: Studies, server: RunningMailServer, caplog: pytest.LogCaptureFixture
) -> None:
    teller = told_by(studies, server.port)
    server.refused["ward@x.org"] = "550 5.1.1 unknown user"
    for number in range(3):
        make_due(studies, State.SENT, study=f"1.2.{number}")
    assert teller.tell(STOP) == 3
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage().partition(": ")[0] for record in errors] == ["FORWARD/pacs"]
    with studies.database.write() as connection:
        row = dict(connection.execute(sa.select(notification).limit(1)).mappings().one())
        del row["id"]
        copies = [{**row, "study_instance_uid": f"1.3.{number}"} for number in range(5000)]
        connection.execute(sa.insert(notification), copies)
    retention.forget_afterwards(studies.database, days=0)
    with studies.database.read() as connection:
        (told,) = standing.open_notifications(connection)
        assert (told.pending, told.failed) == (0, 5003)
        assert "550 5.1.1 unknown user" in told.reason
    # what failed is not looked at again and again
    with plans(studies.database) as found, studies.database.write() as connection:
        assert not notices.anything_due(connection, "teller")
        assert notices.claim(connection, "teller", 10) == []
        assert notices.release_lost(connection, "teller") == 0
    assert len(found) == 4
    assert [plan for plan in found if "ix_notification_open (state=?" not in plan] == []
    server.refused.clear()
    with studies.database.write() as connection:
        assert notice_decisions.discard(connection, notice_decisions.Filter(states=("failed",)), "somebody") == 5003


def test_mail_that_a_person_asks_for_goes_out_although_the_others_wait(studies: Studies) -> None:
    port = free_port()
    teller = told_by(studies, port, retry_first=600, retry_longest=600)
    for number in range(3):
        make_due(studies, State.SENT, study=f"1.2.{number}")
    assert teller.tell(STOP) == 1
    with run_mail_server(port) as server:
        assert teller.tell(STOP) == 0
        with studies.database.write() as connection:
            chosen = notice_decisions.Filter(study_instance_uid="1.2.2")
            assert notice_decisions.retry(connection, chosen) == 1
        assert teller.tell(STOP) == 1
        # and then the others: the server is back
        while teller.tell(STOP):
            pass
        assert len(server.mails) == 2


def test_mail_that_a_person_gives_up_is_never_sent(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    make_due(studies, State.SENT)
    with studies.database.write() as connection:
        assert notice_decisions.discard(connection, notice_decisions.Filter(), "somebody") == 1
        (row,) = notice_decisions.notifications(connection, notice_decisions.Filter())
    assert (row["state"], row["reason"], row["study_instance_uid"]) == ("discarded", "discarded by somebody", "1.2.3")
    assert teller.tell(STOP) == 0


def test_mail_is_given_up_in_the_end(studies: Studies) -> None:
    teller = told_by(studies, free_port(), retry_for=3600)
    make_due(studies, State.SENT)
    studies.later(3601)
    teller.tell(STOP)
    (row,) = studies.notices()
    assert row["state"] == "failed"
    assert row["reason"].startswith("given up: mail server 127.0.0.1")


def test_mail_of_a_process_that_died_is_sent_by_another_with_the_same_message_id(
    studies_anywhere: Studies, server: RunningMailServer
) -> None:
    studies = studies_anywhere
    teller = told_by(studies, server.port)
    make_due(studies, State.SENT)
    with studies.database.write() as connection:
        (leased,) = notices.claim(connection, "dead", 10)
    assert teller.tell(STOP) == 1
    (mail,) = server.mails
    assert mail.message["Message-ID"] == f"<{leased.summary['id']}@localhost>"
    # whoever it was comes back, and has nothing to say any more
    with studies.database.write() as connection:
        notices.failed(connection, leased, "dead", "too late")
    assert states(studies) == [("sent", 1)]


def test_mail_that_could_not_be_noted_as_sent_is_sent_again(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    make_due(studies, State.SENT)
    with studies.database.write() as connection:
        # and then the database was away
        notices.claim(connection, "teller", 10)
    assert teller.tell(STOP) == 1
    assert states(studies) == [("sent", 1)]


def test_mail_of_a_process_that_lives_is_left_to_it(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    another_teller(studies, "alive")
    make_due(studies, State.SENT)
    with studies.database.write() as connection:
        notices.claim(connection, "alive", 10)
    assert teller.tell(STOP) == 0
    assert server.mails == []


def test_many_tellers_at_once_send_every_mail_once(studies_anywhere: Studies, server: RunningMailServer) -> None:
    studies = studies_anywhere
    tellers = [told_by(studies, server.port), *(another_teller(studies, f"teller {number}") for number in range(3))]
    for number in range(12):
        studies.receive(1, study=f"1.2.{number}")
    make_due(studies, State.SENT)
    barrier = threading.Barrier(len(tellers))

    def tell(teller: Teller) -> None:
        barrier.wait()
        while teller.tell(STOP):
            pass

    threads = [threading.Thread(target=tell, args=(teller,)) for teller in tellers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {state for state, _ in states(studies)} == {"sent"}
    assert len({mail.message["Message-ID"] for mail in server.mails}) == len(server.mails) == len(studies.notices())


def test_mails_to_the_same_people_go_out_at_a_pace(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    for number in range(BURST + 5):
        studies.receive(1, study=f"1.2.{number}")
    studies.end(State.SENT)
    make_due(studies)
    studies.watch.look()
    while teller.tell(STOP):
        pass
    assert BURST <= len(server.mails) < BURST + 5


def test_waiting_mail_goes_to_those_who_take_its_place(studies: Studies, server: RunningMailServer) -> None:
    told_by(studies, server.port, recipients="tpyo@x.org")
    make_due(studies, State.SENT)
    teller = told_by_anew(studies, server.port, recipients="typo@x.org")
    run(teller, lambda: bool(server.mails))
    assert server.mails[0].recipients == ("typo@x.org",)


def test_mail_for_a_notification_that_this_process_does_not_know_yet_is_kept(
    studies: Studies, server: RunningMailServer
) -> None:
    told_by(studies, server.port)
    make_due(studies, State.SENT)
    behind = Following(studies.database, studies.following.plugins)
    # of another one, in a newer configuration
    told_by_anew(studies, server.port, name="new")
    with studies.database.write() as connection:
        connection.execute(sa.update(notification).values(part="new"))
    teller = Teller(studies.database, behind, studies.contexts, "teller")
    run(teller, lambda: len(server.mails) == 1)
    assert states(studies) == [("sent", 1)]


def test_waiting_mail_is_dropped_when_nobody_is_to_be_told(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    make_due(studies, State.SENT)
    studies.configure({"name": "pacs", "type": "folder", "directory": "received"})
    run(teller, lambda: states(studies) == [("discarded", 0)])
    assert server.mails == []


def told_by_anew(studies: Studies, port: int, **keys: Any) -> Teller:
    with studies.database.write() as connection:
        connection.execute(sa.delete(process))
    return told_by(studies, port, **keys)


def run(teller: Teller, until: Callable[[], bool]) -> None:
    """Run the loop until something is so."""
    stop = threading.Event()
    thread = threading.Thread(target=teller.run, args=(stop,))
    thread.start()
    try:
        for _ in range(1200):
            if until():
                return
            stop.wait(0.05)
        raise AssertionError("it did not come to pass")
    finally:
        stop.set()
        thread.join()


def test_stop_lets_what_was_not_tried_go(studies: Studies, server: RunningMailServer) -> None:
    teller = told_by(studies, server.port)
    for number in range(3):
        make_due(studies, State.SENT, study=f"1.2.{number}")
    stop = threading.Event()

    def stop_now(_mail: Mail) -> None:
        stop.set()

    server.before_answer = stop_now
    assert teller.tell(stop) == 1
    assert sorted(states(studies)) == [("pending", 0), ("pending", 0), ("sent", 1)]


def test_pauses_grow_up_to_the_longest() -> None:
    for attempt, longest in ((1, 30.0), (2, 60.0), (5, 480.0), (6, 900.0), (500, 900.0)):
        waits = [back_off(attempt, 30.0, 900.0) for _ in range(100)]
        assert longest / 2 <= min(waits) < max(waits) <= longest


def test_mail_that_waits_when_the_destination_begins_to_de_identify_is_made_anew(
    studies: Studies, server: RunningMailServer
) -> None:
    mail = {"type": "email", "recipients": "ward@x.org", "interval": 10}
    pacs: dict[str, Any] = {"name": "pacs", "type": "folder", "directory": "received", "notifications": [mail]}
    section = {"email_notify": {"host": "127.0.0.1", "port": server.port, "timeout": 5}}
    studies.configure(pacs, plugins=section)
    make_due(studies, State.SENT, State.FAILED)
    before = studies.notices()[0]["summary"]
    assert before["facts"]["PatientID"] == "ORIGINAL-7"
    deidentified = {"project": "STUDY", "pseudonym": {"type": "tag", "tag": "(0010,0020)"}}
    studies.configure({**pacs, "de_identification": deidentified}, plugins=section)
    assert another_teller(studies, "teller").tell(STOP) == 1
    (mail_sent,) = server.mails
    assert "2 received = 1 transferred + 1 failed" in mail_sent.text
    assert before["id"] in mail_sent.message["Message-ID"]
    for original in ("ORIGINAL-7", "Original", "ACC-4711", "2020", "1.2.3"):
        assert original not in mail_sent.text + mail_sent.html + mail_sent.subject, original


class _Slow(socketserver.StreamRequestHandler):
    """A mail server that says nothing more where a recipient is called slow."""

    come, go_on = threading.Event(), threading.Event()

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        in_mail = False
        for line in self.rfile:
            if b"slow@" in line and line.startswith(b"rcpt"):
                self.come.set()
                self.go_on.wait(60)
            if in_mail and line != b".\r\n":
                continue
            in_mail = line.lower().startswith(b"data")
            self.wfile.write(b"354 go on\r\n" if in_mail else b"250 well\r\n")


def test_notification_that_hangs_holds_up_neither_the_others_nor_the_end(studies: Studies) -> None:
    mails = [{"type": "email", "recipients": f"{who}@x.org", "interval": 10} for who in ("slow", "ward")]
    stop = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Slow) as server:
        threading.Thread(target=server.serve_forever).start()
        studies.configure(
            {"name": "pacs", "type": "folder", "directory": "received", "notifications": mails},
            plugins={"email_notify": {"host": "127.0.0.1", "port": server.server_address[1], "timeout": 60}},
        )
        thread = threading.Thread(target=another_teller(studies, "teller").run, args=(stop,))
        try:
            make_due(studies, State.SENT)
            thread.start()
            assert _Slow.come.wait(60)
            make_due(studies, State.SENT, study="1.2.4")
            for _ in range(1200):
                if sum(state == "sent" for state, _ in states(studies)) == 2:
                    break
                stop.wait(0.05)
            assert sorted(states(studies)) == [("leased", 0), ("pending", 0), ("sent", 1), ("sent", 1)]
            stop.set()
            thread.join(END_SECONDS + 60)
            assert not thread.is_alive()
        finally:
            stop.set()
            _Slow.go_on.set()
            thread.join()
            server.shutdown()

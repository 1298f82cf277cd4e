"""What followed deliveries is forgotten after its time, expired pseudonyms at once, and nothing that is open."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from karnak_core.config.models import Configuration, Storage
from karnak_core.database import Database
from karnak_core.database.tables import follow_up, follow_up_expiry, notification, pseudonym, study_watch
from karnak_core.model import now_ms
from karnak_core.monitor.housekeeping import Housekeeping
from karnak_core.spool import expiring
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.retention import CHUNK, DAY_MS, forget_afterwards

WHERE = {"forward_node": "FORWARD", "destination": "pacs", "part": "part"}


@dataclass
class Follows:
    configuration: Configuration
    newest: bool = True

    def is_up_to_date(self) -> bool:
        return self.newest


def follow(database: Database, subject: str, *, days_ago: float, **values: Any) -> None:
    then = now_ms() - int(days_ago * DAY_MS)
    row = {"state": "done", "not_before": None, "finished_at": then, **values}
    with database.write() as connection:
        connection.execute(
            sa.insert(follow_up).values(
                instance_id=1, delivery_id=1, subject=subject, created_at=then, sent={}, **WHERE, **row
            )
        )


def left(database: Database, column: sa.Column[Any]) -> list[Any]:
    with database.read() as connection:
        return sorted(connection.execute(sa.select(column)).scalars())


def test_expiry_of_tokens_goes_with_the_follow_up_once_it_is_known_that_it_was_removed(
    database: Database, tmp_path: Path
) -> None:
    with database.write() as connection:
        expiring.keep(connection, ("FORWARD", "pacs", "removed"), "aaaaaa", {"token": 1})
    follows: Any = Follows(Configuration(), newest=False)
    housekeeping = Housekeeping(database, SpoolFolder(tmp_path), follows)
    housekeeping.keep()
    assert left(database, follow_up_expiry.c.part) == ["removed"]
    follows.newest = True
    housekeeping.keep()
    assert left(database, follow_up_expiry.c.part) == []


def test_follow_ups_are_forgotten_by_days_and_never_while_somebody_has_to_decide(database: Database) -> None:
    follow(database, "old", days_ago=31)
    follow(database, "given up", days_ago=31, state="discarded")
    follow(database, "young", days_ago=29)
    follow(database, "failed", days_ago=31, state="failed", not_before=1)
    follow(database, "pending", days_ago=31, state="pending", not_before=1, finished_at=None)
    assert forget_afterwards(database, days=30)["follow_up"] == 2
    assert left(database, follow_up.c.subject) == ["failed", "pending", "young"]


def test_what_was_done_today_is_remembered_however_short_the_retention(database: Database) -> None:
    follow(database, "today", days_ago=0.5)
    follow(database, "before", days_ago=1.5)
    assert forget_afterwards(database, days=0)["follow_up"] == 1
    assert left(database, follow_up.c.subject) == ["today"]


def test_notifications_and_watches_are_forgotten_by_days(database: Database) -> None:
    old, young = now_ms() - 31 * DAY_MS, now_ms() - 29 * DAY_MS
    with database.write() as connection:
        for study, then, state, not_before in (
            ("old", old, "sent", None), ("young", young, "sent", None), ("failed", old, "failed", 1)
        ):  # fmt: skip
            connection.execute(
                sa.insert(notification).values(
                    study_instance_uid=study, state=state, not_before=not_before, created_at=then, finished_at=then,
                    summary={}, **WHERE,
                )
            )  # fmt: skip
        for study, then, due in (("old", old, None), ("young", young, None), ("due", old, 1)):
            connection.execute(
                sa.insert(study_watch).values(study_instance_uid=study, changed_at=then, due_at=due, **WHERE)
            )
    counts = forget_afterwards(database, days=30)
    assert (counts["notification"], counts["study_watch"]) == (1, 1)
    assert left(database, notification.c.study_instance_uid) == ["failed", "young"]
    assert left(database, study_watch.c.study_instance_uid) == ["due", "young"]


def test_more_than_a_chunk_is_forgotten(database: Database) -> None:
    rows = [{"study_instance_uid": f"1.{n}", "changed_at": 1, "due_at": None, **WHERE} for n in range(CHUNK + 10)]
    with database.write() as connection:
        connection.execute(sa.insert(study_watch), rows)
    assert forget_afterwards(database, days=30)["study_watch"] == CHUNK + 10


def test_expired_pseudonyms_are_deleted_when_house_is_kept(
    database: Database, spool_folder: SpoolFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with database.write() as connection:
        for name, expires in (("gone", now_ms() - 1), ("good", now_ms() + 10**9), ("for ever", None)):
            connection.execute(
                sa.insert(pseudonym).values(
                    project="P", patient_id=name, issuer="", pseudonym=name, created_at=1, created_by="test",
                    expires_at=expires,
                )
            )  # fmt: skip
    caplog.set_level("INFO")
    follows: Any = Follows(Configuration(storage=Storage(retention_days=30)))
    Housekeeping(database, spool_folder, follows).keep()
    assert left(database, pseudonym.c.pseudonym) == ["for ever", "good"]
    assert "housekeeping: forgotten: 1 of expired pseudonym" in caplog.text


def test_it_goes_on_after_an_error_until_it_is_told_to_stop(
    database: Database, spool_folder: SpoolFolder, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    broken: Any = object()
    thread = threading.Thread(target=Housekeeping(database, spool_folder, broken).run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert "housekeeping failed" in caplog.text

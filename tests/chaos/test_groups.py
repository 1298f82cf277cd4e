"""Many associations that commit at once: nobody is told that an instance is durable before it is."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
import sqlalchemy as sa

from karnak_core.database import Database
from karnak_core.database.tables import instance
from karnak_core.model import Header
from karnak_core.receive import committer
from karnak_core.receive.committer import Committer
from karnak_core.spool.files import SpoolFolder, SpoolWriter
from karnak_core.spool.record import Received


class _Silent:
    def publish(self, topics: Iterable[str]) -> None:
        pass


@pytest.mark.parametrize("limit", ["LARGEST_GROUP", "LARGEST_GROUP_BYTES"])
def test_commit_returns_after_its_instance_is_in_the_ledger_however_long_the_queue(
    database: Database, spool_folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(committer, limit, 3)
    writer = SpoolWriter(spool_folder)
    subject = Committer(database, writer, _Silent())  # type: ignore[arg-type]
    early: list[str] = []
    begin = threading.Barrier(40)

    def store(sop_instance_uid: str) -> None:
        begin.wait(60)
        subject.commit(
            Received(
                forward_node="FORWARD",
                calling_ae_title="CT1",
                peer_host="127.0.0.1",
                received_at=1,
                transfer_syntax_uid="1.2.840.10008.1.2",
                header=Header(sop_class_uid="1.2", sop_instance_uid=sop_instance_uid),
                path="",
                content=b"x",
                dataset_offset=0,
                size=1,
                destinations=("pacs",),
            )
        )
        with database.read() as connection:
            found = connection.execute(
                sa.select(instance.c.id).where(instance.c.sop_instance_uid == sop_instance_uid)
            ).first()
        if found is None:
            early.append(sop_instance_uid)

    threads = [threading.Thread(target=store, args=(f"1.2.{number}",)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    writer.close()
    assert early == []
    with database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(instance)).scalar_one() == 40

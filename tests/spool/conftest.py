"""A ledger with its spool, as the tests of the durable middle use it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from karnak_core.database import Database, open_database
from karnak_core.database.tables import content, delivery, instance, metadata
from karnak_core.model import Delivery, Header, Outcome, State, now_ms
from karnak_core.spool import leases
from karnak_core.spool.files import SpoolFolder, SpoolWriter
from karnak_core.spool.record import Received, record

NODE = "NODE"


class Ledger:
    """Receives, claims and settles the way the stages do, files included."""

    def __init__(self, database: Database, folder: SpoolFolder) -> None:
        self.database = database
        self.folder = folder
        self.writer = SpoolWriter(folder)
        self._serial = 0

    def received(
        self, *destinations: str, excluded: str = "", received_at: int | None = None, small: bool = False
    ) -> Received:
        """One more instance: with a file, or small, or excluded and without either."""
        self._serial += 1
        path = "" if small else None
        if not small and not excluded:
            path, descriptor = self.writer.create()
            os.write(descriptor, b"x")
            os.close(descriptor)
        return Received(
            forward_node=NODE,
            calling_ae_title="CALLER",
            peer_host="127.0.0.1",
            received_at=now_ms() if received_at is None else received_at,
            transfer_syntax_uid="1.2.840.10008.1.2",
            header=Header(
                sop_class_uid="1.2.3",
                sop_instance_uid=f"2.25.{self._serial}",
                study_instance_uid="2.25.7",
                series_instance_uid="2.25.8",
                facts={"Modality": "CT"},
            ),
            path=path,
            dataset_offset=132,
            size=1,
            destinations=destinations,
            excluded=excluded,
            content=f"small {self._serial}".encode() if small else b"",
        )

    def receive(
        self, *destinations: str, excluded: str = "", received_at: int | None = None, small: bool = False
    ) -> Received:
        """Record one instance."""
        received = self.received(*destinations, excluded=excluded, received_at=received_at, small=small)
        self.record(received)
        return received

    def record(self, *batch: Received) -> None:
        with self.database.write() as connection:
            record(connection, batch)

    def claim(self, destination: str, owner: str, limit: int = 64) -> list[Delivery]:
        with self.database.write(durable=False) as connection:
            return leases.claim(connection, self.folder, NODE, destination, owner, limit)

    def settle(self, owner: str, *outcomes: tuple[Delivery, Outcome]) -> list[str]:
        """Settle, and remove the files that may go; return them."""
        with self.database.write() as connection:
            removable = leases.settle(connection, owner, outcomes)
        self.folder.remove(removable)
        return removable

    def end(self, destination: str, state: State, owner: str = "owner") -> list[Delivery]:
        """Claim everything due for a destination and settle it so."""
        claimed = self.claim(destination, owner, 1000)
        self.settle(owner, *((item, Outcome(state=state)) for item in claimed))
        return claimed

    def rows(self) -> dict[int, sa.RowMapping]:
        """Every delivery by id."""
        with self.database.read() as connection:
            return {row["id"]: row for row in connection.execute(sa.select(delivery)).mappings()}

    def paths(self) -> dict[int, str | None]:
        """The file of every instance by id; empty: its bytes are in the ledger."""
        with self.database.read() as connection:
            return {row.id: row.path for row in connection.execute(sa.select(instance.c.id, instance.c.path))}

    def contents(self) -> dict[int, bytes]:
        """The bytes of small instances by id."""
        with self.database.read() as connection:
            return {row.instance_id: row.data for row in connection.execute(sa.select(content))}

    def clear(self) -> None:
        """Forget everything."""
        with self.database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(sa.delete(table))
        self.folder.remove([relative for relative, _ in list(self.folder.files())])


@pytest.fixture
def ledger(database: Database, spool_folder: SpoolFolder) -> Iterator[Ledger]:
    made = Ledger(database, spool_folder)
    yield made
    made.writer.close()


@pytest.fixture
def postgresql_ledger(emptied_postgresql_url: str, tmp_path: Path, spool_folder: SpoolFolder) -> Iterator[Ledger]:
    """For what only happens where several transactions write at the same time."""
    with closing(open_database(emptied_postgresql_url, tmp_path)) as opened:
        made = Ledger(opened, spool_folder)
        yield made
        made.writer.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something holds that no event tells of; fail after a while."""

    def wait(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail("did not happen in time")
            threading.Event().wait(0.005)

    return wait


@pytest.fixture
def somebody_waits_for_a_lock(postgresql_ledger: Ledger) -> Callable[[], bool]:
    """Say whether a PostgreSQL session waits for a row that another transaction has."""

    def waits() -> bool:
        with postgresql_ledger.database.read() as connection:
            count = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).scalar_one()
        return bool(count)

    return waits

"""A ledger with studies, the configuration that tells people of them, and a clock that is put forward."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

# last: others look for what has the same name beside them
sys.path.append(str(Path(__file__).parent))

from scripted_follow_ups import Setting, ended

from karnak_core.config import store
from karnak_core.config.load import read_text
from karnak_core.config.models import Destination
from karnak_core.database import Database, open_database
from karnak_core.database.secrets import open_vault
from karnak_core.database.tables import delivery, instance, notification, study_watch
from karnak_core.kinds import Kind
from karnak_core.model import Due, Header, OpenContext, Outcome, Outgoing, State, now_ms
from karnak_core.monitor.notices import StudyWatch, find_destination, watchers_of
from karnak_core.monitor.summaries import Summarized, summarize
from karnak_core.plugins import load
from karnak_core.spool import leases
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.record import Received, record
from karnak_core.summary import StudySummary
from karnak_core.testing.ledger import open_empty

NODE, STUDY, SERIES = "FORWARD", "1.2.3", "1.2.3.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
FACTS = {
    "PatientID": "ORIGINAL-7",
    "PatientName": "Kenobi^Ben",
    "StudyDescription": "Original study",
    "SeriesDescription": "Original series",
    "StudyDate": "20200101",
    "AccessionNumber": "ACC-4711",
    "Modality": "CT",
    "SeriesNumber": "1",
}
SENT_FACTS = {"PatientID": "PSEUDO", "StudyDescription": "", "SeriesDescription": "Lung", "Modality": "CT"}


class Contexts:
    """Opens notifiers as the process does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(
        self, configuration: Any, forward_node: str, destination: str, kind: Kind[Any, Any] | None = None
    ) -> OpenContext:
        assert kind is not None
        assert kind.section is not None
        section = configuration.services.get(kind.section.name) or kind.section.config()
        return OpenContext(data_directory=self._folder, section=section)


class Studies:
    """Receives, delivers and looks, as the processes do."""

    def __init__(self, database: Database, folder: SpoolFolder, directory: Path) -> None:
        self.database = database
        self.contexts = Contexts(directory)
        self.folder = folder
        self.directory = directory
        self._serial = itertools.count(1)
        self.plugins = load()
        self.configure()

    def configure(self, *destinations: Mapping[str, Any], **others: Any) -> None:
        """Make this the configuration; without destinations: ``pacs``, told about by mail, and ``deid``, too."""
        mail = {"type": "email", "recipients": "ward@x.org", "interval": 10}
        base = {"type": "folder", "notifications": [mail]}
        deidentified = {"project": "STUDY", "pseudonym": {"type": "tag", "tag": "(0010,0020)"}}
        every = destinations or (
            {**base, "name": "pacs", "directory": "received"},
            {**base, "name": "deid", "directory": "deid", "de_identification": deidentified},
        )
        document = {
            "projects": [{"name": "STUDY", "profile": "Dicom Basic Profile"}],
            "forward_nodes": [{"ae_title": NODE, "destinations": list(every)}],
            **others,
        }
        configuration, _ = read_text(json.dumps(document), lambda disabled: load(disabled), self.directory)
        store.apply(self.database, self.plugins, open_vault(self.directory), configuration, author="test")
        if not hasattr(self, "following"):
            self.following = store.Following(self.database, self.plugins)
            self.watch = StudyWatch(self.database, self.following)
        self.following.refresh()

    def destination(self, name: str) -> Destination:
        """A destination of the configuration."""
        found = find_destination(self.following.configuration, NODE, name)
        assert found is not None
        return found

    def receive(
        self,
        count: int = 1,
        *,
        series: str = SERIES,
        study: str = STUDY,
        sop: Sequence[str] = (),
        destination: str = "pacs",
        facts: Mapping[str, str] = FACTS,
    ) -> list[str]:
        """Receive instances; return their SOP Instance UIDs."""
        uids = list(sop) or [f"{series}.{next(self._serial)}" for _ in range(count)]
        rows = [
            Received(
                forward_node=NODE,
                calling_ae_title="CT1",
                peer_host="127.0.0.1",
                received_at=now_ms(),
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                header=Header(
                    sop_class_uid=CT,
                    sop_instance_uid=uid,
                    study_instance_uid=study,
                    series_instance_uid=series,
                    facts=dict(facts),
                ),
                path="",
                dataset_offset=0,
                size=1,
                destinations=(destination,),
                content=b"x",
            )
            for uid in uids
        ]
        with self.database.write() as connection:
            record(connection, rows)
        return uids

    def end(
        self,
        state: State,
        *,
        count: int = 1000,
        reason: str = "",
        destination: str = "pacs",
        changed: bool = False,
        due: tuple[Due, ...] = (),
    ) -> int:
        """End deliveries that are due, the oldest first; return how many.

        Parameters
        ----------
        changed
            They were de-identified before.
        due
            What follows.
        """
        with self.database.write() as connection:
            claimed = leases.claim(connection, self.folder, NODE, destination, "deliverer", count)
        outcomes = []
        for item in claimed:
            was = item.instance
            outgoing = Outgoing(
                path=was.path,
                dataset_offset=0,
                size=1,
                sop_class_uid=was.sop_class_uid,
                sop_instance_uid=f"2.25.{was.sop_instance_uid}" if changed else was.sop_instance_uid,
                study_instance_uid=f"2.25.{was.study_instance_uid}" if changed else was.study_instance_uid,
                series_instance_uid=f"2.25.{was.series_instance_uid}" if changed else was.series_instance_uid,
                transfer_syntax_uid=was.transfer_syntax_uid,
                facts=SENT_FACTS if changed else None,
            )
            went = state in (State.SENT, State.DUPLICATE)
            later = now_ms() + 10**9 if state is State.PENDING else 0
            outcomes.append(
                (
                    item,
                    Outcome(state=state, reason=reason, outgoing=outgoing if went else None, due=due, not_before=later),
                )
            )
        with self.database.write() as connection:
            leases.settle(connection, "deliverer", outcomes, watchers=watchers_of(self.destination(destination)))
        return len(claimed)

    def summary(self, destination: str = "pacs", study: str = STUDY) -> Summarized:
        """What became of the study."""
        with self.database.read() as connection:
            found = summarize(connection, NODE, self.destination(destination), study)
        assert found is not None
        return found

    def later(self, seconds: float) -> None:
        """Put the clock forward: everything that has happened was so much earlier."""
        by = round(seconds * 1000)
        with self.database.write() as connection:
            for column in (
                instance.c.received_at,
                delivery.c.created_at,
                study_watch.c.due_at,
                study_watch.c.since,
                study_watch.c.changed_at,
                study_watch.c.told_at,
                notification.c.not_before,
                notification.c.created_at,
            ):
                connection.execute(sa.update(column.table).values({column: column - by}))

    def told(self) -> list[StudySummary]:
        """Look at what is due; return everything that people are or were to be told."""
        self.watch.look()
        return [StudySummary.from_json(row["summary"]) for row in self.notices()]

    def notices(self) -> list[dict[str, Any]]:
        """Every row of what people are to be told."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(notification).order_by(notification.c.id)).mappings()
            return [dict(row) for row in rows]

    def watched(self) -> list[dict[str, Any]]:
        """Every study that is looked at."""
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(sa.select(study_watch)).mappings()]


@pytest.fixture
def studies(spool_folder: SpoolFolder, tmp_path: Path) -> Iterator[Studies]:
    """A gateway's ledger, with its configuration."""
    with closing(open_empty(tmp_path)) as opened:
        yield Studies(opened, spool_folder, tmp_path)


@pytest.fixture
def studies_anywhere(database: Database, spool_folder: SpoolFolder, tmp_path: Path) -> Studies:
    """The same, in a database of each kind."""
    return Studies(database, spool_folder, tmp_path)


MakeStudies = Callable[[str], Studies]


@pytest.fixture
def make_studies(spool_folder: SpoolFolder, tmp_path: Path) -> Iterator[MakeStudies]:
    """The same, in the database of a URL."""
    with ExitStack() as stack:
        yield lambda url: Studies(stack.enter_context(closing(open_database(url, tmp_path))), spool_folder, tmp_path)


@pytest.fixture
def setting(spool_folder: SpoolFolder, tmp_path: Path) -> Iterator[Setting]:
    with closing(open_empty(tmp_path)) as opened, ended(Setting(opened, spool_folder, tmp_path)) as made:
        yield made


@pytest.fixture
def anywhere(database: Database, spool_folder: SpoolFolder, tmp_path: Path) -> Iterator[Setting]:
    """The same, with a ledger of each kind."""
    with ended(Setting(database, spool_folder, tmp_path)) as made:
        yield made

"""People are told what became of a study by a gateway that runs: mails over STARTTLS, with a login."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydicom import dcmread
from pydicom.uid import UID, SecondaryCaptureImageStorage, generate_uid

from karnak_core.database import open_database
from karnak_core.database.tables import process
from karnak_core.testing import (
    Mail,
    RunningGateway,
    RunningMailServer,
    Stored,
    free_port,
    make_file,
    run_gateway,
    run_mail_server,
    run_store_scp,
    send,
)

BY_SUBJECT = {"type": "tag", "tag": "(0012,0040)"}
ORIGINAL = {
    "PatientID": "ORIG-4711",
    "PatientName": "Skywalker^Anakin",
    "PatientBirthDate": "19770525",
    "StudyDescription": "Tatooine checkup",
    "SeriesDescription": "Midichlorians",
    "StudyDate": "20190504",
    "AccessionNumber": "ACC-8801",
    "ClinicalTrialSubjectID": "SUBJECT-9",
}


@dataclass
class Site:
    """A gateway, a peer that refuses what it is told to, and a place for a mail server."""

    gateway: RunningGateway
    mail_server: Callable[[], AbstractContextManager[RunningMailServer]]
    #: SOP Instance UIDs that the peer refuses
    refused: set[str] = field(default_factory=set)
    #: how many of the next instances it refuses, whichever they are
    refuse_next: int = 0

    def answer(self, stored: Stored) -> int:
        if stored.sop_instance_uid in self.refused:
            return 0xA900
        if self.refuse_next:
            self.refuse_next -= 1
            return 0xA900
        return 0x0000

    def send(self, paths: list[Path], called: str) -> None:
        assert set(send(self.gateway.port, paths, called=called)) == {0x0000}

    def monitor_pid(self) -> int:
        """The process that sends mails."""
        database = open_database(self.gateway.database_url, self.gateway.data)
        try:
            with database.read() as connection:
                return int(
                    connection.execute(process.select().where(process.c.role == "monitor")).mappings().one()["pid"]
                )
        finally:
            database.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with run_site(tmp_path_factory.mktemp("notifications")) as made:
        yield made


@contextmanager
def run_site(folder: Path, database_url: str | None = None) -> Iterator[Site]:
    """Run a gateway with a peer, on a database of its own or on this one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    port = free_port()
    mail = {
        "type": "email",
        "recipients": "ward@hospital.example, research@hospital.example",
        # seconds without news: more than the pauses of a busy machine
        "interval": 2,
        "retry_first": 0.2,
        "retry_longest": 1,
    }
    with run_store_scp() as peer:

        def node(ae_title: str, **keys: Any) -> dict[str, Any]:
            destination = {"name": "pacs", "type": "dicom", "ae_title": "PEER", "hostname": "127.0.0.1"}
            return {
                "ae_title": ae_title,
                "destinations": [{**destination, "port": peer.port, "notifications": [mail], **keys}],
            }

        configuration = {
            "projects": [{"name": "STUDY", "profile": "Dicom Basic Profile"}],
            "forward_nodes": [
                node("PLAIN", authorized_sop_classes=["CTImageStorage"]),
                node("MANY", authorized_sop_classes=["CTImageStorage"], notifications=[{**mail, "interval": 5}]),
                node("DEID", de_identification={"project": "STUDY", "pseudonym": BY_SUBJECT}),
            ],
            "plugins": {
                "email_notify": {
                    "host": "127.0.0.1",
                    "port": port,
                    "security": "starttls",
                    "ca": str(folder / "ca.pem"),
                    "username": "karnak",
                    "password": {"env": "MAIL_PASSWORD"},
                    "sender": "karnak@hospital.example",
                }
            },
        }

        def mail_server() -> AbstractContextManager[RunningMailServer]:
            return run_mail_server(port, starttls=context, accounts={"karnak": "not-in-the-file"})

        with run_gateway(
            configuration,
            folder / "data",
            environment={"MAIL_PASSWORD": "not-in-the-file"},
            database_url=database_url,
        ) as gateway:
            made = Site(gateway=gateway, mail_server=mail_server)
            peer.answer = made.answer
            yield made


def make_study(folder: Path, series: Mapping[UID, int], **elements: Any) -> list[Path]:
    """Write instances of one study without pixels; ``series``: how many of each."""
    study = generate_uid()
    return [
        make_file(
            folder,
            **{
                "pixels": 0,
                "StudyInstanceUID": study,
                "SeriesInstanceUID": uid,
                "SeriesNumber": number,
                "InstanceNumber": index,
                **elements,
            },
        )
        for number, (uid, count) in enumerate(series.items(), start=1)
        for index in range(1, count + 1)
    ]


def numbers(mail: Mail) -> dict[str, int]:
    """What the mail's sum says, by name."""
    (line,) = re.findall(r"^  (\d+ received = .+)$", mail.text, re.MULTILINE)
    return {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", line)}


def series_numbers(mail: Mail) -> Counter[str]:
    """The same of all series together."""
    found: Counter[str] = Counter()
    for line in re.findall(r"^    (\d+ received: .+)$", mail.text, re.MULTILINE):
        found.update({name: int(count) for count, name in re.findall(r"(\d+) (\w+)", line)})
    return found


def test_study_of_500_gives_one_mail_that_adds_up_and_one_more_when_its_failure_is_repaired(
    site: Site, tmp_path: Path
) -> None:
    series = {generate_uid(): count for count in (250, 147, 101)}
    paths = make_study(tmp_path, series, StudyDescription="Five hundred", PatientID="P500")
    first = next(iter(series))
    study = paths[0]
    excluded = make_study_like(study, tmp_path, 2, first)
    site.refused = {paths[300].stem}
    with site.mail_server() as server:
        site.send([*paths, *excluded], "MANY")
        (mail,) = server.wait_for(1)
        assert mail.subject == "ERROR [Karnak Notification] P500 Five hundred"
        assert numbers(mail) == {"received": 500, "transferred": 497, "excluded": 2, "failed": 1}
        assert series_numbers(mail) == numbers(mail)
        assert [int(one) for one in re.findall(r"^    (\d+) received: ", mail.text, re.MULTILINE)] == [147, 252, 101]
        assert "1 failed: " in mail.text
        assert "0xA900" in mail.text
        assert "2 excluded: " in mail.text
        assert (mail.tls, mail.username, mail.sender) == (True, "karnak", "karnak@hospital.example")
        assert mail.recipients == ("ward@hospital.example", "research@hospital.example")

        site.refused = set()
        command = re.search(r"karnak (deliveries retry .+)", mail.text)
        assert command is not None
        site.gateway.run(*command[1].split())
        recovered = server.wait_for(2)[1]
        # 2 instances stay excluded
        assert recovered.subject == "RECOVERED REJECTED [Karnak Notification] P500 Five hundred"
        assert recovered.text.startswith("Recovered: what had failed before is done now.")
        assert numbers(recovered) == {"received": 500, "transferred": 498, "excluded": 2}
        # another study is told, and nothing more of this one
        site.send(make_study(tmp_path, {generate_uid(): 1}, PatientID="NEXT"), "MANY")
        assert [one.subject for one in server.wait_for(3)[2:]] == ["[Karnak Notification] NEXT Study"]


def make_study_like(path: Path, folder: Path, count: int, series: str) -> list[Path]:
    """Write instances of the same study and series that are of no authorized SOP class."""
    ds = dcmread(path)
    return [
        make_file(
            folder,
            pixels=0,
            SOPClassUID=SecondaryCaptureImageStorage,
            StudyInstanceUID=ds.StudyInstanceUID,
            SeriesInstanceUID=series,
            StudyDescription=ds.StudyDescription,
            PatientID=ds.PatientID,
        )
        for _ in range(count)
    ]


def test_mail_server_that_is_down_for_the_whole_study_delays_the_mail_only(site: Site, tmp_path: Path) -> None:
    site.send(make_study(tmp_path, {generate_uid(): 3}, PatientID="DOWN"), "PLAIN")
    site.gateway.wait_until(lambda: "people cannot be told" in site.gateway.log.read_text())
    with site.mail_server() as server:
        (mail,) = server.wait_for(1)
        assert mail.subject == "[Karnak Notification] DOWN Study"
        assert numbers(mail) == {"received": 3, "transferred": 3}


def test_no_original_value_is_in_any_mail_of_a_destination_that_de_identifies(site: Site, tmp_path: Path) -> None:
    series = {generate_uid(): 3, generate_uid(): 2}
    paths = make_study(tmp_path, series, **ORIGINAL)
    uids = {str(dcmread(path).StudyInstanceUID) for path in paths} | set(series) | {path.stem for path in paths}
    with site.mail_server() as server:
        # of the first study nothing arrives at all, of the second all but one
        site.refuse_next = 1
        site.send(paths[:1], "DEID")
        (nothing,) = server.wait_for(1)
        assert nothing.subject.startswith("ERROR [Karnak Notification]")
        assert numbers(nothing) == {"received": 1, "transferred": 0, "failed": 1}
        site.refuse_next = 1
        site.send(paths[1:], "DEID")
        partly = server.wait_for(2)[1]
        assert numbers(partly) == {"received": 5, "transferred": 3, "failed": 2}
        assert "ERROR [Karnak Notification] " in partly.subject
        site.gateway.run("deliveries", "retry", "--destination", "DEID/pacs", "--state", "failed")
        recovered = server.wait_for(3)[2]
        assert recovered.subject.startswith("RECOVERED ")
        assert numbers(recovered) == {"received": 5, "transferred": 5}
        for mail in server.mails:
            everything = " ".join([mail.subject, mail.text, mail.html, mail.message.as_string()]).casefold()
            for original in (*ORIGINAL.values(), "Skywalker", "Anakin", "2019-05-04", *uids):
                assert original.casefold() not in everything, original


def test_mail_is_not_lost_when_the_process_is_killed_while_it_sends_it(site: Site, tmp_path: Path) -> None:
    arrived, killed = threading.Event(), threading.Event()
    seen: list[Mail] = []

    def hold(mail: Mail) -> str | None:
        seen.append(mail)
        if len(seen) == 1:
            arrived.set()
            killed.wait(60)
            return "451 whoever sent it is gone"
        return None

    with site.mail_server() as server:
        server.before_answer = hold
        site.send(make_study(tmp_path, {generate_uid(): 2}, PatientID="KILLED"), "PLAIN")
        assert arrived.wait(60)
        os.kill(site.monitor_pid(), signal.SIGKILL)
        killed.set()
        (mail,) = server.wait_for(1)
        assert mail.subject == "[Karnak Notification] KILLED Study"
        assert {one.message["Message-ID"] for one in seen} == {mail.message["Message-ID"]}


def test_study_gives_one_mail_that_adds_up_on_postgresql_too(postgresql_url: str, tmp_path: Path) -> None:
    with run_site(tmp_path, postgresql_url) as site:
        series = {generate_uid(): count for count in (12, 7)}
        paths = make_study(tmp_path, series, StudyDescription="On PostgreSQL", PatientID="PG")
        excluded = make_study_like(paths[0], tmp_path, 2, next(iter(series)))
        site.refused = {paths[-1].stem}
        site.send([*paths, *excluded], "PLAIN")
        site.gateway.wait_until_settled(21)
        # and everything ends before anybody was told
        site.gateway.wait_until(lambda: "people cannot be told" in site.gateway.log.read_text())
        site.gateway.kill()
        site.gateway.start()
        with site.mail_server() as server:
            (mail,) = server.wait_for(1)
            assert mail.subject == "ERROR [Karnak Notification] PG On PostgreSQL"
            assert numbers(mail) == {"received": 21, "transferred": 18, "excluded": 2, "failed": 1}
            assert series_numbers(mail) == numbers(mail)
            site.refused = set()
            site.gateway.run("deliveries", "retry", "--state", "failed", "--all")
            recovered = server.wait_for(2)[1]
            assert recovered.subject == "RECOVERED REJECTED [Karnak Notification] PG On PostgreSQL"
            assert numbers(recovered) == {"received": 21, "transferred": 19, "excluded": 2}
            # another study is told, and nothing more of this one
            site.send(make_study(tmp_path, {generate_uid(): 1}, PatientID="NEXT"), "DEID")
            assert len(server.wait_for(3)) == 3


def test_mail_can_be_tried_out(site: Site) -> None:
    with site.mail_server() as server:
        said = site.gateway.run("mail-test", "PLAIN/pacs", "--to", "somebody@hospital.example").stdout
        assert said == "sent to somebody@hospital.example (250 2.0.0 accepted)\n"
        (mail,) = server.mails
        assert mail.recipients == ("somebody@hospital.example",)
        assert "Test of notifications" in mail.subject
    done = site.gateway.run("mail-test", "PLAIN/pacs", check=False)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    done = site.gateway.run("mail-test", "PLAIN/pacs", "--to", "nobody", check=False)
    assert done.returncode == 2
    assert "'nobody' is not a mail address" in done.stderr


def test_mails_are_listed(site: Site) -> None:
    def listed() -> list[dict[str, Any]]:
        return [json.loads(line) for line in site.gateway.run("notifications", "list", "--json").stdout.splitlines()]

    # what was accepted last may not be noted yet
    site.gateway.wait_until(lambda: {row["state"] for row in listed()} == {"sent"})
    rows = listed()
    assert {row["destination"] for row in rows} == {"pacs"}
    done = site.gateway.run("notifications", "retry", check=False)
    assert (done.returncode, "--all" in done.stderr) == (2, True)
    assert site.gateway.run("notifications", "retry", "--all").stdout == "0 notifications are tried again\n"


def test_nothing_of_a_patient_and_no_password_is_in_the_log(site: Site) -> None:
    """Comes last: after everything that the others did."""
    log = site.gateway.log.read_text()
    assert "told of a study by email" in log
    for word in (*ORIGINAL.values(), "P500", "KILLED", "Five hundred", "not-in-the-file"):
        assert word not in log, word

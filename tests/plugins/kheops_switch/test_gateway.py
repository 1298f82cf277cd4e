"""Through a whole gateway: each series is shared once with each album in effect, once it is stored, whatever fails."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from click.testing import CliRunner, Result
from kheops_server import KheopsServer, Series
from pydicom.uid import generate_uid

from karnak_core.cli import cli
from karnak_core.database import open_database
from karnak_core.spool import follow_up_decisions as decisions
from karnak_core.spool.views import iso
from karnak_core.testing import RunningGateway, free_port, make_file, one_node, run_gateway, send

KEEPS_UIDS = {
    "name": "keeps",
    "version": "1",
    "profileElements": [
        {
            "name": "UIDs",
            "codename": "action.on.specific.tags",
            "action": "K",
            "tags": ["(0020,000D)", "(0020,000E)", "(0008,0018)"],
        },
        {"name": "basic", "codename": "basic.dicom.profile"},
    ],
}
R2D2 = "tagValueContains(#Tag.StudyDescription,'R2D2')"


def stow(kheops: KheopsServer, *albums: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {
        "name": "cloud",
        "type": "stow",
        "url": kheops.stow_url,
        "retry_first": 0.2,
        "retry_longest": 1,
        "follow_ups": list(albums),
        **keys,
    }


class Study:
    """Files of some series, of one study."""

    def __init__(self, folder: Path, series: int, each: int, description: str = "") -> None:
        self.uid = generate_uid()
        self.series = [(str(self.uid), str(generate_uid())) for _ in range(series)]
        self._folder = folder
        self._description = description
        self.files = [path for one in self.series for path in self.more(one, each)]

    def more(self, series: Series, count: int = 1, **elements: Any) -> list[Path]:
        return [
            make_file(
                self._folder,
                StudyInstanceUID=series[0],
                SeriesInstanceUID=series[1],
                StudyDescription=self._description,
                ClinicalTrialSubjectID="SUBJECT-9",
                pixels=8,
                InstanceNumber=number,
                **elements,
            )
            for number in range(count)
        ]


def follow_ups(gateway: RunningGateway, **filters: Any) -> list[dict[str, Any]]:
    """What ``karnak follow-ups list --json`` would print, without a process for it."""
    with closing(open_database(gateway.database_url, gateway.data)) as database, database.read() as connection:
        return list(decisions.follow_ups(connection, decisions.Filter(**filters)))


def states(gateway: RunningGateway, **filters: Any) -> Counter[str]:
    return Counter(row["state"] for row in follow_ups(gateway, **filters))


def sent_as(gateway: RunningGateway, studies: Iterable[Study]) -> set[Series]:
    """The series of these studies, by the UIDs that they went out with."""
    return {
        (row["sent_study_instance_uid"], row["sent_series_instance_uid"])
        for study in studies
        for row in gateway.deliveries(study_instance_uid=study.uid)
        if row["state"] in ("sent", "duplicate")
    }


def karnak(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--data", str(data)])


def processes(role: str, gateway: RunningGateway) -> list[int]:
    found = subprocess.run(["pgrep", "-f", f"process --data {gateway.data} .*{role}"], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


@pytest.fixture(scope="module")
def busy() -> Iterator[KheopsServer]:
    """Fails at random."""
    with KheopsServer() as running:
        running.failing = 0.5
        yield running
        assert running.faults == []
        assert running.too_early == []


@pytest.mark.parametrize("node", ["PLAIN", "DEID", "KEEPS"])
def test_every_series_gets_into_its_albums_by_the_uids_that_were_sent(
    node: str, gateway: RunningGateway, busy: KheopsServer, tmp_path: Path
) -> None:
    plain, wanted = Study(tmp_path, 2, 2, "C3PO"), Study(tmp_path, 2, 3, "with R2D2")
    files = [*plain.files, *wanted.files]
    assert set(send(gateway.port, files, called=node)) == {0}

    def shared() -> bool:
        every, some = sent_as(gateway, [plain, wanted]), sent_as(gateway, [wanted])
        first, second = busy.in_album("ALBUM-1"), busy.in_album("ALBUM-2")
        return len(every) == 4 and every <= first and some <= second

    gateway.wait_until(shared)
    every, some = sent_as(gateway, [plain, wanted]), sent_as(gateway, [wanted])
    assert (every == {*plain.series, *wanted.series}) == (node != "DEID")
    assert every & busy.in_album("ALBUM-2") == some
    # a lost answer is asked for again, and nothing else
    gateway.wait_until(lambda: states(gateway, forward_node=node) == {"done": 6})
    for album, series in [*(("ALBUM-1", one) for one in every), *(("ALBUM-2", one) for one in some)]:
        assert busy.answered[album, series] == 1
    asked = busy.asked.copy()
    assert set(send(gateway.port, plain.more(plain.series[0], 2), called=node)) == {0}
    gateway.wait_until(lambda: len(gateway.deliveries(study_instance_uid=plain.uid)) == 6)
    gateway.wait_until_settled()
    assert busy.asked == asked
    gateway.wait_until(lambda: not list((gateway.data / "spool").rglob("*.dcm")))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, busy: KheopsServer) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("albums")
    (folder / "keeps.yml").write_text(yaml.safe_dump(KEEPS_UIDS, sort_keys=False))
    albums = busy.album(), busy.album("ALBUM-2", condition=R2D2)
    by_subject = {"pseudonym": {"type": "tag", "tag": "(0012,0040)"}}
    nodes = {
        "PLAIN": {},
        "DEID": {"de_identification": {"project": "BASIC", **by_subject}},
        "KEEPS": {"de_identification": {"project": "KEEPS", **by_subject, "leak_check": False}},
    }
    configuration = {
        "profiles": ["keeps.yml"],
        "projects": [{"name": "BASIC", "profile": "Dicom Basic Profile"}, {"name": "KEEPS", "profile": "keeps"}],
        "forward_nodes": [
            {"ae_title": name, "destinations": [stow(busy, *albums, **keys)]} for name, keys in nodes.items()
        ],
    }
    with run_gateway(configuration, folder / "data") as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("ledger", ["sqlite", "postgresql"])
def test_nothing_is_forgotten_nor_shared_too_early_when_processes_are_killed(
    ledger: str, kheops: KheopsServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgresql_url") if ledger == "postgresql" else None
    kheops.failing = 0.3
    chance = random.Random(7)
    studies = [Study(tmp_path, 3, 2) for _ in range(2)]
    kills = 0
    albums = kheops.album(), kheops.album("ALBUM-2")
    with run_gateway(one_node(stow(kheops, *albums)), tmp_path / "data", database_url=url) as gateway:
        for study in studies:
            assert set(send(gateway.port, study.files)) == {0}
            for role in ("deliver", "monitor"):
                if role == "monitor":
                    # in the middle of it
                    some = sum(kheops.asked.values()) + chance.randint(1, 3)
                    gateway.wait_until(lambda some=some: sum(kheops.asked.values()) >= some)
                for pid in gateway.wait_until(lambda role=role: processes(role, gateway)):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        gateway.kill()
        gateway.start()
        every = {series for study in studies for series in study.series}
        gateway.wait_until(lambda: kheops.in_album("ALBUM-1") == kheops.in_album("ALBUM-2") == every, 60)
        gateway.wait_until(lambda: states(gateway) == {"done": 12})
        assert kheops.too_early == []
        # what was under way when a process died is done again
        assert sum(kheops.answered.values()) <= 2 * len(every) + 4 * (kills + 1)
        asked = kheops.asked.copy()
        assert gateway.terminate() == 0
        gateway.start()
        assert set(send(gateway.port, studies[0].more(studies[0].series[0]))) == {0}
        gateway.wait_until_settled(13)
        assert states(gateway) == {"done": 12}
        assert kheops.asked == asked  # remembered over restarts


def test_album_that_hangs_delays_no_other_one(kheops: KheopsServer, tmp_path: Path) -> None:
    kheops.hanging = {"ALBUM-1"}
    study = Study(tmp_path, 8, 1)
    with run_gateway(
        one_node(stow(kheops, kheops.album(timeout=60), kheops.album("ALBUM-2"))), tmp_path / "data"
    ) as gateway:
        assert set(send(gateway.port, study.files)) == {0}
        gateway.wait_until(lambda: kheops.in_album("ALBUM-2") == set(study.series))
        assert not kheops.in_album("ALBUM-1")
        kheops.released.set()
        gateway.wait_until(lambda: kheops.in_album("ALBUM-1") == set(study.series))


def test_one_instance_brings_its_series_in_also_when_the_condition_is_changed_while_it_waits(
    kheops: KheopsServer, tmp_path: Path
) -> None:
    study = Study(tmp_path, 2, 0)
    others = [path for one in study.series for path in study.more(one, 20, SeriesDescription="none")]
    old = [path for one in study.series for path in study.more(one, SeriesDescription="old")]
    new = study.more(study.series[0], SeriesDescription="new")

    def wants(word: str, **keys: Any) -> dict[str, Any]:
        condition = f"tagValueContains(#Tag.SeriesDescription,'{word}')"
        return one_node(stow(kheops, kheops.album(name="album", condition=condition), connections=4, **keys))

    kheops.tokens["ALBUM-1"].active = False
    with run_gateway(wants("old"), tmp_path / "data") as gateway:
        # the one that meets the condition is among many that do not
        assert set(send(gateway.port, [*others[:20], *old, *others[20:]])) == {0}
        gateway.wait_until_settled(42)
        gateway.wait_until(lambda: states(gateway) == {"pending": 2})
        gateway.apply(wants("new"))
        everybody = [pid for role in ("receive", "deliver", "monitor") for pid in processes(role, gateway)]
        follows = "following configuration version 2"
        gateway.wait_until(lambda: gateway.log.read_text().count(follows) == len(everybody))
        assert set(send(gateway.port, new)) == {0}
        gateway.wait_until_settled(43)
        kheops.tokens["ALBUM-1"].active = True
        karnak(gateway.data, "follow-ups", "retry", "--all")
        gateway.wait_until(lambda: states(gateway) == {"done": 1})
        assert kheops.in_album("ALBUM-1") == {study.series[0]}
        gateway.wait_until(lambda: not list((gateway.data / "spool").rglob("*.dcm")))
        # what is still sent under the new one brings the other series in, too
        assert set(send(gateway.port, study.more(study.series[1], SeriesDescription="new"))) == {0}
        gateway.wait_until(lambda: kheops.in_album("ALBUM-1") == set(study.series))


def test_token_that_is_refused_holds_the_album_until_it_is_renewed(kheops: KheopsServer, tmp_path: Path) -> None:
    kheops.tokens["ALBUM-1"].active = False
    study = Study(tmp_path, 2, 1)
    slow = {"retry_first": 60, "retry_longest": 600}
    with run_gateway(one_node(stow(kheops, kheops.album(), **slow)), tmp_path / "data") as gateway:
        assert set(send(gateway.port, study.files)) == {0}
        reason = (
            f"the destination token is not valid, says Kheops at 127.0.0.1:{kheops.port}: unknown, revoked or expired"
        )
        gateway.wait_until(lambda: {row["reason"] for row in follow_ups(gateway)} == {reason})
        assert {(row["state"], row["attempts"]) for row in follow_ups(gateway)} == {("pending", 0)}
        assert reason in karnak(gateway.data, "status").stdout
        failed = karnak(gateway.data, "probe", "cloud")
        assert failed.exit_code == 1
        assert reason in failed.stderr
        kheops.tokens["NEW"] = kheops.tokens.pop("ALBUM-2")
        gateway.apply(one_node(stow(kheops, kheops.album("NEW"), **slow)))
        gateway.wait_until(lambda: kheops.in_album("NEW") == set(study.series))
        assert "the destination token is valid (write;" in karnak(gateway.data, "probe", "cloud").stdout


def test_person_decides_about_what_failed(kheops: KheopsServer, tmp_path: Path) -> None:
    study = Study(tmp_path, 2, 1)
    kheops.answers = [422, 422]
    with run_gateway(one_node(stow(kheops, kheops.album(name="album"))), tmp_path / "data") as gateway:
        assert set(send(gateway.port, study.files)) == {0}
        gateway.wait_until(lambda: states(gateway) == {"failed": 2})
        assert "HTTP 422" in karnak(gateway.data, "follow-ups", "list").stdout
        refused = karnak(gateway.data, "follow-ups", "retry")
        assert (refused.exit_code, refused.stderr) == (2, "name what to change by a filter, or say --all\n")
        listed = karnak(gateway.data, "follow-ups", "list", "--json", "--follow-up", "album").stdout.splitlines()
        wanted, other = (json.loads(line) for line in listed)
        karnak(gateway.data, "follow-ups", "discard", "--yes", "--series", other["series_instance_uid"])
        karnak(gateway.data, "follow-ups", "retry", "--id", str(wanted["id"]))
        gateway.wait_until(lambda: kheops.in_album("ALBUM-1") == {(study.uid, wanted["series_instance_uid"])})
        gateway.wait_until(lambda: states(gateway) == {"done": 1, "discarded": 1})
        assert all(row["decided_by"] for row in follow_ups(gateway))


def test_check_online_asks_about_tokens(kheops: KheopsServer, tmp_path: Path) -> None:
    file = tmp_path / "karnak.yml"
    file.write_text(json.dumps(one_node(stow(kheops, kheops.album(name="one"), kheops.album("ALBUM-2", name="two")))))
    kheops.tokens["ALBUM-2"].scope = "read"
    offline = karnak(tmp_path / "data", "check", str(file))
    assert (offline.exit_code, offline.stderr) == (0, "")
    assert not (tmp_path / "data").exists()
    online = karnak(tmp_path / "data", "check", str(file), "--online")
    assert online.exit_code == 1
    assert "FORWARD/cloud follow-up one: Kheops at" in online.stdout
    assert "FORWARD/cloud follow-up two: the destination token lacks the scope write; it has: read" in online.stderr


def test_when_tokens_expire_is_in_the_status_from_the_probe_on_and_follows_what_kheops_says(
    kheops: KheopsServer, tmp_path: Path
) -> None:
    def expiries() -> dict[str, str]:
        rows = json.loads(karnak(gateway.data, "status", "--json").stdout)["expiries"]
        return {row["of"]: row["expires_at"] for row in rows if row["kind"] == "token"}

    of = "FORWARD/cloud album: destination token"
    kheops.tokens["ALBUM-1"].exp = first = int(time.time()) + 3 * 86400
    port = free_port()
    study = Study(tmp_path, 1, 1)
    configuration = one_node(stow(kheops, kheops.album(name="album"))) | {"monitoring": {"port": port}}
    with run_gateway(configuration, tmp_path / "data") as gateway:
        assert expiries() == {}
        assert karnak(gateway.data, "probe", "cloud").exit_code == 0
        assert expiries() == {of: iso(first * 1000)}
        day = f"{datetime.fromtimestamp(first, UTC):%Y-%m-%d %H:%M}"
        assert f"{of} expires in 3 d, on {day} UTC" in karnak(gateway.data, "status").stdout
        kheops.tokens["ALBUM-1"].exp = second = first + 86400
        assert set(send(gateway.port, study.files)) == {0}
        gateway.wait_until(lambda: states(gateway) == {"done": 1})
        assert expiries() == {of: iso(second * 1000)}
        metric = f'karnak_token_expiry_timestamp_seconds{{of="{of}"}} '
        gateway.wait_until(lambda: metric in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text)
        # of another token it is not known
        kheops.tokens["NEW"] = kheops.tokens["ALBUM-1"]
        gateway.apply(one_node(stow(kheops, kheops.album("NEW", name="album"))))
        assert expiries() == {}

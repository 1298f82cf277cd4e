"""The layers of a plugin's tests: the keys, the part, the hooks, the entry point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pluggy
import pytest
from click.testing import CliRunner
from karnak_core import hookspecs
from karnak_core.commands.auth_header import auth_header
from karnak_core.deidentify import Profile, Project, Result
from karnak_core.errors import Misconfigured, NoPseudonym, Permanent, Retryable, Unreachable
from karnak_core.model import OpenContext, Outgoing, State
from karnak_core.plugins import load
from karnak_core.summary import SeriesSummary, StudySummary
from pydantic import ValidationError
from pydicom import Dataset

import karnak_example
from karnak_example import API_KEY, CHECKSUM_LIST, PSEUDONYM_LIST, TRUNCATE_TEXT, WEBHOOK
from karnak_example.checksum_list import ChecksumList, read_list
from karnak_example.command import checksums


@pytest.fixture
def outgoing(tmp_path: Path) -> Outgoing:
    """An instance as a destination gets it; the part does not look into it, so any bytes will do."""
    path = tmp_path / "spooled"
    path.write_bytes(b"an instance")
    return Outgoing(
        path=path,
        dataset_offset=0,
        size=11,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="1.2.3.4",
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )


def opened(folder: Path, file: str = "sums.txt") -> ChecksumList:
    """Open the part as Karnak does."""
    return CHECKSUM_LIST.open(CHECKSUM_LIST.config(file=file), OpenContext(data_directory=folder))


# ---- the keys


def test_folder_is_no_file() -> None:
    with pytest.raises(ValidationError, match="'sums/' is a folder; write the path of a file"):
        CHECKSUM_LIST.config(file="sums/")


def test_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        CHECKSUM_LIST.config.model_validate({"file": "sums.txt", "fiel": ""})


# ---- the part


def test_every_instance_has_its_line(tmp_path: Path, outgoing: Outgoing) -> None:
    part = opened(tmp_path)
    part.send(outgoing)
    part.send(outgoing)
    lines = (tmp_path / "sums.txt").read_text().splitlines()
    assert lines == ["7bc0579751774d6d2d636d7e704e8c69653cfe905c4aaf228d4fcf895c6bdd45  1.2.3.4  11"] * 2


def test_line_that_the_power_cut_short_is_left_alone(tmp_path: Path, outgoing: Outgoing) -> None:
    (tmp_path / "sums.txt").write_text("e2308")
    opened(tmp_path).send(outgoing)
    assert [entry is not None for _, entry in read_list(tmp_path / "sums.txt")] == [False, True]


def test_missing_spool_file_fails_the_instance(tmp_path: Path, outgoing: Outgoing) -> None:
    outgoing.path.unlink()
    with pytest.raises(Permanent, match="the spool file is missing"):
        opened(tmp_path).send(outgoing)


def test_file_that_cannot_be_written_holds_the_destination(tmp_path: Path, outgoing: Outgoing) -> None:
    (tmp_path / "sums.txt").mkdir()
    part = opened(tmp_path)
    with pytest.raises(Misconfigured):
        part.send(outgoing)
    with pytest.raises(Misconfigured):
        part.probe()


def test_probe_says_what_is_there(tmp_path: Path) -> None:
    assert opened(tmp_path).probe() == f"{tmp_path / 'sums.txt'} can be written; it has 0 bytes"


# ---- the authenticator


def test_key_is_sent_in_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KEY", "k3y")
    config = API_KEY.config.model_validate({"key": {"env": "EXAMPLE_KEY"}})
    part = API_KEY.open(config, OpenContext(data_directory=tmp_path))
    assert part.headers() == {"X-API-Key": "k3y"}
    monkeypatch.setenv("EXAMPLE_KEY", "k3y\nX-Evil: 1")
    with pytest.raises(Misconfigured) as error:
        part.headers()
    assert "k3y" not in str(error.value)


def test_karnak_prints_its_header() -> None:
    result = CliRunner().invoke(auth_header, ["api_key", "--key", "k3y", "--header", "X-Key"])
    assert result.output == "<key>X-Key</key>\n<value>k3y</value>\n"


# ---- the source of pseudonyms


def patient(patient_id: str) -> Dataset:
    """Return a data set of a patient."""
    dataset = Dataset()
    dataset.PatientID = patient_id
    return dataset


def test_pseudonym_is_that_of_the_list(tmp_path: Path) -> None:
    (tmp_path / "study.txt").write_text("P1\tPSN-1\nP2\tPSN-2\n")
    part = PSEUDONYM_LIST.open(PSEUDONYM_LIST.config(file="study.txt"), OpenContext(data_directory=tmp_path))
    assert part.pseudonym(patient("P2"), "STUDY-A") == "PSN-2"
    with pytest.raises(NoPseudonym) as error:
        part.pseudonym(patient("P3"), "STUDY-A")
    assert "P3" not in error.value.reason.replace(str(tmp_path), "")


def test_list_that_is_missing_holds_the_destination(tmp_path: Path) -> None:
    part = PSEUDONYM_LIST.open(PSEUDONYM_LIST.config(file="study.txt"), OpenContext(data_directory=tmp_path))
    with pytest.raises(Misconfigured, match="No such file or directory"):
        part.pseudonym(patient("P1"), "STUDY-A")


# ---- the notification

SUMMARY = StudySummary(
    forward_node="FORWARD",
    destination="local",
    destination_label="folder received",
    deidentified=False,
    study_instance_uid="1.2.3",
    series=(SeriesSummary(series_instance_uid="1.2.3.1", counts={State.SENT: 3, State.FAILED: 1}),),
    id="0123456789abcdef",
)


@contextmanager
def web_server(status: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run a server that answers with this status; give its address, and what it gets."""
    got: list[dict[str, Any]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append({"key": self.headers["Idempotency-Key"], **body})
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/karnak", got
        server.shutdown()
        thread.join()


def post(url: str, folder: Path) -> str:
    """Open the part as Karnak does, and have it tell."""
    with closing(WEBHOOK.open(WEBHOOK.config(url=url), OpenContext(data_directory=folder))) as part:
        return part.notify(SUMMARY)


def test_what_became_of_a_study_is_posted(tmp_path: Path) -> None:
    with web_server(200) as (url, got):
        assert post(url, tmp_path) == f"{url} answers 200 OK"
    (told,) = got
    assert told["key"] == told["id"] == "0123456789abcdef"
    assert told["study_instance_uid"] == "1.2.3"
    assert told["series"][0]["counts"] == {"sent": 3, "failed": 1}
    assert StudySummary.from_json(told) == SUMMARY


@pytest.mark.parametrize(
    ("status", "error"), [(503, Retryable), (429, Retryable), (404, Misconfigured), (400, Permanent)]
)
def test_answer_says_whether_it_is_told_again(status: int, error: type[Exception], tmp_path: Path) -> None:
    with web_server(status) as (url, _), pytest.raises(error, match=str(status)):
        post(url, tmp_path)


def test_address_where_nobody_is_is_tried_again(tmp_path: Path) -> None:
    with web_server(200) as (url, _):
        pass
    with pytest.raises(Unreachable):
        post(url, tmp_path)


def test_address_is_one_of_the_web() -> None:
    with pytest.raises(ValidationError, match="'ftp://x' does not begin with http:// or https://"):
        WEBHOOK.config(url="ftp://x")


# ---- the codename

PROFILE = """
name: Short comments
profileElements:
  - name: cut
    codename: example.truncate.text
    arguments: {length: LENGTH}
    tags: ["(0010,4000)", "(0020,4000)"]
"""


def test_texts_are_cut() -> None:
    profile = Profile.from_yaml(PROFILE.replace("LENGTH", "10"), [TRUNCATE_TEXT])
    dataset = patient("P1")
    dataset.PatientComments = "a comment that is too long"
    dataset.ImageComments = "short"
    result = profile.morph(dataset, Project(name="STUDY-A", secret=bytes(16)))
    assert isinstance(result, Result)
    assert (result.dataset.PatientComments, result.dataset.ImageComments) == ("a comment", "short")


def test_wrong_length_is_told_with_its_line() -> None:
    problems = Profile.from_yaml(PROFILE.replace("LENGTH", "0"), [TRUNCATE_TEXT]).check()
    assert [str(one) for one in problems] == ["6: example.truncate.text 'cut': argument 'length': 0 is not 1 or more"]


# ---- the command


def test_command_finds_a_changed_file(tmp_path: Path, outgoing: Outgoing) -> None:
    opened(tmp_path).send(outgoing)
    (tmp_path / "received").mkdir()
    arguments = [str(tmp_path / "sums.txt"), str(tmp_path / "received")]
    copy = tmp_path / "received" / "1.dcm"
    copy.write_bytes(outgoing.path.read_bytes())
    assert CliRunner().invoke(checksums, arguments).exit_code == 0
    copy.write_bytes(b"another one")
    result = CliRunner().invoke(checksums, arguments)
    assert result.exit_code == 1
    assert "MISSING OR CHANGED" in result.output


# ---- the hooks, and the entry point


def test_hooks_are_as_karnak_specifies_them() -> None:
    manager = pluggy.PluginManager("karnak")
    manager.add_hookspecs(hookspecs)
    manager.register(karnak_example)
    manager.check_pending()
    assert manager.hook.karnak_register_destinations() == [[CHECKSUM_LIST]]
    assert manager.hook.karnak_register_authenticators() == [[API_KEY]]
    assert manager.hook.karnak_register_pseudonym_sources() == [[PSEUDONYM_LIST]]
    assert manager.hook.karnak_register_notifiers() == [[WEBHOOK]]
    assert manager.hook.karnak_register_profile_elements() == [[TRUNCATE_TEXT]]


def test_karnak_finds_the_plugin() -> None:
    assert load().destinations["checksum_list"] is CHECKSUM_LIST
    assert load().authenticators["api_key"] is API_KEY
    assert load().pseudonym_sources["pseudonym_list"] is PSEUDONYM_LIST
    assert load().notifiers["webhook"] is WEBHOOK
    assert TRUNCATE_TEXT in load().profile_elements

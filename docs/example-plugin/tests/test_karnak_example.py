"""The four layers of a plugin's tests: the keys, the part, the hooks, the entry point."""

from __future__ import annotations

from pathlib import Path

import pluggy
import pytest
from click.testing import CliRunner
from karnak_core import hookspecs
from karnak_core.commands.auth_header import auth_header
from karnak_core.deidentify import Profile, Project, Result
from karnak_core.errors import Misconfigured, NoPseudonym, Permanent
from karnak_core.model import OpenContext, Outgoing
from karnak_core.plugins import load
from pydantic import ValidationError
from pydicom import Dataset

import karnak_example
from karnak_example import API_KEY, CHECKSUM_LIST, PSEUDONYM_LIST, TRUNCATE_TEXT
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
    assert manager.hook.karnak_register_profile_elements() == [[TRUNCATE_TEXT]]


def test_karnak_finds_the_plugin() -> None:
    assert load().destinations["checksum_list"] is CHECKSUM_LIST
    assert load().authenticators["api_key"] is API_KEY
    assert load().pseudonym_sources["pseudonym_list"] is PSEUDONYM_LIST
    assert TRUNCATE_TEXT in load().profile_elements

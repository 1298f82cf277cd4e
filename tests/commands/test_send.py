"""``karnak send``, ``echo`` and ``probe``: what speaks to peers."""

from __future__ import annotations

from pathlib import Path

import pytest
from one_gateway import Karnak, Site

from karnak_core.testing import make_dataset, make_file
from karnak_plugins.dicom_dest.echo import echo
from karnak_plugins.dicom_dest.send import send


def address(site: Site, node: str = "OTHER") -> str:
    return f"{node}@127.0.0.1:{site.gateway.port}"


def test_a_folder_is_sent_and_what_is_no_dicom_is_named_and_passed_over(
    karnak: Karnak, site: Site, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    files = [make_file(folder), make_file(folder / "deeper"), make_file(tmp_path)]
    (folder / "notes.txt").write_text("not DICOM")
    (folder / "empty").touch()
    (folder / "deeper" / "cut.dcm").write_bytes(files[0].read_bytes()[:150])
    result = karnak(send, folder, files[2], "--to", address(site), "--from", "WARD7", data=False)
    assert (result.exit_code, result.stdout) == (0, "3 sent, 0 failed, 3 passed over\n")
    said = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in said] == [
        str(folder / "deeper" / "cut.dcm"),
        str(folder / "empty"),
        str(folder / "notes.txt"),
    ]
    assert "no DICOM file" in said[2]
    for path in files:
        site.gateway.wait_until(lambda path=path: site.states(path) == {"good": "sent"})
        assert site.row(path, "good")["calling_ae_title"] == "WARD7"


def test_many_files_go_over_several_associations(karnak: Karnak, site: Site, tmp_path: Path) -> None:
    files = [make_file(tmp_path, pixels=0) for _ in range(130)]
    result = karnak(send, tmp_path, "--to", address(site), "--associations", "3", data=False)
    assert (result.exit_code, result.stdout) == (0, "130 sent, 0 failed, 0 passed over\n")
    received = {row["sop_instance_uid"] for row in site.gateway.deliveries(forward_node="OTHER")}
    assert {path.stem for path in files} <= received


def test_what_the_peer_refuses_is_named_with_its_reason_and_the_others_are_sent(
    karnak: Karnak, site: Site, tmp_path: Path
) -> None:
    good = make_file(tmp_path)
    ds = make_dataset()
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.preamble = bytes(128)
    ds.save_as(tmp_path / "0.dcm")
    result = karnak(send, tmp_path, "--to", address(site), data=False)
    assert (result.exit_code, result.stdout) == (1, "1 sent, 1 failed, 0 passed over\n")
    assert result.stderr.splitlines()[0].startswith(f"{tmp_path / '0.dcm'}: ")
    assert "0xA900" in result.stderr
    assert result.stderr.splitlines()[-1] == "not everything was sent"
    assert site.states(good) != {}


def test_sending_to_who_does_not_accept_fails_with_the_reason(karnak: Karnak, site: Site, tmp_path: Path) -> None:
    make_file(tmp_path)
    result = karnak(send, tmp_path, "--to", address(site, "NOWHERE"), data=False)
    assert (result.exit_code, result.stdout) == (1, "0 sent, 1 failed, 0 passed over\n")
    assert "called AE title not recognised" in result.stderr
    result = karnak(send, tmp_path, "--to", f"OTHER@127.0.0.1:{site.dead_port}", data=False)
    assert result.exit_code == 1
    assert "refused" in result.stderr


def test_a_folder_without_dicom_files_fails(karnak: Karnak, site: Site, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    result = karnak(send, tmp_path, "--to", address(site), data=False)
    assert (result.exit_code, result.stdout) == (1, "0 sent, 0 failed, 1 passed over\n")
    assert result.stderr.splitlines()[-1] == "there is nothing that could be sent"


@pytest.mark.parametrize("target", ["OTHER", "OTHER@127.0.0.1", "OTHER@127.0.0.1:port", "X" * 17 + "@127.0.0.1:104"])
def test_an_address_that_is_none_is_wrong(target: str, karnak: Karnak, tmp_path: Path) -> None:
    result = karnak(send, tmp_path, "--to", target, data=False)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_a_path_that_is_not_there_is_wrong(karnak: Karnak, site: Site, tmp_path: Path) -> None:
    assert karnak(send, tmp_path / "none", "--to", address(site), data=False).exit_code == 2


# ---- echo ----------------------------------------------------------------------------------------------------------


def test_echo_of_an_address_and_of_a_destination(karnak: Karnak, site: Site) -> None:
    result = karnak(echo, address(site))
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"OTHER at 127.0.0.1:{site.gateway.port} accepts the association as KARNAK-ECHO" in result.stdout
    assert result.stdout.endswith(" ms)\n")
    result = karnak(echo, f"127.0.0.1:{site.good.port}", "--called", "GOOD", "--calling", "ME")
    assert result.exit_code == 0
    assert "as ME" in result.stdout
    result = karnak(echo, "OTHER/good")
    assert result.exit_code == 0
    assert "as OTHER" in result.stdout


def test_echo_of_who_does_not_answer_or_accept_fails_with_the_reason(karnak: Karnak, site: Site) -> None:
    result = karnak(echo, f"127.0.0.1:{site.dead_port}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "refused" in result.stderr
    result = karnak(echo, f"127.0.0.1:{site.gateway.port}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "called AE title not recognised" in result.stderr


@pytest.mark.parametrize(
    ("target", "words"),
    [("nowhere", "no destination has this name"), ("good", "several destinations"), ("local", "karnak probe")],
)
def test_echo_of_what_is_no_dicom_destination_is_wrong(target: str, words: str, karnak: Karnak, site: Site) -> None:
    result = karnak(echo, target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


# ---- probe ---------------------------------------------------------------------------------------------------------


def test_probe_says_what_was_seen(karnak: Karnak, site: Site) -> None:
    result = karnak("probe", "known")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "KNOWN at 127.0.0.1:" in result.stdout
    result = karnak("probe", "local")
    assert result.exit_code == 0
    assert str(site.gateway.data / "received") in result.stdout
    assert "is paused: instances are queued, but held" in karnak("probe", "paused").stdout


def test_probe_of_a_destination_that_is_down_fails_with_the_reason(karnak: Karnak, site: Site) -> None:
    result = karnak("probe", "OTHER/down")
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(site.dead_port) in result.stderr


@pytest.mark.parametrize("name", ["nowhere", "OTHER/nowhere", "good"])
def test_probe_of_what_is_not_one_destination_is_wrong_and_lists_those_known(name: str, karnak: Karnak) -> None:
    result = karnak("probe", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "known: FORWARD/good, " in result.stderr

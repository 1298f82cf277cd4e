"""DCMTK in both roles."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from karnak_core.dimse import (
    Association,
    AssociationAborted,
    AssociationRejected,
    ConnectionFailed,
    ProposedContext,
    StoreAnswer,
    rejections,
)
from karnak_core.testing import free_port, wait_until

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
CONTEXTS = [ProposedContext(CT, [EXPLICIT]), ProposedContext(VERIFICATION, ["1.2.840.10008.1.2"])]


def run(*arguments):
    """Run a program; return its exit status and what it printed."""
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def open_association(port, contexts=CONTEXTS, called_ae_title="PACS"):
    return Association.open(
        "127.0.0.1", port, calling_ae_title="KARNAK", called_ae_title=called_ae_title, contexts=contexts
    )


@pytest.fixture
def make_storescp(dcmtk, tmp_path):
    """Starts storescp with options; returns its port and directory."""
    running = []

    def make(*options):
        port = free_port()
        command = [dcmtk("storescp"), "-od", str(tmp_path), *options, str(port)]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        def answers():
            try:
                open_association(port, CONTEXTS[1:]).release()
            except ConnectionFailed:
                return False
            except (AssociationRejected, AssociationAborted):
                pass
            return True

        wait_until(answers, what="storescp answers")
        return port, tmp_path

    yield make
    for process in running:
        process.terminate()
        process.wait(60)


def data_set_of(path: Path) -> bytes:
    """Return the bytes of a file behind its meta information."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


def test_echoscu_is_answered(acceptor, dcmtk):
    status, output = run(dcmtk("echoscu"), "-v", "-aec", "KARNAK", "127.0.0.1", acceptor.port)
    assert status == 0
    assert "Received Echo Response (Success)" in output


def test_dcmsend_stores_byte_for_byte(acceptor, dcmtk, make_part10):
    files = [make_part10(f"1.2.6.{number}", 250 * 400 * number) for number in range(1, 6)]
    status, output = run(dcmtk("dcmsend"), "-v", "127.0.0.1", acceptor.port, *(path for path, _, _ in files))
    assert status == 0, output
    acceptor.all_ended()
    assert [bytes(store.data) for store in acceptor.receiver.stores] == [data for _, _, data in files]


@pytest.mark.parametrize("options", [["-pdu", "4096"], ["--max-send-pdu", "4096"], ["+II"], ["-xi"], ["-R"]])
def test_storescu_stores_with_its_options(acceptor, dcmtk, make_part10, options):
    path, _, data = make_part10("1.2.6.7", 250 * 400)
    status, output = run(dcmtk("storescu"), "-v", *options, "127.0.0.1", acceptor.port, path)
    assert status == 0, output
    assert "Received Store Response (Success)" in output
    acceptor.all_ended()
    store = acceptor.receiver.stores[0]
    if options == ["-xi"]:
        assert store.request.transfer_syntax_uid == "1.2.840.10008.1.2"
    elif options != ["+II"]:
        assert bytes(store.data) == data


def test_dcmtk_understands_our_rejection_and_our_statuses(acceptor, dcmtk, make_part10):
    path, _, _ = make_part10("1.2.6.7", 250 * 400)
    acceptor.receiver.answer = StoreAnswer(0xA700, "disk full")
    _, output = run(dcmtk("storescu"), "-d", "127.0.0.1", acceptor.port, path)
    assert "0xa700" in output
    assert "disk full" in output
    acceptor.receiver.rejection = rejections.CALLED_AE_TITLE_NOT_RECOGNISED
    status, output = run(dcmtk("storescu"), "-v", "127.0.0.1", acceptor.port, path)
    assert status != 0
    assert "Called AE Title Not Recognized" in output


def test_a_storescu_that_aborts_ends_the_association(acceptor, dcmtk):
    run(dcmtk("echoscu"), "--abort", "127.0.0.1", acceptor.port)
    acceptor.all_ended()
    assert len(acceptor.receiver.over) == 1


@pytest.mark.parametrize("options", [[], ["-pdu", "4096"], ["--fork"]])
def test_our_requestor_stores_to_storescp_byte_for_byte(make_storescp, make_part10, options):
    port, directory = make_storescp("+B", *options)
    files = [make_part10(f"1.2.7.{number}", 250 * 400 * number) for number in range(1, 6)]
    with open_association(port) as assoc:
        assert assoc.send_c_echo() == 0
        for number, (path, offset, _) in enumerate(files, 1):
            assert assoc.send_c_store(CT, f"1.2.7.{number}", 1, path, offset).status == 0
    for number, (_, _, data) in enumerate(files, 1):
        assert data_set_of(directory / f"CT.1.2.7.{number}") == data
        assert dcmread(directory / f"CT.1.2.7.{number}").PatientID == "4711"


def test_a_stock_storescp_does_not_stall_us(make_storescp, make_part10):
    port, _ = make_storescp("--ignore")
    path, offset, _ = make_part10("1.2.7.1", 8000)
    with open_association(port) as assoc:
        seconds = []
        for _ in range(100):
            start = time.monotonic()
            assert assoc.send_c_store(CT, "1.2.7.1", 1, path, offset).status == 0
            seconds.append(time.monotonic() - start)
        # 40 ms each, where the peer's Nagle waits for our delayed ACK, once a connection is a few packets old; on a
        # busy machine many take that long, but not all
        assert min(seconds[50:]) < 0.03


@pytest.mark.parametrize(
    ("option", "error", "words"),
    [
        ("--refuse", AssociationRejected, "rejected by PACS"),
        ("--abort-after", AssociationAborted, "aborted by PACS"),
        ("--abort-during", AssociationAborted, "aborted by PACS"),
    ],
)
def test_the_faults_of_storescp_are_said_in_words(make_storescp, option, error, words):
    port, _ = make_storescp(option)
    with pytest.raises(error, match=words), open_association(port) as assoc:
        assoc.send_c_store(CT, "1.2.3", 1, [b"\x08\0\x60\0CS\x02\0CT", bytes(0)])

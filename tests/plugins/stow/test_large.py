"""An instance of a gigabyte goes out in bounded memory."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from scripted import as_json, item, listed

from karnak_core.part10 import file_beginning

UID = "1.2.826.0.1.3680043.10.1234.1"
SIZE = 1 << 30
#: bytes of memory that sending may take on top of what starting takes
ROOM = 8 << 20

SENDER = """
import sys
from pathlib import Path
from karnak_core.model import OpenContext
from karnak_core.part10 import read_outgoing
from karnak_plugins.stow_dest import STOW

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

small, large = map(Path, sys.argv[2:])
part = STOW.open(STOW.config(url=sys.argv[1]), OpenContext(data_directory=Path()))
part.send(read_outgoing(small))
before = peak()
part.send(read_outgoing(large))
print(peak() - before)
"""


class Sink:
    """Reads requests without keeping them, and answers that the instance was stored."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sock, _ = self._listening.accept()
        body = as_json(listed(stored=[item(UID)]))
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        with closing(sock), sock.makefile("rb", buffering=1 << 20) as file:
            for _ in range(2):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += file.readline()
                left = length = int(head.lower().split(b"content-length:")[1].split()[0])
                while left and (block := file.read(min(left, 1 << 20))):
                    left -= len(block)
                self.lengths.append(length - left)
                sock.sendall(answer)

    def close(self) -> None:
        """Stop, once it has answered."""
        self._listening.close()
        self._thread.join(10)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A server that keeps nothing."""
    with closing(Sink()) as running:
        yield running


def sparse(path: Path, size: int) -> Path:
    """Write a Part 10 file with a hole for a data set."""
    beginning = file_beginning(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7.2",
        sop_instance_uid=UID,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        calling_ae_title="TEST",
    )
    with open(path, "wb") as file:
        file.write(beginning)
        file.truncate(size)
    return path


@pytest.mark.slow
def test_a_gigabyte_goes_out_in_bounded_memory(sink: Sink, tmp_path: Path) -> None:
    small, large = sparse(tmp_path / "small", 3 << 20), sparse(tmp_path / "large", SIZE)
    command = [sys.executable, "-c", SENDER, sink.url, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert sink.lengths[1] - sink.lengths[0] == SIZE - (3 << 20) + len(str(SIZE)) - len(str(3 << 20))
    assert int(done.stdout) < ROOM

"""A plain pynetdicom receiver: 128 KiB PDUs, streamed to a file, fsync; the program is this file's last part."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.systems.running import Address, Running, keep_running, ready_port

REPOSITORY = Path(__file__).resolve().parents[2]


class Pynetdicom:
    """What one writes with pynetdicom in thirty lines."""

    name = "pynetdicom"
    share = 0.25

    @contextmanager
    def start(self, folder: Path, forward_to: Address | None = None) -> Iterator[Running]:
        """Run it; it cannot forward."""
        assert forward_to is None
        received = folder / "received"
        received.mkdir()
        # its temporary files are in TMPDIR: the same file system, so that they can be linked
        environment = {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(folder)}
        command = [sys.executable, "-m", "benchmarks.systems.pynetdicom", str(received)]
        with keep_running(command, folder=folder, environment=environment) as process:
            yield Running(
                pid=process.pid,
                address=Address(port=ready_port(process), ae_title="PYNETDICOM"),
                received=received,
                role=lambda _: "pynetdicom",
            )


def receive_into(received: Path) -> None:
    """Receive until killed."""
    from pydicom.uid import AllTransferSyntaxes
    from pynetdicom import AE, AllStoragePresentationContexts, _config, evt

    def keep(event: evt.Event) -> int:
        path = received / f"{event.dataset_path.name}.dcm"
        # pynetdicom removes its own name of the file when the response is out
        os.link(event.dataset_path, path)
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        return 0x0000

    _config.STORE_RECV_CHUNKED_DATASET = True
    ae = AE(ae_title="PYNETDICOM")
    ae.maximum_pdu_size = 128 * 1024
    ae.maximum_associations = 64
    for context in AllStoragePresentationContexts:
        assert context.abstract_syntax is not None
        ae.add_supported_context(context.abstract_syntax, list(AllTransferSyntaxes))
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    assert server is not None
    print(f"ready: {server.server_address[1]}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    receive_into(Path(sys.argv[1]))

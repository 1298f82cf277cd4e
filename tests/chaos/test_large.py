"""An instance of 1 GB goes through in bounded memory."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import EXPLICIT, MULTI_FRAME, SENDER_TIMEOUTS, Gateway, Peer, eventually, memory, uid
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.filebase import DicomBytesIO

from karnak_core.dimse import Association, ProposedContext

MakeGateway = Callable[..., Gateway]
MakePeer = Callable[..., Peer]
MIB = 1 << 20
FRAME = 1024 * 1024
FRAMES = 1024


def header() -> bytes:
    ds = Dataset()
    ds.SOPClassUID = MULTI_FRAME
    ds.SOPInstanceUID = uid(1)
    ds.Modality = "OT"
    ds.PatientID = "CHAOS"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(2), uid(3)
    ds.NumberOfFrames = FRAMES
    ds.Rows = ds.Columns = 1024
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 7, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    out = DicomBytesIO()
    dcmwrite(out, ds, implicit_vr=False, little_endian=True)
    return out.getvalue() + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, FRAME * FRAMES)


def chunks() -> Iterator[bytes]:
    yield header()
    frame = os.urandom(FRAME)
    for _ in range(FRAMES):
        yield frame


class Watch:
    """Looks at how much memory each process of the gateway has used at most, until it is stopped."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self.most: dict[int, int] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            process = self._gateway.process
            if process is None:
                return
            for pid in [process.pid, *self._gateway.children()]:
                self.most[pid] = max(self.most.get(pid, 0), memory(pid, "VmHWM"))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)


@pytest.mark.slow
def test_an_instance_of_one_gigabyte_passes_with_every_process_under_200_mb(
    make_gateway: MakeGateway, make_peer: MakePeer
) -> None:
    peer = make_peer()
    gateway = make_gateway(
        {
            "name": "pacs",
            "type": "dicom",
            "ae_title": "PACS",
            "hostname": "127.0.0.1",
            "port": peer.port,
            "condition": "tagValueIsPresent(#Tag.Modality, 'OT')",
        },
        {"name": "local", "type": "folder", "directory": "out", "pattern": "{PatientID}/{SOPInstanceUID}.dcm"},
    ).start()
    watch = Watch(gateway)
    started = time.monotonic()
    with Association.open(
        "127.0.0.1",
        gateway.port,
        calling_ae_title="SENDER",
        called_ae_title="FORWARD",
        contexts=[ProposedContext(MULTI_FRAME, (EXPLICIT,))],
        timeouts=SENDER_TIMEOUTS,
    ) as association:
        context = association.accepts(MULTI_FRAME, EXPLICIT)
        assert context is not None
        assert association.send_c_store(MULTI_FRAME, uid(1), context, chunks()).status == 0
    received = time.monotonic() - started
    gateway.wait_until_settled(120)
    total = time.monotonic() - started
    watch.stop()
    used = sorted(most / MIB for most in watch.most.values())
    print(f"received after {received:.1f} s, at both destinations after {total:.1f} s; MiB: {[round(m) for m in used]}")
    assert len(used) >= 3
    assert used[-1] < 200
    assert peer.bytes_taken == len(header()) + FRAME * FRAMES
    (file,) = Path(gateway.data / "out").rglob("*.dcm")
    ds = dcmread(file, stop_before_pixels=True)
    assert ds.SOPInstanceUID == uid(1)
    assert file.stat().st_size > FRAME * FRAMES
    eventually(lambda: not gateway.spool_files(), 60, "the spool is empty")
    assert gateway.terminate() == 0
    file.unlink()

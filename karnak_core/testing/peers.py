"""Senders and receivers that are not ours: DCMTK's and pynetdicom's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, _config, evt
from pynetdicom.dsutils import split_dataset
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.sop_class import _STORAGE_CLASSES

from karnak_core.testing.waiting import free_port, listens, program, wait_until

VERIFICATION = UID("1.2.840.10008.1.1")
#: no answer: the association broke, or no presentation context was accepted
NO_ANSWER = -1


@dataclass(kw_only=True)
class StoredFiles:
    """A receiver that writes files into a folder."""

    port: int
    ae_title: str
    folder: Path

    def files(self) -> list[Path]:
        """Return the files that are there, by name."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())

    @property
    def destination(self) -> dict[str, Any]:
        """Return where it is, for the configuration of a destination."""
        return {"type": "dicom", "ae_title": self.ae_title, "hostname": "127.0.0.1", "port": self.port}


@contextmanager
def run_storescp(
    folder: Path, *options: str, port: int | None = None, ae_title: str = "STORESCP"
) -> Iterator[StoredFiles]:
    """Run DCMTK's ``storescp``, which writes every instance that it gets into a file of its own in ``folder``.

    It serves each association in a process of its own: one alone lets every further association wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    where = ["-aet", ae_title, "-od", str(folder), "--unique-filenames"]
    command = [program("storescp", "DCMTK"), "--fork", *where, *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, what="storescp listens")
        assert process.poll() is None, f"storescp ended with {process.returncode}: {' '.join(command)}"
        yield StoredFiles(port=port, ae_title=ae_title, folder=folder)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def dcmsend(
    port: int, *paths: Path, called: str = "FORWARD", calling: str = "DCMSEND", options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Send with DCMTK's ``dcmsend``; a folder is searched for files."""
    command = [program("dcmsend", "DCMTK"), "-aet", calling, "-aec", called, "+sd", "+r", *options]
    return _run([*command, "127.0.0.1", str(port), *map(str, paths)])


def storescu(
    port: int, *paths: Path, called: str = "FORWARD", calling: str = "STORESCU", options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Send with DCMTK's ``storescu``; a folder is searched for files."""
    command = [program("storescu", "DCMTK"), "-aet", calling, "-aec", called, "+sd", "+r", *options]
    return _run([*command, "127.0.0.1", str(port), *map(str, paths)])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One C-STORE request as :func:`run_store_scp` got it."""

    called_ae_title: str
    calling_ae_title: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    #: the data set as it came
    dataset: bytes


class RunningStoreSCP:
    """A receiver in this process; made by :func:`run_store_scp`."""

    def __init__(self, ae_title: str, answer: Callable[[Stored], int]) -> None:
        self.ae_title = ae_title
        self.port = 0
        #: status of each request, or ``NO_ANSWER``: the association is aborted instead; may be replaced
        self.answer = answer
        self._lock = threading.Lock()
        self._stored: list[Stored] = []

    @property
    def stored(self) -> list[Stored]:
        """Return what came so far, whatever was answered."""
        with self._lock:
            return list(self._stored)

    @property
    def destination(self) -> dict[str, Any]:
        """Return where it is, for the configuration of a destination."""
        return {"type": "dicom", "ae_title": self.ae_title, "hostname": "127.0.0.1", "port": self.port}

    def handle(self, event: evt.Event) -> int:
        """Answer a C-STORE request of pynetdicom."""
        request: Any = event.request
        requestor: Any = event.assoc.requestor
        stored = Stored(
            called_ae_title=str(requestor.primitive.called_ae_title).strip(),
            calling_ae_title=str(requestor.ae_title).strip(),
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            dataset=request.DataSet.getvalue(),
        )
        with self._lock:
            self._stored.append(stored)
        status = self.answer(stored)
        if status != NO_ANSWER:
            return status
        event.assoc.abort()
        return 0xC001


@contextmanager
def run_store_scp(
    *,
    answer: Callable[[Stored], int] = lambda _stored: 0x0000,
    sop_classes: Sequence[str] = tuple(_STORAGE_CLASSES.values()),
    transfer_syntaxes: Sequence[str] = tuple(AllTransferSyntaxes),
    ae_title: str = "PYNETDICOM",
    port: int = 0,
    require_called_ae_title: bool = False,
) -> Iterator[RunningStoreSCP]:
    """Run a pynetdicom receiver that keeps the bytes of what it gets in memory.

    Parameters
    ----------
    answer
        Says the status for each request.
    sop_classes, transfer_syntaxes
        What it accepts; by default all that pynetdicom knows.
    port
        0: any free one.
    require_called_ae_title
        Reject associations to another AE title.
    """
    scp = RunningStoreSCP(ae_title, answer)
    ae = AE(ae_title=ae_title)
    ae.require_called_aet = require_called_ae_title
    ae.maximum_pdu_size = 1 << 17
    ae.maximum_associations = 100
    for uid in sop_classes:
        ae.add_supported_context(UID(uid), [UID(syntax) for syntax in transfer_syntaxes])
    ae.add_supported_context(VERIFICATION)
    server: Any = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, scp.handle)])
    scp.port = server.server_address[1]
    try:
        yield scp
    finally:
        server.shutdown()


class OpenAssociation:
    """A sender's association; made by :func:`associate`."""

    def __init__(self, association: Any) -> None:
        self._association = association
        # pynetdicom's reactor, about to pause while a response is awaited, may still take it for a request and drop it
        take = association.dimse.get_msg
        association.dimse.get_msg = lambda block=False: take(block) if block else (None, None)
        #: False: it was rejected, aborted or released
        self.alive = bool(association.is_established)

    def send(self, path: Path) -> int:
        """Send a file, its data set as it is; return the status, or ``NO_ANSWER``."""
        if not self.alive:
            return NO_ANSWER
        try:
            status = self._association.send_c_store(path)
        except ValueError:
            return NO_ANSWER  # no context for it was accepted
        except RuntimeError:
            status = None
        if status and "Status" in status:
            return int(status.Status)
        self.alive = False
        return NO_ANSWER

    def release(self) -> None:
        """Release it, or abort what no longer answers."""
        if self.alive:
            self._association.release()
        else:
            self._association.abort()
        self.alive = False


@contextmanager
def associate(
    port: int,
    paths: Sequence[Path],
    *,
    called: str = "FORWARD",
    calling: str = "PYNETDICOM",
    seconds: float = 30.0,
) -> Iterator[OpenAssociation]:
    """Open a pynetdicom association with contexts for these files, and release it in the end.

    An answer that takes longer than ``seconds`` is none.
    """
    # in this process for good: threads that send would meet each other's setting
    _config.STORE_SEND_CHUNKED_DATASET = True
    ae = AE(ae_title=calling)
    ae.maximum_pdu_size = 1 << 17
    ae.dimse_timeout = seconds
    metas = [split_dataset(path)[0] for path in paths]
    for pair in dict.fromkeys((meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) for meta in metas):
        ae.add_requested_context(*pair)
    opened = OpenAssociation(
        ae.associate("127.0.0.1", port, ae_title=called, evt_handlers=[(evt.EVT_CONN_OPEN, _without_delay)])
    )
    try:
        yield opened
    finally:
        opened.release()


def send(port: int, paths: Sequence[Path], *, called: str = "FORWARD", calling: str = "PYNETDICOM") -> list[int]:
    """Send files with pynetdicom, their data sets as they are, over one association.

    Returns
    -------
    list of int
        The status of each; ``NO_ANSWER`` where no context for it was accepted, and from where the association was
        rejected or broke on.
    """
    with associate(port, paths, called=called, calling=calling) as association:
        return [association.send(path) for path in paths]


def rejection(port: int, *, called: str = "FORWARD", calling: str = "PYNETDICOM") -> tuple[int, int, int] | None:
    """Return result, source and reason with which an association is rejected (PS3.8 Table 9-21); None: it is accepted.

    Raises
    ------
    AssertionError
        It is neither.
    """
    # what the association says of itself may be "aborted", where pynetdicom was slow to see the PDU
    rejections: list[tuple[int, int, int]] = []

    def look(event: evt.Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            pdu: Any = event.pdu
            rejections.append((pdu.result, pdu.source, pdu.reason_diagnostic))

    ae = AE(ae_title=calling)
    ae.add_requested_context(VERIFICATION)
    association = ae.associate("127.0.0.1", port, ae_title=called, evt_handlers=[(evt.EVT_PDU_RECV, look)])
    if association.is_established:
        association.release()
        return None
    assert rejections, "neither accepted nor rejected"
    return rejections[0]


def _without_delay(event: evt.Event) -> None:
    connection: Any = event.assoc.dul.socket
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

"""A recording acceptor, a raw peer for either role, and the bytes they exchange."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from karnak_core.dimse import (
    AcceptedAssociation,
    AssociationRequest,
    ProposedContext,
    Rejection,
    StoreAnswer,
    StoreRequest,
    Timeouts,
    command,
    negotiation,
    pdu,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEADLINE = 60.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, with a deadline."""
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.005)


class RecordedStore:
    """Keeps one data set in memory; fails where the receiver says so."""

    def __init__(self, receiver: RecordingReceiver, request: StoreRequest) -> None:
        self.receiver = receiver
        self.request = request
        self.data = bytearray()
        self.finished = 0
        self.discarded = 0

    def write(self, data: memoryview) -> None:
        if self.receiver.write_error is not None:
            raise self.receiver.write_error
        self.data += data

    def finish(self) -> StoreAnswer:
        self.receiver.finishing.set()
        assert self.receiver.may_finish.wait(DEADLINE)
        self.finished += 1
        if self.receiver.finish_error is not None:
            raise self.receiver.finish_error
        return self.receiver.answer

    def discard(self) -> None:
        self.discarded += 1


class RecordingReceiver:
    """Remembers what happened; its attributes say what to do."""

    def __init__(self) -> None:
        self.rejection: Rejection | None = None
        self.refusal: StoreAnswer | None = None
        self.answer = StoreAnswer(0)
        self.write_error: Exception | None = None
        self.begin_error: Exception | None = None
        self.finish_error: Exception | None = None
        self.admit_error: Exception | None = None
        self.finishing = threading.Event()
        self.may_finish = threading.Event()
        self.may_finish.set()
        self.admitted: list[AssociationRequest] = []
        self.over: list[AssociationRequest] = []
        self.stores: list[RecordedStore] = []

    def admit(self, request: AssociationRequest) -> Rejection | None:
        if self.admit_error is not None:
            raise self.admit_error
        if self.rejection is None:
            self.admitted.append(request)
        return self.rejection

    def begin_store(self, request: StoreRequest) -> RecordedStore | StoreAnswer:
        if self.begin_error is not None:
            raise self.begin_error
        if self.refusal is not None:
            return self.refusal
        self.stores.append(RecordedStore(self, request))
        return self.stores[-1]

    def ended(self, request: AssociationRequest) -> None:
        self.over.append(request)


class Acceptor:
    """Serves each connection to a port of its own in a thread; ends them all when closed."""

    def __init__(self, timeouts: Timeouts, wrap: Any = None, send_buffer: int = 0) -> None:
        self.receiver = RecordingReceiver()
        self.associations: list[AcceptedAssociation] = []
        self.threads: list[threading.Thread] = []
        self._clients: list[Peer] = []
        self._timeouts = timeouts
        self._wrap = wrap
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        if send_buffer:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port: int = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listening.accept()
            except OSError:
                return
            association = AcceptedAssociation(sock, address, self.receiver, timeouts=self._timeouts, wrap=self._wrap)
            thread = threading.Thread(target=association.run, daemon=True)
            self.associations.append(association)
            self.threads.append(thread)
            thread.start()

    def client(self, receive_buffer: int = 0) -> Peer:
        """Return a raw connection to this acceptor."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(("127.0.0.1", self.port))
        self._clients.append(Peer(sock))
        return self._clients[-1]

    def all_ended(self) -> None:
        """Wait until no association runs, and check that each admitted one was noted once as ended."""
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        assert len(self.receiver.over) == len(self.receiver.admitted)

    def close(self) -> None:
        """Stop listening and end all associations."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join(DEADLINE)
        self.receiver.may_finish.set()
        for association in self.associations:
            association.abort()
        for client in self._clients:
            client.close()
        self.all_ended()


class Peer:
    """A raw connection that speaks in PDUs."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.socket.settimeout(DEADLINE)

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def pdu(self) -> tuple[int, bytes]:
        """Return type and content of the next PDU."""
        kind, length = struct.unpack(">BxL", self.read(6))
        return kind, self.read(length)

    def response(self) -> dict[int, bytes]:
        """Return the elements of the next command set, which must come in one PDU."""
        kind, content = self.pdu()
        assert kind == pdu.P_DATA_TF
        assert content[5] == pdu.COMMAND | pdu.LAST
        return command.decode(content[6:])

    def status(self) -> int:
        return command.number(self.response(), command.STATUS)

    def associate(self, *contexts: ProposedContext, **options: Any) -> negotiation.Acceptance:
        """Ask for an association and return what was granted."""
        self.send(associate_request(*contexts, **options))
        kind, content = self.pdu()
        assert kind == pdu.A_ASSOCIATE_AC
        return negotiation.decode_acceptance(pdu.PDU_HEADER.pack(kind, len(content)) + content)

    def aborted(self) -> tuple[int, int]:
        """Return source and reason of the A-ABORT that has to come, and then the end."""
        kind, content = self.pdu()
        assert kind == pdu.A_ABORT
        self.ended()
        return content[2], content[3]

    def ended(self) -> None:
        """Check that nothing but the end of the connection comes."""
        with contextlib.suppress(ConnectionResetError):
            assert self.socket.recv(1) == b""
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def associate_request(*contexts: ProposedContext, **options: Any) -> bytes:
    options = {"called_ae_title": "KARNAK", "calling_ae_title": "CT1", "max_operations": 1} | options
    proposed = contexts or (ProposedContext(CT, [EXPLICIT, IMPLICIT]), ProposedContext(VERIFICATION, [IMPLICIT]))
    return negotiation.encode_request(contexts=proposed, **options)


def p_data(context_id: int, control: int, data: bytes) -> bytes:
    return pdu.p_data_header(context_id, control, len(data)) + data


def command_set(field: int, message_id: int, *, data_set: bool = True, **texts: Any) -> bytes:
    elements = command.text_element(command.AFFECTED_SOP_CLASS_UID, texts.get("sop_class", CT))
    elements += command.short_element(command.COMMAND_FIELD, field)
    elements += command.short_element(command.MESSAGE_ID, message_id)
    elements += command.short_element(command.PRIORITY, 0)
    elements += command.short_element(
        command.COMMAND_DATA_SET_TYPE, command.DATA_SET if data_set else command.NO_DATA_SET
    )
    elements += command.text_element(command.AFFECTED_SOP_INSTANCE_UID, texts.get("sop_instance", "1.2.3"))
    return command.with_group_length(elements)


def store_command(message_id: int = 1, context_id: int = 1, **texts: Any) -> bytes:
    return p_data(context_id, 3, command_set(command.C_STORE_RQ, message_id, **texts))


def store_message(data: bytes, message_id: int = 1, context_id: int = 1, size: int = 10000, **texts: Any) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    pdus = [p_data(context_id, 0, part) for part in parts[:-1]] + [p_data(context_id, 2, parts[-1])]
    return store_command(message_id, context_id, **texts) + b"".join(pdus)


def echo_message(message_id: int = 1, context_id: int = 3) -> bytes:
    return p_data(context_id, 3, command_set(command.C_ECHO_RQ, message_id, data_set=False, sop_class=VERIFICATION))


def store_response(message_id: int, status: int = 0, context_id: int = 1, comment: str = "") -> bytes:
    elements = command.short_element(command.COMMAND_FIELD, command.C_STORE_RSP)
    elements += command.short_element(command.MESSAGE_ID_BEING_RESPONDED_TO, message_id)
    elements += command.short_element(command.COMMAND_DATA_SET_TYPE, command.NO_DATA_SET)
    elements += command.short_element(command.STATUS, status)
    if comment:
        elements += command.text_element(command.ERROR_COMMENT, comment, b" ")
    return p_data(context_id, 3, command.with_group_length(elements))


class Wire:
    """The makers of bytes, as one fixture: test files cannot import from one another."""

    CT, VERIFICATION, IMPLICIT, EXPLICIT = CT, VERIFICATION, IMPLICIT, EXPLICIT
    associate_request = staticmethod(associate_request)
    p_data = staticmethod(p_data)
    command_set = staticmethod(command_set)
    store_command = staticmethod(store_command)
    store_message = staticmethod(store_message)
    echo_message = staticmethod(echo_message)
    store_response = staticmethod(store_response)
    eventually = staticmethod(eventually)
    Peer = Peer


@pytest.fixture(scope="session")
def wire() -> type[Wire]:
    return Wire


@pytest.fixture
def make_acceptor() -> Iterator[Callable[..., Acceptor]]:
    acceptors: list[Acceptor] = []

    def make(wrap: Any = None, send_buffer: int = 0, **timeouts: float) -> Acceptor:
        acceptors.append(Acceptor(Timeouts(**timeouts), wrap, send_buffer))
        return acceptors[-1]

    yield make
    for acceptor in acceptors:
        acceptor.close()


@pytest.fixture
def acceptor(make_acceptor: Callable[..., Acceptor]) -> Acceptor:
    return make_acceptor()


class Script:
    """A peer that accepts one connection and does what a function says with it."""

    def __init__(self, play: Callable[[Peer], None]) -> None:
        self._play = play
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            sock, _ = self._listening.accept()
            with sock:
                self._play(Peer(sock))
        except BaseException as error:
            self.error = error

    def close(self) -> None:
        self._thread.join(DEADLINE)
        self._listening.close()
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


@pytest.fixture
def make_script() -> Iterator[Callable[[Callable[[Peer], None]], Script]]:
    """Makes acceptors that play a script; what fails in a script fails the test."""
    scripts: list[Script] = []

    def make(play: Callable[[Peer], None]) -> Script:
        scripts.append(Script(play))
        return scripts[-1]

    yield make
    for script in scripts:
        script.close()


@pytest.fixture(scope="session")
def make_part10(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, int, bytes]]:
    """Makes DICOM files: path, offset of the data set, its bytes."""
    directory = tmp_path_factory.mktemp("part10")

    def make(sop_instance_uid: str, pixel_bytes: int = 8000) -> tuple[Path, int, bytes]:
        ds = Dataset()
        ds.SOPClassUID = CT
        ds.SOPInstanceUID = sop_instance_uid
        ds.StudyInstanceUID = "1.2.3.1"
        ds.SeriesInstanceUID = "1.2.3.2"
        ds.PatientName = "Doe^John"
        ds.PatientID = "4711"
        ds.Modality = "CT"
        ds.SamplesPerPixel = 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.Rows, ds.Columns = pixel_bytes // 500, 250
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit = 15
        ds.PixelRepresentation = 0
        ds.PixelData = bytes(range(250)) * (pixel_bytes // 250)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = EXPLICIT
        meta.MediaStorageSOPClassUID = CT
        meta.MediaStorageSOPInstanceUID = sop_instance_uid
        ds.file_meta = meta
        path = directory / f"{sop_instance_uid}-{pixel_bytes}.dcm"
        ds.save_as(path, enforce_file_format=True)
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, ds)
        data = buffer.getvalue()
        return path, path.stat().st_size - len(data), data

    return make


@pytest.fixture(scope="session")
def dcmtk() -> Callable[[str], str]:
    """Finds a program of DCMTK; pynetdicom installs ones with the same names."""

    def find(name: str) -> str:
        for directory in os.get_exec_path():
            path = shutil.which(name, path=directory)
            if path is not None:
                version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
                if "$dcmtk" in version.stdout:
                    return path
        message = f"{name} of DCMTK is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    return find

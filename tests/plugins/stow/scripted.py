"""A DICOMweb server that checks what it is sent, and answers what a test tells it to."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from karnak_core.model import Outgoing
from karnak_core.part10 import file_beginning, read_beginning, read_outgoing
from karnak_plugins.stow_dest.stow import StoreOverHTTP

#: the fixtures of conftest.py
MakePart = Callable[..., StoreOverHTTP]
MakeInstances = Callable[..., list[Outgoing]]

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
CONTENT_TYPE = re.compile(rf'multipart/related; type="application/dicom"; boundary=({TOKEN})')
PART_HEAD = re.compile(rb"Content-Type: application/dicom\r\nContent-Length: (\d+)\r\n\r\n")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What arrived."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    #: the files of its parts
    files: Sequence[bytes] = ()

    @property
    def uids(self) -> list[str]:
        """SOP Instance UIDs of its parts."""
        return [read_beginning(BytesIO(file)).sop_instance_uid for file in self.files]


@dataclass(frozen=True, kw_only=True)
class Say:
    """An answer."""

    status: int = 200
    body: bytes = b""
    type: str = "application/dicom+json"
    headers: Mapping[str, str] = field(default_factory=dict)
    phrase: str | None = None
    #: bytes of the body that are sent before the connection is cut; None: all, and it stays open
    cut_after: int | None = None
    #: answer before the request's body is read
    early: bool = False


@dataclass(frozen=True, kw_only=True)
class Cut:
    """No answer: the connection is reset after so much of the request's body; None: after all of it."""

    after: int | None = None


class Silence:
    """No answer, nor an end."""


Step = Say | Cut | Silence | Callable[[Request], Say]


def item(uid: str = "", **numbers: int) -> dict[str, Any]:
    """Return an item of a sequence; ``failure``, ``warning``: its reason."""
    tags = {"failure": "00081197", "warning": "00081196"}
    found: dict[str, Any] = {"00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}}
    if uid:
        found["00081155"] = {"vr": "UI", "Value": [uid]}
    return found | {tags[name]: {"vr": "US", "Value": [number]} for name, number in numbers.items()}


def listed(*, stored: Sequence[dict[str, Any]] = (), failed: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Return what a Store Instances Response says, in the DICOM JSON Model."""
    found: dict[str, Any] = {"00081190": {"vr": "UR", "Value": ["http://server/studies/1"]}}
    if stored:
        found["00081199"] = {"vr": "SQ", "Value": list(stored)}
    if failed:
        found["00081198"] = {"vr": "SQ", "Value": list(failed)}
    return found


def as_json(ds: dict[str, Any]) -> bytes:
    """Write it in the DICOM JSON Model."""
    return json.dumps(ds).encode()


def as_xml(ds: dict[str, Any], *, namespace: bool = True) -> bytes:
    """Write it in the Native DICOM Model."""

    def attribute(tag: str, element: dict[str, Any]) -> str:
        inside = "".join(
            f'<Item number="{number}">{attributes(value)}</Item>'
            if isinstance(value, dict)
            else f'<Value number="{number}">{value}</Value>'
            for number, value in enumerate(element["Value"], start=1)
        )
        return f'<DicomAttribute tag="{tag}" vr="{element["vr"]}">{inside}</DicomAttribute>'

    def attributes(of: dict[str, Any]) -> str:
        return "".join(attribute(tag, element) for tag, element in of.items())

    xmlns = ' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"' if namespace else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel{xmlns}>{attributes(ds)}</NativeDicomModel>'.encode()
    )


def stored_all(request: Request) -> Say:
    """Answer that everything was stored."""
    return Say(body=as_json(listed(stored=[item(uid) for uid in request.uids])))


def in_both(status: int, **sequences: Sequence[dict[str, Any]]) -> list[Say]:
    """Return the same answer as JSON and as XML."""
    ds = listed(**sequences)
    return [
        Say(status=status, body=as_json(ds)),
        Say(status=status, body=as_xml(ds), type="application/dicom+xml"),
    ]


def part10_of(path: Path, size: int, uid: str) -> Outgoing:
    """Write a Part 10 file whose data set is nonsense with what looks like a boundary in it."""
    names = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "transfer_syntax_uid": "1.2.840.10008.1.2.1"}
    beginning = file_beginning(sop_instance_uid=uid, calling_ae_title="TEST", **names)
    path.write_bytes((beginning + b"\r\n--karnak-0123\r\n" + os.urandom(size))[:size])
    return replace(read_outgoing(path), study_instance_uid="1.2", series_instance_uid="1.2.3")


class ScriptedServer:
    """Answers step by step, then that all was stored; every request has to be right to the byte."""

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None) -> None:
        self.steps: list[Step] = list(steps)
        self.requests: list[Request] = []
        #: what was wrong with requests
        self.faults: list[str] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        scripted = self

        class Handler(_Handler):
            script = scripted

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def finish_request(self, request: Any, client_address: Any) -> None:
                # in the connection's own thread
                if tls is None:
                    super().finish_request(request, client_address)
                    return
                with suppress(OSError), tls.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Do not write on the terminal."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/dicom-web"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_step(self) -> Step:
        """Return what to answer."""
        with self._lock:
            return self.steps.pop(0) if self.steps else stored_all


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedServer
    # the answer in one piece
    wbufsize = -1
    timeout = 60

    def setup(self) -> None:
        super().setup()
        self.script.connections += 1

    def log_message(self, *_: Any) -> None:
        """Do not write on the terminal."""

    def do_POST(self) -> None:
        step = self.script.next_step()
        length = int(self.headers["Content-Length"])
        match step:
            case Cut(after=int(after)):
                self._read(min(after, length))
                self._reset()
                return
            case Say(early=True):
                self._say(step)
                self.wfile.flush()
                self.close_connection = True
                with suppress(OSError):
                    # as nginx does: what still comes is thrown away, for a while
                    self.connection.shutdown(socket.SHUT_WR)
                    self.connection.settimeout(20.0)
                    while self.connection.recv(65536):
                        pass
                return
        body = self._read(length)
        if len(body) < length:
            self.script.faults.append(f"body of {len(body)} bytes, announced {length}")
            return
        request = self._request(self._files(body))
        self.script.requests.append(request)
        match step:
            case Cut():
                self._reset()
            case Silence():
                self.script.stopping.wait(60)
                self._reset()
            case Say():
                self._say(step)
            case _:
                self._say(step(request))  # type: ignore[operator]

    def do_GET(self) -> None:
        request = self._request(())
        self.script.requests.append(request)
        step = self.script.next_step()
        match step:
            case Say():
                self._say(step)
            case Cut() | Silence():
                self._reset()
            case _:
                self._say(step(request))

    do_OPTIONS = do_GET

    def _read(self, length: int) -> bytes:
        with suppress(OSError):
            return self.rfile.read(length)
        return b""

    def _request(self, files: Sequence[bytes]) -> Request:
        parts = urlsplit(self.path)
        names = [name.lower() for name in self.headers]
        if len(set(names)) != len(names):
            self.script.faults.append(f"a header stands twice: {names}")
        if self.headers["Host"] != f"127.0.0.1:{self.script.port}" or self.request_version != "HTTP/1.1":
            self.script.faults.append(f"{self.request_version} for {self.headers['Host']}")
        return Request(
            method=self.command,
            path=parts.path,
            query=parse_qs(parts.query),
            headers={name.lower(): value for name, value in self.headers.items()},
            files=files,
        )

    def _files(self, body: bytes) -> list[bytes]:
        """Take a message apart; what is not exactly as RFC 2046 and 2387 have it is a fault."""
        fault = self.script.faults.append
        kind = CONTENT_TYPE.fullmatch(self.headers["Content-Type"] or "")
        if not kind:
            fault(f"Content-Type: {self.headers['Content-Type']}")
            return []
        if self.headers["Transfer-Encoding"] or self.headers["Content-Encoding"] or self.headers["Expect"]:
            fault("Transfer-Encoding, Content-Encoding or Expect")
        if self.headers["Accept"] != "application/dicom+json, application/dicom+xml;q=0.9":
            fault(f"Accept: {self.headers['Accept']}")
        boundary = kind[1].encode()
        if len(boundary) > 70:
            fault("boundary of more than 70 characters")
        files = []
        at, delimiter = 0, b"--" + boundary + b"\r\n"
        while body[at : at + len(delimiter)] == delimiter:
            head = PART_HEAD.match(body, at + len(delimiter))
            if not head:
                fault(f"part begins with {body[at : at + 200]!r}")
                return files
            end = head.end() + int(head[1])
            files.append(body[head.end() : end])
            if files[-1][128:132] != b"DICM":
                fault("a part is no Part 10 file")
            at, delimiter = end, b"\r\n--" + boundary + b"\r\n"
        if body[at:] != b"\r\n--" + boundary + b"--\r\n" or not files:
            fault(f"ends with {body[at:][:200]!r}")
        return files

    def _say(self, say: Say) -> None:
        self.send_response(say.status, say.phrase)
        for name, value in say.headers.items():
            self.send_header(name, value)
        if say.body:
            self.send_header("Content-Type", say.type)
        if say.status != 204:
            self.send_header("Content-Length", str(len(say.body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(say.body[: say.cut_after])
            self.wfile.flush()
            if say.cut_after is not None:
                self._reset()

    def _reset(self) -> None:
        """Close with a reset."""
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

"""A web service as it is asked about patients, on a real socket."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    #: which connection it came by, counted from 1
    connection: int


@dataclass(frozen=True)
class Answer:
    """What the service says to one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    #: true: the connection is closed without a word
    cut: bool = False

    @staticmethod
    def of(value: Any, status: int = 200, **headers: str) -> Answer:
        """Return an answer with this as JSON."""
        return Answer(status, json.dumps(value).encode(), headers)


class Service:
    """``answer`` makes the answer to the n-th request, counted from 1."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.port = 0
        self.asked: list[Asked] = []
        self.answer: Callable[[int, Asked], Answer] = lambda _number, _asked: Answer.of({"pseudonym": "PSN-1"})
        #: holds every answer back until it is set
        self.go = threading.Event()
        self.go.set()
        self.connections = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def says(self, *answers: Answer) -> None:
        """Answer so, one after the other; the last one again and again."""
        self.answer = lambda number, _asked: answers[min(number, len(answers)) - 1]


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Service]:
    """Run a service."""
    service = Service("https" if context else "http")
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with lock:
                service.connections += 1
                self.number = service.connections

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            asked = Asked(self.command, self.path, dict(self.headers), body, self.number)
            with lock:
                service.asked.append(asked)
                number = len(service.asked)
            service.go.wait(60)
            answer = service.answer(number, asked)
            if answer.cut:
                self.close_connection = True
                return
            try:
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
            except OSError:
                # the client has gone
                self.close_connection = True

        do_GET = _answer
        do_POST = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that end a handshake."""

    http = Quiet(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.block_on_close = False
    if context:
        http.socket = context.wrap_socket(http.socket, server_side=True)
    service.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.go.set()
        http.shutdown()
        http.server_close()
        thread.join(60)

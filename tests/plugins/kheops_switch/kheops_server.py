"""Kheops as far as Karnak speaks with it: takes instances by STOW-RS, and refuses what is not exactly right.

Everything that a client did wrong is in ``faults``, whatever was answered.
"""

from __future__ import annotations

import json
import random
import re
import ssl
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, Self
from urllib.parse import parse_qs

import pydicom

UID = r"[0-9]+(?:\.[0-9]+)*"
SHARE = re.compile(rf"/api/studies/({UID})/series/({UID})")
FORM = "application/x-www-form-urlencoded"

#: study and series, as they were stored
Series = tuple[str, str]


@dataclass
class Token:
    """What Kheops knows of a token."""

    scope: str
    active: bool = True
    #: seconds since 1970
    exp: float | None = None
    #: good for everything after it has expired, too
    lingers: bool = False
    introspected: int = 0

    @property
    def valid(self) -> bool:
        return self.active and (self.lingers or self.exp is None or self.exp > time.time())


class KheopsServer:
    """Albums by their write tokens."""

    def __init__(self, *, seed: int = 1, tls: ssl.SSLContext | None = None) -> None:
        self.tokens = {"SOURCE": Token("read send"), "ALBUM-1": Token("write"), "ALBUM-2": Token("write")}
        #: SOP Instance UIDs, by series
        self.stored: dict[Series, list[str]] = {}
        #: how often an album was told of a series, and knows it
        self.shared: Counter[tuple[str, Series]] = Counter()
        #: how often it was told that
        self.answered: Counter[tuple[str, Series]] = Counter()
        #: how often it was asked, whatever was answered
        self.asked: Counter[tuple[str, Series]] = Counter()
        #: what it was asked about a series that it did not have
        self.too_early: list[Series] = []
        self.faults: list[str] = []
        #: share of requests to share, 0 to 1, that fail in some way
        self.failing = 0.0
        #: statuses to answer to requests to share, before any other answer
        self.answers: list[int] = []
        #: sent along with those
        self.retry_after: str | None = None
        #: albums that do not answer until ``released``
        self.hanging: set[str] = set()
        self.released = threading.Event()
        #: STOW-RS is answered 503
        self.stores_nothing = False
        self.lock = threading.Lock()
        self._random = random.Random(seed)
        kheops = self

        class Handler(_Handler):
            server_of = kheops

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Do not write on the terminal."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.api_url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/api"
        self.stow_url = f"http://127.0.0.1:{self.port}/api/studies"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def album(self, token: str = "ALBUM-1", source: str = "SOURCE", **keys: Any) -> dict[str, Any]:
        """Return a follow-up of the configuration."""
        return {
            "type": "kheops_album",
            "api_url": self.api_url,
            "destination_token": token,
            "source_token": source,
            "timeout": 5,
            **keys,
        }

    def in_album(self, token: str) -> set[Series]:
        """Return the series of an album."""
        with self.lock:
            return {series for album, series in self.shared if album == token}

    def trouble(self) -> str:
        """Return a way to fail; empty: none."""
        if self._random.random() >= self.failing:
            return ""
        return self._random.choice(("500", "503", "429", "cut before", "cut after"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: KheopsServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/studies":
            self._store(body)
        elif self.path == "/api/token/introspect":
            self._introspect(body)
        else:
            self._wrong(404, f"POST {self.path}")

    def do_PUT(self) -> None:
        self._share(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_GET(self) -> None:
        if self.path.startswith("/api/studies"):
            # asked whether instances can be sent here
            self._say(200, [], "application/dicom+json")
        else:
            self._wrong(405, f"{self.command} {self.path}")

    do_HEAD = do_DELETE = do_OPTIONS = do_PATCH = do_GET

    def log_message(self, *_: Any) -> None:
        """Do not write on the terminal."""

    def _store(self, body: bytes) -> None:
        kheops = self.server_of
        if kheops.stores_nothing:
            self._say(503)
            return
        items = []
        for part in _parts(body, str(self.headers["Content-Type"])):
            ds = pydicom.dcmread(BytesIO(part), stop_before_pixels=True)
            series = str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID)
            with kheops.lock:
                kheops.stored.setdefault(series, []).append(str(ds.SOPInstanceUID))
            items.append(
                {
                    "00081150": {"vr": "UI", "Value": [str(ds.SOPClassUID)]},
                    "00081155": {"vr": "UI", "Value": [str(ds.SOPInstanceUID)]},
                }
            )
        self._say(200, {"00081199": {"vr": "SQ", "Value": items}}, "application/dicom+json")

    def _introspect(self, body: bytes) -> None:
        kheops = self.server_of
        form = parse_qs(body.decode(), strict_parsing=True)
        text = form.get("token", [""])[0]
        wrong = self._header_faults() + [
            words
            for words, good in (
                ("introspection without exactly one token", list(form) == ["token"] and len(form["token"]) == 1),
                ("introspection not authorized by the token itself", self.headers["Authorization"] == f"Bearer {text}"),
            )
            if not good
        ]
        if wrong:
            self._wrong(400, *wrong)
            return
        token = kheops.tokens.get(text)
        if token is None or not token.valid:
            self._say(200, {"active": False})
            return
        with kheops.lock:
            token.introspected += 1
        said: dict[str, Any] = {"active": True, "scope": token.scope}
        if token.exp is not None:
            said["exp"] = token.exp
        self._say(200, said)

    def _share(self, body: bytes) -> None:
        kheops = self.server_of
        found = SHARE.fullmatch(self.path)
        album, source = (self._bearer(name) for name in ("Authorization", "X-Authorization-Source"))
        wrong = self._header_faults()
        wrong += ["no path of a series"] if found is None else []
        wrong += ["PUT with a body"] if body or self.headers["Content-Length"] != "0" else []
        if wrong or found is None:
            self._wrong(400, *wrong)
            return
        series = found[1], found[2]
        with kheops.lock:
            kheops.asked[album, series] += 1
            status = kheops.answers.pop(0) if kheops.answers else 0
        if album in kheops.hanging:
            kheops.released.wait(60)
        if status:
            self._say(status, headers={"Retry-After": kheops.retry_after} if kheops.retry_after else {})
            return
        for name, text, scopes in (("album", album, {"write"}), ("source", source, {"read", "send"})):
            token = kheops.tokens.get(text)
            if token is None or not token.valid or not scopes <= set(token.scope.split()):
                self._say(401 if name == "album" else 403)
                return
            if not token.introspected:
                self._wrong(403, f"a token that was not introspected before: {name}")
                return
        trouble = kheops.trouble()
        if trouble == "cut before":
            self._cut()
            return
        if trouble and trouble != "cut after":
            self._say(int(trouble))
            return
        with kheops.lock:
            if series not in kheops.stored:
                kheops.too_early.append(series)
            else:
                kheops.shared[album, series] += 1
        if series not in kheops.stored:
            self._say(404)
        elif trouble:
            self._cut()
        else:
            with kheops.lock:
                kheops.answered[album, series] += 1
            self._say(201)

    def _header_faults(self) -> list[str]:
        faults = [
            f"{name} is {self.headers[name]!r}"
            for name, wanted in (("Accept", "application/json"), ("Content-Type", FORM))
            if self.headers.get_all(name) != [wanted]
        ]
        return faults + (["Transfer-Encoding"] if "Transfer-Encoding" in self.headers else [])

    def _bearer(self, name: str) -> str:
        values = self.headers.get_all(name) or []
        return values[0].removeprefix("Bearer ") if len(values) == 1 and values[0].startswith("Bearer ") else ""

    def _wrong(self, status: int, *faults: str) -> None:
        with self.server_of.lock:
            self.server_of.faults += faults
        self._say(status)

    def _say(
        self,
        status: int,
        said: object = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        body = b"" if said is None else json.dumps(said).encode()
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True


def _parts(body: bytes, content_type: str) -> list[bytes]:
    boundary = re.search(r"boundary=([^;]+)", content_type)
    assert boundary is not None
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
    assert pieces[-1] == b"--\r\n"
    return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]

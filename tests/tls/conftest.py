"""Authorities, certificates, and a small receiver that speaks TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from karnak_core import tls
from karnak_core.config.tls import ClientTLS, ServerTLS
from karnak_core.dimse import AcceptedAssociation, Association, ProposedContext, Timeouts
from karnak_core.model import OpenContext
from karnak_plugins.dicom_dest.config import DicomDestination
from karnak_plugins.dicom_dest.storage_scu import StorageSCU

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A certificate and its key, in files."""

    certificate: str
    key: str

    def replace_by(self, other: Identity) -> None:
        """Put another certificate and key at the same paths, as somebody who renews them does."""
        for path, new in ((self.certificate, other.certificate), (self.key, other.key)):
            fresh = Path(f"{path}.new")
            fresh.write_bytes(Path(new).read_bytes())
            fresh.replace(path)


class Authority:
    """A certification authority with its certificate in a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._count = 0
        self._ca = trustme.CA(organization_name=name)
        self.file = str(folder / f"{name}.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, common_name: str | None = None, days: int = 90) -> Identity:
        """Issue a certificate for hosts, by default the loopback; with negative ``days`` it has expired."""
        self._count += 1
        stem = self._folder / f"{self._name}-{self._count}"
        now = datetime.now(UTC)
        issued = self._ca.issue_cert(
            *(names or ("127.0.0.1", "localhost")),
            common_name=common_name,
            not_before=now - timedelta(days=400),
            not_after=now + timedelta(days=days),
        )
        identity = Identity(certificate=f"{stem}.pem", key=f"{stem}.key")
        Path(identity.certificate).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(identity.key)
        return identity


@pytest.fixture
def make_authority(tmp_path: Path) -> Callable[[str], Authority]:
    folder = tmp_path / "certificates"
    folder.mkdir()
    return lambda name: Authority(folder, name)


@pytest.fixture
def authority(make_authority: Callable[[str], Authority]) -> Authority:
    """The authority that everybody knows."""
    return make_authority("hospital")


@pytest.fixture
def stranger(make_authority: Callable[[str], Authority]) -> Authority:
    """An authority that nobody knows."""
    return make_authority("stranger")


class Echoes:
    """A receiver that admits everybody and stores nothing."""

    def admit(self, _request: object) -> None:
        return None

    def begin_store(self, _request: object) -> Any:
        raise AssertionError("nobody stores here")

    def ended(self, _request: object) -> None:
        return None


class Server:
    """Accepts associations, with TLS where there are settings; ends with its ``with`` block."""

    def __init__(self, settings: ServerTLS | None, maximum: ssl.TLSVersion | None = None, artim: float = 60.0) -> None:
        self._timeouts = Timeouts(artim=artim)
        self.refused: list[str] = []
        context = tls.server_context(settings) if settings else None
        if context and maximum:
            context.get().maximum_version = maximum
        self._wrap = tls.accepting(context) if context else None
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.running: list[tuple[AcceptedAssociation, threading.Thread]] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(60.0)
        self._listening.close()
        for association, thread in self.running:
            association.abort()
            thread.join(60.0)

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listening.accept()
            except OSError:
                return
            association = AcceptedAssociation(
                sock,
                address,
                Echoes(),
                timeouts=self._timeouts,
                wrap=self._wrap,
                refused=self.refused.append,
            )
            thread = threading.Thread(target=association.run, daemon=True)
            self.running.append((association, thread))
            thread.start()


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        yield lambda settings, **others: stack.enter_context(Server(settings, **others))


def associate(port: int, settings: ClientTLS | None, *, called: str = "FORWARD", **options: Any) -> Association:
    """Open an association for C-ECHO and CT images, over TLS where there are settings."""
    connect = {"connect": partial(tls.connect, settings=settings)} if settings else {}
    return Association.open(
        "127.0.0.1",
        port,
        calling_ae_title="TLS-TEST",
        called_ae_title=called,
        contexts=[ProposedContext(VERIFICATION, (IMPLICIT,)), ProposedContext(CT, (EXPLICIT,))],
        **connect,
        **options,
    )


@pytest.fixture(scope="session")
def open_association() -> Callable[..., Association]:
    return associate


@pytest.fixture
def probe(tmp_path: Path) -> Callable[..., str]:
    """Probe a port of the loopback as a destination of type ``dicom`` does."""

    def ask(port: int, settings: ClientTLS | None, hostname: str = "127.0.0.1", seconds: float = 60.0) -> str:
        config = DicomDestination(ae_title="PEER", hostname=hostname, port=port, tls=settings, connect_timeout=seconds)
        return StorageSCU(config, OpenContext(data_directory=tmp_path, forward_node="FORWARD")).probe()

    return ask

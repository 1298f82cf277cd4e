"""Nobody keeps others out by connections alone."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from conftest import serving
from web_support import ConsoleApp

from karnak_plugins.web_console.addresses import whose_address
from karnak_plugins.web_console.connections import Connection, connection_class

#: seconds that an end is waited for
PATIENCE = 60.0
HALF = b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\nX: "
SIGN_IN = b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def served_with(console_app: ConsoleApp) -> Iterator[Callable[..., tuple[str, int]]]:
    """Serve by connections with other limits; return where."""
    with ExitStack() as stack:

        def serve(**limits: Any) -> tuple[str, int]:
            kind = type("Limited", (Connection,), limits)
            url = stack.enter_context(serving(console_app, http=kind))
            host, _, port = url.removeprefix("http://").partition(":")
            return host, int(port)

        yield serve


def connect(address: tuple[str, int], sent: bytes = b"") -> socket.socket:
    """Connect, and send."""
    found = socket.create_connection(address, timeout=PATIENCE)
    found.sendall(sent)
    return found


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the end."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HALF,
        SIGN_IN + HALF,
        SIGN_IN + b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nna",
        b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nname=",
    ],
)
def test_a_connection_that_sends_no_whole_request_is_ended(
    served_with: Callable[..., tuple[str, int]], sent: bytes
) -> None:
    address = served_with(request_seconds=0.3, body_seconds=0.3)
    with connect(address, sent) as connection:
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 200" if sent.startswith(SIGN_IN) else b"")
    with connect(address, SIGN_IN) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_who_does_not_read_the_answers_is_ended(served_with: Callable[..., tuple[str, int]]) -> None:
    asked = b"GET /static/vendor/pico.min.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ended = False
    with connect(served_with(body_seconds=0.3)) as connection:
        try:
            # far more than the systems of both sides hold
            for _ in range(10_000):
                connection.sendall(asked * 200)
        except ConnectionError:
            ended = True
    assert ended


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_all_addresses_of_a_machine_are_one_client(host: str, whose: str) -> None:
    assert whose_address(host) == whose


def test_a_header_that_dribbles_is_no_request(served_with: Callable[..., tuple[str, int]]) -> None:
    with connect(served_with(request_seconds=0.5), HALF) as connection:
        connection.settimeout(0.05)
        ended = False
        for _ in range(1000):
            try:
                connection.sendall(b"x")
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
            if ended:
                break
        assert ended


def test_an_address_has_not_all_of_the_connections(served_with: Callable[..., tuple[str, int]]) -> None:
    address = served_with(most=4)
    with ExitStack() as stack:
        held = [stack.enter_context(connect(address, HALF)) for _ in range(4)]
        for _ in range(3):
            with connect(address) as refused:
                assert rest(refused) == b""
        held[0].sendall(b"x\r\n\r\n")
        assert held[0].recv(12) == b"HTTP/1.1 200", "those that are there go on"


def test_a_proxy_has_those_of_many_people() -> None:
    known = connection_class(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])
    networks = [ipaddress.ip_network(one) for one in ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8")]
    assert list(known.proxies) == networks
    assert list(Connection.proxies) == []
    assert known.most < 500, "fewer than the server has"


def test_a_proxy_is_not_refused(served_with: Callable[..., tuple[str, int]]) -> None:
    address = served_with(most=1, proxies=[ipaddress.ip_network("127.0.0.0/8")])
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(connect(address, SIGN_IN))
            assert connection.recv(12) == b"HTTP/1.1 200"

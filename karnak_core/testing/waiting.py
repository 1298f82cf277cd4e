"""Waiting with a deadline, ports that are free, programs that are not there."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

T = TypeVar("T")

#: seconds between two looks
PAUSE = 0.02
#: seconds in which a busy machine, too, gets something done
PATIENCE = 60.0


def wait_until(predicate: Callable[[], T], seconds: float = PATIENCE, what: str | Callable[[], object] = "") -> T:
    """Ask again and again until the answer is true, and return it.

    Parameters
    ----------
    predicate
        What is asked.
    seconds
        How long.
    what
        What was waited for, or a function that says how things stand; for the message.

    Raises
    ------
    AssertionError
        It did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := predicate()):
        if time.monotonic() > deadline:
            told = what() if callable(what) else what or "it did not become true"
            raise AssertionError(f"not within {seconds:g} s: {told}")
        time.sleep(PAUSE)
    return answer


def free_port() -> int:
    """Return a port that nobody listens at, outside the range that the system gives to outgoing connections."""
    low = 32768
    with suppress(OSError, ValueError):
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = 2048 + secrets.randbelow(max(1000, low - 2048))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Say whether something accepts connections at a port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def program(name: str, peer: str) -> str:
    """Return the path of a program, or end the test: the peer that it belongs to is missing."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") or missing(peer)


def missing(peer: str) -> NoReturn:
    """End the test, as its peer is not installed: a failure in CI, where everything is to be there, else a skip."""
    import pytest  # not needed by those who bring peers of their own

    if os.environ.get("CI"):
        pytest.fail(f"{peer} is not installed", pytrace=False)
    pytest.skip(f"{peer} is not installed")

"""Is there a way to a host and port? Name resolution, a TCP connection, and how long connections take."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

#: seconds for a name, and for a connection; connections that are timed
RESOLVE, CONNECT, ATTEMPTS = 5.0, 3.0, 4
#: names that are asked for at once: the system's resolver takes no deadline, and a name may take it long
_resolving = threading.BoundedSemaphore(32)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long TCP connections took, in milliseconds."""

    attempts: int
    successes: int
    min: float
    avg: float
    max: float

    @property
    def loss(self) -> int:
        """Connections that did not come to be, in percent."""
        return round(100 * (self.attempts - self.successes) / self.attempts)

    def __str__(self) -> str:
        times = f"{self.min:.0f}/{self.avg:.0f}/{self.max:.0f}"
        return f"min/avg/max {times} ms, {self.attempts} attempts, loss {self.loss}%"


@dataclass(frozen=True, kw_only=True)
class NetworkCheck:
    """What was seen of a host and port."""

    hostname: str
    port: int
    #: IP addresses of the name; none: it is not known
    addresses: tuple[str, ...]
    open: bool
    #: about the name, and about the port
    host_message: str
    port_message: str
    #: of connections; None: there was none
    latency: Latency | None = None

    @property
    def ok(self) -> bool:
        """Say whether something listens there."""
        return self.open


class Unresolved(OSError):
    """A name is not known, or not found in time; says which."""


def resolve(hostname: str, port: int, seconds: float = RESOLVE) -> list[str]:
    """Return the IP addresses of a name, each once.

    Raises
    ------
    Unresolved
        There are none, or not in time.
    """
    if not _resolving.acquire(blocking=False):
        raise Unresolved(f"{hostname}: too many names are being looked up already; try again")
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))
        except (OSError, UnicodeError) as error:
            answers.put(OSError(getattr(error, "strerror", None) or "it is not a name"))
        finally:
            _resolving.release()

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise Unresolved(f"{hostname}: the name was not found within {seconds:g} s") from None
    if isinstance(answer, OSError):
        raise Unresolved(f"{hostname}: the name is not known: {answer}") from answer
    return answer


def check_network(hostname: str, port: int, *, connect: float = CONNECT, attempts: int = ATTEMPTS) -> NetworkCheck:
    """Look for the name, connect, and measure.

    Parameters
    ----------
    connect
        Seconds for each connection.
    """
    try:
        addresses = resolve(hostname, port)
    except Unresolved as error:
        return NetworkCheck(
            hostname=hostname,
            port=port,
            addresses=(),
            open=False,
            host_message=str(error),
            port_message=f"{hostname} not listening on {port}",
        )
    samples, trouble = _measured(addresses[0], port, connect, attempts)
    resolved = ", ".join(addresses) if addresses != [hostname] else "an address, nothing to look up"
    return NetworkCheck(
        hostname=hostname,
        port=port,
        addresses=tuple(addresses),
        open=bool(samples),
        host_message=f"{hostname}: {resolved}",
        port_message=f"{hostname} listening on {port}" if samples else f"{hostname} not listening on {port}: {trouble}",
        latency=latency(samples, attempts),
    )


def latency(samples: Sequence[float], attempts: int) -> Latency | None:
    """Return what the times of connections, in milliseconds, come to; None: there were none."""
    if not samples:
        return None
    return Latency(
        attempts=attempts,
        successes=len(samples),
        min=min(samples),
        avg=sum(samples) / len(samples),
        max=max(samples),
    )


def _measured(address: str, port: int, seconds: float, attempts: int) -> tuple[list[float], str]:
    samples: list[float] = []
    trouble = ""
    for _ in range(attempts):
        started = time.monotonic()
        try:
            socket.create_connection((address, port), seconds).close()
        except TimeoutError:
            trouble = f"no answer within {seconds:g} s"
            if not samples:
                # the other attempts would only take as long
                break
        except OSError as error:
            trouble = (error.strerror or type(error).__name__).lower()
        else:
            samples.append((time.monotonic() - started) * 1000)
    return samples, trouble

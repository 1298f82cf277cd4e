"""``karnak process``: one process of a running gateway; started by ``serve``, not by people."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from typing import NoReturn, Protocol

import click

from karnak_core import logs
from karnak_core.child import READY_BYTES, RETIRE
from karnak_core.commands.common import Place, data_options
from karnak_core.config.store import Following
from karnak_core.database import Database
from karnak_core.deliver.contexts import Contexts
from karnak_core.deliver.identities import Identities
from karnak_core.deliver.process import DeliveryProcess
from karnak_core.gateway import GRACE_SECONDS
from karnak_core.model import OpenContext, Reachable, Service
from karnak_core.monitor.loops import Surroundings, make_loops
from karnak_core.monitor.process import MonitorProcess
from karnak_core.plugins import Plugins
from karnak_core.projects import ProjectSecrets
from karnak_core.pseudonyms.finding import PseudonymLookup
from karnak_core.receive import process as receive_process
from karnak_core.spool.doorbell import Doorbell
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.wakeups import open_wakeups

PR_SET_PDEATHSIG = 1


class Ready(Protocol):
    """Says that the process works."""

    def __call__(self, address: str = "") -> None:
        """Say it; ``address``: where people reach the process, for the line of the gateway that says it is ready."""
        ...


@dataclass(frozen=True, kw_only=True)
class Started:
    """What every process of the gateway has."""

    place: Place
    database: Database
    plugins: Plugins
    following: Following
    folder: SpoolFolder
    owner: str
    node: str
    stop: threading.Event
    say_ready: Ready


@click.group(hidden=True)
@data_options
@click.option("--owner", required=True)
@click.option("--node", required=True)
@click.option("--parent", required=True, type=int)
@click.option("--ready", required=True, type=int)
@click.option("--verbose", is_flag=True)
@click.pass_context
def process(
    context: click.Context, place: Place, owner: str, node: str, parent: int, ready: int, verbose: bool
) -> None:
    """Run one process of the gateway."""
    _end_with(parent)
    logs.configure(verbose=verbose, role=str(context.invoked_subcommand))
    _use_all_descriptors()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = place.open_database()
    following = Following.start(database, place)
    context.obj = Started(
        place=place,
        database=database,
        plugins=following.plugins,
        following=following,
        folder=SpoolFolder(place.data_directory / "spool"),
        owner=owner,
        node=node,
        stop=stop,
        say_ready=functools.partial(_say_ready, ready),
    )


@process.command()
@click.option("--socket", "descriptor", required=True, type=int)
@click.pass_obj
def receive(started: Started, descriptor: int) -> None:
    """Receive instances."""
    retire = threading.Event()
    signal.signal(RETIRE, lambda *_: retire.set())
    receive_process.run(
        listening=socket.socket(fileno=descriptor),
        database=started.database,
        folder=started.folder,
        following=started.following,
        plugins=started.plugins,
        wake=open_wakeups(started.database, started.place.data_directory),
        stop=started.stop,
        retire=retire,
        grace=GRACE_SECONDS,
        ready=started.say_ready,
        owner=started.owner,
        node=started.node,
    )
    _leave()


@process.command()
@click.option("--index", required=True, type=int)
@click.option("--count", required=True, type=int)
@click.pass_obj
def deliver(started: Started, index: int, count: int) -> None:
    """Deliver instances."""
    data_directory, vault = started.place.data_directory, started.place.open_vault()
    DeliveryProcess(
        database=started.database,
        folder=started.folder,
        following=started.following,
        plugins=started.plugins,
        wake=open_wakeups(started.database, data_directory),
        contexts=Contexts(started.plugins, vault, data_directory),
        identities=Identities(
            plugins=started.plugins,
            secrets=ProjectSecrets(started.database, vault),
            stored_pseudonyms=PseudonymLookup(started.database),
        ),
        workspace=data_directory / "work",
        owner=started.owner,
        node=started.node,
        index=index,
        count=count,
    ).run(started.stop, GRACE_SECONDS, started.say_ready)
    _leave()


@process.command()
@click.pass_obj
def monitor(started: Started) -> None:
    """Do, watch and tell what follows deliveries."""
    data_directory, bell = started.place.data_directory, Doorbell()
    contexts = Contexts(started.plugins, started.place.open_vault(), data_directory)
    loops = make_loops(
        Surroundings(
            database=started.database,
            folder=started.folder,
            following=started.following,
            plugins=started.plugins,
            contexts=contexts,
            bell=bell,
            owner=started.owner,
            data_directory=data_directory,
        )
    )
    MonitorProcess(
        database=started.database,
        following=started.following,
        wake=open_wakeups(started.database, data_directory),
        loops=loops,
        bell=bell,
        owner=started.owner,
        node=started.node,
    ).run(started.stop, GRACE_SECONDS, started.say_ready)
    contexts.close_all_but(None)
    _leave()


@process.command()
@click.option("--name", required=True)
@click.pass_obj
def service(started: Started, name: str) -> None:
    """Run the service of a plugin."""
    place = started.place
    options = started.following.configuration.services.get(name)
    if options is None:
        # the supervisor is about to see that the section is gone, and to end this
        started.stop.wait()
        _leave()
    contexts = Contexts(started.plugins, place.open_vault(), place.data_directory)
    opened: Service = started.plugins.services[name].open(
        options,
        OpenContext(data_directory=place.data_directory, database_url=place.database_url, reveal=contexts.reveal),
    )
    started.say_ready(opened.address if isinstance(opened, Reachable) else "")
    opened.run(started.stop)
    # one that has nothing more to do is not started again
    started.stop.wait()
    _leave()


def _end_with(parent: int) -> None:
    """Die with the supervisor, however it dies: nobody else would stop us."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _use_all_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say_ready(descriptor: int, address: str = "") -> None:
    # a line, of which there is something to read without an address, too
    os.write(descriptor, f"{address}\n".encode()[:READY_BYTES])
    os.close(descriptor)


def _leave() -> NoReturn:
    """End now: a thread that still waits for a peer must not keep the process; everything durable is done."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

"""Parts get secrets and authenticators; authenticators are shared by a process, and follow the configuration."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from karnak_core import hookimpl
from karnak_core import plugins as plugins_module
from karnak_core.config import store
from karnak_core.config.load import load
from karnak_core.config.models import Configuration
from karnak_core.config.names import AuthenticatorName
from karnak_core.config.seal import sealed
from karnak_core.config.secret import Secret
from karnak_core.database import Database
from karnak_core.database.secrets import Vault, open_vault
from karnak_core.database.tables import delivery
from karnak_core.deliver.contexts import Contexts
from karnak_core.deliver.identities import Identities
from karnak_core.deliver.process import DeliveryProcess
from karnak_core.errors import Misconfigured
from karnak_core.kinds import Kind
from karnak_core.model import Header, Health, OpenContext, Outgoing, Sent, State, now_ms
from karnak_core.plugins import GROUP, Plugins
from karnak_core.projects import ProjectSecrets
from karnak_core.spool import health
from karnak_core.spool.files import SpoolFolder
from karnak_core.spool.record import Received, record
from karnak_core.spool.wakeups import open_wakeups
from karnak_core.testing.ledger import open_empty

NODE = "NODE"


class TokenKeys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Secret = Field(description="sent along")


class GuardedKeys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    authenticator: AuthenticatorName | None = Field(default=None, description="authorizes")
    connections: int = Field(default=1, description="workers")


class Token:
    """An authenticator that refuses the token ``wrong``; notes how often it was opened and closed."""

    opened: list[Token]

    def __init__(self, config: TokenKeys, context: OpenContext) -> None:
        self.config = config
        self.context = context
        self.closed = 0
        Token.opened.append(self)

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        token = self.context.reveal(self.config.token)
        if token == "wrong":
            raise Misconfigured("the token server does not know us")
        return {"Authorization": token}

    def close(self) -> None:
        self.closed += 1
        raise RuntimeError("cannot close")


class Guarded:
    """A destination that notes with what it sends."""

    opened: list[Guarded]

    def __init__(self, config: GuardedKeys, context: OpenContext) -> None:
        self.config = config
        self.context = context
        self.sent: list[str] = []
        Guarded.opened.append(self)

    def transfer_syntaxes(self, outgoing: Outgoing) -> Sequence[str]:
        return ()

    def send(self, outgoing: Outgoing) -> Sent:
        name = self.config.authenticator
        self.sent.append(self.context.authenticators[name].headers()["Authorization"] if name else "")
        return Sent()

    def probe(self) -> str:
        return "fine"

    def close(self) -> None:
        pass


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """A plugin with both."""
    Token.opened, Guarded.opened = [], []
    module = ModuleType("plugin_of_test_contexts")

    @hookimpl
    def karnak_register_destinations() -> list[Kind[Any, Any]]:
        return [Kind(name="guarded", config=GuardedKeys, open=Guarded)]

    @hookimpl
    def karnak_register_authenticators() -> list[Kind[Any, Any]]:
        return [Kind(name="token", config=TokenKeys, open=Token)]

    vars(module).update(locals())
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return plugins_module.load(entries=[EntryPoint(name="both", value=module.__name__, group=GROUP)])


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path, {})


def configuration(plugins: Plugins, *, one: str = "1", two: str = "2") -> Configuration:
    return load(
        {
            "authenticators": {"one": {"type": "token", "token": one}, "two": {"type": "token", "token": two}},
            "forward_nodes": [
                {
                    "ae_title": NODE,
                    "destinations": [
                        {"name": "first", "type": "guarded", "authenticator": "one", "connections": 2},
                        {"name": "second", "type": "guarded", "authenticator": "two"},
                        {"name": "plain", "type": "guarded"},
                    ],
                }
            ],
        },
        plugins,
    )


# ---- one process -------------------------------------------------------------------------------------------------


@pytest.fixture
def contexts(plugins: Plugins, vault: Vault, tmp_path: Path) -> Contexts:
    return Contexts(plugins, vault, tmp_path)


def test_authenticator_is_opened_at_its_first_use_and_shared(
    contexts: Contexts, plugins: Plugins, vault: Vault, tmp_path: Path
) -> None:
    known = sealed(configuration(plugins), vault)
    first, second = contexts.of(known, NODE, "first"), contexts.of(known, NODE, "second")
    assert sorted(first.authenticators) == ["one", "two"]
    assert Token.opened == []
    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(lambda context: context.authenticators["one"], [first, second] * 8))
    assert parts == Token.opened * 16
    assert len(Token.opened) == 1
    assert parts[0].headers() == {"Authorization": "1"}
    assert Token.opened[0].context.data_directory == tmp_path


def test_authenticator_that_does_not_exist_is_not_found(contexts: Contexts, plugins: Plugins) -> None:
    known = contexts.of(configuration(plugins), NODE, "first").authenticators
    assert "three" not in known
    with pytest.raises(KeyError):
        known["three"]


def test_authenticator_is_opened_anew_when_its_keys_change_and_only_then(contexts: Contexts, plugins: Plugins) -> None:
    before, after = configuration(plugins), configuration(plugins, two="changed")
    old = contexts.of(before, NODE, "first").authenticators
    one, two = old["one"], old["two"]
    new = contexts.of(after, NODE, "first").authenticators
    assert new["one"] is one
    assert new["two"] is not two
    # a worker that ends still has its own
    assert old["two"] is two
    contexts.close_all_but(after)
    assert [part.closed for part in Token.opened] == [0, 1, 0]
    assert new["two"].headers() == {"Authorization": "changed"}
    contexts.close_all_but(None)
    assert [part.closed for part in Token.opened] == [1, 1, 1]


def test_context_shows_no_secret(contexts: Contexts, plugins: Plugins, vault: Vault) -> None:
    context = contexts.of(sealed(configuration(plugins, one="hunter2"), vault), NODE, "first")
    context.authenticators["one"].headers()
    assert "hunter2" not in repr(context)
    assert context.reveal(Secret.plain("hunter2")) == "hunter2"


def test_context_without_a_key_opens_what_needs_none(tmp_path: Path, vault: Vault) -> None:
    context = OpenContext(data_directory=tmp_path)
    assert context.reveal(Secret.plain("a")) == "a"
    stored = sealed(TokenKeys(token=Secret.plain("a")), vault)
    with pytest.raises(Misconfigured, match="a stored secret needs the gateway's key"):
        context.reveal(stored.token)


# ---- a delivery process that follows the configuration -----------------------------------------------------------


class Running:
    """A delivery process in a thread."""

    def __init__(self, database: Database, plugins: Plugins, vault: Vault, folder: Path) -> None:
        self.database, self.plugins, self.vault = database, plugins, vault
        self.stop = threading.Event()
        ready = threading.Event()
        self.wake = open_wakeups(database, folder)
        process = DeliveryProcess(
            database=database,
            folder=SpoolFolder(folder / "spool"),
            following=store.Following(database, plugins),
            plugins=plugins,
            wake=open_wakeups(database, folder),
            contexts=Contexts(plugins, vault, folder),
            identities=Identities(
                plugins=plugins, secrets=ProjectSecrets(database, vault), stored_pseudonyms=lambda *_: ()
            ),
            workspace=folder / "work",
            owner="owner",
            node="node",
            index=0,
            count=1,
        )
        self.thread = threading.Thread(target=process.run, args=(self.stop, 10.0, ready.set), daemon=True)
        self.thread.start()
        assert ready.wait(60)

    def apply(self, wanted: Configuration) -> None:
        store.apply(self.database, self.plugins, self.vault, wanted, author="tester")
        self.wake.publish(["configuration"])

    def receive(self, number: int, *destinations: str) -> None:
        with self.database.write() as connection:
            record(
                connection,
                [
                    Received(
                        forward_node=NODE,
                        calling_ae_title="CALLER",
                        peer_host="127.0.0.1",
                        received_at=now_ms(),
                        transfer_syntax_uid="1.2.840.10008.1.2",
                        header=Header(sop_class_uid="1.2.3", sop_instance_uid=f"2.25.{number}"),
                        path="",
                        content=b"content",
                        dataset_offset=0,
                        size=7,
                        destinations=destinations,
                    )
                ],
            )
        self.wake.publish([f"{NODE}/{name}" for name in destinations])

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, self.states()
            threading.Event().wait(0.02)

    def states(self) -> list[tuple[str, str, int]]:
        columns = (delivery.c.destination, delivery.c.state, delivery.c.attempts)
        with self.database.read() as connection:
            return sorted(tuple(row) for row in connection.execute(sa.select(*columns)))

    def health(self, name: str) -> health.DestinationHealth:
        with self.database.read() as connection:
            return health.read(connection, NODE, name)


@pytest.fixture
def running(plugins: Plugins, vault: Vault, tmp_path: Path) -> Iterator[Callable[[Configuration], Running]]:
    """Start a delivery process on a configuration."""
    started: list[Running] = []
    database = open_empty(tmp_path)

    def start(wanted: Configuration) -> Running:
        store.apply(database, plugins, vault, wanted, author="tester")
        started.append(Running(database, plugins, vault, tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.stop.set()
        one.thread.join(60)
        assert not one.thread.is_alive()
        one.wake.close()
    database.close()


def test_only_destinations_that_use_a_changed_authenticator_are_opened_anew(
    running: Callable[[Configuration], Running], plugins: Plugins
) -> None:
    process = running(configuration(plugins))
    process.receive(1, "first", "second", "plain")
    process.wait(lambda: {state for _, state, _ in process.states()} == {State.SENT})
    before = list(Guarded.opened)
    process.apply(configuration(plugins, two="changed"))
    process.wait(lambda: any(part.closed for part in Token.opened))
    process.receive(2, "first", "second", "plain")
    process.wait(lambda: len(process.states()) == 6 and {state for _, state, _ in process.states()} == {State.SENT})
    anew = [part for part in Guarded.opened if part not in before]
    # of the two workers of `first`, the second may have had nothing to do before
    assert {part.context.destination for part in anew} <= {"first", "second"}
    assert [part.sent for part in anew if part.context.destination == "second"] == [["changed"]]
    assert len([part for part in Token.opened if part.context.reveal(part.config.token) == "1"]) == 1
    process.stop.set()
    process.thread.join(60)
    assert [part.closed for part in Token.opened] == [1, 1, 1]


def test_refused_credentials_hold_the_destination_until_they_are_put_right_and_cost_no_attempt(
    running: Callable[[Configuration], Running], plugins: Plugins
) -> None:
    process = running(configuration(plugins, one="wrong"))
    process.receive(1, "first", "second")
    process.wait(
        lambda: process.health("first").health is Health.HELD and ("second", State.SENT, 1) in process.states()
    )
    assert process.health("first").reason == "the token server does not know us"
    assert ("first", State.PENDING, 0) in process.states()
    process.apply(configuration(plugins, one="right"))
    process.wait(lambda: {state for _, state, _ in process.states()} == {State.SENT})
    assert process.health("first").health is Health.OK
    assert ("first", State.SENT, 1) in process.states()

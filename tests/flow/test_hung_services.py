"""A service that hangs: the gateway ends without it, and another configuration replaces it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from karnak_core.testing import RunningGateway, make_file, run_gateway, send

#: says who runs, and never looks at what it is asked
PLUGIN = """
import os, time
from pathlib import Path
from pydantic import BaseModel, ConfigDict
from karnak_core import hookimpl
from karnak_core.kinds import Kind

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str

class Hanging:
    def __init__(self, options, context):
        self.name = options.name
    def run(self, stop):
        Path(os.environ["PIDS"], self.name).write_text(str(os.getpid()))
        while True:
            time.sleep(3600)

@hookimpl
def karnak_register_services():
    return [Kind(name="hanging", config=Options, open=Hanging)]
"""
#: seconds within which a gateway has ended that does not wait for its service as long as for instances in flight
SOON = 30.0
KILLED = "'service hanging' did not end in time and is killed"


def configuration(folder: Path, name: str) -> dict[str, Any]:
    local = {"name": "local", "type": "folder", "directory": str(folder / "out")}
    return {
        "forward_nodes": [{"ae_title": "FORWARD", "destinations": [local]}],
        "plugins": {"hanging": {"name": name}},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hanging")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[RunningGateway]:
    site, pids = folder / "site", folder / "pids"
    information = site / "hanging-1.0.dist-info"
    information.mkdir(parents=True)
    pids.mkdir()
    (site / "hanging_plugin.py").write_text(PLUGIN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[karnak.plugins]\nhanging = hanging_plugin\n")
    environment = {"PYTHONPATH": str(site), "PIDS": str(pids)}
    with run_gateway(configuration(folder, "first"), folder / "data", environment=environment) as running:
        yield running


def pid(gateway: RunningGateway, folder: Path, name: str) -> int:
    """Return the process of the service, once it runs."""
    path = folder / "pids" / name
    return int(gateway.wait_until(lambda: path.exists() and path.read_text()))


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_service_that_hangs_makes_room_for_the_one_of_another_configuration(
    gateway: RunningGateway, folder: Path
) -> None:
    first = pid(gateway, folder, "first")
    gateway.apply(configuration(folder, "second"))
    assert pid(gateway, folder, "second") != first
    assert not alive(first)


def test_gateway_drains_and_ends_soon_with_a_service_that_does_not(gateway: RunningGateway, folder: Path) -> None:
    """Comes last: the gateway is needed no more."""
    service = pid(gateway, folder, "second")
    os.kill(service, signal.SIGSTOP)
    assert send(gateway.port, [make_file(folder)]) == [0x0000]
    killed = gateway.log.read_text().count(KILLED)
    assert gateway.terminate(SOON) == 0
    assert not alive(service)
    assert gateway.log.read_text().count(KILLED) == killed + 1
    rows = [json.loads(line) for line in gateway.run("deliveries", "list", "--json").stdout.splitlines()]
    assert [row["state"] for row in rows] in (["sent"], ["pending"])

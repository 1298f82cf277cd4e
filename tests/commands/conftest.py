"""One gateway for all commands, with deliveries in every state, and a way to run commands on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from karnak_core.cli import cli
from karnak_core.testing import free_port, run_gateway, run_store_scp

sys.path.insert(0, str(Path(__file__).parent))

from one_gateway import Karnak, Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    refused: set[str] = set()
    dead_port = free_port()
    with ExitStack() as stack:
        good = stack.enter_context(run_store_scp(ae_title="GOOD"))
        known = stack.enter_context(run_store_scp(ae_title="KNOWN", answer=lambda _stored: 0x0111))
        bad = stack.enter_context(
            run_store_scp(ae_title="BAD", answer=lambda one: 0xA900 if one.sop_instance_uid in refused else 0)
        )
        forward = [
            {"name": "good", **good.destination},
            {"name": "known", **known.destination},
            {"name": "bad", **bad.destination},
            {"name": "mr", **good.destination, "authorized_sop_classes": ["MR Image Storage"]},
            {"name": "paused", **good.destination, "paused": True},
            {"name": "local", "type": "folder", "directory": "received"},
        ]
        other = [
            {"name": "good", **good.destination},
            {"name": "down", **good.destination, "port": dead_port, "enabled": False},
        ]
        configuration = {
            "forward_nodes": [
                {"ae_title": "FORWARD", "destinations": forward},
                {"ae_title": "OTHER", "destinations": other},
                {"ae_title": "CLOSED", "destinations": other, "sources": [{"ae_title": "NOBODY"}]},
            ]
        }
        gateway = stack.enter_context(run_gateway(configuration, folder / "data"))
        found = Site(gateway, good, bad, refused, dead_port, folder)
        first = found.receive(folder)
        study = gateway.deliveries(sop_instance_uid=first.stem)[0]["study_instance_uid"]
        found.files = [first, found.receive(folder, StudyInstanceUID=study), found.receive(folder)]
        yield found


@pytest.fixture
def karnak(site: Site) -> Karnak:
    """Run a command on the site's data, in this process: a command by its words, or a plugin's command object."""

    def run(*words: str | Path | click.Command, data: bool = True) -> Result:
        command = words[0] if isinstance(words[0], click.Command) else cli
        arguments = [str(word) for word in words if not isinstance(word, click.Command)]
        place = ["--data", str(site.gateway.data)] if data else []
        return CliRunner().invoke(command, [*arguments, *place], catch_exceptions=False)

    return run

"""What plugins see and decide in a gateway that runs: every hook, called by the process that it belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from karnak_core.testing import RunningGateway, make_file, rejection, run_gateway, send

PLUGIN = """
import json, os, time
from pathlib import Path
import click
from pydantic import BaseModel, ConfigDict
from karnak_core import hookimpl
from karnak_core.errors import ConfigProblem, Permanent
from karnak_core.kinds import Kind
from karnak_core.model import Exclusion, Refusal, Sent

SEEN = Path(os.environ["SEEN"])

def note(**what):
    with open(SEEN, "a") as file:
        file.write(json.dumps(what) + "\\n")

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    colour: str

class Teapot:
    def __init__(self, options, context):
        self.options, self.context = options, context
    def transfer_syntaxes(self, outgoing):
        return ()
    def send(self, outgoing):
        if self.options.colour == "cracked":
            raise Permanent("the teapot is cracked")
        note(teapot=self.options.colour, instance=outgoing.sop_instance_uid, node=self.context.forward_node)
        return Sent(warning="short and stout")
    def probe(self):
        return f"a {self.options.colour} teapot"
    def close(self):
        pass

class Ticking:
    def __init__(self, options, context):
        self.options = options
    def run(self, stop):
        note(service="runs", colour=self.options.colour)
        stop.wait()
        note(service="ends")

@hookimpl
def karnak_register_destinations():
    return [Kind(name="teapot", config=Options, open=Teapot)]

@hookimpl
def karnak_register_services():
    return [Kind(name="ticking", config=Options, open=Ticking)]

@hookimpl
def karnak_register_commands(cli):
    @cli.command("brew")
    def brew():
        click.echo("tea")

@hookimpl
def karnak_check_config(config):
    names = [one.name for node in config.forward_nodes for one in node.destinations]
    return [ConfigProblem(place="forward_nodes", message="nothing is called coffee")] if "coffee" in names else []

@hookimpl
def karnak_refuse_association(request):
    if request.calling_ae_title == "RAISES":
        raise RuntimeError("no")
    return Refusal(reason="not on Sundays") if request.calling_ae_title == "SUNDAY" else None

@hookimpl
def karnak_exclude_instance(instance, header, destination):
    if header.PatientID == "LATER" and not Path(os.environ["MAY"]).exists():
        raise RuntimeError("not yet")
    if header.PatientID == "PRIVATE" and destination == "brown":
        return Exclusion(rule="privacy please")

@hookimpl
def karnak_delivery_finished(delivery, outcome):
    note(finished=delivery.instance.sop_instance_uid, destination=delivery.destination, state=outcome.state)

@hookimpl
def karnak_startup(gateway):
    note(startup=gateway)

@hookimpl
def karnak_shutdown(gateway):
    note(shutdown=gateway)
"""
#: asked before the other one, whose name comes later
FAILING = """
from karnak_core import hookimpl

@hookimpl
def karnak_delivery_finished(delivery, outcome):
    raise RuntimeError("an observer fails")

@hookimpl
def karnak_shutdown(gateway):
    raise RuntimeError("an observer fails")
"""


def install(site: Path, name: str, source: str) -> None:
    """Put a distribution with one plugin where Python looks for both."""
    (site / f"{name}_plugin.py").write_text(source)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[karnak.plugins]\n{name} = {name}_plugin\n")


class Seen:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, **some: Any) -> list[dict[str, Any]]:
        """What the plugin noted that has all of these."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [found for found in map(json.loads, lines) if some.items() <= found.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[RunningGateway]:
    site = folder / "site"
    site.mkdir()
    install(site, "teahouse", PLUGIN)
    install(site, "broken", FAILING)
    environment = {"PYTHONPATH": str(site), "SEEN": str(folder / "seen"), "MAY": str(folder / "may")}
    destinations = [
        {"name": "brown", "type": "teapot", "colour": "brown", "retry_first": 0.1, "retry_longest": 1},
        {"name": "cracked", "type": "teapot", "colour": "cracked"},
    ]
    configuration = {
        "forward_nodes": [{"ae_title": "TEA", "destinations": destinations}],
        "plugins": {"ticking": {"colour": "green"}},
    }
    with run_gateway(configuration, folder / "data", environment=environment) as running:
        yield running


@pytest.fixture
def seen(folder: Path) -> Seen:
    return Seen(folder / "seen")


def test_startup_and_service_run_before_the_ready_line_and_with_the_gateway(
    gateway: RunningGateway, seen: Seen
) -> None:
    assert seen(startup=str(gateway.data)) == [{"startup": str(gateway.data)}]
    gateway.wait_until(lambda: seen(service="runs", colour="green"))
    assert seen(service="ends") == []


def test_the_destination_of_a_plugin_gets_the_instance_and_each_outcome_is_seen(
    gateway: RunningGateway, seen: Seen, tmp_path: Path
) -> None:
    path = make_file(tmp_path)
    assert send(gateway.port, [path], called="TEA") == [0x0000]
    gateway.wait_until(lambda: len(seen(finished=path.stem)) == 2)
    rows = {row["destination"]: row for row in gateway.deliveries(sop_instance_uid=path.stem)}
    assert (rows["brown"]["state"], rows["brown"]["reason"]) == ("sent", "short and stout")
    assert (rows["cracked"]["state"], rows["cracked"]["reason"]) == ("failed", "the teapot is cracked")
    assert len(seen(teapot="brown", instance=path.stem, node="TEA")) == 1
    assert {(one["destination"], one["state"]) for one in seen(finished=path.stem)} == {
        ("brown", "sent"),
        ("cracked", "failed"),
    }
    gateway.wait_until(lambda: "an observer fails" in gateway.log.read_text())


def test_a_plugin_excludes_an_instance_from_one_destination(
    gateway: RunningGateway, seen: Seen, tmp_path: Path
) -> None:
    path = make_file(tmp_path, PatientID="PRIVATE")
    assert send(gateway.port, [path], called="TEA") == [0x0000]
    gateway.wait_until(lambda: len(seen(finished=path.stem)) == 2)
    rows = {row["destination"]: row for row in gateway.deliveries(sop_instance_uid=path.stem)}
    assert (rows["brown"]["state"], rows["brown"]["reason"]) == ("excluded", "privacy please")
    assert rows["cracked"]["state"] == "failed"
    assert seen(teapot="brown", instance=path.stem) == []


def test_a_plugin_that_fails_to_decide_delays_the_delivery(
    gateway: RunningGateway, seen: Seen, folder: Path, tmp_path: Path
) -> None:
    path = make_file(tmp_path, PatientID="LATER")
    assert send(gateway.port, [path], called="TEA") == [0x0000]
    gateway.wait_until(lambda: seen(finished=path.stem, state="pending", destination="brown"))
    reasons = [row["reason"] for row in gateway.deliveries(sop_instance_uid=path.stem)]
    assert "a plugin failed in karnak_exclude_instance: RuntimeError" in reasons
    assert seen(teapot="brown", instance=path.stem) == []
    (folder / "may").touch()
    gateway.wait_until(lambda: seen(teapot="brown", instance=path.stem))


@pytest.mark.parametrize(
    ("calling", "reason", "answer"), [("SUNDAY", "not on Sundays", (1, 1, 1)), ("RAISES", "a plugin failed", (2, 3, 1))]
)
def test_a_plugin_refuses_an_association(
    calling: str, reason: str, answer: tuple[int, int, int], gateway: RunningGateway
) -> None:
    assert rejection(gateway.port, called="TEA", calling=calling) == answer
    refused = gateway.wait_until(
        lambda: [one for one in gateway.status()["refused_associations"] if one["calling_ae_title"] == calling]
    )
    assert refused[0]["reason"] == reason


def test_a_plugin_is_not_asked_about_an_association_that_the_gateway_refuses_anyway(gateway: RunningGateway) -> None:
    assert rejection(gateway.port, called="COFFEE", calling="RAISES") == (1, 1, 7)


def test_commands_know_the_plugin(gateway: RunningGateway) -> None:
    assert gateway.run("probe", "TEA/brown").stdout == "a brown teapot\n"
    plugins = {plugin["name"]: plugin for plugin in json.loads(gateway.run("plugins", "--json").stdout)}
    assert plugins["teahouse"]["distribution"] == "teahouse"
    assert plugins["teahouse"]["kinds"] == ["destination:teapot", "service:ticking"]
    wrong = gateway.data.with_name("wrong.yml")
    wrong.write_text("forward_nodes: [{ae_title: TEA, destinations: [{name: coffee, type: teapot, colour: red}]}]")
    refused = gateway.run("check", str(wrong), check=False)
    assert (refused.returncode, refused.stderr) == (2, "forward_nodes: nothing is called coffee\n")
    wrong.write_text("forward_nodes: [{ae_title: TEA, destinations: [{name: brown, type: teapot}]}]")
    refused = gateway.run("check", str(wrong), check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("forward_nodes[0].destinations[0].colour: ")


def test_service_and_shutdown_end_with_the_gateway(gateway: RunningGateway, seen: Seen) -> None:
    """Comes last: the gateway is needed no more."""
    assert gateway.terminate() == 0
    assert seen(service="ends") == [{"service": "ends"}]
    assert seen(shutdown=str(gateway.data)) == [{"shutdown": str(gateway.data)}]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_like_this", "nothing_like_this"),
        (PLUGIN.replace("karnak_shutdown", "karnak_shut_down"), "karnak_shut_down"),
        (PLUGIN.replace("    note(startup=gateway)", '    raise RuntimeError("out of tea")'), "out of tea"),
    ],
    ids=["import", "misspelt hook", "startup"],
)
def test_a_plugin_that_cannot_be_used_stops_the_start_and_is_named(source: str, words: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "teahouse", source)
    configuration: dict[str, Any] = {"forward_nodes": []}
    gateway = RunningGateway(
        configuration, tmp_path / "data", environment={"PYTHONPATH": str(site), "SEEN": str(tmp_path / "seen")}
    )
    done = gateway.run("serve", check=False)
    assert done.returncode == 2
    assert "teahouse" in done.stderr
    assert words in done.stderr
    assert "ready:" not in done.stdout

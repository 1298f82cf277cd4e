"""The console as a service of a gateway: a process of its own, on and off by the configuration, never in the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import trustme
from pydantic import ValidationError

from karnak_core.testing import run_gateway
from karnak_core.testing.gateway import RunningGateway
from karnak_plugins.web_console.config import WebConsole

#: for a process in which the packages of the extra are not to be found
WITHOUT_EXTRA = """
import sys
from importlib.machinery import PathFinder
class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in ("fastapi", "starlette", "uvicorn", "pwdlib"):
            return None
        return super().find_spec(name, path, target)
sys.meta_path[:] = [Others if finder is PathFinder else finder for finder in sys.meta_path]
"""


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Say whether the console answers there."""
    try:
        with urllib.request.urlopen(f"{url}/sign-in", timeout=60, context=context) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


def processes_of(gateway: RunningGateway, name: str) -> list[int]:
    """Return the processes of a running gateway with this argument."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in arguments and str(gateway.data).encode() in arguments:
            found.append(int(folder.name))
    return found


def with_console(**keys: Any) -> dict[str, Any]:
    """Return a configuration with nothing but the console."""
    return {"forward_nodes": [], "plugins": {"web_console": keys}}


def test_console_is_turned_on_moved_and_off_while_the_gateway_runs(tmp_path: Path) -> None:
    one, other = free_port(), free_port()
    with run_gateway({"forward_nodes": []}, tmp_path / "data") as gateway:
        assert gateway.web == ""
        receiving = processes_of(gateway, "receive")
        gateway.apply(with_console(port=one))
        gateway.wait_until(lambda: answers(f"http://127.0.0.1:{one}"), 60)
        gateway.apply(with_console(port=other))
        gateway.wait_until(lambda: answers(f"http://127.0.0.1:{other}"), 60)
        assert not answers(f"http://127.0.0.1:{one}")
        # other keys at the same port: it has to be free first
        gateway.apply(with_console(port=other, idle="5 min"))
        before = processes_of(gateway, "web_console")
        gateway.wait_until(lambda: processes_of(gateway, "web_console") not in ([], before), 60)
        gateway.wait_until(lambda: answers(f"http://127.0.0.1:{other}"), 60)
        gateway.apply({"forward_nodes": []})
        gateway.wait_until(lambda: not answers(f"http://127.0.0.1:{other}"), 60)
        gateway.wait_until(lambda: processes_of(gateway, "web_console") == [], 60)
        assert processes_of(gateway, "receive") == receiving
        assert gateway.terminate() == 0


def test_a_console_that_is_killed_comes_back_and_the_gateway_does_not_notice(
    make_running_console: Callable[..., Any],
) -> None:
    port = free_port()
    running = make_running_console({"plugins": {"web_console": {"port": port}}})
    gateway = running.gateway
    receiving, (console,) = processes_of(gateway, "receive"), processes_of(gateway, "web_console")
    os.kill(console, signal.SIGKILL)
    gateway.wait_until(lambda: processes_of(gateway, "web_console") not in ([], [console]), 60)
    gateway.wait_until(lambda: answers(running.url), 60)
    assert processes_of(gateway, "receive") == receiving
    # it knows that somebody may sign in already
    assert gateway.log.read_text().count("one-time password") == 1
    assert gateway.terminate() == 0


def test_a_gateway_whose_console_finds_its_port_taken_starts_and_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with run_gateway(with_console(port=port), tmp_path / "data") as gateway:
            assert gateway.web == ""
            log = gateway.log.read_text()
            assert "service 'web_console' did not start; the gateway goes on without it" in log
            assert f"plugins.web_console: cannot listen on 127.0.0.1:{port}: Address already in use" in log
            taken.close()
            gateway.wait_until(lambda: answers(f"http://127.0.0.1:{port}"), 60)
            assert gateway.terminate() == 0


def test_console_speaks_tls_and_follows_its_certificate(tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    first, second = (trusting(authority) for authority in (write_identity(certificate, key), trustme.CA()))
    tls = {"certificate": str(certificate), "key": str(key)}
    with run_gateway(with_console(port=0, tls=tls), tmp_path / "data") as gateway:
        assert gateway.web.startswith("https://127.0.0.1:")
        assert answers(gateway.web, first)
        assert not answers(gateway.web, second)
        assert not answers(gateway.web.replace("https:", "http:"))
        renewed = trusting(write_identity(certificate, key))
        assert answers(gateway.web, renewed)
        assert not answers(gateway.web, first)


def write_identity(certificate: Path, key: Path) -> trustme.CA:
    """Write a certificate and its key, of an authority that is made for them."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return authority


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return the context of a client that trusts this authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def test_the_address_is_the_caller_s_unless_a_proxy_is_trusted(make_running_console: Callable[..., Any]) -> None:
    for trusted, expected in (((), "127.0.0.1"), (("127.0.0.1",), "192.0.2.7")):
        running = make_running_console({"plugins": {"web_console": {"port": 0, "trusted_proxies": list(trusted)}}})
        request = urllib.request.Request(
            f"{running.url}/sign-in",
            data=f"name=admin&password={running.one_time_password}".encode(),
            headers={"X-Forwarded-For": "192.0.2.7"},
        )
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(request, timeout=60) as answer:
            assert answer.url.endswith("/password")
        listed = running.gateway.run("status", "--json")
        assert json.loads(listed.stdout)["gateway"]["running"]
        assert signed_in_from(running.gateway) == expected


def signed_in_from(gateway: RunningGateway) -> str:
    """Return the address of the last sign-in."""
    import sqlalchemy as sa

    from karnak_core.database import open_database
    from karnak_core.database.access import audit

    database = open_database(None, gateway.data)
    try:
        with database.read() as connection:
            query = sa.select(audit.c.detail).where(audit.c.action == "sign in").order_by(audit.c.id.desc())
            return str(connection.execute(query).scalars().first()).removeprefix("from ")
    finally:
        database.close()


# ---- without the packages ----------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which the packages of the extra are not installed."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT_EXTRA)
    return {**os.environ, "PYTHONPATH": str(site)}


def karnak(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "karnak_core", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_without_the_packages_the_plugin_is_listed_and_its_section_refused(
    bare: dict[str, str], tmp_path: Path
) -> None:
    listed = {one["name"]: one for one in json.loads(karnak(bare, "plugins", "--json").stdout)}
    assert listed["web_console"]["kinds"] == ["service:web_console"]
    written = tmp_path / "gateway.yml"
    written.write_text(json.dumps(with_console()))
    refused = karnak(bare, "check", str(written))
    assert (refused.returncode, refused.stderr) == (
        2,
        "plugins.web_console: needs fastapi, uvicorn, pwdlib: pip install 'karnak-gateway[web]'\n",
    )


def test_without_the_packages_the_default_has_no_console(bare: dict[str, str], tmp_path: Path) -> None:
    exported = karnak(bare, "export", "--data", str(tmp_path / "data"))
    assert exported.returncode == 0
    assert "web_console" not in exported.stdout
    assert "received" in exported.stdout
    with_packages = karnak(dict(os.environ), "export", "--data", str(tmp_path / "data"))
    assert "web_console" in with_packages.stdout


def test_without_the_packages_a_stored_configuration_keeps_the_gateway_going(
    bare: dict[str, str], tmp_path: Path
) -> None:
    with run_gateway(with_console(port=0), tmp_path / "data"):
        pass
    environment = {"PYTHONPATH": bare["PYTHONPATH"]}
    gateway = RunningGateway({"forward_nodes": []}, tmp_path / "data", environment=environment)
    command = [sys.executable, "-m", "karnak_core", "serve", "--data", str(gateway.data)]
    with open(gateway.log, "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=bare)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready: DICOM ")
        assert "web" not in line
        gateway.wait_until(lambda: "pip install 'karnak-gateway[web]'" in gateway.log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


# ---- the keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"port": 70000}, "70000 is not 1 to 65535, nor 0 for any free port"),
        ({"public_url": "karnak.example.org"}, "is not an address such as https://karnak.example.org, without a path"),
        ({"public_url": "https://a/b"}, "without a path"),
        ({"public_url": "https://a:b"}, "without a path"),
        ({"public_url": "ftp://a"}, "without a path"),
        ({"public_url": "https://user@a"}, "without a path"),
        ({"public_url": "https://"}, "without a path"),
        ({"trusted_proxies": ["proxy"]}, "'proxy' is not an IP address or network"),
        ({"idle": "2 h", "signed_in": "1 h"}, "1 h is less than idle, 2 h"),
        ({"idle": 1}, "greater than or equal to 60"),
    ],
)
def test_wrong_keys_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("(", r"\(")):
        WebConsole.model_validate(keys)


def test_a_public_https_address_makes_cookies_secure() -> None:
    assert not WebConsole().secure
    assert WebConsole(public_url="https://karnak.example.org/").public_url == "https://karnak.example.org"
    assert WebConsole(public_url="https://karnak.example.org").secure
    assert not WebConsole(public_url="http://karnak.example.org").secure

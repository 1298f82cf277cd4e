"""A whole gateway with TLS: who gets in, what is told, and what happens when the setting changes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from pynetdicom.dsutils import split_dataset

from karnak_core import tls
from karnak_core.config.tls import ClientTLS, ServerTLS
from karnak_core.dimse import ConnectionFailed, TlsFailed
from karnak_core.testing import make_file, one_node, run_gateway, wait_until
from karnak_core.testing import send as send_plain
from karnak_plugins.dicom_dest.echo import echo
from karnak_plugins.dicom_dest.send import send as send_files

LOCAL = {"name": "local", "type": "folder", "directory": "received"}
#: of a ClientHello, so that the server waits for the rest
HALF_A_HELLO = bytes((22, 3, 1, 2, 0, 1, 0, 1))
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def listener(identity, **others):
    return {"tls": {"certificate": identity.certificate, "key": identity.key, **others}}


def client(authority, identity=None):
    shown = {"certificate": identity.certificate, "key": identity.key} if identity else {}
    return ClientTLS(ca=authority.file, **shown)


@pytest.fixture
def start(tmp_path):
    """Start a gateway with this listener; every gateway ends with the test."""
    with contextlib.ExitStack() as stack:

        def run(listener, *destinations):
            configuration = {**one_node(*(destinations or (LOCAL,))), "listener": listener}
            return stack.enter_context(run_gateway(configuration, tmp_path / "data"))

        yield run


def refusals(gateway):
    return {row["reason"]: row for row in gateway.status()["refused_associations"]}


def certificate_at(port, authority):
    """Return the serial number of the certificate that is shown to a new connection."""
    with tls.connect("127.0.0.1", port, 5.0, client(authority)) as sock:
        return sock.getpeercert()["serialNumber"]


def store(association, path):
    meta, offset = split_dataset(path)
    context_id = association.accepts(CT, EXPLICIT)
    return association.send_c_store(CT, meta.MediaStorageSOPInstanceUID, context_id, path, offset=offset).status


def test_silent_tls_clients_delay_nobody(authority, start, open_association, tmp_path):
    gateway = start(listener(authority.issue()))
    with contextlib.ExitStack() as stack:
        for count in range(20):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
            if count % 2:
                sock.sendall(HALF_A_HELLO)
        started = time.monotonic()
        association = open_association(gateway.port, client(authority))
        assert store(association, make_file(tmp_path)) == 0x0000
        association.release()
        assert time.monotonic() - started < 20.0  # less than ARTIM


def test_many_associations_over_tls_at_once(authority, start, open_association, tmp_path):
    gateway = start({**listener(authority.issue()), "max_associations_per_peer": 64})
    paths = [make_file(tmp_path, pixels=200) for _ in range(64)]
    together = threading.Barrier(64, timeout=60.0)

    def send(path):
        association = open_association(gateway.port, client(authority))
        together.wait()
        status = store(association, path)
        association.release()
        return status

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(send, paths)) == [0x0000] * 64
    assert {row["state"] for row in gateway.wait_until_settled(64)} == {"sent"}


def test_a_plain_peer_on_the_tls_port_is_refused_and_told(authority, start, open_association, tmp_path):
    gateway = start(listener(authority.issue()))
    with pytest.raises(TlsFailed, match="speaks TLS, and the connection to it is plain"):
        open_association(gateway.port, None)
    reason = "the peer speaks plain DICOM (no TLS)"
    row = gateway.wait_until(lambda: refusals(gateway).get(reason))
    assert (row["called_ae_title"], row["calling_ae_title"], row["peer_host"]) == ("", "", "127.0.0.1")
    gateway.wait_until(lambda: reason in gateway.log.read_text())
    assert f"a peer at 127.0.0.1: {reason}" in gateway.run("status").stdout
    assert send_plain(gateway.port, [make_file(tmp_path)]) == [-1]


def test_a_tls_peer_on_the_plain_port_is_refused_and_told(authority, start, open_association):
    gateway = start({})
    with pytest.raises(TlsFailed, match=r"the peer does not speak TLS \(plain DICOM\?\)"):
        open_association(gateway.port, client(authority))
    reason = "the peer speaks TLS; this port is plain"
    gateway.wait_until(lambda: reason in refusals(gateway))
    gateway.wait_until(lambda: reason in gateway.log.read_text())


def test_only_peers_with_a_certificate_get_in_where_one_is_required(authority, stranger, start, open_association):
    setting = listener(authority.issue(), client_ca=authority.file, require_client_certificate=True)
    gateway = start(setting)
    with pytest.raises(TlsFailed, match="the peer requires a client certificate"):
        open_association(gateway.port, client(authority))
    with pytest.raises(TlsFailed, match="the peer does not know who issued our certificate"):
        open_association(gateway.port, client(authority, stranger.issue()))
    known = authority.issue("ct1.example.org", common_name="ct1.example.org")
    association = open_association(gateway.port, client(authority, known))
    assert association.send_c_echo() == 0x0000
    association.release()
    gateway.wait_until(lambda: len(refusals(gateway)) == 2)
    assert (
        "certificate 'ct1.example.org'" in gateway.log.read_text() or "association from" not in gateway.log.read_text()
    )


def test_a_new_certificate_is_used_at_once_and_associations_go_on(authority, start, open_association, tmp_path):
    identity, new = authority.issue(), authority.issue()
    gateway = start(listener(identity))
    association = open_association(gateway.port, client(authority))
    before = certificate_at(gateway.port, authority)
    identity.replace_by(new)
    assert certificate_at(gateway.port, authority) != before
    assert store(association, make_file(tmp_path)) == 0x0000
    association.release()


def test_a_broken_new_certificate_leaves_the_old_one_in_use(authority, start, open_association):
    identity = authority.issue()
    gateway = start(listener(identity))
    before = certificate_at(gateway.port, authority)
    Path(identity.certificate).write_text("broken")
    for _ in range(3):
        assert certificate_at(gateway.port, authority) == before
    assert gateway.log.read_text().count("what was read before stays in use") == 1


def test_the_listener_follows_a_change_without_dropping_associations(authority, start, open_association, tmp_path):
    gateway = start({})
    plain = open_association(gateway.port, None)
    configuration = gateway.configuration

    def speaks(settings):
        try:
            open_association(gateway.port, settings).release()
        except ConnectionFailed:
            return False
        return True

    gateway.apply({**configuration, "listener": listener(authority.issue())})
    # two seconds are promised; a busy machine needs more
    wait_until(lambda: speaks(client(authority)))
    assert not speaks(None)
    secured = open_association(gateway.port, client(authority))
    assert store(plain, make_file(tmp_path)) == 0x0000
    gateway.apply({**configuration, "listener": {}})
    wait_until(lambda: speaks(None))
    assert not speaks(client(authority))
    assert store(secured, make_file(tmp_path)) == 0x0000
    assert plain.send_c_echo() == 0x0000
    plain.release()
    secured.release()
    assert len(gateway.wait_until_settled(2)) == 2


def test_a_destination_with_the_wrong_tls_is_held_and_loses_nothing(
    authority, stranger, start, make_server, open_association, tmp_path
):
    theirs = stranger.issue()
    server = make_server(ServerTLS(certificate=theirs.certificate, key=theirs.key))
    pacs = {"name": "pacs", "type": "dicom", "ae_title": "PACS", "hostname": "127.0.0.1", "port": server.port}
    other = {**pacs, "name": "plain"}
    gateway = start({}, {**pacs, "tls": {"ca": authority.file}}, other)
    assert send_plain(gateway.port, [make_file(tmp_path)]) == [0x0000]
    gateway.wait_until(lambda: gateway.destination("pacs")["state"] == "held")
    assert "issued by an authority that is not in" in gateway.destination("pacs")["reason"]
    gateway.wait_until(lambda: gateway.destination("plain")["state"] == "held")
    assert "speaks TLS, and the connection to it is plain" in gateway.destination("plain")["reason"]
    assert [row["state"] for row in gateway.deliveries()] == ["pending", "pending"]
    assert [row["attempts"] for row in gateway.deliveries()] == [0, 0]


def test_two_gateways_talk_over_tls_with_certificates_of_both(authority, tmp_path):
    ours, theirs = authority.issue(), authority.issue()
    both = {"client_ca": authority.file, "require_client_certificate": True}
    with contextlib.ExitStack() as stack:
        configuration = {**one_node(LOCAL), "listener": listener(theirs, **both)}
        last = stack.enter_context(run_gateway(configuration, tmp_path / "last"))
        shown = {"ca": authority.file, "certificate": ours.certificate, "key": ours.key}
        onward = {"name": "on", "type": "dicom", "ae_title": "FORWARD", "hostname": "localhost", "port": last.port}
        first = stack.enter_context(run_gateway(one_node({**onward, "tls": shown}), tmp_path / "first"))
        paths = [make_file(tmp_path, pixels=pixels) for pixels in (0, 64, 1500)]
        assert send_plain(first.port, paths) == [0x0000] * 3
        assert {row["state"] for row in first.wait_until_settled(3)} == {"sent"}
        assert {row["state"] for row in last.wait_until_settled(3)} == {"sent"}
        assert "certificate of " in first.run("probe", "on").stdout


@pytest.fixture
def karnak():
    """Run a command in this process."""
    commands = {"echo": echo, "send": send_files}
    return lambda name, *arguments: CliRunner().invoke(commands[name], arguments)


def test_echo_and_send_take_certificates(authority, start, karnak, tmp_path):
    identity = authority.issue()
    gateway = start(listener(authority.issue(), client_ca=authority.file, require_client_certificate=True))
    options = ("--ca", authority.file, "--certificate", identity.certificate, "--key", identity.key)
    path = str(make_file(tmp_path))
    node = f"FORWARD@127.0.0.1:{gateway.port}"
    assert "TLSv1.3" in karnak("echo", node, *options).stdout
    assert "1 sent" in karnak("send", path, "--to", node, *options).stdout
    refused = karnak("echo", node, "--ca", authority.file)
    assert (refused.exit_code, "the peer requires a client certificate" in refused.stderr) == (1, True)
    assert "not in what the system trusts" in karnak("echo", node, "--tls").stderr
    plain = karnak("send", path, "--to", node)
    assert (plain.exit_code, "speaks TLS, and the connection to it is plain" in plain.stderr) == (1, True)


def test_options_of_tls_that_do_not_go_together_are_refused(authority, karnak):
    identity = authority.issue()
    lacking = karnak("echo", "A@127.0.0.1:104", "--key", identity.key)
    assert (lacking.exit_code, "--certificate and --key go together" in lacking.stderr) == (2, True)
    named = karnak("echo", "pacs", "--tls")
    assert (named.exit_code, "has its own TLS" in named.stderr) == (2, True)
    assert karnak("send", identity.key, "--to", "A@127.0.0.1:104", "--ca", "no-such-file.pem").exit_code == 2

"""The keys of TLS: what is wrong with their files is a problem of the configuration file, at its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from karnak_core.config import yaml_text
from karnak_core.config.export import to_document
from karnak_core.config.load import load, texts_of
from karnak_core.config.tls import ClientTLS
from karnak_core.errors import ConfigurationError
from karnak_core.plugins import load as load_plugins

LISTENER = "listener: {tls: {certificate: server.pem, key: server.key, client_ca: ca.pem}}"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder of the configuration file, with certificates and keys in it."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    long_ago = datetime.now(UTC) - timedelta(days=800)
    for name, end in (("server", timedelta(days=30)), ("other", timedelta(days=30)), ("expired", -timedelta(days=1))):
        issued = ca.issue_cert("localhost", not_before=long_ago, not_after=datetime.now(UTC) + end)
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    return tmp_path


@pytest.fixture
def problem(problems_of: Callable[[str], list[str]], files: Path) -> Callable[[str], str]:
    """Return the only problem that a listener's keys of TLS have, without the folder's name."""

    def read(keys: str) -> str:
        (found,) = problems_of(f"listener: {{tls: {{{keys}}}}}")
        return found.replace(f"{files}{os.sep}", "")

    return read


def test_paths_start_at_the_folder_of_the_file(read, files):
    tls = read(LISTENER).listener.tls
    assert (tls.certificate, tls.key, tls.client_ca) == tuple(
        str(files / name) for name in ("server.pem", "server.key", "ca.pem")
    )
    assert not tls.require_client_certificate


def test_without_tls_the_listener_is_plain(read):
    assert read("listener: {port: 104}").listener.tls is None
    assert read("listener: {tls: null}").listener.tls is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("certificate: server.pem", "listener.tls.key: is missing"),
        (
            "certificate: gone.pem, key: server.key",
            "listener.tls.certificate: 'gone.pem' cannot be read: no such file or directory",
        ),
        (
            "certificate: server.key, key: server.key",
            "listener.tls.certificate: 'server.key' holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        ),
        (
            "certificate: server.pem, key: other.key",
            "listener.tls.key: 'other.key' is not the private key of the certificate in 'server.pem'",
        ),
        (
            "certificate: server.pem, key: gone.key",
            "listener.tls.key: 'gone.key' cannot be read: no such file or directory",
        ),
        (
            "certificate: server.pem, key: server.key, client_ca: server.key",
            "listener.tls.client_ca: 'server.key' holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        ),
        (
            "certificate: server.pem, key: server.key, require_client_certificate: true",
            "listener.tls.require_client_certificate: true needs client_ca, which says whose certificates are accepted",
        ),
        ('certificate: "", key: server.key', "listener.tls.certificate: '' is not a path"),
        (
            "certificate: server.pem, key: server.key, keystore: x",
            "listener.tls.keystore: unknown key; known: certificate, client_ca, key, require_client_certificate",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(problem, keys, words):
    assert problem(keys) == words


def test_an_expired_certificate_is_a_problem(problem):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert problem("certificate: expired.pem, key: expired.key") == (
        f"listener.tls.certificate: 'expired.pem': the certificate expired on {yesterday:%Y-%m-%d}"
    )


def test_every_problem_is_told_at_once(problems_of):
    found = problems_of("listener: {tls: {certificate: a.pem, key: b.key, client_ca: c.pem}}")
    assert [line.split(": ")[0] for line in found] == [
        "listener.tls.certificate",
        "listener.tls.key",
        "listener.tls.client_ca",
    ]


def test_what_has_been_applied_is_not_checked_again(read, files, plugins):
    """A certificate that expires or moves must not keep a running gateway from following its configuration."""
    document = to_document(read(LISTENER))
    (files / "server.pem").unlink()
    assert load(document, plugins).listener.tls.certificate == str(files / "server.pem")


def test_without_a_folder_only_files_that_were_not_named_before_are_looked_at(read, files, plugins):
    """One that has expired since keeps nobody from changing the rest."""
    document = to_document(read(LISTENER))
    seen = texts_of(document)
    (files / "server.pem").unlink()
    assert load(document, plugins, seen=seen).listener.tls.certificate == str(files / "server.pem")
    tls = document["listener"]["tls"]
    (files / "ca.pem").unlink()
    changed = {"key": "other.key", "client_ca": str(files / "gone.pem"), "certificate": str(files / "other.pem")}
    with pytest.raises(ConfigurationError) as caught:
        load({"listener": {"tls": {**tls, **changed}}}, plugins, seen=seen)
    assert [str(problem).replace(f"{files}{os.sep}", "") for problem in caught.value.problems] == [
        "listener.tls.key: 'other.key' does not begin with '/': there is no folder here that it could start at",
        "listener.tls.client_ca: 'gone.pem' cannot be read: no such file or directory",
    ]


def test_a_key_is_looked_at_with_another_certificate(read, files, plugins):
    document = to_document(read(LISTENER))
    tls = {**document["listener"]["tls"], "certificate": str(files / "other.pem")}
    with pytest.raises(ConfigurationError, match=r"server.key' is not the private key of the certificate in"):
        load({"listener": {"tls": tls}}, plugins, seen=texts_of(document))


@pytest.fixture
def destination(files):
    """Read the keys of TLS of a destination of type ``dicom``."""

    def read_it(keys):
        text = f"""
forward_nodes:
  - ae_title: A
    destinations: [{{name: d, type: dicom, ae_title: B, hostname: h, port: 104, tls: {keys}}}]
"""
        plugins = load_plugins()
        return load(yaml_text.parse(text), plugins, files).forward_nodes[0].destinations[0].options.tls

    return read_it


def test_a_destination_may_use_tls_with_everything_by_default(destination):
    assert destination("{}") == ClientTLS()
    assert destination("null") is None


def test_paths_of_a_destination_start_at_the_folder_of_the_file(destination, files):
    assert destination("{ca: ca.pem, certificate: server.pem, key: server.key, check_hostname: false}") == ClientTLS(
        ca=str(files / "ca.pem"),
        certificate=str(files / "server.pem"),
        key=str(files / "server.key"),
        check_hostname=False,
    )


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ("{ca: gone.pem}", "tls.ca", "gone.pem' cannot be read: no such file or directory"),
        ("{certificate: server.pem}", "tls.key", "certificate needs key, too"),
        ("{key: server.key}", "tls.key", "key needs certificate, too"),
        ("{certificate: server.pem, key: other.key}", "tls.key", "is not the private key of the certificate in"),
        ("{certificate: expired.pem, key: expired.key}", "tls.certificate", "the certificate expired on"),
        ("true", "tls", "is not a mapping of keys to values"),
    ],
)
def test_what_is_wrong_with_a_destinations_tls_is_told_at_its_place(destination, keys, place, words):
    with pytest.raises(ConfigurationError) as caught:
        destination(keys)
    (found,) = caught.value.problems
    assert found.place == f"forward_nodes[0].destinations[0].{place}"
    assert words in found.message

"""Other people's TLS: DCMTK and Orthanc, in both roles, with certificates of both sides."""

from __future__ import annotations

import contextlib

import pytest

from karnak_core.config.tls import ClientTLS
from karnak_core.errors import Unreachable
from karnak_core.testing import (
    dataset_bytes,
    make_file,
    one_node,
    run_gateway,
    run_orthanc,
    run_storescp,
    send,
    storescu,
)

LOCAL = {"name": "local", "type": "folder", "directory": "received", "pattern": "{SOPInstanceUID}.dcm"}


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def run(listener, *destinations):
            configuration = {**one_node(*destinations), "listener": listener}
            return stack.enter_context(run_gateway(configuration, tmp_path / "data"))

        yield run


@pytest.fixture
def listener(authority):
    """The listener's keys where both sides show certificates."""
    identity = authority.issue()
    tls = {"certificate": identity.certificate, "key": identity.key, "client_ca": authority.file}
    return {"tls": {**tls, "require_client_certificate": True}}


@pytest.fixture
def client_tls(authority):
    """A destination's keys where both sides show certificates."""
    identity = authority.issue("karnak.example.org")
    return {"ca": authority.file, "certificate": identity.certificate, "key": identity.key}


def dcmtk_options(identity, authority=None):
    trust = ("+cf", authority.file) if authority else ("-ic",)
    return ("+tls", identity.key, identity.certificate, *trust)


def reasons(gateway):
    return [row["reason"] for row in gateway.status()["refused_associations"]]


def test_dcmtk_sends_with_certificates_of_both_sides(authority, start, listener, tmp_path):
    gateway = start(listener, LOCAL)
    # one file for each of its profiles: BCP 195 non-downgrading, plain, extended
    paths = {profile: make_file(tmp_path, pixels=600) for profile in ("+py", "+px", "+pz")}
    options = dcmtk_options(authority.issue("scu"), authority)
    for profile, path in paths.items():
        done = storescu(gateway.port, path, options=(*options, profile))
        assert done.returncode == 0, (profile, done.stderr)
    gateway.wait_until_settled(3)
    received = (gateway.data / "received").glob("*.dcm")
    assert {path.name: dataset_bytes(path) for path in received} == {
        path.name: dataset_bytes(path) for path in paths.values()
    }


def test_dcmtk_that_does_not_fit_is_refused_with_the_reason(authority, stranger, start, listener, tmp_path):
    gateway = start(listener, LOCAL)
    path = make_file(tmp_path)
    for options, reason in (
        (
            dcmtk_options(stranger.issue("scu")),
            "the peer's certificate is issued by an authority that is not in what is trusted here",
        ),
        (("+tla", "-ic"), "the peer shows no certificate, and one is required"),
        (dcmtk_options(authority.issue("scu"), stranger), "the peer does not know who issued our certificate"),
        ((), "the peer speaks plain DICOM (no TLS)"),
    ):
        assert storescu(gateway.port, path, options=options).returncode != 0, reason
        gateway.wait_until(lambda reason=reason: reason in reasons(gateway))
    assert gateway.deliveries() == []


def test_dcmtk_with_tls_on_the_plain_port_is_told(authority, start, tmp_path):
    gateway = start({}, LOCAL)
    assert storescu(gateway.port, make_file(tmp_path), options=dcmtk_options(authority.issue("scu"))).returncode != 0
    gateway.wait_until(lambda: reasons(gateway) == ["the peer speaks TLS; this port is plain"])


def test_dcmtk_receives_with_certificates_of_both_sides(authority, start, client_tls, tmp_path):
    options = dcmtk_options(authority.issue(), authority)
    with run_storescp(tmp_path / "storescp", *options) as scp:
        gateway = start({}, {**scp.destination, "name": "scp", "tls": client_tls})
        paths = [make_file(tmp_path, pixels=pixels) for pixels in (0, 64, 1200)]
        assert send(gateway.port, paths) == [0x0000] * 3
        assert {row["state"] for row in gateway.wait_until_settled(3)} == {"sent"}
        assert sorted(map(dataset_bytes, scp.files())) == sorted(map(dataset_bytes, paths))
        assert "TLSv1." in gateway.run("probe", "scp").stdout


def test_dcmtk_that_requires_a_certificate_holds_a_destination_without(authority, start, tmp_path):
    with run_storescp(tmp_path / "storescp", *dcmtk_options(authority.issue(), authority)) as scp:
        gateway = start({}, {**scp.destination, "name": "scp", "tls": {"ca": authority.file}})
        assert send(gateway.port, [make_file(tmp_path)]) == [0x0000]
        gateway.wait_until(lambda: gateway.destination("scp")["state"] == "held")
        assert gateway.destination("scp")["reason"].endswith(": the peer requires a client certificate")


def test_plain_dcmtk_behind_a_tls_destination_is_told(authority, probe, tmp_path):
    with (
        run_storescp(tmp_path / "storescp") as scp,
        pytest.raises(Unreachable, match="closed the connection during the TLS handshake; does it speak TLS there"),
    ):
        probe(scp.port, ClientTLS(ca=authority.file))


def test_dcmtk_with_tls_behind_a_plain_destination_is_told(authority, probe, tmp_path):
    with (
        run_storescp(tmp_path / "storescp", *dcmtk_options(authority.issue(), authority)) as scp,
        pytest.raises(Unreachable, match="does it expect TLS"),
    ):
        probe(scp.port, None)


@pytest.fixture
def orthanc(authority, tmp_path):
    """An Orthanc whose port speaks TLS, and which shows its certificate where it sends."""
    identity = authority.issue()
    with run_orthanc(
        tmp_path / "orthanc",
        DicomTlsEnabled=True,
        DicomTlsCertificate=identity.certificate,
        DicomTlsPrivateKey=identity.key,
        DicomTlsTrustedCertificates=authority.file,
        DicomTlsRemoteCertificateRequired=True,
    ) as running:
        yield running


def test_orthanc_receives_with_certificates_of_both_sides(orthanc, start, client_tls, tmp_path):
    gateway = start({}, {**orthanc.destination, "name": "orthanc", "tls": client_tls})
    paths = [make_file(tmp_path, pixels=pixels) for pixels in (0, 64, 1200)]
    assert send(gateway.port, paths) == [0x0000] * 3
    assert {row["state"] for row in gateway.wait_until_settled(3)} == {"sent"}
    assert len(orthanc.instances()) == 3


def test_orthanc_that_requires_a_certificate_holds_a_destination_without(orthanc, authority, start, tmp_path):
    gateway = start({}, {**orthanc.destination, "name": "orthanc", "tls": {"ca": authority.file}})
    assert send(gateway.port, [make_file(tmp_path)]) == [0x0000]
    gateway.wait_until(lambda: gateway.destination("orthanc")["state"] == "held")
    assert gateway.destination("orthanc")["reason"].endswith(": the peer requires a client certificate")


def test_orthanc_sends_with_certificates_of_both_sides(orthanc, start, listener, tmp_path):
    gateway = start(listener, LOCAL)
    paths = [make_file(tmp_path, pixels=pixels) for pixels in (0, 64, 1200)]
    names = [orthanc.upload(path) for path in paths]
    orthanc.request(
        "PUT",
        "/modalities/karnak",
        {"AET": "FORWARD", "Host": "127.0.0.1", "Port": gateway.port, "UseDicomTls": True},
    )
    answer = orthanc.request("POST", "/modalities/karnak/store", {"Resources": names, "Synchronous": True})
    assert b'"FailedInstancesCount" : 0' in answer
    gateway.wait_until_settled(3)
    assert {path.name for path in (gateway.data / "received").glob("*.dcm")} == {path.name for path in paths}

"""What is wrong with a file of certificates or a key is said before it is used."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from karnak_core.tls import TlsFileError, check_authorities, check_certificate, check_key


@pytest.fixture
def write(tmp_path):
    def write_it(name: str, text: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write_it


def test_files_that_fit_are_fine(authority):
    identity = authority.issue()
    check_certificate(identity.certificate)
    check_key(identity.key, identity.certificate)
    check_authorities(authority.file)


def test_certificate_and_key_may_be_one_file(authority, write):
    identity = authority.issue()
    both = write("both.pem", Path(identity.key).read_text() + Path(identity.certificate).read_text())
    check_certificate(both)
    check_key(both, both)


def test_nobody_waits_for_who_writes_to_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.pem")
    with pytest.raises(TlsFileError, match=r"pipe.pem' cannot be read: it is a pipe$"):
        check_certificate(str(tmp_path / "pipe.pem"))


@pytest.mark.parametrize("check", [check_certificate, check_authorities, lambda path: check_key(path, None)])
def test_a_file_that_is_missing_or_no_file_is_named(check, tmp_path):
    with pytest.raises(TlsFileError, match=r"gone.pem' cannot be read: no such file or directory$"):
        check(str(tmp_path / "gone.pem"))
    with pytest.raises(TlsFileError, match=r"cannot be read: is a directory$"):
        check(str(tmp_path))


def test_a_file_without_a_certificate_is_named(authority, write):
    for path in (write("empty.pem", ""), write("der.pem", b"0\x82\x01\x00" * 30), authority.issue().key):
        with pytest.raises(TlsFileError, match="holds no certificate in PEM form"):
            check_certificate(path)
        with pytest.raises(TlsFileError, match="holds no certificate in PEM form"):
            check_authorities(path)


def test_a_certificate_that_is_cut_off_is_named(authority, write):
    text = Path(authority.file).read_text()
    with pytest.raises(TlsFileError, match="holds a certificate that cannot be read; is it cut off"):
        check_certificate(write("half.pem", text[: len(text) // 2]))


def test_a_file_without_a_key_is_named(authority):
    identity = authority.issue()
    with pytest.raises(TlsFileError, match="holds no private key in PEM form"):
        check_key(identity.certificate, identity.certificate)


def test_a_key_that_is_cut_off_is_named(authority, write):
    text = Path(authority.issue().key).read_text()
    with pytest.raises(TlsFileError, match="holds a private key that cannot be read"):
        check_key(write("half.key", text[: len(text) // 2]), None)


def test_a_key_with_a_pass_phrase_is_named_and_nobody_is_asked_for_it(authority, write):
    key = load_pem_private_key(Path(authority.issue().key).read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    with pytest.raises(TlsFileError, match="the private key needs a pass phrase; write it without one"):
        check_key(write("locked.key", locked), None)


def test_a_key_of_another_certificate_is_named(authority):
    one, other = authority.issue(), authority.issue()
    with pytest.raises(TlsFileError, match="is not the private key of the certificate in"):
        check_key(other.key, one.certificate)


def test_a_key_that_is_too_short_is_named(write):
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "short")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    certificate = write("short.pem", builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    short = write("short.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(TlsFileError, match="cannot be used: a key or signature is weaker than BCP 195 allows"):
        check_key(short, certificate)


def test_a_certificate_is_fine_between_its_days_only(authority):
    identity = authority.issue(days=10)
    now = datetime.now(UTC)
    with pytest.raises(TlsFileError, match=r"the certificate expired on \d{4}-\d\d-\d\d$"):
        check_certificate(identity.certificate, now + timedelta(days=11))
    with pytest.raises(TlsFileError, match=r"the certificate is not valid before \d{4}-\d\d-\d\d$"):
        check_certificate(identity.certificate, now - timedelta(days=401))


def test_authorities_are_fine_while_one_of_them_is(authority, write):
    expired = Path(authority.issue(days=-1).certificate).read_text()
    with pytest.raises(TlsFileError, match="every certificate in it has expired, the last one on"):
        check_authorities(write("old.pem", expired))
    check_authorities(write("bundle.pem", expired + Path(authority.file).read_text()))

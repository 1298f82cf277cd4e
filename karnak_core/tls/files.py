"""What is in a file of certificates or in one of a private key, and whether it can be used."""

from __future__ import annotations

import errno
import os
import ssl
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from karnak_core.tls.errors import TlsFileError
from karnak_core.tls.policy import load_identity, new_context

#: no chain, key or bundle of certification authorities is larger; what is, is no such file
MOST_BYTES: Final = 16 << 20


def check_certificate(path: str, now: datetime | None = None) -> None:
    """Check a certificate that shall be shown to peers; those that issued it may follow it in the file.

    Raises
    ------
    TlsFileError
        The file cannot be read, holds no certificate, or one that is not valid now: no peer would accept it.
    """
    certificate = _certificates(path)[0]
    now = now or datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise TlsFileError(f"{path!r}: the certificate expired on {_day(certificate.not_valid_after_utc)}")
    if certificate.not_valid_before_utc > now:
        raise TlsFileError(f"{path!r}: the certificate is not valid before {_day(certificate.not_valid_before_utc)}")


def expires_at(path: str) -> datetime:
    """Return when a certificate that is shown to peers expires; raises TlsFileError: that cannot be seen."""
    return _certificates(path)[0].not_valid_after_utc


def check_key(path: str, certificate_path: str | None) -> None:
    """Check a private key, and that it is the one of a certificate.

    Raises
    ------
    TlsFileError
        The file cannot be read, holds no private key, or one that needs a pass phrase, fits another certificate, or
        is weaker than BCP 195 allows.
    """
    key = _private_key(path)
    if certificate_path is None:
        return
    theirs = _certificates(certificate_path)[0].public_key()
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != theirs.public_bytes(*spki):
        raise TlsFileError(f"{path!r} is not the private key of the certificate in {certificate_path!r}")
    load_identity(new_context(ssl.PROTOCOL_TLS_SERVER), certificate_path, path)


def check_authorities(path: str, now: datetime | None = None) -> None:
    """Check a bundle of certification authorities.

    Raises
    ------
    TlsFileError
        The file cannot be read, or holds no certificate that is still valid.
    """
    last = max(certificate.not_valid_after_utc for certificate in _certificates(path))
    if last < (now or datetime.now(UTC)):
        raise TlsFileError(f"{path!r}: every certificate in it has expired, the last one on {_day(last)}")


def _certificates(path: str) -> Sequence[x509.Certificate]:
    text = _read(path)
    if b"-----BEGIN CERTIFICATE-----" not in text and b"-----BEGIN TRUSTED CERTIFICATE-----" not in text:
        raise TlsFileError(f"{path!r} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise TlsFileError(f"{path!r} holds a certificate that cannot be read; is it cut off?") from None


def _private_key(path: str) -> PrivateKeyTypes:
    text = _read(path)
    if b"PRIVATE KEY-----" not in text:
        raise TlsFileError(f"{path!r} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
    try:
        return load_pem_private_key(text[text.index(b"-----BEGIN") :], None)
    except TypeError:
        raise TlsFileError(f"{path!r}: the private key needs a pass phrase; write it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TlsFileError(f"{path!r} holds a private key that cannot be read; is it cut off?") from None


def _read(path: str) -> bytes:
    try:
        # not to wait for who writes to a pipe
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is a pipe")
            with open(descriptor, "rb", closefd=False) as file:
                text = file.read(MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        raise TlsFileError(f"{path!r} cannot be read: {why[:1].lower()}{why[1:]}") from None
    if len(text) > MOST_BYTES:
        raise TlsFileError(f"{path!r} is larger than {MOST_BYTES >> 20} MiB; it is no such file")
    return text


def _day(time: datetime) -> str:
    return time.strftime("%Y-%m-%d")

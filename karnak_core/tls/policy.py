"""What TLS we speak: BCP 195, that is RFC 8996 and RFC 9325, as DICOM PS3.15 section B.12 asks for."""

from __future__ import annotations

import ssl
from typing import Final

from karnak_core.tls.errors import TlsFileError
from karnak_core.tls.words import in_words

#: for TLS 1.2: forward secrecy and authenticated encryption (RFC 9325 section 4.2); level 2 takes no RSA key below
#: 2048 bits and no SHA-1 (sections 4.5 and 4.6). Those of TLS 1.3 are all fine
CIPHERS: Final = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"


def new_context(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    """Return a context that follows the policy and has neither certificates nor authorities yet."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # what a person trusts may be an intermediate authority, or the peer's own certificate
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def load_identity(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Give a context the certificate that it shows.

    Raises
    ------
    TlsFileError
        OpenSSL does not take it, e.g. because its key is too short.
    """
    try:
        # a pass phrase would be asked for on the terminal
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise TlsFileError(f"{certificate!r} and {key!r} cannot be used: {in_words(error)}") from None


def load_authorities(context: ssl.SSLContext, path: str) -> None:
    """Give a context the authorities whose certificates it accepts.

    Raises
    ------
    TlsFileError
        OpenSSL does not take them.
    """
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise TlsFileError(f"{path!r} cannot be used: {in_words(error)}") from None

"""Who the peer of a TLS connection is, in words."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

#: names of a certificate that a message shows
SHOWN = 5


def describe_session(sock: ssl.SSLSocket) -> str:
    """Return version and, where the peer showed a certificate, its common name: ``TLSv1.3, certificate 'ct1'``.

    More of it is not for the log: a subject may hold people's names and mail addresses.
    """
    version = sock.version() or "TLS"
    certificate = _certificate(sock)
    if not certificate:
        return version
    return f"{version}, certificate {_common_name(certificate) or next(iter(names(certificate)), '')!r}"


def describe_peer(sock: ssl.SSLSocket) -> str:
    """Return all that a person who sets it up wants to know: version, cipher suite, subject, names and expiry."""
    cipher = sock.cipher()
    parts = [sock.version() or "TLS", *([cipher[0]] if cipher else [])]
    certificate = _certificate(sock)
    if certificate:
        parts.append(f"certificate of {_subject(certificate) or 'nobody'}")
        found = names(certificate)
        if found:
            parts.append(f"for {list_names(found)}")
        parts.append(f"issued by {_subject(certificate, 'issuer') or 'nobody'}")
        end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
        days = (end - datetime.now(UTC)).days
        parts.append(f"expires on {end:%Y-%m-%d} (in {days} {'day' if days == 1 else 'days'})")
    return ", ".join(parts)


def names(certificate: Mapping[str, Any]) -> list[str]:
    """Return the hosts that a certificate, as `ssl.SSLSocket.getpeercert` gives it, is for."""
    return [str(value) for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]


def list_names(found: list[str]) -> str:
    """Return names for a message, not more than it can hold."""
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _certificate(sock: ssl.SSLSocket) -> Mapping[str, Any]:
    return sock.getpeercert() or {}


def _subject(certificate: Mapping[str, Any], whose: str = "subject") -> str:
    pairs = [pair for relative in certificate.get(whose, ()) for pair in relative]
    return ", ".join(f"{_SHORT.get(key, key)}={value}" for key, value in pairs)


def _common_name(certificate: Mapping[str, Any]) -> str:
    pairs = [pair for relative in certificate.get("subject", ()) for pair in relative]
    return next((str(value) for key, value in pairs if key == "commonName"), "")


_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
}

"""Say what OpenSSL found in words that a person can act on."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

SPEAKS_PLAIN: Final = "the peer does not speak TLS (plain DICOM?)"
CUT: Final = "the peer closed the connection during the TLS handshake; does it speak TLS there?"
SILENT: Final = "the peer did not finish the TLS handshake in time; does it speak TLS there?"

_OLD = "the peer speaks no TLS 1.2 or newer"
_NO_CIPHER = "no cipher suite of BCP 195 is common to the peer and us"
_WEAK = "a key or signature is weaker than BCP 195 allows"

#: alerts of the peer (RFC 8446 section 6.2), as OpenSSL names them
_ALERTS: Final[Mapping[str, str]] = {
    "UNKNOWN_CA": "the peer does not know who issued our certificate",
    "CERTIFICATE_REQUIRED": "the peer requires a client certificate",
    "CERTIFICATE_EXPIRED": "the peer says that our certificate has expired",
    "CERTIFICATE_REVOKED": "the peer says that our certificate was revoked",
    "CERTIFICATE_UNKNOWN": "the peer does not accept our certificate",
    "BAD_CERTIFICATE": "the peer does not accept our certificate, or misses it",
    "UNSUPPORTED_CERTIFICATE": "the peer does not accept our kind of certificate; is it meant for this use?",
    "ACCESS_DENIED": "the peer does not accept our certificate: access denied",
    "HANDSHAKE_FAILURE": "the peer wants another TLS version or cipher suite, or a certificate that we do not show",
    "INSUFFICIENT_SECURITY": "the peer finds our cipher suites too weak",
    "PROTOCOL_VERSION": "the peer does not take TLS 1.2 or newer",
    "UNRECOGNIZED_NAME": "the peer does not know the host name that it was asked for",
    "DECRYPT_ERROR": "the peer could not verify our signature; do certificate and key belong together?",
    "INTERNAL_ERROR": "the peer had an internal error",
}

#: what OpenSSL found itself: its reason -> words
_REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "WRONG_VERSION_NUMBER",
            "HTTP_REQUEST",
            "UNKNOWN_PROTOCOL",
            "PACKET_LENGTH_TOO_LONG",
            "RECORD_LAYER_FAILURE",
            "BAD_RECORD_TYPE",
            "UNEXPECTED_MESSAGE",
        ),
        SPEAKS_PLAIN,
    ),
    **dict.fromkeys(("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "WRONG_SSL_VERSION"), _OLD),
    **dict.fromkeys(("NO_SHARED_CIPHER", "WRONG_CIPHER_RETURNED", "NO_SUITABLE_SIGNATURE_ALGORITHM"), _NO_CIPHER),
    **dict.fromkeys(("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "DH_KEY_TOO_SMALL"), _WEAK),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer shows no certificate, and one is required",
    "KEY_VALUES_MISMATCH": "certificate and key do not belong together",
}

#: what is wrong with the peer's certificate: X509_V_ERR_… of OpenSSL's x509_vfy.h -> words
_VERIFICATION: Final[Mapping[int, str]] = {
    9: "the peer's certificate, or that of an authority that issued it, is not valid yet",
    10: "the peer's certificate, or that of an authority that issued it, has expired",
    18: "the peer's certificate is self-signed, and not in {authorities}",
    **dict.fromkeys((2, 19, 20, 21), "the peer's certificate is issued by an authority that is not in {authorities}"),
    23: "the peer's certificate was revoked",
    26: "the peer's certificate is not meant for this use (extended key usage)",
    **dict.fromkeys((66, 67, 68), f"the peer's certificate: {_WEAK}"),
}

_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
#: X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH
_OTHER_HOST: Final = (62, 64)


def in_words(error: BaseException | None, authorities: str = "what is trusted here") -> str:
    """Return what is wrong; in the words of OpenSSL where there are no better ones.

    Parameters
    ----------
    authorities
        How to name those whose certificates are accepted.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _VERIFICATION.get(error.verify_code)
        return known.format(authorities=authorities) if known else f"the peer's certificate: {error.verify_message}"
    if is_cut(error):
        return SILENT if isinstance(error, TimeoutError) else CUT
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or ""
        alert = _alert(reason)
        if alert is not None:
            return _ALERTS.get(alert, f"the peer sent the TLS alert {_lower(alert)}")
        return _REASONS.get(reason, _lower(reason) if reason else str(error.strerror or error))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error)


def is_alert(error: BaseException | None) -> bool:
    """Say whether the peer told by an alert that it wants no TLS with us as we are."""
    return isinstance(error, ssl.SSLError) and _alert(getattr(error, "reason", None) or "") is not None


def is_cut(error: BaseException | None) -> bool:
    """Say whether the connection just ended, or nothing came: no word on why."""
    return isinstance(error, (*_CUT, TimeoutError, ConnectionError))


def is_other_host(error: BaseException) -> bool:
    """Say whether the certificate is fine, but another host's."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _OTHER_HOST


def _alert(reason: str) -> str | None:
    # SSLV3_ALERT_BAD_CERTIFICATE, TLSV1_ALERT_UNKNOWN_CA, TLSV13_ALERT_CERTIFICATE_REQUIRED, TLSV1_UNRECOGNIZED_NAME
    protocol, _, rest = reason.partition("_")
    if protocol not in ("SSLV3", "TLSV1", "TLSV13"):
        return None
    return rest.removeprefix("ALERT_")


def _lower(reason: str) -> str:
    return reason.lower().replace("_", " ")

"""TLS by BCP 195 (RFC 8996, RFC 9325; DICOM PS3.15 section B.12), in both roles.

`files` looks at what is in files of certificates and keys, `policy` says what TLS we speak, `contexts` makes contexts
of files and follows their changes, `handshake` uses them, `words` says what went wrong.
"""

from __future__ import annotations

from karnak_core.tls.contexts import ClientSettings, ServerSettings, WatchedContext, client_context, server_context
from karnak_core.tls.errors import HandshakeCut, HandshakeFailed, TlsFileError
from karnak_core.tls.files import check_authorities, check_certificate, check_key
from karnak_core.tls.handshake import accepting, connect
from karnak_core.tls.peers import describe_peer, describe_session
from karnak_core.tls.words import in_words, is_alert, is_cut

__all__ = [
    "ClientSettings",
    "HandshakeCut",
    "HandshakeFailed",
    "ServerSettings",
    "TlsFileError",
    "WatchedContext",
    "accepting",
    "check_authorities",
    "check_certificate",
    "check_key",
    "client_context",
    "connect",
    "describe_peer",
    "describe_session",
    "in_words",
    "is_alert",
    "is_cut",
    "server_context",
]

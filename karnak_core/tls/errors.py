"""What can go wrong with TLS.

ValueError
└── TlsFileError        a file of certificates or of a key cannot be used
OSError
└── HandshakeFailed     there is no TLS with the peer, and somebody has to change something
    └── HandshakeCut    the connection ended, or the peer was silent: it may work later
"""

from __future__ import annotations


class TlsFileError(ValueError):
    """A file cannot be used for TLS; says which, and why."""


class HandshakeFailed(OSError):
    """There is no TLS with the peer; says why, without naming the peer."""


class HandshakeCut(HandshakeFailed):
    """The connection ended during the handshake, or the peer did not go on with it."""

"""What goes wrong between us and a web service, in words that are the same each time and not the library's."""

from __future__ import annotations

import ssl
from http.client import BadStatusLine, LineTooLong, RemoteDisconnected

import requests
from urllib3.exceptions import NameResolutionError

from karnak_core.errors import DeliveryError, Misconfigured, Retryable
from karnak_core.lookups.timed import causes, is_overdue


def no_answer(error: Exception, peer: str, seconds: float) -> DeliveryError:
    """Return what it means that a request got no answer.

    Parameters
    ----------
    seconds
        How long we waited, at most; twice as long for all of an answer.
    """
    found = list(causes(error))
    if is_overdue(error):
        return Retryable(f"{peer} does not come to an end of its answer within {2 * seconds:g} s")
    for one in found:
        if isinstance(one, ssl.SSLCertVerificationError):
            return Misconfigured(f"{peer} shows a certificate that is not trusted: {one.verify_message}")
    if isinstance(error, requests.exceptions.ProxyError):
        return Retryable(f"{peer} cannot be reached through the proxy")
    if any(isinstance(one, NameResolutionError) for one in found):
        return Retryable(f"{peer} cannot be reached: the host name is not known")
    if any(isinstance(one, requests.Timeout | TimeoutError) for one in found):
        return Retryable(f"{peer} does not answer within {seconds:g} s")
    if is_closed(error):
        return Retryable(f"{peer} closes the connection without an answer")
    for one in found:
        if isinstance(one, ssl.SSLError):
            return Misconfigured(
                f"{peer} cannot be spoken to by TLS: {(one.reason or 'no reason').replace('_', ' ').lower()}"
            )
    if any(isinstance(one, BadStatusLine | LineTooLong) for one in found):
        return Misconfigured(f"{peer} answers something that is no HTTP")
    for one in reversed(found):
        if isinstance(one, OSError) and one.strerror:
            return Retryable(f"{peer} cannot be reached: {one.strerror}")
    return Retryable(f"{peer} breaks off its answer")


def is_closed(error: Exception) -> bool:
    """Tell whether the connection was closed before there was an answer, as servers do with idle ones."""
    closed = (RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
    return any(isinstance(one, closed) for one in causes(error))

"""Where a destination is, in words for people, without secrets."""

from __future__ import annotations

from urllib.parse import urlsplit

from karnak_core.config.models import Destination


def label(destination: Destination) -> str:
    """Return the type and the address of a destination: ``dicom PACS at 10.0.0.7:104 (archive)``."""
    where = _address(destination)
    words = [destination.type, *([where] if where else [])]
    if destination.description:
        words.append(f"({destination.description})")
    return " ".join(words)


def _address(destination: Destination) -> str:
    def key(name: str) -> str:
        value = getattr(destination.options, name, None)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""

    if key("url"):
        return without_secrets(key("url"))
    host, port = key("hostname"), key("port")
    at = f"{host}:{port}" if host and port else host
    return " at ".join(part for part in (key("ae_title"), at) if part) or key("directory")


def without_secrets(url: str) -> str:
    """Return an address without user, password, query and fragment, which may hold keys."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{port}{parts.path}"

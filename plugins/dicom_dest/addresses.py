"""``AE@HOST:PORT`` on the command line."""

from __future__ import annotations

from dataclasses import dataclass

import click


@dataclass(frozen=True, kw_only=True)
class Address:
    """A DICOM node: called AE title, host, port."""

    ae_title: str
    host: str
    port: int


def parse_address(text: str, *, ae_title: str | None = None) -> Address:
    """Read ``AE@HOST:PORT``, or ``HOST:PORT`` where ``ae_title`` says which AE title to call.

    Raises
    ------
    click.BadParameter
        It is neither; the message says what is missing.
    """
    title, at, rest = text.rpartition("@")
    host, colon, port = rest.rpartition(":")
    title = title or (ae_title or "")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise click.BadParameter(f"{text!r} does not end in HOST:PORT with a port from 1 to 65535")
    if not 1 <= len(title.strip()) <= 16 or (at and not title):
        raise click.BadParameter(f"{text!r}: the AE title before @ is not 1 to 16 characters (DICOM PS3.5 section 6.2)")
    return Address(ae_title=title.strip(), host=host.strip("[]"), port=int(port))

"""Whose address one is: what counts as one client."""

from __future__ import annotations

import ipaddress
from typing import Final

#: bits of an IPv6 address that tell customers apart; the rest is given to one
_CUSTOMER: Final = 64


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address of the other side; None: it is none, as with a socket that is a file."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    # a server that listens on :: sees IPv4 like that
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address


def whose_address(host: str) -> str:
    """Return what stands for one client: its address, and of IPv6 the network, all of which one machine may have."""
    address = address_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _CUSTOMER), strict=False))
    return host if address is None else str(address)

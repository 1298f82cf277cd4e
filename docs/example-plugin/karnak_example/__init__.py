"""The plugin: what it offers to Karnak.

The entry point names this module. Karnak imports it in every one of its processes when it starts, so it does nothing
but say what there is: no threads, no connections, no files here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from karnak_core import hookimpl
from karnak_core.deidentify import ProfileElement
from karnak_core.kinds import Kind
from karnak_core.model import Authenticator, Destination, Notifier, PseudonymSource

from karnak_example.api_key import ApiKey, ApiKeyAuthenticator
from karnak_example.checksum_list import ChecksumList
from karnak_example.command import checksums
from karnak_example.config import ChecksumListDestination
from karnak_example.pseudonym_list import PseudonymList, PseudonymListSource
from karnak_example.truncate import TRUNCATE_TEXT
from karnak_example.webhook import Webhook, WebhookNotification

# A module constant, not an expression in the return below: type checkers then see that the part takes this model.
CHECKSUM_LIST = Kind(
    name="checksum_list",
    config=ChecksumListDestination,
    open=ChecksumList,
    summary="a text file with the checksum of every instance",
)
API_KEY = Kind(
    name="api_key",
    config=ApiKeyAuthenticator,
    open=ApiKey,
    summary="a key in a header",
)
PSEUDONYM_LIST = Kind(
    name="pseudonym_list",
    config=PseudonymListSource,
    open=PseudonymList,
    summary="a text file with pseudonyms",
)
WEBHOOK = Kind(
    name="webhook",
    config=WebhookNotification,
    open=Webhook,
    summary="JSON to an address",
)


@hookimpl
def karnak_register_destinations() -> Sequence[Kind[Any, Destination]]:
    """Offer the destination type ``checksum_list``."""
    return [CHECKSUM_LIST]


@hookimpl
def karnak_register_authenticators() -> Sequence[Kind[Any, Authenticator]]:
    """Offer the authenticator ``api_key``; ``karnak auth-header api_key`` comes by itself."""
    return [API_KEY]


@hookimpl
def karnak_register_pseudonym_sources() -> Sequence[Kind[Any, PseudonymSource]]:
    """Offer the source of pseudonyms ``pseudonym_list``."""
    return [PSEUDONYM_LIST]


@hookimpl
def karnak_register_notifiers() -> Sequence[Kind[Any, Notifier]]:
    """Offer the notification type ``webhook``."""
    return [WEBHOOK]


@hookimpl
def karnak_register_profile_elements() -> Sequence[ProfileElement]:
    """Offer the codename ``example.truncate.text`` to profiles."""
    return [TRUNCATE_TEXT]


@hookimpl
def karnak_register_commands(cli: click.Group) -> None:
    """Add ``karnak checksums``."""
    cli.add_command(checksums)

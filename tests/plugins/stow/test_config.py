"""The keys of a destination of type ``stow``, and how the plugin is found."""

from __future__ import annotations

import pluggy
import pytest
from pydantic import ValidationError

import karnak_plugins.stow_dest
from karnak_core import hookspecs
from karnak_core.plugins import load
from karnak_plugins.stow_dest import STOW


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("http://test.com", "http://test.com/studies"),
        ("http://test.com/", "http://test.com/studies"),
        ("http://localhost:8080/dicomweb/studies", "http://localhost:8080/dicomweb/studies"),
        (" https://h/dicom-web/studies// ", "https://h/dicom-web/studies"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x/studies"),
        ("https://h/studies-of-mine", "https://h/studies-of-mine/studies"),
    ],
)
def test_studies_is_added_where_it_is_missing(url: str, used: str) -> None:
    assert STOW.config(url=url).url == used


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "Field required"),
        ({"url": "ftp://h"}, "does not begin with http:// or https://"),
        ({"url": "h/dicom-web"}, "does not begin with http:// or https://"),
        ({"url": "https:///x"}, "does not begin with http:// or https:// and a host name"),
        ({"url": "https://u:p@h"}, "has a user name or password in it; use an authenticator"),
        ({"url": "https://h?key=1"}, "has a query or fragment"),
        ({"url": "https://h/#x"}, "has a query or fragment"),
        ({"url": "https://h:99999"}, "the port is not 0 to 65535"),
        ({"url": "https://h:x"}, "is no URL"),
        ({"url": "https://[h"}, "is no URL"),
        ({"url": "https://h/a b"}, "has blanks"),
        ({"url": "http://h", "connections": 51}, "less than or equal to 50"),
        ({"url": "http://h", "tls": {}}, "tls needs a url that begins with https:"),
        ({"url": "http://h", "headers": "<key>Host</key><value>x</value>"}, "pair 1 (Host): cannot be given"),
        ({"url": "http://h", "max_request_bytes": 1000}, "greater than or equal to 65536"),
        ({"url": "http://h", "timeout": 0}, "greater than 0"),
        ({"url": "http://h", "verfy": True}, "Extra inputs are not permitted"),
        (
            {"url": "http://h", "authenticator": "a", "headers": {"authorization": "Bearer s3cret"}},
            "headers have Authorization, and authenticator makes one, too; only one of them can be",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        STOW.config.model_validate(keys)
    errors = str([(error["loc"], error["msg"]) for error in caught.value.errors()])
    assert words in errors
    assert "s3cret" not in errors
    assert "u:p" not in errors


def test_secrets_of_headers_are_not_shown() -> None:
    config = STOW.config.model_validate({"url": "http://h", "headers": {"X-Api-Key": "s3cret"}})
    assert "s3cret" not in repr(config)
    assert "s3cret" not in config.model_dump_json()


def test_every_key_is_described() -> None:
    assert all(field.description for field in STOW.config.model_fields.values())


def test_hooks_are_those_that_are_specified() -> None:
    manager = pluggy.PluginManager("karnak")
    manager.add_hookspecs(hookspecs)
    manager.register(karnak_plugins.stow_dest)
    manager.check_pending()
    assert manager.hook.karnak_register_destinations() == [[STOW]]


def test_installed_plugin_offers_the_type() -> None:
    assert load().destinations["stow"] is STOW

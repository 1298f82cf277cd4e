"""The keys of an album, and where one may stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from karnak_core.config.afterwards import by_key
from karnak_core.config.load import load as load_configuration
from karnak_core.errors import ConfigurationError
from karnak_core.plugins import load
from karnak_plugins.kheops_switch import KHEOPS_ALBUM

ALBUM = {
    "type": "kheops_album",
    "api_url": "https://kheops.example.org/api/",
    "destination_token": {"env": "T1"},
    "source_token": {"env": "T2"},
}
STOW = {"name": "cloud", "type": "stow", "url": "https://kheops.example.org/api"}
PLACE = "forward_nodes[0].destinations[0].follow_ups"


def configured(*albums: dict[str, Any], destination: dict[str, Any] = STOW) -> Any:
    document = {"forward_nodes": [{"ae_title": "NODE", "destinations": [{**destination, "follow_ups": list(albums)}]}]}
    return load_configuration(document, load(), Path("/")).forward_nodes[0].destinations[0]


def problems(*albums: dict[str, Any], destination: dict[str, Any] = STOW) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        configured(*albums, destination=destination)
    return [str(problem) for problem in caught.value.problems]


def test_karnak_register_follow_ups_offers_the_type_that_an_entry_point_names() -> None:
    assert load().follow_ups["kheops_album"] is KHEOPS_ALBUM


def test_album_of_a_stow_destination_is_read() -> None:
    [album] = configured(ALBUM).follow_ups
    assert album.options.api_url == "https://kheops.example.org/api"
    assert "T1" not in repr(album)


def test_album_needs_a_stow_destination() -> None:
    destination = {"name": "local", "type": "folder", "directory": "out"}
    assert problems(ALBUM, destination=destination) == [
        f"{PLACE}[0]: kheops_album needs a destination of type stow, and this one is folder"
    ]


def test_album_where_it_cannot_work_is_told_beside_what_is_wrong_elsewhere() -> None:
    wrong = {"name": "local", "type": "folder", "directory": "out"}
    broken = {**ALBUM, "source_token": ""}
    assert problems(broken, ALBUM, {**ALBUM, "timeout": 3}, destination=wrong) == [
        f"{PLACE}[0].source_token: is empty",
        f"{PLACE}[1]: kheops_album needs a destination of type stow, and this one is folder",
        f"{PLACE}[2]: kheops_album needs a destination of type stow, and this one is folder",
        f"{PLACE}[2]: already existing: follow_ups[1] is the same album",
    ]


def test_same_album_twice_is_refused() -> None:
    again = {**ALBUM, "name": "again", "timeout": 3}
    assert problems(ALBUM, {**ALBUM, "condition": "tagIsPresent(#Tag.Modality)"}, again) == [
        f"{PLACE}[2]: already existing: follow_ups[0] is the same album"
    ]


def test_albums_that_differ_in_a_token_only_are_two() -> None:
    one, other = ALBUM, {**ALBUM, "destination_token": {"env": "T3"}}
    keys = list(by_key(configured(one, other).follow_ups))
    assert len(set(keys)) == 2
    assert list(by_key(configured(other, one).follow_ups)) == keys[::-1]
    assert list(by_key(configured(one).follow_ups)) == keys[:1]


def test_album_stays_what_it_is_when_one_is_added_that_differs_in_a_written_token_only() -> None:
    one, other = ({**ALBUM, "destination_token": text} for text in ("ONE", "OTHER"))
    keys = list(by_key(configured(one, other).follow_ups))
    assert len(set(keys)) == 2
    assert list(by_key(configured(one).follow_ups)) == keys[:1]


def test_renewed_token_is_of_the_same_album() -> None:
    one, other = (configured({**ALBUM, "destination_token": text}).follow_ups for text in ("OLD", "NEW"))
    assert list(by_key(one)) == list(by_key(other))


@pytest.mark.parametrize("key", ["api_url", "destination_token", "source_token"])
def test_every_key_of_access_is_needed(key: str) -> None:
    assert problems({name: value for name, value in ALBUM.items() if name != key}) == [f"{PLACE}[0].{key}: is missing"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"api_url": "kheops.example.org"}, "api_url: is no address"),
        ({"api_url": "https://u:p@kheops.example.org"}, "api_url: has a user name"),
        ({"api_url": "https://kheops.example.org/api?x=1"}, "api_url: has a query"),
        ({"destination_token": ""}, "destination_token: is empty"),
        ({"source_token": "Bearer s3cret"}, "source_token: begins with 'Bearer'"),
        ({"source_token": "s3 cret"}, "source_token: has characters"),
        ({"condition": "tagValue("}, "condition: "),
        ({"api_url": "http://kheops.example.org", "tls": {}}, "tls needs an api_url that begins with https:"),
    ],
)
def test_what_is_wrong_is_told_without_the_token(keys: dict[str, Any], words: str) -> None:
    [problem] = problems({**ALBUM, **keys})
    assert problem.startswith(f"{PLACE}[0]")
    assert words in problem
    assert "s3" not in problem

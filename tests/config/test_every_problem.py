"""Everything that is wrong is told at once and at its key, also of keys that only go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from karnak_core import plugins as plugins_module
from karnak_core.config.load import read_text
from karnak_core.config.models import Configuration
from karnak_core.errors import ConfigurationError

DICOM = "forward_nodes[0].destinations[0]"
NEEDED = "is missing; needed unless use_ae_title_destination is true"


def said(text: str, folder: Path) -> dict[str, str]:
    """Return what is wrong with a file, by place."""
    with pytest.raises(ConfigurationError) as caught:
        read_text(text, plugins_module.load, folder)
    places = [problem.place for problem in caught.value.problems]
    assert len(places) == len(set(places))
    return {problem.place: problem.message for problem in caught.value.problems}


def destination(keys: str) -> str:
    return f"forward_nodes: [{{ae_title: A, destinations: [{{name: d, {keys}}}]}}]"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("type: dicom", {"ae_title": "is missing", "hostname": NEEDED, "port": NEEDED}),
        (
            "type: dicom, ae_title: '', hostname: '', port: 70000",
            {
                "ae_title": "'' is not 1 to 16 characters (DICOM PS3.5 section 6.2)",
                "hostname": NEEDED,
                "port": "70000 is not 1 to 65535",
            },
        ),
        ("type: dicom, ae_title: '', use_ae_title_destination: true", {"ae_title": "'' is not 1 to 16 characters"}),
        (
            "type: dicom, ae_title: X, connections: 0, tls: {key: gone.pem, foo: 1}",
            {
                "hostname": NEEDED,
                "port": NEEDED,
                "connections": "0 is not",
                "tls.key": "gone.pem' cannot be read",
                "tls.foo": "unknown key",
            },
        ),
        (
            "type: stow, url: 'http://h', tls: {}, timeout: 0",
            {"tls": "tls needs a url that begins with https:", "timeout": "0 s is not"},
        ),
        ("type: stow, url: nowhere, tls: {}", {"url": "does not begin with http:// or https://"}),
    ],
)
def test_keys_that_go_together_are_told_with_those_that_are_wrong(
    tmp_path: Path, keys: str, expected: dict[str, str]
) -> None:
    found = said(destination(keys), tmp_path)
    assert found.keys() == {f"{DICOM}.{key}" for key in expected}
    for key, words in expected.items():
        assert words in found[f"{DICOM}.{key}"]


def test_other_kinds_tell_everything_too(tmp_path: Path) -> None:
    found = said(
        """
authenticators:
  a: {type: oauth2, token_url: "http://h", scope: "ä"}
  b: {type: oauth2, timeout: x}
plugins: {email_notify: {username: karnak, port: 0}}
projects: [{name: P, profile: Dicom Basic Profile}]
forward_nodes:
  - ae_title: A
    destinations:
      - name: d
        type: folder
        directory: x
        de_identification: {project: P, pseudonym: {type: api, url: "http://h", tls: {}, method: POST, timeout: x}}
        follow_ups: [{name: k, type: kheops_album, api_url: "http://k", tls: {}, timeout: x}]
""",
        tmp_path,
    )
    pseudonym, album = f"{DICOM}.de_identification.pseudonym", f"{DICOM}.follow_ups[0]"
    assert found.keys() == {
        "authenticators.a.scope",
        "authenticators.a.client_id",
        "authenticators.a.client_secret",
        "authenticators.b.token",
        "authenticators.b.timeout",
        "plugins.email_notify.port",
        "plugins.email_notify.password",
        *(f"{pseudonym}.{key}" for key in ("body", "tls", "timeout")),
        *(f"{album}.{key}" for key in ("destination_token", "source_token", "tls", "timeout")),
    }


def models(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Find a model and those that its keys have."""
    if model not in seen:
        seen.add(model)
        yield model
        for field in model.model_fields.values():
            for inner in _inside(field.annotation):
                yield from models(inner, seen)


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def test_no_model_looks_at_its_keys_only_when_none_is_wrong() -> None:
    plugins = plugins_module.load()
    kinds = (
        *plugins.destinations.values(),
        *plugins.authenticators.values(),
        *plugins.pseudonym_sources.values(),
        *plugins.follow_ups.values(),
        *plugins.notifiers.values(),
    )
    roots = [Configuration, *(kind.config for kind in kinds), *plugins.sections.values()]
    seen: set[type[BaseModel]] = set()
    found = [model for root in roots for model in models(root, seen)]
    assert len(found) > 25
    for model in found:
        for name, validator in model.__pydantic_decorators__.model_validators.items():
            assert validator.info.mode != "after", f"{model.__name__}.{name}"

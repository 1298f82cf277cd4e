"""docs/configuration.md has every key with its default, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from karnak_core.config.afterwards import FollowUp, Notification
from karnak_core.config.deidentification import DeIdentification, Project, TagMorphing
from karnak_core.config.models import (
    ApplicationEntity,
    Authenticator,
    ClinicalLog,
    Configuration,
    Destination,
    ForwardNode,
    Listener,
    Monitoring,
    PluginSections,
    Source,
    Storage,
)
from karnak_core.config.profiles import ProfileText
from karnak_core.config.tls import ClientTLS, ServerTLS
from karnak_core.plugins import load

MANUAL = Path(__file__).parents[2] / "docs" / "configuration.md"

SECTIONS: dict[str, type[BaseModel]] = {
    "listener": Listener,
    "listener.tls": ServerTLS,
    "tls": ClientTLS,
    "storage": Storage,
    "monitoring": Monitoring,
    "clinical_log": ClinicalLog,
    "application_entities": ApplicationEntity,
    "authenticators": Authenticator,
    "profiles": ProfileText,
    "projects": Project,
    "forward_nodes": ForwardNode,
    "sources": Source,
    "destinations": Destination,
    "de_identification": DeIdentification,
    "tag_morphing": TagMorphing,
    "follow_ups": FollowUp,
    "notifications": Notification,
    "plugins": PluginSections,
}
#: keys whose default a plugin gives, which the model does not know of
FILLED_IN = {"pseudonym": "{type: stored}"}
#: fields that are no keys
HIDDEN = {"options", "services"}


def manual() -> dict[str, dict[str, str]]:
    """Return what the manual's tables say: heading to key to default."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in MANUAL.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"#+ `(.+)`", line):
            heading = match[1]
        elif match := re.fullmatch(r"\| `(\w+)` \| `?(.+?)`? \| .+ \|", line):
            found.setdefault(heading, {})[match[1]] = match[2]
    return found


def model_says(model: type[BaseModel]) -> dict[str, str]:
    """Return the same of a model."""
    fields = {name: field for name, field in model.model_fields.items() if name not in HIDDEN}
    return {name: FILLED_IN.get(name) or default_of(field) for name, field in fields.items()}


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    # written as in a file, with its unit
    annotated: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    adapter: TypeAdapter[object] = TypeAdapter(annotated)
    return in_words(adapter.dump_python(field.get_default(call_default_factory=True), mode="json"))


def in_words(value: object) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) or "empty"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_manual_has_every_key_of_a_section_with_its_default(section: str) -> None:
    assert manual()[section] == model_says(SECTIONS[section])


def test_the_manual_has_every_key_of_the_built_in_types_with_its_default() -> None:
    plugins = load()
    kinds = (
        plugins.destinations,
        plugins.authenticators,
        plugins.pseudonym_sources,
        plugins.follow_ups,
        plugins.notifiers,
    )
    for name, kind in [pair for some in kinds for pair in some.items()]:
        assert manual()[f"type: {name}"] == model_says(kind.config), name
        if kind.section is not None:
            assert manual()[kind.section.name] == model_says(kind.section.config), kind.section.name
    for name, service in plugins.services.items():
        assert manual()[name] == model_says(service.config), name


def test_the_manual_has_every_section() -> None:
    assert set(Configuration.model_fields) <= set(manual())

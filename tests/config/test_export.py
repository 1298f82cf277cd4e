"""What is exported is short, stable, and loads as what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from karnak_core.config import yaml_text
from karnak_core.config.default import default_configuration
from karnak_core.config.export import to_document, to_yaml
from karnak_core.config.load import load
from karnak_core.config.models import Configuration
from karnak_core.plugins import Plugins

Load = Callable[[str], Configuration]


def test_only_what_is_no_default_is_written(read: Load) -> None:
    text = """\
listener:
  port: 104
storage:
  reserve: 500 MB
forward_nodes:
  - ae_title: 'NO'
    destinations:
      - name: pacs
        type: peer
        ae_title: PACS
        timeout: 2 min
        password:
          env: ARCHIVE
        paused: true
        authorized_sop_classes:
          - 1.2.840.10008.5.1.4.1.1.2
        retry_for: 1 day
plugins:
  mail: {}
  disabled:
    - other
"""
    assert to_yaml(read(text)) == text


def test_a_configuration_of_defaults_is_empty() -> None:
    assert to_document(Configuration()) == {}
    assert to_yaml(Configuration()) == "{}\n"


def test_the_default_loads_from_its_export(plugins: Plugins) -> None:
    default = default_configuration(plugins)
    assert load(yaml_text.parse(to_yaml(default)), plugins) == default


def test_paths_of_secrets_are_absolute(read: Load, tmp_path: Path) -> None:
    exported = to_document(read("plugins: {mail: {password: {file: smtp}}}"))
    assert exported == {"plugins": {"mail": {"password": {"file": str(tmp_path / "smtp")}}}}


PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\\")
TITLES = st.text(PRINTABLE, min_size=1, max_size=16).filter(lambda text: text == text.strip())
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
PORTS = st.integers(1, 65535)
SECRETS = st.fixed_dictionaries({"env": NAMES}) | st.fixed_dictionaries({"stored": NAMES})


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


def merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


#: comments: whatever a profile's text is, it has to be one
COMMENTS = st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"], include_characters="\t")
LINES = st.lists(st.text(COMMENTS, max_size=40)).map(lambda lines: "".join(f"# {line}\n" for line in lines))
PROFILES = LINES.map(
    lambda comments: f"{comments}name: research\nprofileElements:\n  - {{name: a, codename: basic.dicom.profile}}"
)
PROJECT = st.sampled_from(["A", "B c"])
PROJECTS = st.just([{"name": "A", "profile": "Dicom Basic Profile"}, {"name": "B c", "profile": "research"}])
PSEUDONYMS = st.sampled_from([{"type": "stored"}, {"type": "tag", "tag": "0012,0040", "delimiter": "-", "position": 1}])
DE_IDENTIFICATION = merged(
    st.fixed_dictionaries({"project": PROJECT}),
    optional(pseudonym=PSEUDONYMS, default_issuer_of_patient_id=TEXTS, leak_check=st.booleans()),
)
COMMON = merged(
    st.fixed_dictionaries({"name": NAMES}),
    optional(
        description=TEXTS,
        enabled=st.booleans(),
        paused=st.booleans(),
        authorized_sop_classes=st.lists(st.sampled_from(["CT Image Storage", "MRImageStorage", "1.2.3"])),
        retry_for=st.integers(0, 31_536_000) | st.floats(0, 1e6),
        retry_first=st.floats(0.1, 1),
        # not less than the longest that retry_first is where it is left out
        retry_longest=st.integers(5, 604_800).map(lambda seconds: f"{seconds} s"),
    ),
    optional(de_identification=DE_IDENTIFICATION) | optional(tag_morphing=st.fixed_dictionaries({"project": PROJECT})),
)
PEERS = merged(
    st.fixed_dictionaries({"type": st.just("peer"), "ae_title": TITLES}),
    COMMON,
    optional(
        port=PORTS,
        hostname=TEXTS,
        password=SECRETS,
        tls=st.booleans() | st.fixed_dictionaries({"ca": TEXTS}, optional={"password": SECRETS}),
        headers=TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
)
FOLDERS = merged(
    st.fixed_dictionaries({"type": st.just("folder"), "directory": TEXTS}), COMMON, optional(pattern=TEXTS)
)
SOURCES = merged(st.fixed_dictionaries({"ae_title": TITLES}), optional(hostname=NAMES, description=TEXTS))
NODES = merged(
    st.fixed_dictionaries({"ae_title": TITLES}),
    optional(
        description=TEXTS,
        sources=st.lists(
            SOURCES, max_size=3, unique_by=lambda source: (source["ae_title"], source.get("hostname", ""))
        ),
        destinations=st.lists(PEERS | FOLDERS, max_size=3, unique_by=lambda destination: destination["name"]),
    ),
)
DE_IDENTIFYING = st.fixed_dictionaries({"profiles": PROFILES.map(lambda text: [{"text": text}]), "projects": PROJECTS})
FURTHER = optional(
    listener=optional(host=NAMES, port=PORTS, max_associations=st.integers(1, 10_000)),
    storage=optional(reserve=st.integers(0, 2**50), retention_days=st.integers(0, 36_500)),
    application_entities=st.lists(
        st.fixed_dictionaries({"ae_title": TITLES, "hostname": NAMES, "port": PORTS}),
        max_size=3,
        unique_by=lambda entity: entity["ae_title"],
    ),
    forward_nodes=st.lists(NODES, max_size=3, unique_by=lambda node: node["ae_title"]),
    plugins=optional(mail=st.none() | optional(host=TEXTS, password=SECRETS)),
)
DOCUMENTS = merged(DE_IDENTIFYING, FURTHER)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(DOCUMENTS)
def test_what_is_exported_loads_as_what_it_was(plugins: Plugins, document: dict[str, Any]) -> None:
    configuration = load(document, plugins)
    exported = to_yaml(configuration)
    again = load(yaml_text.parse(exported), plugins)
    assert again == configuration
    assert to_yaml(again) == exported

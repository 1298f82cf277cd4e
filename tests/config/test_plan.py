"""What a change means is told by the names that people know."""

from __future__ import annotations

from collections.abc import Callable

from karnak_core.config.models import Configuration
from karnak_core.config.plan import changes

Load = Callable[[str], Configuration]


def plan(read: Load, old: str, new: str, count: int = 0) -> list[str]:
    return changes(read(old), read(new), lambda _node, destination: count if destination == "cloud" else 0)


def test_nothing_changes_when_entries_only_change_places(read: Load) -> None:
    one, other = "{ae_title: A, description: x}", "{ae_title: B}"
    assert plan(read, f"forward_nodes: [{one}, {other}]", f"forward_nodes: [{other}, {one}]") == []


def test_every_change_is_a_line(read: Load) -> None:
    old = """
        listener: {port: 104}
        application_entities: [{ae_title: OLD, hostname: a, port: 1}, {ae_title: PACS, hostname: a, port: 1}]
        forward_nodes:
          - ae_title: FORWARD
            sources: [{ae_title: CT1, hostname: 10.0.0.5}, {ae_title: CT2}]
            destinations:
              - {name: cloud, type: folder, directory: x}
              - {name: pacs, type: peer, ae_title: PACS, port: 104, paused: true}
          - {ae_title: GONE, destinations: [{name: cloud, type: folder, directory: x}]}
        plugins: {mail: {port: 25}}
    """
    new = """
        listener: {port: 11112}
        storage: {reserve: 5 GiB}
        application_entities: [{ae_title: NEW, hostname: a, port: 1}, {ae_title: PACS, hostname: b, port: 1}]
        forward_nodes:
          - ae_title: FORWARD
            description: research PACS
            sources: [{ae_title: CT1, hostname: 10.0.0.6}, {ae_title: CT2, description: the new one}]
            destinations:
              - {name: pacs, type: peer, ae_title: PACS, port: 11104, tls: {ca: x}, authorized_sop_classes: [1.2.3]}
              - {name: disk, type: folder, directory: y}
          - {ae_title: MORE, destinations: [{name: a, type: folder, directory: x}]}
        plugins: {disabled: [other], mail: {port: 587}}
    """
    assert plan(read, old, new, 312) == [
        "~ listener: port 104 -> 11112",
        "~ storage: reserve 2 GiB -> 5 GiB",
        "~ plugins: disabled [] -> [other]",
        "~ plugins.mail: port 25 -> 587",
        "- application entity OLD: removed",
        "~ application entity PACS: hostname a -> b",
        "+ application entity NEW: added",
        "~ FORWARD: description '' -> research PACS",
        "- FORWARD/source CT1@10.0.0.5: removed",
        "~ FORWARD/source CT2: description '' -> the new one",
        "+ FORWARD/source CT1@10.0.0.6: added",
        "- FORWARD/cloud: removed, 312 deliveries still open",
        "~ FORWARD/pacs: port 104 -> 11104",
        "~ FORWARD/pacs: tls false -> {ca: x, password: none}",
        "~ FORWARD/pacs: paused true -> false",
        "~ FORWARD/pacs: authorized_sop_classes [] -> [1.2.3]",
        "+ FORWARD/disk: added",
        "- GONE: removed",
        "- GONE/cloud: removed, 312 deliveries still open",
        "+ MORE: added",
        "+ MORE/a: added",
    ]


def test_one_delivery_is_one(read: Load) -> None:
    old = "forward_nodes: [{ae_title: A, destinations: [{name: cloud, type: folder, directory: x}]}]"
    assert plan(read, old, "forward_nodes: [{ae_title: A}]", 1) == ["- A/cloud: removed, 1 delivery still open"]


def test_another_type_is_a_change_of_keys(read: Load) -> None:
    old = "forward_nodes: [{ae_title: A, destinations: [{name: d, type: folder, directory: x}]}]"
    new = "forward_nodes: [{ae_title: A, destinations: [{name: d, type: peer, ae_title: B}]}]"
    lines = plan(read, old, new)
    assert lines[:2] == ["~ A/d: type folder -> peer", "~ A/d: directory x -> none"]
    assert "~ A/d: ae_title none -> B" in lines


def test_services_are_added_and_removed(read: Load) -> None:
    assert plan(read, "{}", "plugins: {mail: }") == ["+ plugins.mail: added"]
    assert plan(read, "plugins: {mail: }", "{}") == ["- plugins.mail: removed"]


def test_a_secret_is_said_to_change_and_not_shown(read: Load) -> None:
    text = "forward_nodes: [{ae_title: A, destinations: [{name: d, type: peer, ae_title: B, password: X, tls: Y}]}]"
    old = text.replace("X", "hunter2").replace("Y", "{ca: a, password: hunter2}")
    new = text.replace("X", "hunter3").replace("Y", "{ca: a, password: {env: hunter3}}")
    assert plan(read, old, new) == ["~ A/d: password changed", "~ A/d: tls.password changed"]
    assert plan(read, text.replace("X", "{env: A}").replace("Y", "false"), new.replace("hunter3", "hunter2")) == [
        "~ A/d: password changed",
        "~ A/d: tls false -> {ca: a, password: ***}",
    ]


def test_long_values_are_cut(read: Load) -> None:
    (line,) = plan(
        read, "forward_nodes: [{ae_title: A}]", f"forward_nodes: [{{ae_title: A, description: {'x' * 500}}}]"
    )
    assert line == f"~ A: description '' -> {'x' * 59}…"

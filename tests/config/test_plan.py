"""What a change means is told by the names that people know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
        "- FORWARD/cloud: removed, 312 deliveries still open: they fail",
        "~ FORWARD/pacs: port 104 -> 11104",
        "~ FORWARD/pacs: tls false -> {ca: x, password: none}",
        "~ FORWARD/pacs: paused true -> false",
        "~ FORWARD/pacs: authorized_sop_classes [] -> [1.2.3]",
        "+ FORWARD/disk: added",
        "- GONE: removed",
        "- GONE/cloud: removed, 312 deliveries still open: they fail",
        "+ MORE: added",
        "+ MORE/a: added",
    ]


def test_one_delivery_is_one(read: Load) -> None:
    old = "forward_nodes: [{ae_title: A, destinations: [{name: cloud, type: folder, directory: x}]}]"
    assert plan(read, old, "forward_nodes: [{ae_title: A}]", 1) == [
        "- A/cloud: removed, 1 delivery still open: it fails"
    ]


def test_another_name_is_told_with_what_fails_by_it(read: Load) -> None:
    old = "forward_nodes: [{ae_title: A, destinations: [{name: cloud, type: folder, directory: x}]}]"
    assert plan(read, old, old.replace("cloud", "other"), 2) == [
        "- A/cloud: removed, 2 deliveries still open: they fail",
        "+ A/other: added",
    ]
    assert "- A/cloud: removed, 2 deliveries still open: they fail" in plan(read, old, old.replace("A,", "B,"), 2)


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


PROFILES = """
    profiles:
      - {text: "{name: one, version: '1', profileElements: [{name: b, codename: basic.dicom.profile}]}"}
      - {text: "{name: two, version: '1', profileElements: [{name: b, codename: basic.dicom.profile}]}"}
    projects: [{name: A, profile: one}, {name: B, profile: one}]
"""


def treated(keys: str, profiles: str = PROFILES) -> str:
    return f"""{profiles}
    forward_nodes: [{{ae_title: F, destinations: [{{name: cloud, type: folder, directory: x{keys}}}]}}]
"""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (", de_identification: {project: A}", "", "with the patient's identity"),
        (", de_identification: {project: A}", ", tag_morphing: {project: A}", "with the patient's identity"),
        (", de_identification: {project: A}", ", de_identification: {project: B}", "de-identified otherwise"),
        ("", ", de_identification: {project: B}", "de-identified"),
        (", tag_morphing: {project: A}", ", tag_morphing: {project: B}", "with their tags changed otherwise"),
        (", tag_morphing: {project: A}", "", "with their tags unchanged"),
    ],
)
def test_queued_deliveries_that_go_out_otherwise_are_counted(read: Load, before: str, after: str, words: str) -> None:
    assert plan(read, treated(before), treated(after), 3)[-1] == f"~ F/cloud: 3 queued deliveries will go out {words}"
    assert plan(read, treated(before), treated(after), 1)[-1] == f"~ F/cloud: 1 queued delivery will go out {words}"
    assert not any("queued" in line for line in plan(read, treated(before), treated(after), 0))
    assert plan(read, treated(before), treated(before), 3) == []


def test_queued_deliveries_go_out_as_a_changed_project_or_profile_says(read: Load) -> None:
    used = ", de_identification: {project: A}"
    for changed in (
        PROFILES.replace("{name: A, profile: one}", "{name: A, profile: two}"),
        PROFILES.replace("[{name: b,", "[{name: c, codename: replace.uid}, {name: b,", 1),
    ):
        lines = plan(read, treated(used), treated(used, changed), 2)
        assert lines[-1] == "~ F/cloud: 2 queued deliveries will go out de-identified otherwise"

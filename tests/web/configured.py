"""What tests of the pages of the configuration share: configurations, and forms as a browser would send them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from web_support import ConsoleApp

from karnak_core.config.export import to_document

#: what somebody may try with a name or a description
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
PROFILE = """\
name: {name}
version: "1.0"
profileElements:
  - name: keep study date
    codename: action.on.specific.tags
    action: K
    tags: ["(0008,0020)"]
  - name: basic
    codename: basic.dicom.profile
"""


class _Fields(HTMLParser):
    def __init__(self, action: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._action = action
        self._inside = False
        self._template = 0
        self._select = self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "template":
            self._template += 1
        if tag == "form":
            self._inside = given.get("action") == self._action
        if not self._inside or self._template:
            return
        name = given.get("name", "")
        if tag == "input" and name and (given.get("type") != "checkbox" or "checked" in given):
            self.found[name] = given.get("value", "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.found):
            self.found[self._select] = given.get("value", "")
        elif tag == "textarea":
            self._area = name
            self.found[name] = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.found[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._template -= 1
        if tag == "form":
            self._inside = False
        if tag == "select":
            self._select = ""
        if tag == "textarea" and self._area:
            # a browser leaves out the first line end
            self.found[self._area] = self.found[self._area].removeprefix("\n")
            self._area = ""


def form_of(page: str, action: str) -> dict[str, str]:
    """Return what a browser would send of the form with this action, if nobody changed anything."""
    parser = _Fields(action)
    parser.feed(page)
    assert parser.found, f"no form with action {action}"
    return parser.found


def apply(app: ConsoleApp, **sections: Any) -> int:
    """Change sections of the configuration, as somebody else."""
    done = app.console.change(
        lambda document: {**document, **sections}, expected_version=None, author="somebody else", comment="a test"
    )
    return done.version


def document(app: ConsoleApp) -> dict[str, Any]:
    """Return the configuration that applies."""
    app.console.refresh()
    return to_document(app.console.configuration)


def destination(app: ConsoleApp, name: str, node: str = "FORWARD") -> dict[str, Any]:
    """Return a destination of the configuration that applies."""
    nodes = {one["ae_title"]: one for one in document(app)["forward_nodes"]}
    found: dict[str, Any] = {one["name"]: one for one in nodes[node]["destinations"]}[name]
    return found


def said_wrong(page: str) -> str:
    """Return what a page says is wrong, without its tags."""
    found = re.search(r'<div class="flash wrong".*?</div>', page, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found[0])) if found else ""


FOLDER = {"name": "disk", "type": "folder", "directory": "out"}
STOW = {"name": "web", "type": "stow", "url": "https://archive.example/dicomweb"}


def with_node(app: ConsoleApp, *destinations: dict[str, Any], **sections: Any) -> int:
    """Have one node, FORWARD, with destinations."""
    node = {"ae_title": "FORWARD", "destinations": list(destinations or [FOLDER])}
    return apply(app, forward_nodes=[node], **sections)


def with_project(app: ConsoleApp, *destinations: dict[str, Any]) -> int:
    """Have a node, and the project STUDY with the profile research."""
    profile = {"text": PROFILE.format(name="research")}
    return with_node(app, *destinations, profiles=[profile], projects=[{"name": "STUDY", "profile": "research"}])

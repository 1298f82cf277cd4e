"""``action.replace.api``: the new value is the answer of a web service. The request itself is the caller's."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from karnak_core.deidentify.actions import Decision
from karnak_core.deidentify.entry import Entry, ProfileElement, Rule, on_tags
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.visit import Lookup, Visit
from karnak_core.errors import DeliveryError
from karnak_core.expressions import ExpressionError, Replace, Template

#: a value of a data set must not lead to another host, nor get into the host that reasons name
_VALUE_IN_HOST = re.compile(r"\s*([^/?#{]*//)?[^/?#{]*\{\{")


@dataclass(frozen=True, kw_only=True)
class _Api:
    url: Template
    body: Template | None
    method: str
    path: str
    authenticator: str | None
    default: str | None

    def decide(self, visit: Visit) -> Decision:
        try:
            return Replace(self._answer(visit))
        except DeliveryError:
            if self.default is None:
                raise
        return Replace(self.default)

    def _answer(self, visit: Visit) -> str:
        received = visit.received
        url = self.url.render(received.dataset, lambda text: quote(text, safe=""), tag=visit.tag, vr=visit.vr)
        if not url:
            raise DeidentificationError("the URL of the API is empty")
        if received.fetch is None:
            raise DeidentificationError("no API can be asked here")
        body = None
        if self.body is not None:
            body = self.body.render(received.dataset, _in_json, tag=visit.tag, vr=visit.vr)
        answer = received.fetch(
            Lookup(method=self.method, url=url, body=body, authenticator=self.authenticator),
        )
        value = find_text(answer, self.path)
        if not value:
            raise DeidentificationError(f"the API's answer has no text at {self.path!r}")
        return value


def _in_json(text: str) -> str:
    """Return a text as it stands inside the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def find_text(answer: str, path: str) -> str | None:
    """Return the text at a JSON Pointer (RFC 6901); the whole answer where the pointer is empty.

    Raises
    ------
    DeidentificationError
        The answer is not JSON.
    """
    try:
        found: Any = json.loads(answer)
    except (ValueError, RecursionError):
        if not path:
            return answer.strip()
        raise DeidentificationError("the API's answer is not JSON") from None
    if not path:
        return found if isinstance(found, str) else answer.strip()
    for part in path[1:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found if isinstance(found, str) else None


def _read(entry: Entry) -> Rule:
    entry.known_arguments("url", "responsePath", "method", "body", "authConfig", "defaultValue")
    tags, excluded = entry.require_tags(), entry.read_excluded_tags()
    url, path = entry.require_argument("url"), entry.require_argument("responsePath")
    method = (entry.argument("method") or "get").upper()
    if method not in ("GET", "POST"):
        entry.problem("argument 'method' is not get or post", entry.arguments["method"].line)
    if method == "POST" and not entry.argument("body"):
        entry.problem("argument 'body' is missing; method post needs it")
    templates = {name: _template(entry, name) for name in ("url", "body")}
    if templates["url"] is None or url == "":
        return Rule()
    if _VALUE_IN_HOST.match(url):
        entry.problem("argument 'url': {{…}} cannot say which host is asked", entry.arguments["url"].line)
    api = _Api(
        url=templates["url"],
        body=templates["body"] if method == "POST" else None,
        method=method,
        path=f"/{path}" if path and not path.startswith("/") else path,
        authenticator=entry.argument("authConfig") or None,
        default=entry.argument("defaultValue"),
    )
    return Rule(
        decide=on_tags(tags, excluded, partial(_Api.decide, api)),
        named=tags.exact - excluded.exact,
        authenticators=[entry.arguments["authConfig"]] if api.authenticator else [],
    )


def _template(entry: Entry, name: str) -> Template | None:
    text = entry.arguments.get(name)
    if text is None:
        return None
    try:
        return Template.parse(text.text, place=name)
    except ExpressionError as error:
        problem = str(error)
    entry.problem(problem, text.line)
    return None


REPLACE_API = ProfileElement(codename="action.replace.api", read=_read, keys=("arguments", "tags", "excludedTags"))

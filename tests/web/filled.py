"""A console in which something is everywhere, and all pages that can be reached by its links."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import sqlalchemy as sa
from configured import PROFILE
from ledger_support import deliver, follow, notify
from web_support import Client, ConsoleApp

from karnak_core.database.tables import delivery
from karnak_core.model import State
from karnak_core.pseudonyms import store
from karnak_core.pseudonyms.entries import Entry
from karnak_core.tools import node_lists
from karnak_core.tools.nodes import DicomNode, Service, WebEndpoint

#: what is as long as it can be, and without a place to break it
LONG_UID = "1.2.826.0.1.3680043.8.498.94837261538472615384726153847261538472"
LONG_AE = "SIXTEEN_LETTERS_"
LONG_NAME = "archive-of-the-university-hospital-for-research-on-lungs-2026"
LONG_WORDS = "A long description of what this is for, " * 5
#: what a page could run, follow, or be turned round by
SCRIPTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'-alert(3)-'",
    "{{7*7}}{% raw %}",
    "javascript:alert(4)",
    "\u202egnp.exe\u202c",
)
#: one text with all of them
HOSTILE = "".join(SCRIPTS)
#: what has to be in no answer
SECRETS = (
    "planted-basic-password",
    "planted-client-secret",
    "planted-header-value",
    "planted-album-token",
    "planted-mail-password",
)


def fill(app: ConsoleApp, text: str = LONG_WORDS) -> None:
    """Have something on every page; what people may write and what stands in data sets has ``text`` in it."""

    def change(before: dict[str, Any]) -> dict[str, Any]:
        new = _document(text)
        # the section of the console itself stays
        return {**new, "plugins": {**before.get("plugins", {}), **new.get("plugins", {})}}

    app.console.change(change, expected_version=None, author="somebody", comment=text[:100])
    _deliveries(app, text)
    # what turns text round is refused here
    plain = text.replace(SCRIPTS[-1], "").strip()
    for number, group in enumerate((None, "SiteA", plain[:64].strip())):
        for title in (LONG_AE, "PACS"):
            node = DicomNode(ae_title=title, hostname=f"host{number}.example", port=104, group=group, description=plain)
            node_lists.save_node(app.console.database, node)
    endpoint = WebEndpoint(url="https://archive.example/dicomweb", description=plain, services=(Service.STOW_RS,))
    node_lists.save_endpoint(app.console.database, endpoint)
    with app.console.database.write() as connection:
        for number in range(3):
            names = Entry(pseudonym=f"P{number}-{plain[:50]}", patient_id=f"PID-{number}", last_name=plain[:60])
            store.add(connection, "STUDY", names, "somebody")
    app.add_user("a-user-with-a-name-that-is-quite-long", "user", "investigator")
    app.with_token("read", "deliveries", name="admin")


def _document(text: str) -> dict[str, Any]:
    album = {"type": "kheops_album", "api_url": "https://kheops.example/api", "condition": ""}
    stow = {
        "name": LONG_NAME,
        "description": text[:200],
        "type": "stow",
        "url": "https://archive.example/a/path/that/is/quite/long/indeed/and/has/no/place/to/break/it/dicomweb",
        "authenticator": "archive",
        "headers": f"<key>X-Key</key><value>{SECRETS[2]}</value>",
        "transfer_syntax": "JPEG2000Lossless",
        "de_identification": {"project": "STUDY", "pseudonym": {"type": "stored"}},
        "follow_ups": [{**album, "destination_token": SECRETS[3], "source_token": SECRETS[3]}],
        "notifications": [{"type": "email", "recipients": "somebody@example.org"}],
    }
    dicom = {
        "name": "pacs",
        "type": "dicom",
        "ae_title": LONG_AE,
        "hostname": "a-host-with-a-long-name.radiology.hospital.example",
        "port": 104,
        "description": text[:200],
        "tag_morphing": {"project": "STUDY"},
        "authorized_sop_classes": ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"],
        "condition": "tagIsPresent(#Tag.PatientID)",
    }
    folder = {"name": "disk", "type": "folder", "directory": "out", "paused": True}
    oauth2 = {"type": "oauth2", "token_url": "https://sign-in.example/token", "client_id": "karnak"}
    return {
        "forward_nodes": [
            {
                "ae_title": "FORWARD",
                "description": text[:200],
                "sources": [{"ae_title": LONG_AE, "hostname": "ct1.example", "description": text[:200]}],
                "destinations": [dicom, stow, folder],
            },
            {"ae_title": LONG_AE},
        ],
        "application_entities": [
            {"ae_title": "MOVER", "hostname": "mover.example", "port": 104, "description": text[:200]}
        ],
        "authenticators": {
            "archive": {"type": "basic", "username": "karnak", "password": SECRETS[0]},
            "cloud": {**oauth2, "client_secret": SECRETS[1]},
        },
        "profiles": [{"text": PROFILE.format(name="research")}],
        "projects": [{"name": "STUDY", "profile": "research"}],
        "plugins": {
            "email_notify": {
                "host": "mail.example",
                "sender": "karnak@example.org",
                "username": "karnak",
                "password": SECRETS[4],
            }
        },
    }


def _deliveries(app: ConsoleApp, text: str) -> None:
    facts = {"PatientID": text[:64], "PatientName": text[:64], "StudyDescription": text[:64], "Modality": "CT"}
    facts |= {"SeriesDescription": text[:64], "AccessionNumber": text[:16]}
    for number, state in enumerate(State):
        for destination in ("pacs", LONG_NAME):
            reason = "" if state is State.SENT else f"0xA900 said the archive: {text}"[:400]
            of = deliver(
                app.console,
                state=state,
                destination=destination,
                study=f"{LONG_UID[:60]}.{number}",
                series=f"{LONG_UID[:58]}.{number}.1",
                sop=f"{LONG_UID[:56]}.{number}.1.{len(destination)}",
                reason=reason,
                facts=facts,
                sent=LONG_UID[:40] if state is State.SENT else None,
                sent_facts={**facts, "PatientID": "pseudonym"} if state is State.SENT else None,
            )
            if state is State.SENT:
                follow(app.console, of, reason=reason or text[:200])
    notify(app.console, reason=text[:200])


def numbers(app: ConsoleApp) -> list[int]:
    """Return the numbers of all deliveries."""
    with app.console.database.read() as connection:
        return list(connection.execute(sa.select(delivery.c.id)).scalars())


_NUMBERS = re.compile(r"\d+")
_LINKS = re.compile(r'(?:href|hx-get)="([^"]+)"')


def crawl(client: Client, *first: str, each: int = 12) -> dict[str, str]:
    """Follow links from these pages on; return the text of each page by its address.

    Downloads are among them; what is not found, or fails, fails the test.

    Parameters
    ----------
    each
        Pages at most whose addresses differ by numbers and queries alone.
    """
    found: dict[str, str] = {}
    seen: dict[str, int] = {}
    waiting = list(first)
    while waiting:
        address = waiting.pop(0)
        kind = _kind(address)
        if address in found or seen.get(kind, 0) >= each:
            continue
        answer = client.get(address)
        if answer.status_code == 405:
            # where forms go
            continue
        if answer.status_code in (302, 303):
            waiting.append(answer.headers["location"])
            continue
        assert answer.status_code == 200, f"{address}: {answer.status_code}"
        seen[kind] = seen.get(kind, 0) + 1
        found[address] = answer.text
        if "html" in answer.headers["content-type"]:
            waiting += _links(address, answer.text)
    return found


def _links(address: str, page: str) -> list[str]:
    links = (urljoin(address, html.unescape(one)) for one in _LINKS.findall(page))
    return [one.split("#")[0] for one in links if one.startswith("/") and not one.startswith(("/static", "/sign-"))]


def _kind(address: str) -> str:
    return _NUMBERS.sub("0", urlsplit(address).path)

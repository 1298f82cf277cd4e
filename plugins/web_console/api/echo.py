"""``GET /api/echo/destinations``: do the destinations of a forward node answer? For programs that know the Java Karnak.

Anybody may ask, without signing in. So the answer is kept for some seconds, and nobody asks more often than a limit.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated
from xml.etree import ElementTree

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from karnak_core.tools.destinations import DestinationEcho, echo_destinations
from karnak_plugins.web_console.asking import context_of
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(tags=["echo"])

XML, JSON = "application/xml", "application/json"
#: seconds that an answer is kept
KEPT = 5.0
#: forward nodes whose answers are kept; addresses that are counted
MOST_ANSWERS, MOST_ADDRESSES = 256, 4096
#: requests of one address in a minute
PER_MINUTE = 60
#: requests that are answered at once: who asks waits in a thread of the web server's, of which others need some, too
AT_ONCE = 8


class EchoOut(BaseModel):
    """What one destination says."""

    model_config = ConfigDict(json_schema_extra={"description": "A destination, by its AE title or its URL."})

    aet: str | None = Field(default=None, description="AE title of a DICOM node; left out for others")
    url: str | None = Field(default=None, description="address of a DICOMweb service; left out for others")
    status: int = Field(
        description="of the C-ECHO response, as a decimal number: 0 success, 49152 no answer; a DICOMweb service is "
        "not asked, and has 0"
    )


class EchoesOut(BaseModel):
    """What the destinations say."""

    destinationEchos: list[EchoOut]


class Answers:
    """The answers of the last seconds, and how often each address has asked. For any number of threads.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: taken by each request that is answered
        self.slots = threading.BoundedSemaphore(AT_ONCE)
        self._asking: OrderedDict[tuple[str, int], _Answer] = OrderedDict()
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def of(self, key: tuple[str, int], ask: Callable[[], list[DestinationEcho]]) -> list[DestinationEcho]:
        """Return the answer about a forward node in a version of the configuration; who asks meanwhile waits for it."""
        with self._lock:
            answer = self._asking.pop(key, None) or _Answer()
            self._asking[key] = answer
            while len(self._asking) > MOST_ANSWERS:
                self._asking.popitem(last=False)
        with answer.lock:
            if answer.at is None or self._clock() - answer.at >= KEPT:
                answer.echoes, answer.at = ask(), self._clock()
            return answer.echoes

    def count(self, address: str) -> int:
        """Count a request; return the seconds until the address may ask again, 0: it may now."""
        minute, second = divmod(int(self._clock()), 60)
        with self._lock:
            since, count = self._counts.pop(address, (minute, 0))
            count = count + 1 if since == minute else 1
            self._counts[address] = (minute, count)
            while len(self._counts) > MOST_ADDRESSES:
                self._counts.popitem(last=False)
        return 60 - second if count > PER_MINUTE else 0


class _Answer:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at: float | None = None
        self.echoes: list[DestinationEcho] = []


def answers_of(request: Request) -> Answers:
    """Return the answers of this application."""
    state = request.app.state
    if not hasattr(state, "echo_answers"):
        state.echo_answers = Answers()
    answers: Answers = state.echo_answers
    return answers


@router.get(
    "/destinations",
    response_model=EchoesOut,
    responses={
        200: {"content": {XML: {}}},
        204: {"description": "there is no such forward node, or no destination that could be asked"},
        406: {"description": "neither XML nor JSON is asked for"},
    },
    openapi_extra={"security": []},
)
def destinations(
    request: Request,
    console: ConsoleOf,
    src_aet: Annotated[str, Query(alias="srcAet", max_length=64, description="AE title of the forward node")] = "",
) -> Response:
    """Ask the destinations of a forward node by C-ECHO, and say what each answers."""
    if not console.config.echo_api:
        raise Refused(404, "this is turned off; see plugins.web_console.echo_api")
    media_type = negotiated(request.headers.get("Accept", ""))
    if media_type is None:
        raise Refused(406, f"the answer is {XML} or {JSON}")
    answers = answers_of(request)
    if wait := answers.count(request.client.host if request.client else ""):
        raise Refused(429, f"there were more than {PER_MINUTE} requests in a minute", {"Retry-After": str(wait)})
    if not answers.slots.acquire(blocking=False):
        raise Refused(429, f"{AT_ONCE} requests are being answered already; try again", {"Retry-After": "5"})
    try:
        echoes = _echoes(console, answers, src_aet.strip())
    finally:
        answers.slots.release()
    if not echoes:
        return Response(status_code=204)
    body = as_xml(echoes) if media_type == XML else as_json(echoes)
    return Response(body, media_type=media_type)


def _echoes(console: Console, answers: Answers, ae_title: str) -> list[DestinationEcho]:
    configuration, version = console.configuration, console.version
    if all(node.ae_title != ae_title for node in configuration.forward_nodes):
        # nothing is remembered of names that anybody may make up
        return []
    context = context_of(console)
    return answers.of((ae_title, version), lambda: echo_destinations(configuration, ae_title, context))


def negotiated(accept: str) -> str | None:
    """Return the media type of the answer by an Accept header (RFC 9110 section 12.5.1); None: there is none.

    XML, the older of the two, where both are as welcome.
    """
    best: tuple[float, str] = (0.0, "")
    for offered, also in ((XML, "text/xml"), (JSON, "")):
        weight = _weight(accept, offered, also)
        if weight > best[0]:
            best = (weight, offered)
    return best[1] or None


def _weight(accept: str, offered: str, also: str) -> float:
    if not accept.strip():
        return 1.0
    found: list[tuple[int, float]] = []
    for part in accept.split(","):
        media_range, _, parameters = part.partition(";")
        media_range = media_range.strip().lower()
        ranks = {offered: 3, also: 3, "application/*": 2, "*/*": 1}
        if media_range and media_range in ranks:
            found.append((ranks[media_range], _quality(parameters)))
    # the most specific range says it
    return max(found)[1] if found else 0.0


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def as_xml(echoes: Sequence[DestinationEcho]) -> bytes:
    """Return the answer in XML."""
    root = ElementTree.Element("destinations")
    for echo in echoes:
        one = ElementTree.SubElement(root, "destination")
        for name, value in _fields(echo).items():
            ElementTree.SubElement(one, name).text = str(value)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return text.encode()


def as_json(echoes: Sequence[DestinationEcho]) -> bytes:
    """Return the answer in JSON."""
    return json.dumps({"destinationEchos": [_fields(echo) for echo in echoes]}, separators=(",", ":")).encode()


def _fields(echo: DestinationEcho) -> dict[str, str | int]:
    named: dict[str, str | int | None] = {"aet": echo.ae_title, "url": echo.url, "status": echo.status}
    return {name: value for name, value in named.items() if value is not None}

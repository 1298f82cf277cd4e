"""A web service that knows pseudonyms: ``{type: api, url: …, response_path: …}``."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydicom import Dataset

from karnak_core.config.names import AuthenticatorName
from karnak_core.config.quantities import Duration
from karnak_core.config.tls import ClientTLS
from karnak_core.deidentify import Lookup
from karnak_core.errors import NoPseudonym, Permanent
from karnak_core.expressions import ExpressionError, Template
from karnak_core.kinds import Kind
from karnak_core.lookups import Absent, Lookups
from karnak_core.model import OpenContext, PseudonymSource
from karnak_core.pseudonyms.finding import MOST_CHARACTERS
from karnak_core.pseudonyms.pointer import checked, text_at

logger = logging.getLogger(__name__)

_PLACEHOLDER: Final = re.compile(r"\{\{[^}]*\}\}")
#: no value of a data set decides which host is asked
_FIXED_HOST: Final = re.compile(r"https?://[^/?#{}]+([/?].*)?", re.IGNORECASE)


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class ApiSource(BaseModel):
    """Ask a web service for the pseudonym."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        description="address to ask, http or https; {{…}} in it is evaluated on the received data set, and URL-encoded"
    )
    response_path: str = Field(
        default="",
        max_length=255,
        description="JSON Pointer (RFC 6901) to the pseudonym in the answer, e.g. /patient/pseudonym; "
        "blank: the answer is the pseudonym, as a JSON string",
    )
    method: Annotated[Literal["GET", "POST"], BeforeValidator(_upper)] = Field(
        default="GET", description="POST sends body"
    )
    body: str = Field(
        default="",
        validate_default=True,
        description="JSON to send with POST; {{…}} in it is evaluated on the received data set, and escaped as in a "
        "JSON string",
    )
    authenticator: AuthenticatorName | None = Field(
        default=None, description="name of the authenticator that makes the header Authorization"
    )
    tls: ClientTLS | None = Field(
        default=None, description="how to use TLS with an https url; none: with the authorities that the system trusts"
    )
    timeout: Duration = Field(
        default=10.0, gt=0, le=120, description="time until the connection stands, and again until the answer is there"
    )
    keep_answers: Duration = Field(
        default=900.0, ge=0, le=86400, description="how long an answer is used again for the same request"
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        url = text.strip()
        _parsed(url)
        fixed = _PLACEHOLDER.sub("", url)
        if not fixed.isprintable() or " " in fixed or "\\" in fixed:
            raise ValueError("has blanks, backslashes or control characters; write them as %20 and the like")
        try:
            parts = urlsplit(fixed)
            right = bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise ValueError("the port is not 1 to 65535, or the host name is not right") from None
        if "@" in parts.netloc:
            raise ValueError("has a user name or password in it; use an authenticator")
        if not right or not _FIXED_HOST.fullmatch(url):
            raise ValueError("does not begin with http:// or https:// and a host name, without {{…}} in it")
        if "#" in fixed:
            raise ValueError("has a fragment (#), which is not sent")
        return url

    @field_validator("response_path")
    @classmethod
    def _is_a_pointer(cls, text: str) -> str:
        return checked(text)

    @field_validator("body")
    @classmethod
    def _is_json(cls, text: str) -> str:
        if not text.strip():
            return ""
        _parsed(text)
        try:
            json.loads(_PLACEHOLDER.sub("1", text))
        except (ValueError, RecursionError) as error:
            where = f", at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
            raise ValueError(f"is no JSON with 1 in place of every {{{{…}}}}{where}") from None
        return text

    @field_validator("body")
    @classmethod
    def _body_is_used(cls, text: str, info: ValidationInfo) -> str:
        if info.data.get("method") == "POST" and not text:
            raise ValueError("method POST needs body")
        if info.data.get("method") == "GET" and text:
            raise ValueError("body needs method POST")
        return text

    @field_validator("tls")
    @classmethod
    def _tls_is_used(cls, value: ClientTLS | None, info: ValidationInfo) -> ClientTLS | None:
        # a url that is wrong is reported by itself
        if value is not None and not info.data.get("url", "https:").lower().startswith("https:"):
            raise ValueError("tls needs a url that begins with https:")
        return value


class ApiPseudonyms:
    """Asks the service; for all threads at once."""

    def __init__(self, config: ApiSource, context: OpenContext) -> None:
        self._config = config
        self._url = Template.parse(config.url, place="url")
        self._body = Template.parse(config.body, place="body") if config.body else None
        self._peer = f"pseudonym API {urlsplit(_PLACEHOLDER.sub('', config.url)).netloc}"
        #: None: it is always the same, whoever the patient is
        self._about_nobody = self._about(Dataset()) if _PLACEHOLDER.search(config.url + config.body) else None
        if self._about_nobody is None:
            logger.warning("%s: no {{…}} in url and body: all patients are given the same pseudonym", self._peer)
        self._lookups = Lookups(
            context.authenticators,
            what="pseudonym API",
            timeout=config.timeout,
            keep_seconds=config.keep_answers,
            tls=config.tls,
        )

    def pseudonym(self, dataset: Dataset, project: str) -> str:
        """Return what the service answers; raises NoPseudonym where that is none, and DeliveryError for no answer."""
        lookup = self._about(dataset)
        if lookup == self._about_nobody:
            # all who lack it would have the same pseudonym
            raise Permanent("pseudonym API: the data set has no value for url and body")
        try:
            answer = self._lookups.fetch(lookup)
        except Absent as error:
            problem = error.reason
        else:
            try:
                return _accepted(text_at(answer, self._config.response_path))
            except ValueError as error:
                problem = f"the answer of {self._peer} {error}"
            # it may have one soon
            self._lookups.doubt(lookup)
        raise NoPseudonym(f"no pseudonym: {problem}")

    def _about(self, dataset: Dataset) -> Lookup:
        return Lookup(
            method=self._config.method,
            url=_rendered(self._url, dataset, _in_url),
            body=_rendered(self._body, dataset, _in_json) if self._body else None,
            authenticator=self._config.authenticator,
        )

    def close(self) -> None:
        """Close connections."""
        self._lookups.close()


def _parsed(text: str) -> None:
    try:
        Template.parse(text, place="it")
    except ExpressionError as error:
        raise ValueError(str(error)) from None


def _rendered(template: Template, dataset: Dataset, quoted: Callable[[str], str]) -> str:
    try:
        return template.render(dataset, quoted)
    except ExpressionError as error:
        problem = str(error)
    except UnicodeEncodeError:
        # its words hold the value
        problem = f"{template.place}: a value has something in it that is no character"
    raise Permanent(f"pseudonym API: {problem}")


def _in_url(text: str) -> str:
    """Return a text as it stands in any part of a path or query (RFC 3986 section 2)."""
    return quote(text, safe="")


def _in_json(text: str) -> str:
    """Return a text as it stands inside the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _accepted(text: str) -> str:
    """Return a pseudonym; raises ValueError, without it, where it is none."""
    found = text.strip()
    if not 1 <= len(found) <= MOST_CHARACTERS:
        raise ValueError(f"has a text of {len(found)} characters for it; 1 to {MOST_CHARACTERS} are allowed")
    if "\\" in found or not found.isprintable():
        raise ValueError("has a text for it with a backslash or a control character")
    return found


API: Kind[ApiSource, PseudonymSource] = Kind(
    name="api", config=ApiSource, open=ApiPseudonyms, summary="a web service knows the pseudonyms"
)

"""HTTP headers as people write them, ``<key>X-Tenant</key><value>7</value>`` or a mapping; checked, and written again.

In: text with any number of pairs, or a mapping of names to values. Out: :class:`Header` s, in order. What looks like
credentials by its name or its value is kept as a secret from the beginning: encrypted when it is applied, and never
shown.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializationInfo,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from karnak_core.config.reading import is_new
from karnak_core.config.secret import WRITE_OUT, Origin, Secret
from karnak_core.errors import Misconfigured

#: between two parties of a connection only, or set by who sends (RFC 9110 section 7.6.1; Host, Content-Length, Expect)
NOT_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: RFC 9110 section 5.6.2
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TAG = re.compile(r"<\s*(/?)\s*(key|value)\s*>", re.IGNORECASE)
_KEY = re.compile(r"<\s*key\s*>(.*?)<\s*/\s*key\s*>", re.IGNORECASE | re.DOTALL)
_BLANKS = re.compile(r"[ \t\r\n\f\u00a0]+")
_CREDENTIALS = re.compile(r"auth|cookie|credential|key|pass|secret|signature|token", re.IGNORECASE)
#: further names, and what values of credentials begin with: schemes of RFC 9110 section 11, JSON web tokens (RFC 7519),
#: and addresses with a password; not asked about what was applied before they were known here
_MORE_NAMES = re.compile(r"bearer|jwt|pwd|saml|security|session|vault", re.IGNORECASE)
_VALUES = re.compile(
    r"\s*(?:(?:apikey|aws4-hmac-sha256|basic|bearer|digest|dpop|hawk|negotiate|ntlm|token)\s+\S|eyJ[\w-]+\.|\w+://[^\s/@]*:[^\s/@]*@)",
    re.IGNORECASE,
)
#: characters of a name that a message shows: a longer one may be a secret in the wrong place
_SHOWN = 40


class HeaderError(ValueError):
    """What was written is no list of headers; says which pair is wrong, and never what its value is."""


class Header(BaseModel):
    """One header of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    value: str | Secret

    def __str__(self) -> str:
        return f"{self.name}: {'***' if isinstance(self.value, Secret) else self.value}"

    __repr__ = __str__


def parse(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a text, in order; text outside the elements means nothing.

    Raises
    ------
    HeaderError
        Elements are not balanced, or a header cannot be sent along: every problem.
    """
    problems: list[str] = []
    pairs = list(_pairs(text, problems))
    _refuse(problems or _wrong(pairs))
    return pairs


def write(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the text of headers, key line and value line in turn."""
    return "\n".join(
        f"<key>{html.escape(name, quote=False)}</key>\n<value>{html.escape(value, quote=False)}</value>"
        for name, value in pairs
    )


def append_authorization(text: str, headers: Mapping[str, str]) -> str:
    """Return ``text`` with the headers of an authenticator after it.

    Raises
    ------
    HeaderError
        The text has one of them already, or is not right itself.
    """
    there = {_collapsed(name).lower() for name in _KEY.findall(text)}
    twice = [name for name in headers if name.lower() in there]
    if twice:
        raise HeaderError(f"the headers already have <key>{twice[0]}</key>; remove it, with its value, to have another")
    parse(text)
    return "\n".join(part for part in (text.rstrip(), write(headers.items())) if part.strip())


def resolved(headers: Iterable[Header], reveal: Callable[[Secret], str]) -> list[tuple[str, str]]:
    """Return the headers as they are sent, with secrets opened.

    Raises
    ------
    Misconfigured
        A secret does not open, or is no value of a header.
    """
    pairs = [
        (header.name, reveal(header.value).strip() if isinstance(header.value, Secret) else header.value)
        for header in headers
    ]
    wrong = _wrong(pairs)
    if wrong:
        raise Misconfigured(f"headers: {'; '.join(wrong)}")
    return pairs


def _pairs(text: str, problems: list[str]) -> Iterator[tuple[str, str]]:
    """Yield every whole pair; what breaks one is a problem, and the next one begins with the next ``<key>``."""
    number = 1
    name: str | None = None
    #: the element that is open, and where its text starts
    inside, start = "", 0
    broken = False
    for tag in _TAG.finditer(text):
        closing, element = tag[1], tag[2].lower()
        opens_key = element == "key" and not closing
        problem = ""
        if inside and (element != inside or not closing):
            problem = f"<{inside}> is not closed before {tag[0]}"
        elif not inside and opens_key and name is not None:
            problem = "<key> without a <value>"
        elif not inside and not broken and not opens_key and (closing or name is None):
            problem = f"{tag[0]} without {f'<{element}>' if closing else '<key>'} before it"
        if problem:
            problems.append(f"pair {number}{_called(name or '')}: {problem}")
            number, name, inside, broken = number + 1, None, "", True
        if opens_key:
            inside, start, broken = "key", tag.end(), False
        elif broken:
            continue
        elif not closing:
            inside, start = "value", tag.end()
        else:
            content, inside = _collapsed(text[start : tag.start()]), ""
            if element == "key":
                name = content
            else:
                yield name or "", content
                number, name = number + 1, None
    if inside or name is not None:
        problem = f"<{inside}> is not closed" if inside else "<key> without a <value>"
        problems.append(f"pair {number}{_called(name or '')}: {problem}")


def _collapsed(text: str) -> str:
    return _BLANKS.sub(" ", html.unescape(text)).strip(" ")


def _wrong(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return what is wrong with headers, one text for each."""
    problems = []
    for number, (name, value) in enumerate(pairs, start=1):
        found = _wrong_name(name) or _wrong_value(value)
        if name.lower() == "authorization":
            first = next(at for at, (other, _) in enumerate(pairs, start=1) if other.lower() == "authorization")
            found = found or (f"stands twice; pair {first} is it, too" if first < number else "")
        if found:
            problems.append(f"pair {number}{_called(name)}: {found}")
    return problems


def _wrong_name(name: str) -> str:
    if not name:
        return "the name is empty"
    if not _TOKEN.fullmatch(name):
        bad = next(character for character in name if not _TOKEN.fullmatch(character))
        return f"the name has {bad!r}, which a header's name cannot have (RFC 9110 section 5.1)"
    if name.lower() in NOT_OURS:
        return "cannot be given: it belongs to the connection, and is set by who sends"
    return ""


def _wrong_value(value: str) -> str:
    if not value:
        return "the value is empty"
    for character in value:
        if not (" " <= character <= "~" or "\u00a0" <= character <= "\u00ff" or character == "\t"):
            what = "a control character" if ord(character) < 0xA0 else f"{character!r}"
            return f"the value has {what}, which a header's value cannot have (RFC 9110 section 5.5)"
    return ""


def _called(name: str) -> str:
    return f" ({name})" if _TOKEN.fullmatch(name) and len(name) <= _SHOWN else ""


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise HeaderError("; ".join(problems))


# ---- the type of a key -------------------------------------------------------------------------------------------


def _read(value: Any, info: ValidationInfo) -> Any:
    """Make a tuple of headers of whatever they were written as."""
    if isinstance(value, str):
        found: list[tuple[str, str | Secret]] = list(parse(value))
    elif isinstance(value, Mapping):
        found = [
            (name, _value(number, one, info))
            for number, (name, values) in enumerate(value.items(), start=1)
            for one in (values if isinstance(values, list | tuple) else [values])
        ]
    elif isinstance(value, tuple) and all(isinstance(one, Header) for one in value):
        found = [(one.name, one.value) for one in value]
    else:
        raise HeaderError("is not text of <key>…</key><value>…</value>, nor a mapping of names to values")
    # what a secret refers to is checked when it is opened
    _refuse(_wrong([(name, _text(one)) for name, one in found]))
    return tuple(Header(name=name, value=_secret_if(name, one, is_new(info))) for name, one in found)


def _text(value: str | Secret) -> str:
    if isinstance(value, str):
        return value
    return value.where if value.origin is Origin.PLAIN else "***"


def _secret_if(name: str, value: str | Secret, new: bool) -> str | Secret:
    if not isinstance(value, str):
        return value
    looks = _CREDENTIALS.search(name) or (new and (_MORE_NAMES.search(name) or _VALUES.match(value)))
    return Secret.plain(value) if looks else value


_SECRET: TypeAdapter[Secret] = TypeAdapter(Secret)


def _value(number: int, value: object, info: ValidationInfo) -> str | Secret:
    if isinstance(value, str):
        return value.strip(" ")
    if not isinstance(value, Mapping | Secret):
        raise HeaderError(f"pair {number}: the value is no text; put it in quotes")
    try:
        return _SECRET.validate_python(value, context=info.context)
    except ValidationError as error:
        words = error.errors()[0].get("ctx", {}).get("error", "cannot be read")
        raise HeaderError(f"pair {number}: the value {words}") from None


def _write(headers: tuple[Header, ...], info: SerializationInfo) -> dict[str, Any]:
    """Return a mapping: what is compared and shown in plans, and in a file."""
    written: dict[str, list[Any]] = {}
    for header in headers:
        value: Any = header.value
        if isinstance(value, Secret) and info.mode == "json":
            value = value.document() if info.context == WRITE_OUT else "***"
        written.setdefault(header.name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in written.items()}


#: of a kind's model: ``headers: Headers = Field(default=(), description="…")``; sent with :func:`resolved`
Headers = Annotated[
    tuple[Header, ...],
    BeforeValidator(_read),
    PlainSerializer(_write),
    WithJsonSchema({"type": ["string", "object"]}),
]

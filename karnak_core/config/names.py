"""The texts that a configuration is made of: AE titles, hosts, names, conditions, SOP classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema
from pydicom._uid_dict import UID_dictionary

from karnak_core.config.reading import reading
from karnak_core.expressions import Condition, ExpressionError
from karnak_core.pixels.syntaxes import transfer_syntax

#: DICOM PS3.5 section 9.1
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _ae_title(text: str) -> str:
    rule = "(DICOM PS3.5 section 6.2)"
    if not 1 <= len(text) <= 16:
        raise ValueError(f"{text!r} is not 1 to 16 characters {rule}")
    if text != text.strip(" "):
        raise ValueError(f"{text!r} begins or ends with a blank {rule}")
    for character in text:
        if not " " <= character <= "~" or character == "\\":
            raise ValueError(f"{text!r} has {character!r}, which an AE title cannot have {rule}")
    return text


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not 1 to 64 letters, digits, underscores, dots or hyphens")
    return text


def _host(text: str) -> str:
    if not 1 <= len(text) <= 255:
        raise ValueError(f"{text!r} is not 1 to 255 characters")
    return _host_or_blank(text)


def _host_or_blank(text: str) -> str:
    if len(text) > 255:
        raise ValueError(f"{text!r} is not at most 255 characters")
    if not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} has blanks or control characters; write a DNS name or an IP address")
    return text


def _description(text: str) -> str:
    if len(text) > 1024:
        raise ValueError(f"is {len(text)} characters long; at most 1024 are allowed")
    return text


def _condition(text: str) -> str:
    if text.strip():
        try:
            Condition.parse(text, place="")
        except ExpressionError as error:
            raise ValueError(str(error).removeprefix(": ")) from error
    return text


#: 1 to 16 characters, DICOM PS3.5 section 6.2
AETitle = Annotated[str, AfterValidator(_ae_title)]
#: of a destination or an authenticator
Name = Annotated[str, AfterValidator(_name)]
NameOrBlank = Annotated[str, AfterValidator(lambda text: text and _name(text))]
#: a DNS name or an IP address
Host = Annotated[str, AfterValidator(_host)]
HostOrBlank = Annotated[str, AfterValidator(_host_or_blank)]
Description = Annotated[str, AfterValidator(_description)]
#: an expression on an instance's elements; blank: always
ConditionText = Annotated[str, AfterValidator(_condition)]


def _transfer_syntax(text: str) -> str:
    transfer_syntax(text)
    return text


#: ``keep``, or what instances can be sent in, by UID or keyword
TransferSyntaxText = Annotated[str, AfterValidator(_transfer_syntax)]


class _NameOf(str):
    """Names an entry of one section. A type for each: a name that does not exist is found wherever it stands."""

    __slots__ = ()
    #: the field of ``Reading`` with the names that there are
    SECTION: ClassVar[str]
    #: what to do about a name that is none of them
    HINT: ClassVar[str] = ""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read text that is a name; write text."""
        return core_schema.with_info_after_validator_function(
            cls._read,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def _read(cls, text: str, info: ValidationInfo) -> Self:
        context = reading(info)
        there: frozenset[str] | None = getattr(context, cls.SECTION) if context else None
        if there is not None and text not in there:
            known = ", ".join(sorted(there)) or "none"
            raise ValueError(f"{text!r} is not one of {cls.SECTION}; known: {known}{cls.HINT}")
        return cls(text)


class AuthenticatorName(_NameOf):
    """Names one of ``authenticators``: declare the key of a kind that uses one as this."""

    __slots__ = ()
    SECTION = "authenticators"


class ProfileName(_NameOf):
    """Names one of ``profiles``, or the built-in one."""

    __slots__ = ()
    SECTION = "profiles"
    HINT = "; a profile that a project uses cannot be left out"


class ProjectName(_NameOf):
    """Names one of ``projects``."""

    __slots__ = ()
    SECTION = "projects"
    HINT = "; a project that a destination uses cannot be left out"


@cache
def _sop_classes() -> Mapping[str, str]:
    """Names and keywords of the SOP classes of PS3.6 Table A-1, in lower case, to their UIDs."""
    return {
        text.lower(): uid
        for uid, (name, kind, _, _, keyword) in UID_dictionary.items()
        if "SOP Class" in kind
        for text in (name, keyword)
        if text
    }


def _sop_class(text: str) -> str:
    """Return the UID of a SOP class that is given by UID, name or keyword; private UIDs are taken as they are."""
    if _UID.fullmatch(text) and len(text) <= 64:
        name, kind = UID_dictionary.get(text, ("", "SOP Class", "", "", ""))[:2]
        if "SOP Class" not in kind:
            raise ValueError(f"{text!r} is {name}, a {kind}, not a SOP class")
        return text
    uid = _sop_classes().get(text.strip().lower())
    if uid is None:
        near = get_close_matches(text.lower(), _sop_classes(), n=1, cutoff=0.8)
        hint = f"; is {UID_dictionary[_sop_classes()[near[0]]][0]!r} meant?" if near else ""
        raise ValueError(f"{text!r} is not a SOP class; write its UID, or its name or keyword of DICOM PS3.6{hint}")
    return uid


SOPClass = Annotated[str, AfterValidator(_sop_class)]


def _once(uids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(uids))


#: each once, in the order written
SOPClasses = Annotated[tuple[SOPClass, ...], AfterValidator(_once)]

"""Profiles as a configuration holds them: the text of each, as it stands in its file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails

from karnak_core.config.collect import again, problem, raise_all
from karnak_core.config.parts import Model
from karnak_core.config.reading import reading
from karnak_core.deidentify import BUILT_IN, Problem, Profile, ProfileElement, basic_profile

#: bytes of a profile's file, at most
MAX_BYTES = 1 << 20
HOW = "is not the path of a profile's file"


class ProfileText(Model):
    """A de-identification profile; in a file its path, elsewhere its text."""

    text: str = Field(description="the profile itself, in the format of the Java Karnak")
    _profile: Profile = PrivateAttr()

    @property
    def name(self) -> str:
        """Return the name that it gives itself, by which projects choose it."""
        return self._profile.name

    @property
    def profile(self) -> Profile:
        """Return what it does."""
        return self._profile

    def __eq__(self, other: object) -> bool:
        # what it was built to follows from the text, and may have been built twice
        return self.text == other.text if isinstance(other, ProfileText) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if isinstance(value, ProfileText):
            return value
        context = reading(info)
        where = ""
        if isinstance(value, str):
            where = f"{value}, "
            value = {"text": text_of(value, context.folder if context else None)}
        elif not isinstance(value, Mapping):
            raise ValueError(HOW)
        read: ProfileText = handler(value)
        read._profile = built(read.text, context.plugins.profile_elements if context else BUILT_IN)
        known = context.authenticators if context else None
        raise_all([problem(f"{where}line {found}", (), None) for found in problems_of(read._profile, known)])
        return read

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe both ways of giving one."""
        return {"anyOf": [{"type": "string", "description": "path of a profile's file"}, handler(schema)]}


def problems_of(profile: Profile, authenticators: Collection[str] | None = None) -> list[Problem]:
    """Return everything that keeps a profile from being used in a configuration, by line.

    Parameters
    ----------
    authenticators
        The names that there are; None: not known.
    """
    found = list(profile.check(to_apply=True))
    for text in profile.authenticators:
        if authenticators is not None and text.text not in authenticators:
            known = ", ".join(sorted(authenticators)) or "none"
            found.append(Problem(line=text.line, message=f"{text.text!r} is not one of authenticators; known: {known}"))
    name = profile.name
    if not name.strip():
        # where nothing of it could be read, that is said already
        if profile.codenames or not found:
            found.append(Problem(line=1, message="the profile has no name"))
    elif not name.isprintable() or name != name.strip():
        words = "the profile's name has a line end or another control character, or a blank at an end"
        found.append(Problem(line=1, message=words))
    elif name == basic_profile().name:
        words = f"{name!r} is the name of the built-in profile; give it another one"
        found.append(Problem(line=1, message=words))
    return sorted(found)


def text_of(path: str, folder: Path | None = None) -> str:
    """Return the text of a profile's file, whose path starts at ``folder``; line ends are LF.

    Raises
    ------
    ValueError
        It cannot be read, is too large, or is not UTF-8.
    """
    try:
        with ((folder or Path()) / path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        # a NUL in it
        raise ValueError(f"{path!r} {HOW}") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from error


@lru_cache(maxsize=64)
def built(text: str, elements: tuple[ProfileElement, ...]) -> Profile:
    """Return the profile of a text; right or wrong."""
    return Profile.from_yaml(text, elements)


def named(profiles: Sequence[ProfileText], name: str) -> Profile:
    """Return the profile of this name, the built-in one too; raises KeyError."""
    if name == basic_profile().name:
        return basic_profile()
    for entry in profiles:
        if entry.name == name:
            return entry.profile
    raise KeyError(name)


def names_in(section: object, elements: tuple[ProfileElement, ...], folder: Path | None) -> frozenset[str] | None:
    """Return the names of the profiles of a section that is not known to be right, and of the built-in one.

    None: one of them has no name or cannot be read, which is a problem itself, so that it is not known which there are.
    """
    names = {basic_profile().name, *_names(section, elements, folder)}
    return None if "" in names else frozenset(names)


def _names(section: object, elements: tuple[ProfileElement, ...], folder: Path | None) -> Iterator[str]:
    """Find the name of every entry; empty where it has none, or what is written is none."""
    for entry in section if isinstance(section, list | tuple) else ():
        text = entry.get("text") if isinstance(entry, Mapping) else getattr(entry, "text", None)
        if isinstance(entry, str):
            try:
                text = text_of(entry, folder)
            except ValueError:
                text = None
        yield built(text, elements).name if isinstance(text, str) else ""


def _each_once(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    context = reading(info)
    problems: list[InitErrorDetails] = []
    result: Any = None
    try:
        result = handler(value)
    except ValidationError as error:
        problems += again(error)
    seen: dict[str, int] = {}
    elements = context.plugins.profile_elements if context else tuple(BUILT_IN)
    for index, name in enumerate(_names(value, elements, context.folder if context else None)):
        if name in seen:
            words = f"profile {name!r} stands twice; entry [{seen[name]}] has this name, too"
            problems.append(problem(words, (index,), None))
        elif name:
            seen[name] = index
    raise_all(problems)
    return result


#: refuses two profiles of one name
EACH_ONCE = WrapValidator(_each_once)

"""Profiles as a configuration holds them: the text of each, as it stands in its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import InitErrorDetails

from karnak_core.config.collect import problem, raise_all
from karnak_core.config.parts import Model
from karnak_core.config.reading import absolute, reading
from karnak_core.deidentify import BUILT_IN, Profile, ProfileElement, basic_profile

#: bytes of a profile's file, at most
MAX_BYTES = 1 << 20


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

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if isinstance(value, ProfileText):
            return value
        where = ""
        if isinstance(value, str):
            path = Path(absolute(value, info))
            where = f"{value}, "
            value = {"text": _text_of(path, value)}
        read: ProfileText = handler(value)
        context = reading(info)
        read._profile = built(read.text, context.plugins.profile_elements if context else BUILT_IN)
        problems = [f"{where}line {found}" for found in read._profile.check(to_apply=True)]
        if not read._profile.name.strip():
            problems.append(f"{where}it has no name")
        elif read._profile.name == basic_profile().name:
            problems.append(f"{where}{read._profile.name!r} is the name of the built-in profile; give it another one")
        raise_all([problem(words, (), None) for words in problems])
        return read


def _text_of(path: Path, written: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{written}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{written} is larger than {MAX_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{written} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from error


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


def names_in(section: object, elements: tuple[ProfileElement, ...], folder: Path | None) -> frozenset[str]:
    """Return the names of the profiles of a section that is not known to be right, and of the built-in one."""
    found = {basic_profile().name}
    for entry in section if isinstance(section, list | tuple) else ():
        text = entry.get("text") if isinstance(entry, Mapping) else None
        if isinstance(entry, str):
            try:
                text = _text_of((folder or Path()) / entry, entry)
            except ValueError:
                continue
        if isinstance(text, str):
            found.add(built(text, elements).name)
    return frozenset(found)


def _each_once(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    result = handler(value)
    problems: list[InitErrorDetails] = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(result):
        if entry.name in seen:
            words = f"profile {entry.name!r} stands twice; entry [{seen[entry.name]}] has this name, too"
            problems.append(problem(words, (index,), None))
        seen.setdefault(entry.name, index)
    raise_all(problems)
    return result


#: refuses two profiles of one name
EACH_ONCE = WrapValidator(_each_once)

"""The names a text may use, by where it stands: variables, functions, text methods and constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from pydicom.dataset import Dataset

from karnak_core.expressions.actions import (
    Action,
    Add,
    ComputePatientAge,
    ExcludeInstance,
    Keep,
    Remove,
    Replace,
    ReplaceNull,
    Uid,
)
from karnak_core.expressions.spots import RuleError
from karnak_core.expressions.tags import LARGEST_TAG, NO_TAG, VRS, tag_number, tag_of_keyword
from karnak_core.expressions.values import has_first_value, is_present_anywhere, text_values

Value = str | int | bool | Action | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a text is evaluated on."""

    dataset: Dataset = field(default_factory=Dataset)
    tag: int | None = None
    vr: str | None = None
    string_value: str | None = None
    #: tells whether a tag is anywhere in the data set, where somebody knows that already
    present: Callable[[int], bool] | None = None

    def has(self, tag: int) -> bool:
        """Tell whether an element is present at the root level or in an item at any depth."""
        return is_present_anywhere(self.dataset, tag) if self.present is None else self.present(tag)


@dataclass(frozen=True, slots=True)
class Function:
    """A function, called with the subject and its arguments, or a method, called with the text and its arguments."""

    call: Callable[..., Value]
    parameters: tuple[Callable[[Value], Value], ...] = ()
    """for each argument, what turns it into the value to call with, or raises `RuleError`"""
    optional: int = 0
    """how many of the last parameters may be left out"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The names of one kind of text."""

    variables: Mapping[str, Callable[[Subject], Value]]
    functions: Mapping[str, Function]


def kind_of(value: Value) -> str:
    """Name the type of a value, for messages: the value itself may come from a data set."""
    if value is None:
        return "null"
    return {bool: "true or false", int: "a number", str: "text"}.get(type(value), "an action")


def is_number(value: Value) -> TypeGuard[int]:
    """Tell whether a value is a number, which in Python a truth value also is."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_text(value: Value) -> str | None:
    """Return text, numbers and truth values as text, and null as None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    raise RuleError(f"must be text, a number or null, not {kind_of(value)}")


def constant(text: str) -> Value:
    """Return the value of ``#Tag.Keyword`` or ``#VR.CODE``."""
    group, name = (part.strip() for part in text[1:].split("."))
    if group == "Tag":
        tag = tag_of_keyword(name)
        if tag is None:
            raise RuleError("is not a keyword of the DICOM data dictionary (PS3.6)")
        return tag
    if group == "VR":
        if name not in VRS:
            raise RuleError("is not a value representation (DICOM PS3.5 section 6.2)")
        return name
    raise RuleError("is not a constant; constants are #Tag.Keyword and #VR.CODE")


def _tag(value: Value) -> int:
    number = tag_number(value) if isinstance(value, str) else value
    if is_number(number) and 0 <= number <= LARGEST_TAG:
        return number
    raise RuleError("is not a tag; write #Tag.StudyDescription, '0008,1030' or '00081030'")


def _tag_of_condition(value: Value) -> int:
    """Return the tag; text that is none stands for an element that no data set has, as in the reference."""
    if isinstance(value, str) and tag_number(value) is None:
        return NO_TAG
    return _tag(value)


def _vr(value: Value) -> str:
    if isinstance(value, str) and value in VRS:
        return value
    raise RuleError("is not a value representation; write #VR.LO or 'LO'")


def _text_or_null(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise RuleError(f"must be text, not {kind_of(value)}")


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    raise RuleError(f"must be text, not {kind_of(value)}")


def _number(value: Value) -> int:
    if is_number(value):
        return value
    raise RuleError(f"must be a number, not {kind_of(value)}")


def _get_string(subject: Subject, tag: int) -> str | None:
    values = text_values(subject.dataset, tag)
    return "\\".join(values) if values else None


def _value_test(test: Callable[[str, str], bool]) -> Function:
    """Return a function that is false where the data set has no value."""

    def call(subject: Subject, tag: int, wanted: str | None) -> bool:
        value = _get_string(subject, tag)
        return value is not None and wanted is not None and test(value, wanted)

    return Function(call, (_tag_of_condition, _text_or_null))


def _substring(text: str, begin: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= begin <= end <= len(text):
        raise RuleError("is outside the text")
    return text[begin:end]


def _trim(text: str) -> str:
    return text.strip("".join(map(chr, range(0x21))))  # Java's idea of white space


METHODS: Mapping[str, Function] = {
    "contains": Function(lambda text, part: part in text, (_text,)),
    "startsWith": Function(lambda text, part: text.startswith(part), (_text,)),
    "endsWith": Function(lambda text, part: text.endswith(part), (_text,)),
    "substring": Function(_substring, (_number, _number), optional=1),
    "length": Function(len),
    "toUpperCase": Function(str.upper),
    "toLowerCase": Function(str.lower),
    "trim": Function(_trim),
}

CONDITION = Scope(
    variables={},
    functions={
        "tagValueIsPresent": _value_test(lambda value, wanted: value == wanted),
        "tagValueContains": _value_test(lambda value, wanted: wanted in value),
        "tagValueBeginsWith": _value_test(lambda value, wanted: value.startswith(wanted)),
        "tagValueEndsWith": _value_test(lambda value, wanted: value.endswith(wanted)),
        # With a value, at the root level: not what the function of this name means in an expression.
        "tagIsPresent": Function(lambda subject, tag: has_first_value(subject.dataset, tag), (_tag_of_condition,)),
    },
)

TEMPLATE = Scope(
    variables={
        "tag": lambda subject: subject.tag,
        "vr": lambda subject: subject.vr,
        "stringValue": lambda subject: subject.string_value,
    },
    functions={
        "getString": Function(_get_string, (_tag,)),
        "tagIsPresent": Function(Subject.has, (_tag,)),
    },
)

EXPRESSION = Scope(
    variables=TEMPLATE.variables,
    functions={
        **TEMPLATE.functions,
        "Keep": Function(lambda _: Keep()),
        "Remove": Function(lambda _: Remove()),
        "ReplaceNull": Function(lambda _: ReplaceNull()),
        "Replace": Function(lambda _, text: Replace(text), (as_text,)),
        "UID": Function(lambda _: Uid()),
        "ExcludeInstance": Function(lambda _: ExcludeInstance()),
        "ComputePatientAge": Function(lambda _: ComputePatientAge()),
        "Add": Function(lambda _, tag, vr, value: Add(tag, vr, value), (_tag, _vr, as_text)),
    },
)

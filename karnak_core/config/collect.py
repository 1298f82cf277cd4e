"""Validators that look at several entries and report every problem of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

Place = tuple[int | str, ...]
M = TypeVar("M", bound=BaseModel)


def again(error: ValidationError, *prefix: int | str) -> list[InitErrorDetails]:
    """Return what a validation found in a form in which it can be raised together with more."""
    return [_again(details, prefix) for details in error.errors(include_url=False)]


def _again(details: ErrorDetails, prefix: Place) -> InitErrorDetails:
    kind: Any = details["type"]
    words: Any = details["msg"]
    return InitErrorDetails(
        type=PydanticCustomError(kind, words, dict(details.get("ctx", {}))),
        loc=(*prefix, *details["loc"]),
        input=details["input"],
    )


def problem(message: str, loc: Place, value: object) -> InitErrorDetails:
    """Return one problem, worded as people shall read it."""
    return InitErrorDetails(type=PydanticCustomError("worded", "{words}", {"words": message}), loc=loc, input=value)


def raise_all(problems: Sequence[InitErrorDetails]) -> None:
    """Raise what was found, if anything."""
    if problems:
        raise ValidationError.from_exception_data("configuration", list(problems))


def together(
    value: Any, handler: ModelWrapValidatorHandler[M], look: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]]
) -> M:
    """Validate a model, and look at several of its keys together, even where others are wrong; in a ``wrap`` validator.

    An ``after`` validator would say nothing then: it would be told in a second round.

    Parameters
    ----------
    look
        Given the values, or where any is wrong what was written, yields keys and what is wrong with them. Of keys that
        are wrong by themselves it is not told.
    """
    result: M | None = None
    problems: list[InitErrorDetails] = []
    try:
        result = handler(value)
    except ValidationError as error:
        problems += again(error)
    told = {loc[0] for found in problems if (loc := found.get("loc"))}
    there = value if result is None else {name: getattr(result, name) for name in type(result).model_fields}
    if isinstance(there, Mapping):
        problems += [problem(words, (key,), there.get(key)) for key, words in look(there) if key not in told]
    raise_all(problems)
    assert result is not None
    return result


def unique_by(*keys: str) -> WrapValidator:
    """Refuse entries that agree in all of these keys; the first key's place is reported."""

    def check(entries: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        problems: list[InitErrorDetails] = []
        result: Any = None
        try:
            result = handler(entries)
        except ValidationError as error:
            problems += again(error)
        seen: dict[tuple[str, ...], int] = {}
        for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
            identity = tuple(_get(entry, key) for key in keys)
            # what is missing or no text is reported by the entry itself
            if not identity[0]:
                continue
            if identity in seen:
                words = f"{identity[0]!r} stands twice; entry [{seen[identity]}] has it, too"
                problems.append(problem(words, (index, keys[0]), identity[0]))
            else:
                seen[identity] = index
        raise_all(problems)
        return result

    return WrapValidator(check)


def _get(entry: object, key: str) -> str:
    found = entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key, None)
    return found if isinstance(found, str) else ""

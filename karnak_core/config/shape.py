"""Follow the place of a validation error through the models, to learn what is known there: keys, limits, secrets."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from karnak_core.config.parts import Open
from karnak_core.config.reading import Reading
from karnak_core.config.secret import Secret

#: a type, and what ``Annotated`` or a field adds to it
Shape = tuple[Any, tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Spot:
    """What stands at the place of an error."""

    #: keys and positions as they are in the file
    path: tuple[str | int, ...]
    #: where in ``path`` there was a choice between several types, of which each reports its own errors
    choice: int | None
    #: the keys known where the last step of ``path`` is one of a mapping's
    known: tuple[str, ...]
    #: metadata of the types the value may have
    metadata: tuple[Any, ...]
    #: true: the value must not be shown
    secret: bool


def follow(root: type[BaseModel], loc: Sequence[str | int], missing: bool, document: Any, context: Reading) -> Spot:
    """Find the spot of a pydantic ``loc``, which has steps that are not in the file: hidden fields and type names.

    ``missing`` : the last step names a key that should be there.
    """
    shapes: list[Shape] = [(root, ())]
    value = document
    path: list[str | int] = []
    choice: int | None = None
    known: tuple[str, ...] = ()
    secret = False
    for position, step in enumerate(loc, start=1):
        hiding = [shape for shape, _ in shapes if _is_model(shape, Open) and step == shape.HIDDEN]
        if hiding and isinstance(value, Mapping):
            shapes = [(_keys(hiding[0], value, context), ())]
            continue
        is_last = position == len(loc)
        if isinstance(value, Mapping) and (
            step in value
            or (missing and is_last)
            # a key that has its default, which does not go with the others
            or (is_last and any(step in set(_known(shape, value, context)) for shape, _ in shapes))
        ):
            known = tuple(dict.fromkeys(key for shape, _ in shapes for key in _known(shape, value, context)))
            shapes = [inner for shape, _ in shapes for inner in _of_key(shape, step, value, context)]
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            shapes = [inner for shape, _ in shapes for inner in _of_item(shape, step)]
            value = value[step]
        else:
            choice = len(path) if choice is None else choice
            continue
        path.append(step)
        secret = secret or any(_is_model(shape, Secret) for shape, _ in shapes)
    metadata = tuple(item for _, items in shapes for item in items)
    return Spot(path=tuple(path), choice=choice, known=known, metadata=metadata, secret=secret)


class _Keys(dict[str, Any]):
    """Keys of a mapping that stand beside those of a model, and the model's own."""


def _keys(model: type[Open], written: Mapping[str, Any], context: Reading) -> _Keys:
    own = {key: field for key, field in model.model_fields.items() if key != model.HIDDEN}
    return _Keys({**own, **model.further(written, context)})


def _is_model(shape: Any, model: type) -> bool:
    return isinstance(shape, type) and issubclass(shape, model)


def _fields(shape: Any, written: Any, context: Reading) -> Mapping[str, Any]:
    if isinstance(shape, _Keys):
        return shape
    if _is_model(shape, Open):
        return _keys(shape, written, context)
    if _is_model(shape, BaseModel):
        return {_key(name, field): field for name, field in shape.model_fields.items()}
    return {}


def _key(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name


def _known(shape: Any, written: Any, context: Reading) -> Iterable[str]:
    return _fields(shape, written, context).keys()


def _of_key(shape: Any, key: str | int, written: Any, context: Reading) -> Iterator[Shape]:
    fields = _fields(shape, written, context)
    if isinstance(key, str) and key in fields:
        yield from shapes(fields[key])
    elif get_origin(shape) is not None and _is_model(get_origin(shape), Mapping):
        yield from shapes(get_args(shape)[1])


def _of_item(shape: Any, index: int) -> Iterator[Shape]:
    origin, arguments = get_origin(shape), get_args(shape)
    if not arguments or not isinstance(origin, type):
        return
    if origin is tuple and arguments[-1] is not Ellipsis:
        yield from shapes(arguments[min(index, len(arguments) - 1)])
    elif issubclass(origin, Iterable | AbstractSet) and not issubclass(origin, Mapping):
        yield from shapes(arguments[0])


def shapes(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[Shape]:
    """Take ``Annotated``, fields and unions apart."""
    if isinstance(annotation, FieldInfo):
        yield from shapes(annotation.annotation, (*metadata, *annotation.metadata))
    elif get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        flat = [item for one in more for item in (one.metadata if isinstance(one, FieldInfo) else [one])]
        yield from shapes(inner, (*metadata, *flat))
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from shapes(member, metadata)
    elif hasattr(annotation, "__value__"):
        yield from shapes(annotation.__value__, metadata)
    else:
        yield annotation, metadata

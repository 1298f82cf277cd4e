"""The keys of a kind as options of a command: one model gives both."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from karnak_core.commands.common import WRONG, fail
from karnak_core.config.reading import Reading
from karnak_core.config.secret import Secret
from karnak_core.config.shape import shapes
from karnak_core.config.words import problems
from karnak_core.plugins import Plugins

#: what an option of a secret has as its value when none is given: it is asked for
ASK = "\0ask"


def options_of(model: type[BaseModel]) -> list[click.Parameter]:
    """Return the options for every key of a model.

    A secret has three: ``--password TEXT``, which asks for it where TEXT is missing, ``--password-env NAME`` and
    ``--password-file PATH``.
    """
    return [option for name, field in model.model_fields.items() for option in _options(name, field)]


def read_options(model: type[BaseModel], given: Mapping[str, Any], plugins: Plugins) -> BaseModel:
    """Make the keys of what was given on the command line; end with exit status 2 when they are wrong.

    A secret that has to be there, and is not, is asked for.
    """
    document = {}
    for name, field in model.model_fields.items():
        value = _secret(name, field, given) if _is_secret(field) else given.get(_variable(name))
        if value is not None and value != ():
            document[field.alias or name] = value
    context = Reading(plugins=plugins, folder=Path.cwd())
    try:
        return model.model_validate(document, context=context)
    except ValidationError as error:
        found = problems(error, model, document, context)
    fail("\n".join(f"{_flag(one.place) + ': ' if one.place else ''}{one.message}" for one in found), WRONG)


def _options(name: str, field: FieldInfo) -> Iterator[click.Parameter]:
    flag, variable, text = _flag(name), _variable(name), (field.description or "").replace("\n", " ")
    help_text = f"{text[:1].upper()}{text[1:]}."
    if _is_secret(field):
        # as an option without its value, it asks
        yield click.Option(
            [flag, variable], metavar="[TEXT]", is_flag=False, flag_value=ASK, help=f"{help_text} Without TEXT: asks."
        )
        yield click.Option([f"{flag}-env", f"{variable}_env"], metavar="NAME", help="The same, in a variable.")
        yield click.Option(
            [f"{flag}-file", f"{variable}_file"], type=click.Path(dir_okay=False), help="The same, in a file."
        )
        return
    kinds = [shape for shape, _ in shapes(field) if shape is not type(None)]
    if kinds == [bool]:
        yield click.Option([f"{flag}/--no-{flag.removeprefix('--')}", variable], default=None, help=help_text)
        return
    choices = [str(value) for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    several = any(_is_list(kind) for kind in kinds)
    yield click.Option(
        [flag, variable],
        type=click.Choice(choices) if choices else click.STRING,
        required=field.is_required(),
        multiple=several,
        help=help_text + (" May be given several times." if several else "") + _default(field),
    )


def _default(field: FieldInfo) -> str:
    """Return the default in words, as it would be written, with its unit."""
    if field.is_required():
        return ""
    annotated: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    adapter: TypeAdapter[object] = TypeAdapter(annotated)
    value = adapter.dump_python(field.get_default(call_default_factory=True), mode="json")
    return f" Default: {value}." if isinstance(value, str | int | float) and value != "" else ""


def _secret(name: str, field: FieldInfo, given: Mapping[str, Any]) -> Any:
    variable = _variable(name)
    ways = [way for way in ("", "_env", "_file") if given.get(f"{variable}{way}") is not None]
    if len(ways) > 1:
        flags = " and ".join(_flag(name) + way.replace("_", "-") for way in ways)
        fail(f"{flags}: only one of them can be", WRONG)
    if not ways and not field.is_required():
        return None
    way = ways[0] if ways else ""
    value = given.get(f"{variable}{way}", ASK) if ways else ASK
    if value == ASK:
        return click.prompt(_words(name), hide_input=True, err=True)
    return {way.lstrip("_"): value} if way else value


def _is_secret(field: FieldInfo) -> bool:
    return any(isinstance(shape, type) and issubclass(shape, Secret) for shape, _ in shapes(field))


def _is_list(kind: Any) -> bool:
    origin = get_origin(kind)
    return (
        origin not in (None, Union, types.UnionType, Literal)
        and isinstance(origin, type)
        and issubclass(origin, list | tuple | set | frozenset)
    )


def _flag(place: str) -> str:
    """Return how the option of a key is called; of a place deeper down, too."""
    name, rest = re.match(r"(\w*)(.*)", place, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"--{name.replace('_', '-')}{rest}"


def _variable(name: str) -> str:
    """Return a name that no option of the command itself has."""
    return f"key_{name}"


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()

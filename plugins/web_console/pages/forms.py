"""What forms send, and what was wrong in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData

from karnak_core.errors import ConfigurationError
from karnak_plugins.web_console.refusals import Refused


async def _form(request: Request) -> FormData:
    return await request.form()


#: the fields of the form, and its files; for functions of any kind
Form = Annotated[FormData, Depends(_form)]


def text(form: FormData, name: str) -> str:
    """Return a field's text; empty where there is none."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def texts(form: FormData, name: str) -> list[str]:
    """Return the texts of every field with this name."""
    return [value for value in form.getlist(name) if isinstance(value, str)]


def checked(form: FormData, name: str) -> bool:
    """Say whether a box is ticked."""
    return name in form


def whole_number(form: FormData, name: str) -> int | None:
    """Return a field's whole number; None: it is not one."""
    written = text(form, name).strip()
    return int(written) if written.isascii() and written.removeprefix("-").isdigit() and len(written) < 19 else None


def form_version(form: FormData) -> int:
    """Return the version of the configuration that the form was made from, its hidden field ``version``."""
    number = whole_number(form, "version")
    if number is None:
        raise Refused(400, "the form does not say which version of the configuration it was made from")
    return number


def by_place(error: ConfigurationError, prefix: str = "") -> Mapping[str, str]:
    """Return what is wrong by the name of the field; what is wrong elsewhere stands under the empty name.

    Parameters
    ----------
    prefix
        The place of the form's part of the configuration, e.g. ``forward_nodes[0].destinations[1]``.
    """
    found: dict[str, str] = {}
    for problem in error.problems:
        ours = not prefix or problem.place == prefix or problem.place.startswith((f"{prefix}.", f"{prefix}["))
        name = problem.place.removeprefix(prefix).lstrip(".") if ours else ""
        said = problem.message if ours else str(problem)
        found[name] = f"{found[name]}; {said}" if name in found else said
    return found

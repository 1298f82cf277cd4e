"""What the pages of the monitoring share: the filter, and who may see what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from karnak_plugins.web_console.access.identity import Identity
from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.console import Console
from karnak_plugins.web_console.deciding import looked
from karnak_plugins.web_console.pages.rendering import Errors
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.selecting import PERIODS, STATES, Selection, selection

#: on one page, at most
STUDIES, ROWS = 25, 100
#: seconds that one answer counts what matches: what is left the next one does
COUNTED = 0.05


def asked(request: Request, console: Console, user: Identity) -> Selection:
    """Return which deliveries are asked for; a look at original identities is written down first."""
    found = selection(request.query_params, console.clock())
    if found.errors:
        return found
    if found.identities or found.personal:
        detail = "shown" if found.identities else "looked for a patient or a text"
        note_look(console, user, "the monitoring", detail)
    return found


def note_look(console: Console, user: Identity, where: str, detail: str) -> None:
    """Write down that original identities are looked at, once for as long as somebody goes on.

    Raises
    ------
    Refused
        403: this is not for this user.
    """
    if Scope.IDENTITIES not in user.scopes:
        raise Refused(403, "original identities are not for you to see")
    with console.looks.once(user.name, f"{where}: {detail}", console.clock()) as new:
        if new:
            with console.database.write() as connection:
                looked(connection, user, where, detail)


def filter_context(
    console: Console, found: Selection, others: Mapping[tuple[str, str], Any] | None = None
) -> dict[str, Any]:
    """Return what the form of the filter shows."""
    names = [f"{node.ae_title}/{one.name}" for node in console.configuration.forward_nodes for one in node.destinations]
    names += sorted({f"{node}/{name}" for node, name in others or {}} - set(names))
    if (chosen := found.fields.get("destination")) and chosen not in names:
        names.append(chosen)
    return {
        "selection": found,
        "fields": Errors(found.fields),
        "errors": Errors(found.errors),
        "periods": {name: text for name, (text, _) in PERIODS.items()},
        "states": {"": "any", **{name: name for name in STATES}},
        "destination_names": {"": "all", **{name: name for name in names}},
    }

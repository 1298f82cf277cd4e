"""A profile is tried out on one file: what would change is told, and the file is not kept."""

from __future__ import annotations

import io
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from karnak_core.tryout import Row
from karnak_plugins.web_console import tryout
from karnak_plugins.web_console.access.audit import audit
from karnak_plugins.web_console.access.identity import Identity, require_scope
from karnak_plugins.web_console.access.roles import Scope
from karnak_plugins.web_console.refusals import Refused
from karnak_plugins.web_console.resources import ConsoleOf

router = APIRouter(tags=["configuration"])
Tools = Annotated[Identity, Depends(require_scope("tools"))]
DICOM = "application/dicom"
_BODY = {
    "requestBody": {
        "required": True,
        "description": "a DICOM file (PS3.10)",
        "content": {DICOM: {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Difference(BaseModel):
    """An element that is not what it was."""

    what: str = Field(description="changed, removed or added")
    path: str = Field(description="as (0008,1140)[0].(0008,1155), items counted from 0")
    name: str
    vr: str
    before: str | None = Field(description="the value, or that there is one; null: it was not there")
    after: str | None = Field(description="the value, or that there is one; null: it is removed")
    decided_by: str = Field(description="the profile element that decided")


class TriedOut(BaseModel):
    """What a profile would do to a file."""

    ending: str = Field(description="tried, excluded, failed or skipped")
    reason: str = Field(description="why it is excluded, failed or skipped; never a value")
    cleaned: list[str] = Field(description="what is done to pixels, in the words of DICOM CID 7050")
    changes: list[Difference]


async def _file(request: Request) -> bytes:
    return await request.body()


@router.post("/tryouts", openapi_extra=_BODY)
def try_out(
    user: Tools,
    content: Annotated[bytes, Depends(_file)],
    console: ConsoleOf,
    profile: Annotated[str, Query(max_length=64, description="its name; empty: that of the project")] = "",
    project: Annotated[
        str,
        Query(
            max_length=64,
            description="whose secret is used, which needs the scope identities or secrets; empty: a random one",
        ),
    ] = "",
    morph: Annotated[bool, Query(description="true: tag morphing instead of de-identification")] = False,
    values: Annotated[bool, Query(description="true: with the file's values; needs the scope identities")] = False,
) -> TriedOut:
    """Say what a profile would do to a DICOM file, which is not kept."""
    if values:
        if Scope.IDENTITIES not in user.scopes:
            raise Refused(403, "values of the file need the scope identities")
        audit(console, user, "look at", f"values of a file, profile {profile}", "try-out of a profile")
    tried = tryout.try_out(
        console, user, io.BytesIO(content), profile=profile, project=project, morph=morph, show_values=values
    )
    return TriedOut(
        ending=str(tried.ending),
        reason=tried.reason,
        cleaned=list(tried.cleaned),
        changes=[_difference(row) for row in tried.rows],
    )


def _difference(row: Row) -> Difference:
    return Difference(
        what=str(row.what),
        path=row.path,
        name=row.name,
        vr=row.vr,
        before=None if row.before is None else str(row.before),
        after=None if row.after is None else str(row.after),
        decided_by=row.decided_by,
    )

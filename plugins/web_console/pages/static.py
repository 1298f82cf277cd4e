"""Style, scripts and pictures: files of ours and of others, under addresses that change with their contents."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "static"
#: what is shown of it
KINDS = frozenset({".css", ".js", ".svg", ".txt"})


class Static(StaticFiles):
    """The files; browsers may keep those that are asked for by a hash of their contents."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with the file, or not found."""
        if Path(path).suffix not in KINDS:
            raise HTTPException(404, "there is no such file")
        response = await super().get_response(path, scope)
        kept = b"v=" in scope["query_string"] and response.status_code == 200
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
        return response


@cache
def static_url(name: str) -> str:
    """Return the address of a file, such as ``app.css``."""
    digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"

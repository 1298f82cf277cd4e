"""Find something in a JSON text by a JSON Pointer (RFC 6901)."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_WRONG_ESCAPE: Final = re.compile(r"~(?![01])")


def checked(pointer: str) -> str:
    """Return a JSON Pointer; raises ValueError for what is none."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(
            f"{pointer!r} is no JSON Pointer; one begins with /, or is empty for the whole answer (RFC 6901)"
        )
    if _WRONG_ESCAPE.search(pointer):
        raise ValueError(f"{pointer!r} is no JSON Pointer: ~ is written ~0, and / in a name ~1 (RFC 6901)")
    return pointer


def text_at(answer: str, pointer: str) -> str:
    """Return the text that stands there.

    Raises
    ------
    ValueError
        The answer is not JSON, has nothing there, or something that is no text. Says which, and not what it has.
    """
    try:
        found: Any = json.loads(answer)
    except (ValueError, RecursionError):
        problem = "is not JSON"
    else:
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and _INDEX.fullmatch(key) and int(key) < len(found):
                found = found[int(key)]
            else:
                raise ValueError(f"has nothing at {pointer}")
        if isinstance(found, str):
            return found
        problem = f"has {_NAMES.get(type(found), 'something else')} {_where(pointer)}, not text"
    raise ValueError(problem)


_NAMES: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _where(pointer: str) -> str:
    return f"at {pointer}" if pointer else "as a whole"

"""What validators need to know besides the value: the plugins in use and where the file lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationInfo

    from karnak_core.plugins import Plugins


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The context of one validation; models that are built in code have none."""

    plugins: Plugins
    #: the folder of the file, where its relative paths start; None: a stored document, whose paths are absolute
    folder: Path | None = None
    #: for a document without a folder: look at the files of TLS that it names, but for paths among these texts, which
    #: were looked at when they were written; None: look at none
    seen: frozenset[str] | None = None
    #: the names that the document has under ``authenticators``, right or wrong
    authenticators: frozenset[str] = frozenset()
    #: likewise under ``projects``
    projects: frozenset[str] = frozenset()
    #: likewise under ``profiles``, and the built-in one; None: not known
    profiles: frozenset[str] | None = frozenset()


def reading(info: ValidationInfo) -> Reading | None:
    """Return the context that a validator was called with."""
    return info.context if isinstance(info.context, Reading) else None


def opens(info: ValidationInfo, *paths: str) -> bool:
    """Say whether files are to be looked at now: those of a file that is read, and those that are new elsewhere."""
    context = reading(info)
    if context is None:
        return False
    return context.folder is not None or (context.seen is not None and not context.seen.issuperset(paths))


def is_new(info: ValidationInfo) -> bool:
    """Say whether this is written now: False for a document that was applied, and is what it was then."""
    context = reading(info)
    return context is None or context.folder is not None or context.seen is not None


def absolute(path: str, info: ValidationInfo) -> str:
    """Return ``path`` as it is meant in the file that is being read."""
    context = reading(info)
    if context is None or context.folder is None:
        return path
    return str(context.folder.absolute() / path)

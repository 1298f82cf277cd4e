"""The codec libraries, imported when they are first needed: a gateway runs without them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any, Final

from karnak_core.pixels.errors import CannotDecode
from karnak_core.pixels.syntaxes import EXTRA

#: pylibjpeg-openjpeg keeps what it works on where all threads see it: two of them in it at a time end the process
OPENJPEG: Final = Lock()


def is_codec_error(error: BaseException) -> bool:
    """Say whether an exception is a codec's: panics of those in Rust are no ``Exception``."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


@cache
def library(name: str) -> Any:
    """Return a codec library, by the name it is imported by.

    Raises
    ------
    CannotDecode
        It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise CannotDecode(f"compressed pixels need a codec that is not installed: install {EXTRA}") from error

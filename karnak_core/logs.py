"""What the gateway writes to standard error: one event a line, for people on a terminal, as JSON elsewhere."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Iterator

import structlog

from karnak_core.errors import KarnakError


def configure(*, verbose: bool = False, role: str = "") -> None:
    """Send the logs of this process to standard error.

    Parameters
    ----------
    verbose
        Show the DEBUG lines of Karnak, one for each instance.
    role
        Which process of the gateway this is.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    people = sys.stderr.isatty()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _with_role(role),
            without_values,
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("karnak_core", "karnak_plugins"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
    # pydicom's warnings quote values of data sets
    warnings.simplefilter("ignore")
    # below WARNING it prints UIDs and identifiers
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    logging.getLogger("pydicom").setLevel(logging.ERROR)


def without_values(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Turn an exception into its type and the places it came through: its text may quote a patient's data.

    The text of our own errors is told, as it never does, and that of the operating system's.
    """
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(_lines(error))
    return event


def _lines(error: BaseException) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _lines(before)
        yield "which led to"
    yield from (line.rstrip() for line in traceback.format_tb(error.__traceback__))
    yield f"{type(error).__module__}.{type(error).__qualname__}{_told(error)}"


def _told(error: BaseException) -> str:
    if isinstance(error, KarnakError):
        return f": {error}"
    if isinstance(error, OSError) and error.strerror:
        return f": {error.strerror}"
    return ""


def _with_role(role: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if role:
            event["role"] = role
        return event

    return add

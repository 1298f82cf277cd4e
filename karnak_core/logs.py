"""What the gateway writes to standard error: one event a line, for people on a terminal, as JSON elsewhere."""

from __future__ import annotations

import logging
import sys
import warnings

import structlog


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
            *([] if people else [structlog.processors.format_exc_info]),
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


def _with_role(role: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if role:
            event["role"] = role
        return event

    return add

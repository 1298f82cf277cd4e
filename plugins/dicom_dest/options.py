"""The options of commands that connect to a DICOM node."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from karnak_core.config.tls import ClientTLS

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def tls_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of TLS; they arrive as ``tls``, a `ClientTLS` or None."""

    @click.option("--tls", "use_tls", is_flag=True, help="Use TLS; any of the next three does, too.")
    @click.option("--ca", type=_FILE, help="PEM file: who may issue the peer's certificate, or that itself.")
    @click.option("--certificate", type=_FILE, help="PEM file: our certificate, for a peer that asks for one.")
    @click.option("--key", type=_FILE, help="PEM file: the private key of our certificate.")
    @wraps(command)
    def with_tls(
        *arguments: Any, use_tls: bool, ca: Path | None, certificate: Path | None, key: Path | None, **others: Any
    ) -> Any:
        paths = {"ca": ca, "certificate": certificate, "key": key}
        given = {name: str(path.absolute()) for name, path in paths.items() if path is not None}
        if ("certificate" in given) != ("key" in given):
            raise click.UsageError("--certificate and --key go together")
        try:
            tls = ClientTLS.model_validate(given) if use_tls or given else None
        except ValidationError as error:
            raise click.UsageError("; ".join(problem["msg"] for problem in error.errors())) from None
        return command(*arguments, tls=tls, **others)

    return with_tls

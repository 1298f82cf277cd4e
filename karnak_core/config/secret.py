"""Secrets: written as ``{env: NAME}``, ``{file: PATH}`` or text, kept as a reference or encrypted, never shown.

Text is encrypted when the configuration is applied; from then on it is ``{stored: …}``, which only the gateway's key
opens.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from karnak_core.config.reading import absolute
from karnak_core.database.secrets import SecretKeyError, Vault
from karnak_core.errors import Misconfigured

#: the serialization context in which a secret writes itself as a reference or encrypted
WRITE_OUT = "write secrets out"

HOW = "is not {env: NAME}, {file: PATH} or text"


class Origin(StrEnum):
    """Where the text of a secret is."""

    #: in an environment variable of the process that uses it
    ENV = "env"
    #: in a file, without the line end
    FILE = "file"
    #: encrypted in the configuration
    STORED = "stored"
    #: in memory, as it was written; only until it is applied
    PLAIN = "plain"


class Secret:
    """A secret of the configuration: declare the field of a model as ``Secret``.

    Not a data class: what turns these into texts or mappings would show what is in it.
    """

    __slots__ = ("_origin", "_where")

    def __init__(self, origin: Origin, where: str) -> None:
        self._origin = origin
        self._where = where

    @property
    def origin(self) -> Origin:
        """Where the text is."""
        return self._origin

    @property
    def where(self) -> str:
        """Name of the variable, path, token or text."""
        return self._where

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._origin, self._where) == (other._origin, other._where)

    def __hash__(self) -> int:
        return hash((self._origin, self._where))

    @classmethod
    def plain(cls, text: str) -> Secret:
        """Return a secret that is given as text, e.g. the empty one as a default."""
        return cls(Origin.PLAIN, text)

    def reveal(self, vault: Vault | None = None, environment: Mapping[str, str] = os.environ) -> str:
        """Return the secret's text.

        Parameters
        ----------
        vault
            Opens a stored one; None: there is no key.

        Raises
        ------
        Misconfigured
            The variable is not set, the file cannot be read, or the key does not open it.
        """
        match self.origin:
            case Origin.PLAIN:
                return self.where
            case Origin.ENV:
                if self.where not in environment:
                    raise Misconfigured(f"environment variable {self.where} is not set")
                return environment[self.where]
            case Origin.FILE:
                try:
                    return Path(self.where).read_text(encoding="utf-8").rstrip("\r\n")
                except (OSError, UnicodeDecodeError) as error:
                    why = error.strerror if isinstance(error, OSError) else "not UTF-8"
                    raise Misconfigured(f"secret file {self.where}: {why}") from None
            case Origin.STORED:
                if vault is None:
                    raise Misconfigured("a stored secret needs the gateway's key")
                try:
                    return vault.decrypt(self.where)
                except SecretKeyError as error:
                    raise Misconfigured(str(error)) from error

    def document(self) -> dict[str, str] | str:
        """Return what stands for the secret in a file or in the database.

        Raises
        ------
        ValueError
            It is still plain text: seal it first.
        """
        if self == _EMPTY:
            return ""
        if self.origin is Origin.PLAIN:
            raise ValueError("a secret in plain text is not written out; seal it first")
        return {str(self.origin): self.where}

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def __format__(self, _specification: str) -> str:
        return repr(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read every way of writing a secret."""
        return core_schema.with_info_plain_validator_function(
            _read,
            serialization=core_schema.plain_serializer_function_ser_schema(_write, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe every way of writing a secret; never to be read back."""
        references = [
            {"type": "object", "properties": {origin: {"type": "string"}}, "required": [origin]}
            for origin in ("env", "file", "stored")
        ]
        return {"anyOf": [{"type": "string"}, *references], "writeOnly": True}


#: no secret at all: nothing to hide, nor to encrypt
_EMPTY = Secret.plain("")


def _read(value: object, info: ValidationInfo) -> Secret:
    match value:
        case Secret():
            return value
        case str():
            return Secret.plain(value)
        case {"env": str(name), **others} if name and not others:
            return Secret(Origin.ENV, name)
        case {"file": str(path), **others} if path and not others:
            return Secret(Origin.FILE, absolute(path, info))
        case {"stored": str(token), **others} if not others:
            return Secret(Origin.STORED, token)
        case int() | float():
            raise ValueError("is a number; put it in quotes")
    raise ValueError(HOW)


def _write(secret: Secret, info: SerializationInfo) -> Any:
    if info.context == WRITE_OUT:
        return secret.document()
    return "***" if info.mode == "json" else secret

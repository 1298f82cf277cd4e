"""An authenticator of type ``api_key``: a key that never changes, in a header of its own.

Keys and part are short enough for one file.
"""

from __future__ import annotations

from collections.abc import Mapping

from karnak_core.config.secret import Secret
from karnak_core.errors import Misconfigured
from karnak_core.model import OpenContext
from pydantic import BaseModel, ConfigDict, Field


class ApiKeyAuthenticator(BaseModel):
    """A key in a header."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A Secret is text, {env: NAME} or {file: PATH} in the file, encrypted when it is applied, and never shown.
    key: Secret = Field(description="the key")
    header: str = Field(default="X-API-Key", pattern="^[A-Za-z0-9-]+$", description="name of the header")


class ApiKey:
    """Makes the header.

    Karnak makes one of these in a process, and all of its threads call it: what they share would need a lock. Here is
    nothing to share.
    """

    def __init__(self, config: ApiKeyAuthenticator, context: OpenContext) -> None:
        self._config = config
        self._reveal = context.reveal

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        """Return the header.

        With ``refresh`` the last one was refused. The secret is opened anew each time, so there is nothing more to do:
        a key that was replaced in its file is used.
        """
        # raises Misconfigured by itself when the file or variable is not there
        key = self._reveal(self._config.key)
        if not key.isascii() or not key.isprintable():
            # holds the destination until somebody changes something; the key itself is in no message
            raise Misconfigured(f"the key for {self._config.header} has characters that a header cannot have")
        return {self._config.header: key}

    def close(self) -> None:
        """Give nothing back: nothing is open."""

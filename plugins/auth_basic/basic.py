"""User name and password become a header."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from karnak_core.errors import Misconfigured
from karnak_core.model import OpenContext
from karnak_plugins.auth_basic.config import BasicAuthenticator, refuse_control_characters


class Basic:
    """Makes the header of RFC 7617, in UTF-8."""

    def __init__(self, config: BasicAuthenticator, context: OpenContext) -> None:
        self._config = config
        self._reveal = context.reveal

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        """Return the header; the password is looked up each time, as a file or variable may have changed."""
        password = self._reveal(self._config.password)
        try:
            refuse_control_characters(password)
        except ValueError as error:
            raise Misconfigured(f"the password of user {self._config.username} {error}") from None
        credentials = base64.b64encode(f"{self._config.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}

    def close(self) -> None:
        """Give nothing back: nothing is open."""

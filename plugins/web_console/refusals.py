"""Why a request is not answered as asked, apart from errors of the gateway itself."""

from __future__ import annotations

from collections.abc import Mapping

from karnak_core.errors import KarnakError


class Refused(KarnakError):
    """A request is refused.

    ``status`` : int — of the answer (RFC 9110 section 15). ``headers`` : to be sent with it.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})

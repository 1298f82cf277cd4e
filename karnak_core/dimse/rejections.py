"""The refusals an acceptor gives (PS3.8 Table 9-21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from karnak_core.dimse.errors import describe_rejection


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why an association is not accepted."""

    #: 1 permanent, 2 transient
    result: int
    #: 1 service user, 2 service provider (ACSE), 3 service provider (presentation)
    source: int
    #: depends on the source
    reason: int

    def __str__(self) -> str:
        return describe_rejection(self.result, self.source, self.reason)


NO_REASON_GIVEN: Final = Rejection(result=1, source=1, reason=1)
APPLICATION_CONTEXT_NOT_SUPPORTED: Final = Rejection(result=1, source=1, reason=2)
CALLING_AE_TITLE_NOT_RECOGNISED: Final = Rejection(result=1, source=1, reason=3)
CALLED_AE_TITLE_NOT_RECOGNISED: Final = Rejection(result=1, source=1, reason=7)
PROTOCOL_VERSION_NOT_SUPPORTED: Final = Rejection(result=1, source=2, reason=2)
TEMPORARY_CONGESTION: Final = Rejection(result=2, source=3, reason=1)
LOCAL_LIMIT_EXCEEDED: Final = Rejection(result=2, source=3, reason=2)

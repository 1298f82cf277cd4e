"""A notification of type ``webhook``: what became of a study, as JSON to an address.

notifications: [{type: webhook, url: "https://ris.hospital.example/karnak", interval: 60}]
"""

from __future__ import annotations

import requests
from karnak_core.errors import Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import OpenContext
from karnak_core.summary import StudySummary
from pydantic import BaseModel, ConfigDict, Field, field_validator


class WebhookNotification(BaseModel):
    """An address that is told what became of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # the interval, and how long it is tried again, are keys that every notification has
    url: str = Field(description="where the JSON is posted to, http or https")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} does not begin with http:// or https://")
        return value


class Webhook:
    """Posts what became of a study.

    Karnak makes one when there is something to tell, and closes it afterwards. It is called again, with the same
    summary, after an error, and when the process died before it could note that the answer was there: ``id`` is the
    same then, so that the other side can tell.
    """

    def __init__(self, config: WebhookNotification, context: OpenContext) -> None:
        self._url = config.url
        self._session = requests.Session()

    def notify(self, summary: StudySummary) -> str:
        """Post the summary; return to whom, in words.

        Nothing in it is as it was received where the destination de-identifies: Karnak has seen to that.
        """
        try:
            answer = self._session.post(
                self._url, json=summary.to_json(), headers={"Idempotency-Key": summary.id}, timeout=10
            )
        except requests.exceptions.SSLError as error:
            raise Misconfigured(f"{self._url}: TLS failed") from error
        except requests.RequestException as error:
            raise Unreachable(f"{self._url}: {type(error).__name__}") from error
        reason = f"{self._url} answers {answer.status_code} {answer.reason}"
        if answer.ok:
            return reason
        if answer.status_code in (401, 403, 404):
            # somebody has to change something; nothing is lost until then
            raise Misconfigured(reason)
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise Retryable(reason)
        # this one will never be taken
        raise Permanent(reason)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

"""The keys of a destination of type ``dicom``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from karnak_core.config.collect import together
from karnak_core.config.names import AETitle
from karnak_core.config.quantities import Duration
from karnak_core.config.tls import ClientTLS
from karnak_core.model import OpenContext


class DicomDestination(BaseModel):
    """Another DICOM node that takes instances by C-STORE."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: AETitle = Field(description="AE title of the node: the called AE title")
    hostname: str = Field(
        "", max_length=255, description="host name or address; not needed with use_ae_title_destination"
    )
    port: int | None = Field(None, ge=1, le=65535, description="TCP port")
    use_ae_title_destination: bool = Field(
        False,
        description="the AE title is the host: looked up in application_entities, else as a DNS name",
    )
    calling_ae_title: AETitle | None = Field(
        None, description="our AE title towards the node; default: the forward node's"
    )
    tls: ClientTLS | None = Field(None, description="how to use TLS; none: plain TCP")
    connections: int = Field(2, ge=1, le=50, description="associations kept open at once")
    connect_timeout: Duration = Field(10.0, gt=0, le=600, description="time until the TCP connection stands")
    association_timeout: Duration = Field(30.0, gt=0, le=600, description="time until the association is answered")
    response_timeout: Duration = Field(
        60.0, gt=0, le=3600, description="time until an instance is answered, after it was sent"
    )

    @model_validator(mode="wrap")
    @classmethod
    def _has_an_address(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        def look(keys: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
            if keys.get("use_ae_title_destination", False) is False:
                for name in ("hostname", "port"):
                    if not keys.get(name):
                        yield name, "is missing; needed unless use_ae_title_destination is true"

        return together(value, handler, look)

    def address(self, context: OpenContext) -> tuple[str, int]:
        """Return host and port of the node."""
        if not self.use_ae_title_destination:
            return self.hostname, self.port or 0
        known = context.application_entities.get(self.ae_title)
        return known or (self.ae_title, self.port or 104)

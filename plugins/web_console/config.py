"""The keys of ``plugins.web_console``."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from karnak_core.config.quantities import Duration, Size, format_duration
from karnak_core.config.tls import ServerTLS
from karnak_plugins.web_console.access.oidc_config import OpenIdConnect

HOUR, DAY = 3600.0, 86400.0


class WebConsole(BaseModel):
    """Where the console listens, by which names people reach it, and how long they stay signed in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        max_length=255,
        description="IP address or DNS name to listen at; 127.0.0.1: only this machine; 0.0.0.0: all IPv4 addresses",
    )
    port: int = Field(default=8081, description="1–65535, or 0: any free port, told in the ready line")
    tls: ServerTLS | None = Field(default=None, description="certificate and key, for HTTPS; none: HTTP")
    public_url: str = Field(
        default="",
        description="what people type to get here, where it is not host and port, e.g. https://karnak.example.org "
        "behind a proxy",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description="IP addresses of proxies in front, whose X-Forwarded-For and X-Forwarded-Proto are believed",
    )
    idle: Duration = Field(
        default=HOUR / 2, ge=60, le=30 * DAY, description="how long somebody who does nothing stays signed in"
    )
    signed_in: Duration = Field(default=12 * HOUR, ge=60, le=90 * DAY, description="how long anybody stays signed in")
    upload: Size = Field(
        default=64 * 2**20, ge=2**20, le=2**32, description="largest request in bytes, such as a file that is dropped"
    )
    oidc: OpenIdConnect | None = Field(default=None, description="identity provider that people sign in by; none: none")
    local_users: bool = Field(
        default=True, description="false: nobody signs in with a password kept here, only by oidc"
    )
    echo_api: bool = Field(
        default=True,
        description="false: /api/echo/destinations, which anybody may ask whether destinations answer, is turned off",
    )

    @field_validator("port")
    @classmethod
    def _port(cls, value: int) -> int:
        if not 0 <= value <= 65535:
            raise ValueError(f"{value} is not 1 to 65535, nor 0 for any free port")
        return value

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if not value:
            return value
        allowed = "an address such as https://karnak.example.org, without a path"
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise ValueError(f"{value!r} is not {allowed}") from None
        beyond = parts.path.strip("/") or parts.query or parts.fragment or parts.username or port == 0
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not re.fullmatch(r"[A-Za-z0-9.:-]+", host) or beyond:
            raise ValueError(f"{value!r} is not {allowed}")
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            try:
                ipaddress.ip_network(address)
            except ValueError:
                raise ValueError(f"{address!r} is not an IP address or network") from None
        return value

    @field_validator("local_users")
    @classmethod
    def _somebody_can_sign_in(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("oidc", True) is None:
            raise ValueError("false needs oidc: nobody could sign in")
        return value

    @field_validator("signed_in")
    @classmethod
    def _at_least_idle(cls, value: float, info: ValidationInfo) -> float:
        idle = info.data.get("idle", 0.0)
        if value < idle:
            raise ValueError(f"{format_duration(value)} is less than idle, {format_duration(idle)}")
        return value

    @property
    def secure(self) -> bool:
        """True: browsers reach it by HTTPS, so cookies are for HTTPS only."""
        return self.tls is not None or self.public_url.startswith("https:")

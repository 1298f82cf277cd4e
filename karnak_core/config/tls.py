"""The keys of TLS, in both roles. The files are looked at when they are written into a configuration, not later.

What is stored has been checked when it was applied: a certificate that has expired since does not keep a running
gateway from following the rest of its configuration, nor anybody from changing that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from karnak_core.config.parts import Model
from karnak_core.config.reading import absolute, opens
from karnak_core.tls import check_authorities, check_certificate, check_key


def _path(path: str, info: ValidationInfo) -> str:
    if not path or "\0" in path:
        raise ValueError(f"{path!r} is not a path")
    found = absolute(path, info)
    if not found.startswith("/") and opens(info, found):
        raise ValueError(f"{path!r} does not begin with '/': there is no folder here that it could start at")
    return found


def _checked(check: Callable[[str], object]) -> AfterValidator:
    def validate(path: str, info: ValidationInfo) -> str:
        if opens(info, path):
            check(path)
        return path

    return AfterValidator(validate)


#: PEM files; relative paths start at the folder of the configuration file
TlsPath = Annotated[str, AfterValidator(_path)]
CertificatePath = Annotated[TlsPath, _checked(check_certificate)]
AuthoritiesPath = Annotated[TlsPath, _checked(check_authorities)]


class _Identity(Model):
    """What both roles have in common."""

    @field_validator("key", check_fields=False)
    @classmethod
    def _key_fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        # a certificate that is wrong is reported by itself
        certificate = info.data.get("certificate")
        if value is not None and opens(info, value, *([certificate] if certificate else [])):
            check_key(value, certificate)
        return value


class ServerTLS(_Identity):
    """TLS where associations are accepted."""

    certificate: CertificatePath = Field(
        description="PEM file: our certificate, then those that issued it, up to one that peers know"
    )
    key: TlsPath = Field(description="PEM file: the private key of the certificate, without a pass phrase")
    client_ca: AuthoritiesPath | None = Field(
        default=None,
        description="PEM file: who may issue the certificates of peers; a peer that shows another one is refused. "
        "None: peers are not asked for one",
    )
    require_client_certificate: bool = Field(
        default=False, description="true: a peer without a certificate is refused; needs client_ca"
    )

    @field_validator("require_client_certificate")
    @classmethod
    def _needs_authorities(cls, value: bool, info: ValidationInfo) -> bool:
        if value and "client_ca" in info.data and info.data["client_ca"] is None:
            raise ValueError("true needs client_ca, which says whose certificates are accepted")
        return value


class ClientTLS(_Identity):
    """TLS towards a peer that accepts connections."""

    ca: AuthoritiesPath | None = Field(
        default=None,
        description="PEM file: who may issue the peer's certificate, or that certificate itself; none: those that the "
        "system trusts",
    )
    certificate: CertificatePath | None = Field(
        default=None, description="PEM file: our certificate, for a peer that asks for one; needs key"
    )
    key: TlsPath | None = Field(
        default=None,
        validate_default=True,
        description="PEM file: the private key of the certificate, without a pass phrase",
    )
    check_hostname: bool = Field(
        default=True, description="false: a certificate of another host is accepted, too, if ca issued it"
    )

    @field_validator("key")
    @classmethod
    def _goes_with_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        # a certificate that is wrong is reported by itself
        if "certificate" in info.data and (info.data["certificate"] is None) != (value is None):
            there, lacking = ("certificate", "key") if value is None else ("key", "certificate")
            raise ValueError(f"{there} needs {lacking}, too")
        return value

"""The keys of a notification of type ``email``, and those of the mail server."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from karnak_core.config.names import Host
from karnak_core.config.quantities import Duration
from karnak_core.config.secret import Secret
from karnak_core.config.tls import AuthoritiesPath
from karnak_plugins.email_notify.addresses import address, addresses
from karnak_plugins.email_notify.pattern import Pattern

#: what can stand in a subject
ALLOWED: Final = ("PatientID", "StudyDescription", "StudyDate", "StudyInstanceUID")


class MailServer(BaseModel):
    """The mail server that every mail goes to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Host = Field(default="localhost", description="DNS name or IP address of the mail server")
    port: int = Field(default=25, ge=1, le=65535, description="TCP port, 1–65535; often 587 for starttls, 465 for tls")
    security: Literal["none", "starttls", "tls"] = Field(
        default="none",
        description="none: in the clear; starttls: TLS is begun on the connection, or no mail is sent; tls: TLS from "
        "the first byte",
    )
    username: str = Field(default="", max_length=255, description="who we are at the mail server; blank: no login")
    password: Secret | None = Field(default=None, validate_default=True, description="proves that; needs username")
    sender: str = Field(default="karnak@localhost", description="the address that mails come from")
    ca: AuthoritiesPath | None = Field(
        default=None,
        description="PEM file: who may issue the mail server's certificate, or that certificate itself; none: those "
        "that the system trusts",
    )
    timeout: Duration = Field(default=30.0, gt=0, le=600, description="time until the mail server has to answer")

    @field_validator("username")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("has control characters")
        return value.strip()

    @field_validator("sender")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return address(value.strip())

    @field_validator("password")
    @classmethod
    def _login_is_whole(cls, value: Secret | None, info: ValidationInfo) -> Secret | None:
        has_password = value is not None and value != Secret.plain("")
        if "username" in info.data and bool(info.data["username"]) != has_password:
            raise ValueError("username and password go together")
        return value


class EmailNotification(BaseModel):
    """A mail that says what became of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipients: str = Field(description="mail addresses, with commas between them")
    error_subject_prefix: str = Field(
        default="ERROR", max_length=64, description="begins the subject when something failed; blank: nothing"
    )
    rejection_subject_prefix: str = Field(
        default="REJECTED",
        max_length=64,
        description="begins the subject when nothing failed, but something was excluded; blank: nothing",
    )
    subject_values: str = Field(
        default="PatientID,StudyDescription",
        description="the values of subject_pattern, in order, with commas between them: PatientID, StudyDescription, "
        "StudyDate, StudyInstanceUID",
    )
    subject_pattern: str = Field(
        default="[Karnak Notification] %s %.30s",
        max_length=255,
        validate_default=True,
        description="the subject, with %s for each value, as Java's String.format reads it",
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Who gets the mail."""
        return addresses(self.recipients)

    @property
    def value_names(self) -> tuple[str, ...]:
        """The values of the subject."""
        return _names(self.subject_values)

    @field_validator("recipients", mode="before")
    @classmethod
    def _are_addresses(cls, value: object) -> object:
        return ", ".join(addresses(value)) if isinstance(value, str) else value

    @field_validator("error_subject_prefix", "rejection_subject_prefix")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("has line ends or control characters")
        return value.strip()

    @field_validator("subject_values")
    @classmethod
    def _are_known(cls, value: str) -> str:
        unknown = [name for name in _names(value) if name not in ALLOWED]
        if unknown:
            raise ValueError(f"{', '.join(map(repr, unknown))} cannot stand in a subject; known: {', '.join(ALLOWED)}")
        return ",".join(_names(value))

    @field_validator("subject_pattern")
    @classmethod
    def _is_a_pattern(cls, value: str, info: ValidationInfo) -> str:
        if not value.isprintable() or not value.strip():
            raise ValueError("is empty, or has line ends or control characters")
        needs = Pattern(value).needs
        # values that are wrong are reported by themselves
        if "subject_values" in info.data:
            given = len(_names(info.data["subject_values"]))
            if needs > given:
                raise ValueError(f"{value!r} needs {needs} values, and subject_values has {given}")
        return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

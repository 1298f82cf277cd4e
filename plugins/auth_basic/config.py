"""The keys of an authenticator of type ``basic``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from karnak_core.config.secret import Origin, Secret


class BasicAuthenticator(BaseModel):
    """A user name and a password, sent with every request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    username: str = Field(min_length=1, max_length=255, description="user name; it cannot have a colon")
    password: Secret = Field(description="password")

    @field_validator("username")
    @classmethod
    def _can_be_told_from_the_password(cls, value: str) -> str:
        if ":" in value:
            raise ValueError(f"{value!r} has a colon, which ends a user name (RFC 7617 section 2)")
        refuse_control_characters(value)
        return value

    @field_validator("password")
    @classmethod
    def _is_a_password(cls, value: Secret) -> Secret:
        # what it refers to is looked at when it is used
        if value.origin is Origin.PLAIN:
            if not value.where:
                raise ValueError("is empty")
            refuse_control_characters(value.where)
        return value


def refuse_control_characters(text: str) -> None:
    """Raise ValueError, without the text, when it has one (RFC 7617 section 2)."""
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise ValueError("has a control character (RFC 7617 section 2)")

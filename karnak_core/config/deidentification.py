"""Projects, and what a destination does to the data sets it sends: de-identification or tag morphing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from karnak_core.config.names import ProfileName, ProjectName
from karnak_core.config.parts import Model, Part
from karnak_core.config.reading import reading
from karnak_core.config.secret import Origin, Secret
from karnak_core.deidentify import secret_from_text


def _title(text: str) -> str:
    if not 1 <= len(text) <= 64 or text != text.strip() or "\\" in text or not text.isprintable():
        raise ValueError(f"{text!r} is not 1 to 64 printable characters without a backslash, nor a blank at an end")
    return text


#: of a project; it goes out as Clinical Trial Sponsor Name, VR LO (DICOM PS3.5 section 6.2)
ProjectTitle = Annotated[str, AfterValidator(_title)]


class Project(Model):
    """Who gets the data, in one respect: a profile, and the secret that UIDs and PatientIDs are derived from."""

    name: ProjectTitle = Field(description="unique; 1–64 characters; goes out as Clinical Trial Sponsor Name")
    profile: ProfileName = Field(description="name of one of profiles, or 'Dicom Basic Profile'")
    secret: Secret | None = Field(
        default=None, description="32 hex digits; none: generated once and kept, see `karnak projects secret`"
    )

    @field_validator("secret")
    @classmethod
    def _right(cls, value: Secret | None) -> Secret | None:
        if value is not None and value.origin is Origin.PLAIN:
            secret_from_text(value.where)
        return value


class PseudonymSource(Part):
    """Where the pseudonyms of patients come from."""

    KINDS: ClassVar[str] = "pseudonym_sources"


class DeIdentification(Model):
    """De-identify every instance before it is sent."""

    project: ProjectName = Field(description="name of one of projects")
    pseudonym: PseudonymSource = Field(description="where pseudonyms come from; {type: stored} if left out")
    default_issuer_of_patient_id: str = Field(
        default="",
        max_length=64,
        description="issuer of Patient IDs that come without one; blank: issuers do not count",
    )
    leak_check: bool = Field(
        default=True, description="false: what goes out is not searched for the patient's identifiers"
    )

    @model_validator(mode="before")
    @classmethod
    def _stored_by_default(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Mapping) and "pseudonym" not in value and reading(info) is not None:
            return {**value, "pseudonym": {"type": "stored"}}
        return value


class TagMorphing(Model):
    """Change data elements as a project's profile says; the patient stays who it is unless the profile says so."""

    project: ProjectName = Field(description="name of one of projects")

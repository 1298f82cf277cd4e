"""A data element that holds the pseudonym, whole or in part: ``{type: tag, tag: "(0012,0040)"}``."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydicom import Dataset

from karnak_core.errors import NoPseudonym
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext, PseudonymSource
from karnak_core.pseudonyms.reading import first_text


class TagSource(BaseModel):
    """Take the pseudonym from a data element of the received data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: str = Field(description="tag of the element, e.g. (0012,0040)")
    delimiter: str = Field(default="", max_length=64, description="text that separates parts; blank: the whole value")
    position: int | None = Field(
        default=None, ge=0, le=1000, validate_default=True, description="which part, counted from 0"
    )

    @field_validator("tag")
    @classmethod
    def _eight_digits(cls, value: str) -> str:
        digits = re.sub(r"[(),\s]", "", value).upper()
        if not re.fullmatch(r"[0-9A-F]{8}", digits):
            raise ValueError(f"{value!r} is not a tag of 8 hex digits, such as (0012,0040)")
        return f"({digits[:4]},{digits[4:]})"

    @field_validator("position")
    @classmethod
    def _with_delimiter(cls, value: int | None, info: ValidationInfo) -> int | None:
        delimiter = info.data.get("delimiter")
        if value and delimiter == "":
            raise ValueError(f"{value} needs a delimiter")
        if value is None and delimiter:
            raise ValueError("position is needed where there is a delimiter")
        return value

    @property
    def number(self) -> int:
        """Return the tag as a number."""
        return int(self.tag[1:5] + self.tag[6:10], 16)


class TagPseudonyms:
    """Reads a data element."""

    def __init__(self, config: TagSource, _context: OpenContext) -> None:
        self._config = config

    def pseudonym(self, dataset: Dataset, project: str) -> str:
        """Return the element's first value, or the part of it that was asked for; raises NoPseudonym."""
        config = self._config
        value = first_text(dataset, config.number)
        if config.delimiter and config.position is not None:
            parts = value.split(config.delimiter)
            value = parts[config.position].strip() if config.position < len(parts) else ""
        if not value:
            raise NoPseudonym(f"no pseudonym in {config.tag} of the data set")
        return value

    def close(self) -> None:
        """Hold nothing."""


TAG: Kind[TagSource, PseudonymSource] = Kind(
    name="tag", config=TagSource, open=TagPseudonyms, summary="a data element holds the pseudonym"
)

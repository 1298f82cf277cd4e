"""The keys of a destination of type ``checksum_list``.

From this one model come the check of the configuration file with messages that name the key, and the manual. The keys
that every destination has (name, enabled, condition …) are not here: Karnak adds them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ChecksumListDestination(BaseModel):
    """A text file with the checksum of every instance."""

    # both are needed: a misspelt key is an error, and nobody changes the model while it is used
    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(
        min_length=1,
        max_length=4096,
        description="the text file: a path below the data directory, or an absolute one",
    )

    @field_validator("file")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        # what is wrong with the value, and what is allowed; Karnak puts the place in front:
        # forward_nodes[0].destinations[1].file: 'sums/' is a folder; write the path of a file
        if value.endswith("/"):
            raise ValueError(f"{value!r} is a folder; write the path of a file")
        return value

"""The keys of a destination of type ``folder``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, field_validator

from karnak_plugins.folder_dest.pattern import Pattern

#: what Karnak itself keeps in its data directory
_OURS = ("spool", "tmp")


class FolderDestination(BaseModel):
    """A folder that takes instances as DICOM files (DICOM PS3.10)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: str = Field(
        min_length=1,
        max_length=4096,
        description="where the files go: a path below the data directory, or an absolute one; made where it is missing",
    )
    pattern: str = Field(
        default="{PatientID}/{StudyInstanceUID}/{SOPInstanceUID}.dcm",
        max_length=1024,
        description="path of each file below the directory; {Keyword} and {GGGGEEEE} stand for the value of a data "
        "element, _ where it is missing; the file name has to contain {SOPInstanceUID}",
    )
    connections: int = Field(default=2, ge=1, le=50, description="files written at once")

    @field_validator("directory")
    @classmethod
    def _has_a_place_of_its_own(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError(f"{value!r} has control characters")
        parts = PurePosixPath(value).parts
        if value.startswith("/"):
            return value
        if ".." in parts:
            raise ValueError(f"{value!r} leads out of the data directory; write an absolute path")
        if not parts or parts[0] in _OURS:
            raise ValueError(f"{value!r} holds what Karnak itself keeps; choose another folder")
        return value

    @field_validator("pattern")
    @classmethod
    def _can_be_filled_in(cls, value: str) -> str:
        Pattern.parse(value)
        return value

    def root(self, data_directory: Path) -> Path:
        """Return the absolute path of the folder."""
        return data_directory.absolute() / self.directory

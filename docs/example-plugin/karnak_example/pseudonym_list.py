"""A source of pseudonyms of type ``pseudonym_list``: a text file with a Patient ID and its pseudonym in every line.

pseudonym: {type: pseudonym_list, file: study-a.txt}
"""

from __future__ import annotations

from karnak_core.deidentify import first_text_of
from karnak_core.errors import Misconfigured, NoPseudonym
from karnak_core.model import OpenContext
from pydantic import BaseModel, ConfigDict, Field
from pydicom import Dataset


class PseudonymListSource(BaseModel):
    """A text file with pseudonyms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(min_length=1, description="the text file: a path below the data directory, or an absolute one")


class PseudonymList:
    """Looks pseudonyms up.

    Karnak makes one of these for a destination in a process, and all of its threads call it.
    """

    def __init__(self, config: PseudonymListSource, context: OpenContext) -> None:
        self._path = context.data_directory / config.file

    def pseudonym(self, dataset: Dataset, project: str) -> str:
        """Return the patient's pseudonym.

        The file is read anew each time: a line that was added counts at once. Reasons are stored, shown and mailed, so
        that neither the Patient ID nor the pseudonym stands in one.
        """
        patient_id = first_text_of(dataset, 0x00100020)
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            # no instance will go until somebody changes something: the destination is held, no instance is blamed
            words = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise Misconfigured(f"{self._path}: {words}") from error
        for line in lines:
            listed, _, pseudonym = line.partition("\t")
            if listed.strip() == patient_id and pseudonym.strip():
                return pseudonym.strip()
        raise NoPseudonym(f"{self._path} has no pseudonym for this patient")

    def close(self) -> None:
        """Give nothing back: nothing is open."""

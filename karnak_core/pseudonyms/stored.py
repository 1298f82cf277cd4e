"""Pseudonyms that people stored: ``{type: stored}``."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from pydicom import Dataset

from karnak_core.database.tables import patient_key
from karnak_core.errors import NoPseudonym, Permanent
from karnak_core.kinds import Kind
from karnak_core.model import OpenContext, PseudonymSource, StoredPseudonym
from karnak_core.pseudonyms.reading import ISSUER_OF_PATIENT_ID, PATIENT_ID, first_text


class Stored(BaseModel):
    """Look among the pseudonyms that were imported or added for the project."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    skip_issuer_of_patient_id: bool = Field(
        default=True, description="true: without a default issuer, the issuer of a Patient ID does not count"
    )


class StoredPseudonyms:
    """Finds what is stored; a pseudonym without an issuer is for Patient IDs of any issuer."""

    def __init__(self, config: Stored, context: OpenContext) -> None:
        self._find = context.stored_pseudonyms
        self._default_issuer = context.default_issuer_of_patient_id
        self._any_issuer = config.skip_issuer_of_patient_id and not self._default_issuer

    def pseudonym(self, dataset: Dataset, project: str) -> str:
        """Return the stored pseudonym; raises NoPseudonym, which waits for one to be stored."""
        patient_id = first_text(dataset, PATIENT_ID)
        if not patient_id:
            raise Permanent("the data set has no Patient ID (0010,0020)")
        issuer = first_text(dataset, ISSUER_OF_PATIENT_ID)
        found = self._matching(self._find(project, patient_id), issuer)
        if not found:
            raise NoPseudonym(
                f"no pseudonym is stored in project {project!r} for this patient", patient_key(project, patient_id)
            )
        if len({entry.pseudonym for entry in found}) > 1:
            raise NoPseudonym(
                f"several pseudonyms are stored in project {project!r} for this Patient ID, of different issuers;"
                " set default_issuer_of_patient_id, or delete some",
                patient_key(project, patient_id),
            )
        return found[0].pseudonym

    def close(self) -> None:
        """Hold nothing."""

    def _matching(self, entries: Sequence[StoredPseudonym], issuer: str) -> list[StoredPseudonym]:
        if not self._any_issuer:
            # the reference looks at the data set's issuer only where there is a default one
            issuer = (issuer or self._default_issuer) if self._default_issuer else ""
            exact = [entry for entry in entries if entry.issuer == issuer]
            return exact or [entry for entry in entries if not entry.issuer]
        exact = [entry for entry in entries if issuer and entry.issuer == issuer]
        return exact or [entry for entry in entries if not entry.issuer] or list(entries)


STORED: Kind[Stored, PseudonymSource] = Kind(
    name="stored", config=Stored, open=StoredPseudonyms, summary="pseudonyms that were imported or added"
)

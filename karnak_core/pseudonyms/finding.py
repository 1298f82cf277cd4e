"""Which pseudonyms are stored for a patient: what every delivery asks, from memory for a moment."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from karnak_core.database import Database
from karnak_core.database.tables import pseudonym
from karnak_core.errors import Retryable
from karnak_core.model import StoredPseudonym, now_ms

#: seconds that an answer is used again, so that a series does not ask for each of its instances
FRESH_SECONDS: Final = 1.0
#: answers kept
REMEMBERED: Final = 1024
#: characters of a Patient ID, VR LO (DICOM PS3.5 section 6.2)
MOST_CHARACTERS: Final = 64


def lookup(connection: sa.Connection, project: str, patient_id: str) -> list[StoredPseudonym]:
    """Return what is stored for a Patient ID in a project, of any issuer, expired ones left out; by issuer."""
    if not (0 < len(patient_id) <= MOST_CHARACTERS and patient_id.isprintable()):
        return []  # nothing of the kind is ever stored, and not every database could be asked
    rows = connection.execute(_LOOKUP, {"in_project": project, "of_patient": patient_id, "now": now_ms()})
    return [StoredPseudonym(pseudonym=row.pseudonym, patient_id=row.patient_id, issuer=row.issuer) for row in rows]


class PseudonymLookup:
    """Answers ``OpenContext.stored_pseudonyms``; for any number of threads."""

    def __init__(
        self,
        database: Database,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._lock = threading.Lock()
        # the time until which an answer is good, and the answer; the oldest come first
        self._answers: OrderedDict[tuple[str, str], tuple[float, Sequence[StoredPseudonym]]] = OrderedDict()

    def __call__(self, project: str, patient_id: str) -> Sequence[StoredPseudonym]:
        """Return what is stored, or was a moment ago.

        Raises
        ------
        Retryable
            The database does not answer.
        """
        asked_at = self._clock()
        with self._lock:
            good_until, answer = self._answers.get((project, patient_id), (asked_at, ()))
        if asked_at < good_until:
            return answer
        try:
            with self._database.read() as connection:
                answer = tuple(lookup(connection, project, patient_id))
        except SQLAlchemyError as error:
            raise Retryable(f"the stored pseudonyms could not be read: {type(error).__name__}") from error
        with self._lock:
            self._answers[project, patient_id] = (asked_at + self._fresh_seconds, answer)
            self._answers.move_to_end((project, patient_id))
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return answer


# built once: it is asked for every patient again and again
_LOOKUP = (
    sa.select(pseudonym.c.pseudonym, pseudonym.c.patient_id, pseudonym.c.issuer)
    .where(
        pseudonym.c.project == sa.bindparam("in_project"),
        pseudonym.c.patient_id == sa.bindparam("of_patient"),
        sa.or_(pseudonym.c.expires_at.is_(None), pseudonym.c.expires_at > sa.bindparam("now", type_=sa.BigInteger)),
    )
    .order_by(pseudonym.c.issuer)
)

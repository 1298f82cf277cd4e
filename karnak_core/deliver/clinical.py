"""The clinical log: a line for each de-identified instance that was sent, which says who it was.

A file of its own, readable by its owner only. Several processes write it: each batch of lines in one piece, behind a
lock, under which the file is put aside when it is large.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from karnak_core.config.models import Configuration, Destination
from karnak_core.config.profiles import named
from karnak_core.model import Delivery, Outcome

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ClinicalLog:
    """Writes down the instances of one destination; used by all its workers."""

    path: Path
    max_bytes: int
    backups: int
    project: str
    profile: str
    codenames: tuple[str, ...]
    #: issuer of Patient IDs that come without one
    default_issuer: str = ""
    _failing: threading.Event = field(default_factory=threading.Event)

    def note(self, outcomes: Iterable[tuple[Delivery, Outcome]]) -> None:
        """Write down what was sent, or was there already; what cannot be written is logged, and holds nothing up."""
        lines = [self._line(delivery, outcome) for delivery, outcome in outcomes if outcome.outgoing is not None]
        if not lines:
            return
        try:
            append(self.path, "".join(lines).encode("utf-8", "replace"), self.max_bytes, self.backups)
        except OSError as error:
            if not self._failing.is_set():
                logger.error("the clinical log %s cannot be written: %s", self.path, error.strerror)
            self._failing.set()
            return
        if self._failing.is_set():
            self._failing.clear()
            logger.warning("the clinical log %s is written again; lines are missing", self.path)

    def _line(self, delivery: Delivery, outcome: Outcome) -> str:
        received, outgoing = delivery.instance, outcome.outgoing
        assert outgoing is not None
        facts, sent = received.facts, outgoing.facts or {}
        values: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "forward_node": received.forward_node,
            "destination": delivery.destination,
            "state": outcome.state.value,
            "project": self.project,
            "profile": self.profile,
            "profile_codenames": list(self.codenames),
            "issuer_of_patient_id": facts.get("IssuerOfPatientID") or self.default_issuer,
            "patient_id": facts.get("PatientID", ""),
            "sent_patient_id": sent.get("PatientID", ""),
            "study_instance_uid": received.study_instance_uid,
            "sent_study_instance_uid": outgoing.study_instance_uid,
            "series_instance_uid": received.series_instance_uid,
            "sent_series_instance_uid": outgoing.series_instance_uid,
            "sop_instance_uid": received.sop_instance_uid,
            "sent_sop_instance_uid": outgoing.sop_instance_uid,
        }
        return json.dumps(values, ensure_ascii=False) + "\n"


def clinical_log(configuration: Configuration, destination: Destination, data_directory: Path) -> ClinicalLog | None:
    """Return where the instances of a destination are written down; None: nowhere."""
    wanted, chosen = configuration.clinical_log, destination.de_identification
    if wanted is None or chosen is None:
        return None
    project = next(project for project in configuration.projects if project.name == chosen.project)
    profile = named(configuration.profiles, project.profile)
    return ClinicalLog(
        path=data_directory / wanted.file,
        max_bytes=wanted.max_bytes,
        backups=wanted.backups,
        project=project.name,
        profile=profile.name,
        codenames=profile.codenames,
        default_issuer=chosen.default_issuer_of_patient_id,
    )


def append(path: Path, data: bytes, max_bytes: int, backups: int) -> None:
    """Append to a file in one piece; put it aside first if it would become larger than ``max_bytes``.

    Raises
    ------
    OSError
        It cannot be written; what was written of ``data`` is taken back.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # opened anew each time, so that threads of one process wait for one another, too
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        size = path.stat().st_size if path.exists() else 0
        if size and size + len(data) > max_bytes:
            _put_aside(path, backups)
            size = 0
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)
    finally:
        os.close(lock)


def _put_aside(path: Path, backups: int) -> None:
    for number in range(backups, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)

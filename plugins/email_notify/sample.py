"""A summary of nobody's study, for mails that show what mails look like."""

from __future__ import annotations

import secrets

from karnak_core.model import State, now_ms
from karnak_core.summary import Reason, SeriesSummary, StudySummary


def sample_summary(forward_node: str, destination: str, label: str) -> StudySummary:
    """Return the summary of a study that does not exist."""
    now = now_ms()
    return StudySummary(
        forward_node=forward_node,
        destination=destination,
        destination_label=label,
        deidentified=False,
        study_instance_uid="2.25.1",
        facts={"PatientID": "TEST", "StudyDescription": "Test of notifications", "StudyDate": "20200101"},
        series=(
            SeriesSummary(
                series_instance_uid="2.25.2",
                facts={"Modality": "CT", "SeriesNumber": "1", "SeriesDescription": "A series of nobody"},
                sop_class_uids=("1.2.840.10008.5.1.4.1.1.2",),
                counts={State.SENT: 10, State.EXCLUDED: 1},
                reasons=(Reason(state=State.EXCLUDED, text="this is only a test", count=1),),
                first_at=now,
                last_at=now,
            ),
        ),
        first_at=now,
        last_at=now,
        id=secrets.token_hex(16),
        made_at=now,
    )

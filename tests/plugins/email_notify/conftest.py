"""Studies to tell of, and mail servers."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from karnak_core.model import OpenContext, State
from karnak_core.summary import FollowUpSummary, Reason, SeriesSummary, StudySummary
from karnak_plugins.email_notify.config import EmailNotification, MailServer
from karnak_plugins.email_notify.notifier import EmailNotifier

AT = 1_795_651_200_000

STUDY = StudySummary(
    forward_node="FORWARD",
    destination="cloud",
    destination_label="stow https://pacs.example.org/studies",
    deidentified=False,
    study_instance_uid="1.2.3",
    facts={"PatientID": "P1", "StudyDescription": "Thorax", "StudyDate": "20261103", "AccessionNumber": "A7"},
    series=(
        SeriesSummary(
            series_instance_uid="1.2.3.1",
            facts={"Modality": "CT", "SeriesNumber": "3", "SeriesDescription": "Lung"},
            sop_class_uids=("1.2.840.10008.5.1.4.1.1.2",),
            counts={State.SENT: 197, State.EXCLUDED: 2, State.FAILED: 1},
            reasons=(
                Reason(state=State.EXCLUDED, text="SOP class not authorized", count=2),
                Reason(state=State.FAILED, text="0xA900 data set does not match", count=1),
            ),
            first_at=AT,
            last_at=AT,
        ),
        SeriesSummary(series_instance_uid="1.2.3.2", counts={State.SENT: 300}, first_at=AT, last_at=AT),
    ),
    first_at=AT,
    last_at=AT + 93_000,
    id="0123456789abcdef",
    made_at=AT + 100_000,
)


@pytest.fixture
def make_summary() -> Callable[..., StudySummary]:
    """Return a function that gives the study with other fields; ``counts`` makes one series with these."""

    def make(counts: dict[State, int] | None = None, **fields: Any) -> StudySummary:
        if counts is not None:
            series = SeriesSummary(
                series_instance_uid="1.2.3.1",
                counts=counts,
                reasons=tuple(
                    Reason(state=state, text=f"reason of {state}", count=count) for state, count in counts.items()
                ),
            )
            fields.setdefault("series", (series,))
        return replace(STUDY, **fields)

    return make


@pytest.fixture
def failed_follow_up() -> FollowUpSummary:
    """A series that did not get to where it was to be shared."""
    return FollowUpSummary(
        label="kheops_album oncology", series_instance_uid="1.2.3.2", state="failed", reason="404 unknown series"
    )


@pytest.fixture
def make_notifier() -> Callable[..., EmailNotifier]:
    """Return a function that opens the part as core does; what it is given are keys of the mail server."""

    def make(recipients: str = "ward@hospital.example", **server: Any) -> EmailNotifier:
        section = MailServer.model_validate({"host": "127.0.0.1", "sender": "karnak@hospital.example", **server})
        return EmailNotifier(
            EmailNotification(recipients=recipients), OpenContext(data_directory=Path(), section=section)
        )

    return make


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who issues certificates here."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The certificate of a mail server at 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context

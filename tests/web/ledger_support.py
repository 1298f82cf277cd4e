"""Rows of the ledger for tests of pages: what was received, and what became of it, without a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from karnak_core.database.tables import content, delivery, follow_up, instance, notification
from karnak_core.model import State, now_ms
from karnak_plugins.web_console.console import Console

#: what a sender may put into any text of a data set
HOSTILE = """<script>alert(1)</script>"'&{{7*7}}=1+1"""
PROFILE = """name: basic
version: "1"
minimumKarnakVersion: "1.0"
profileElements: [{name: all, codename: basic.dicom.profile}]
"""
PATIENT = {"PatientID": "PID-17", "PatientName": "DOE^JOHN", "StudyDescription": "THORAX", "Modality": "CT"}


def configure(console: Console, *destinations: str, projects: tuple[str, ...] = ()) -> None:
    """Apply a configuration with folders as destinations of the node FORWARD."""
    document: dict[str, Any] = {
        "forward_nodes": [
            {
                "ae_title": "FORWARD",
                "destinations": [{"name": name, "type": "folder", "directory": name} for name in destinations],
            }
        ]
    }
    if projects:
        document["profiles"] = [{"text": PROFILE}]
        document["projects"] = [{"name": name, "profile": "basic"} for name in projects]
    console.change(lambda before: {**before, **document}, expected_version=None, author="test", comment="")


def deliver(
    console: Console,
    *,
    state: State = State.SENT,
    destination: str = "pacs",
    study: str = "1.2.3",
    series: str | None = None,
    sop: str | None = None,
    reason: str = "",
    facts: Mapping[str, str] = PATIENT,
    sent: str | None = None,
    sent_facts: Mapping[str, str] | None = None,
    ago: int = 60_000,
    waits_for: str | None = None,
) -> int:
    """Add an instance with a delivery; return the delivery's number.

    Parameters
    ----------
    sent
        What the UIDs begin with that were sent; None: those received, where something was sent at all.
    ago
        ms since it was received and ended.
    """
    then = now_ms() - ago
    is_open = state in (State.FAILED, State.PENDING, State.LEASED)
    series = series or f"{study}.1"
    with console.database.write() as connection:
        number = connection.execute(
            sa.insert(instance)
            .values(
                forward_node="FORWARD",
                calling_ae_title="CT1",
                peer_host="127.0.0.1",
                received_at=then,
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                sop_instance_uid=sop or f"{series}.{then}",
                study_instance_uid=study,
                series_instance_uid=series,
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                path="" if is_open else None,
                dataset_offset=0,
                size=1000,
                facts=dict(facts),
            )
            .returning(instance.c.id)
        ).scalar_one()
        if is_open:
            connection.execute(sa.insert(content).values(instance_id=number, data=b"x"))
        went_out = state is State.SENT
        return int(
            connection.execute(
                sa.insert(delivery)
                .values(
                    instance_id=number,
                    forward_node="FORWARD",
                    destination=destination,
                    state=state.value,
                    reason=reason,
                    attempts=1,
                    not_before=then if is_open else None,
                    created_at=then,
                    finished_at=None if state in (State.PENDING, State.LEASED) else then,
                    sent_study_instance_uid=(f"{sent}.1" if sent else study) if went_out else None,
                    sent_series_instance_uid=(f"{sent}.2" if sent else series) if went_out else None,
                    sent_sop_instance_uid=(f"{sent}.3.{number}" if sent else sop or f"1.9.{number}")
                    if went_out
                    else None,
                    sent_facts=dict(sent_facts) if sent_facts is not None else None,
                    waits_for=waits_for,
                )
                .returning(delivery.c.id)
            ).scalar_one()
        )


def follow(console: Console, of: int, *, state: str = "failed", subject: str = "1.2.3.1", reason: str = "") -> int:
    """Add a follow-up of a delivery; return its number."""
    with console.database.write() as connection:
        row = connection.execute(sa.select(delivery).where(delivery.c.id == of)).one()
        return int(
            connection.execute(
                sa.insert(follow_up)
                .values(
                    instance_id=row.instance_id,
                    delivery_id=of,
                    forward_node="FORWARD",
                    destination=row.destination,
                    part="kheops_album",
                    subject=subject,
                    state=state,
                    reason=reason,
                    attempts=1,
                    not_before=1 if state in ("failed", "pending") else None,
                    created_at=now_ms() - 1000,
                    sent={},
                )
                .returning(follow_up.c.id)
            ).scalar_one()
        )


def notify(console: Console, *, state: str = "failed", study: str = "1.2.3", reason: str = "") -> int:
    """Add a notification; return its number."""
    with console.database.write() as connection:
        return int(
            connection.execute(
                sa.insert(notification)
                .values(
                    forward_node="FORWARD",
                    destination="pacs",
                    part="email",
                    study_instance_uid=study,
                    state=state,
                    reason=reason,
                    attempts=1,
                    not_before=1 if state in ("failed", "pending") else None,
                    created_at=now_ms() - 1000,
                    summary={},
                )
                .returning(notification.c.id)
            ).scalar_one()
        )


def states(console: Console) -> list[str]:
    """Return the states of all deliveries, in the order of their numbers."""
    with console.database.read() as connection:
        return list(connection.execute(sa.select(delivery.c.state).order_by(delivery.c.id)).scalars())


def audited(console: Console) -> list[tuple[str, str, str]]:
    """Return action, object and detail of what stands in the audit trail, but not of signing in, nor of `configure`."""
    from karnak_plugins.web_console.access.audit import entries

    with console.database.read() as connection:
        found = entries(connection)
    return [
        (one.action, one.object, one.detail)
        for one in reversed(found)
        if "sign" not in one.action and one.who != "test"
    ]

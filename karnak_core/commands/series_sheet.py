"""Series as rows of a table with the columns of the Java Karnak's export, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from karnak_core.config.models import Configuration, Destination, ForwardNode
from karnak_core.model import State
from karnak_core.monitor.labels import without_secrets
from karnak_core.spool import aggregates
from karnak_core.spool.aggregates import Series, Study
from karnak_core.spool.views import Filter

COLUMNS: Final = (
    "Forward aeTitle",
    "Forward description",
    "Destination hostname",
    "Destination aeTitle",
    "Destination port",
    "Destination url",
    "Destination description",
    "Patient Id Original",
    "Patient Id To Send",
    "Accession Number Original",
    "Accession Number To Send",
    "Study Uid Original",
    "Study Uid To Send",
    "Study Description Original",
    "Study Description To Send",
    "Study Date Original",
    "Study Date To Send",
    "Serie Uid Original",
    "Serie Uid To Send",
    "Serie Description Original",
    "Serie Description To Send",
    "Serie Date Original",
    "Serie Date To Send",
    "Modality",
    "Sop Class Uids",
    "Instances",
    "Retries",
    "Sent",
    "Errors",
    "Excluded",
    "Reasons",
    "First Seen",
    "Last Seen",
)

#: the reference's way of writing times
TIME: Final = "%d/%m/%Y %H:%M:%S.%f"


def series_rows(
    connection: sa.Connection, configuration: Configuration, chosen: Filter
) -> Iterator[Sequence[str | int]]:
    """Yield a row for each series at each destination; times are in UTC."""
    nodes = {node.ae_title: node for node in configuration.forward_nodes}
    for study, series in aggregates.series_of_all(connection, chosen):
        node = nodes.get(study.forward_node)
        yield (*_where(study, node), *_what(study, series), *_counted(series))


def _where(study: Study, node: ForwardNode | None) -> Iterator[str]:
    destination = next((one for one in node.destinations if one.name == study.destination), None) if node else None
    yield study.forward_node
    yield node.description if node else ""
    for name in ("hostname", "ae_title", "port"):
        yield _option(destination, name)
    yield without_secrets(_option(destination, "url")) if _option(destination, "url") else ""
    yield (destination.description if destination else "") or study.destination


def _option(destination: Destination | None, name: str) -> str:
    value = getattr(destination.options, name, None) if destination else None
    return "" if value is None else str(value)


def _what(study: Study, series: Series) -> Iterator[str]:
    received, sent = series.facts, series.sent_facts
    yield from (received.get("PatientID", ""), sent.get("PatientID", ""))
    yield from (received.get("AccessionNumber", ""), sent.get("AccessionNumber", ""))
    yield from (study.study_instance_uid, study.sent_study_instance_uid or "")
    yield from (received.get("StudyDescription", ""), sent.get("StudyDescription", ""))
    yield from (_dicom_time(received, "Study"), _dicom_time(sent, "Study"))
    yield from (series.series_instance_uid, series.sent_series_instance_uid or "")
    yield from (received.get("SeriesDescription", ""), sent.get("SeriesDescription", ""))
    yield from (_dicom_time(received, "Series"), _dicom_time(sent, "Series"))
    yield received.get("Modality", "")
    yield ",".join(series.sop_class_uids)


def _counted(series: Series) -> Iterator[str | int]:
    counts = series.counts
    yield from (counts.instances, counts.retries, counts.sent, counts.failed, counts.excluded)
    yield "; ".join(one.text for one in series.reasons if one.state in (State.FAILED, State.EXCLUDED))
    yield from (_moment(counts.first_at), _moment(counts.last_at))


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime(TIME)


def _dicom_time(facts: Mapping[str, str], of: str) -> str:
    """Return date and time of a study or a series; what is no date is left as it is."""
    date, time = facts.get(f"{of}Date", ""), facts.get(f"{of}Time", "")
    whole, _, fraction = time.partition(".")
    try:
        day = datetime.strptime(date, "%Y%m%d")
    except ValueError:
        return date
    try:
        clock = datetime.strptime(f"{whole[:6]:0<6}{fraction[:6]:0<6}", "%H%M%S%f").time()
    except ValueError:
        clock = day.time()
    return datetime.combine(day, clock).strftime(TIME)

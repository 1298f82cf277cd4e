"""What is on a modality worklist? C-FIND (PS3.4 Annex K). The answers are patients' data: they are stored nowhere."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from karnak_core.dimse import Association, DimseError, ProposedContext, describe
from karnak_core.dimse.finding import PENDING, find
from karnak_core.tools.echo import CALLING_AE_TITLE, EchoState, TimedConnect, state_of, timeouts
from karnak_core.tools.nodes import DicomNode

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
#: entries of one answer, and seconds for all of it
MOST, ALL = 500, 60.0
#: characters of a filter
LONGEST_FILTER = 64
#: keywords that are asked for, of the entry and of its scheduled procedure step
ENTRY: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "AdmissionID",
    "ReferringPhysicianName",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "StudyInstanceUID",
)
STEP: Final = (
    "Modality",
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "ScheduledStationName",
    "ScheduledProcedureStepStatus",
)


@dataclass(frozen=True, kw_only=True)
class WorklistFilter:
    """What is looked for; an empty text: any. Texts may hold ``*`` and ``?``."""

    patient_name: str = ""
    patient_id: str = ""
    accession_number: str = ""
    admission_id: str = ""
    #: ALL: any
    modality: str = ""
    station_ae_title: str = ""
    #: of the scheduled procedure step, these days included; None: no limit
    from_date: date | None = None
    to_date: date | None = None


@dataclass(frozen=True, kw_only=True)
class Worklist:
    """What a node answered."""

    #: success: all of it came
    state: EchoState
    message: str
    #: keyword -> text, of each entry, that of its first scheduled procedure step included
    entries: tuple[Mapping[str, str], ...] = ()
    #: True: there are more
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Say whether the node answered as it should."""
        return self.state is EchoState.SUCCESS


def date_range(start: date | None, end: date | None) -> str:
    """Return the key that matches days from one to another, both included (PS3.4 section C.2.2.2.5)."""
    if start is None and end is None:
        return ""
    first, last = (day.strftime("%Y%m%d") if day else "" for day in (start, end))
    return first if first == last else f"{first}-{last}"


def query(wanted: WorklistFilter) -> Dataset:
    """Return the data set that asks for what is wanted.

    Raises
    ------
    ValueError
        A filter is too long, or has characters that no value can have; says which.
    """
    ds = Dataset()
    if not all(text.isascii() for text in vars(wanted).values() if isinstance(text, str)):
        ds.SpecificCharacterSet = "ISO_IR 192"
    filters = {
        "PatientName": _text("patient_name", wanted.patient_name),
        "PatientID": _text("patient_id", wanted.patient_id),
        "AccessionNumber": _text("accession_number", wanted.accession_number),
        "AdmissionID": _text("admission_id", wanted.admission_id),
    }
    for keyword in ENTRY:
        setattr(ds, keyword, filters.get(keyword, ""))
    step = Dataset()
    modality = _text("modality", wanted.modality).upper()
    filters = {
        "Modality": "" if modality == "ALL" else modality,
        "ScheduledStationAETitle": _text("station_ae_title", wanted.station_ae_title),
        "ScheduledProcedureStepStartDate": date_range(wanted.from_date, wanted.to_date),
    }
    for keyword in STEP:
        setattr(step, keyword, filters.get(keyword, ""))
    ds.ScheduledProcedureStepSequence = Sequence([step])
    return ds


def _text(name: str, value: str) -> str:
    text = value.strip()
    if len(text) > LONGEST_FILTER or not text.isprintable() or "\\" in text:
        rule = f"at most {LONGEST_FILTER} characters, without control characters and backslashes"
        raise ValueError(f"{name}: is not {rule}")
    return text


def worklist(
    node: DicomNode,
    wanted: WorklistFilter,
    *,
    calling_ae_title: str = CALLING_AE_TITLE,
    connect: float = 5.0,
    answer: float = 15.0,
) -> Worklist:
    """Ask a node for its worklist.

    Parameters
    ----------
    connect, answer
        Seconds until the connection stands, and for each answer after that.

    Raises
    ------
    ValueError
        A filter cannot be asked for; says which.
    """
    ds = query(wanted)
    try:
        association = Association.open(
            node.hostname,
            node.port,
            calling_ae_title=calling_ae_title,
            called_ae_title=node.ae_title,
            contexts=[ProposedContext(MODALITY_WORKLIST, (EXPLICIT, IMPLICIT))],
            timeouts=timeouts(connect, answer),
            max_operations=1,
            connect=TimedConnect(node),
        )
    except (DimseError, ValueError) as error:
        return Worklist(state=state_of(error), message=str(error))
    with association:
        accepted = association.accepted.get(MODALITY_WORKLIST)
        if not accepted:
            message = f"{association.peer} accepts the association, but no query of a modality worklist"
            return Worklist(state=EchoState.UNSUPPORTED, message=message)
        syntax, context_id = next(iter(accepted.items()))
        try:
            return _asked(association, context_id, syntax, ds)
        except DimseError as error:
            return Worklist(state=EchoState.FAILED, message=str(error))


def _asked(association: Association, context_id: int, syntax: str, ds: Dataset) -> Worklist:
    entries: list[Mapping[str, str]] = []
    unreadable = 0
    with closing(find(association, MODALITY_WORKLIST, context_id, _encoded(ds, syntax), seconds=ALL)) as responses:
        for response in responses:
            if response.status in PENDING:
                if len(entries) == MOST:
                    message = f"{association.peer} has more than {MOST} entries; these are the first ones"
                    return Worklist(state=EchoState.SUCCESS, message=message, entries=tuple(entries), cut=True)
                try:
                    entries.append(_entry(response.identifier or b"", syntax))
                except Exception:
                    # what pydicom raises of a data set that is wrong is not said anywhere
                    unreadable += 1
            elif response.status != 0:
                comment = f" ({response.error_comment})" if response.error_comment else ""
                message = f"{association.peer} answers with {describe(response.status)}{comment}"
                return Worklist(state=EchoState.REFUSED, message=message, entries=tuple(entries))
    count = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
    more = f"; {unreadable} that cannot be read" if unreadable else ""
    return Worklist(state=EchoState.SUCCESS, message=f"{association.peer} has {count}{more}", entries=tuple(entries))


def _encoded(ds: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(buffer, ds)
    return buffer.getvalue()


def _entry(identifier: bytes, syntax: str) -> Mapping[str, str]:
    ds = read_dataset(io.BytesIO(identifier), is_implicit_VR=syntax == IMPLICIT, is_little_endian=True)
    ds.decode()
    steps = ds.get("ScheduledProcedureStepSequence") or [Dataset()]
    return {**_texts(ds, ENTRY), **_texts(steps[0], STEP)}


def _texts(ds: Dataset, keywords: tuple[str, ...]) -> dict[str, str]:
    return {keyword: _shown(ds.get(keyword)) for keyword in keywords}


def _shown(value: Any) -> str:
    return "" if value is None else str(value)[:1024]

"""The values that flow through Karnak, and the protocols of the parts that plugins open.

Times are integers, milliseconds since 1970-01-01 UTC, as they are in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, overload, runtime_checkable

if TYPE_CHECKING:
    from threading import Event

    from pydicom import Dataset

    from karnak_core.errors import DeliveryError
    from karnak_core.summary import StudySummary


def now_ms() -> int:
    """Return the current time in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


class State(StrEnum):
    """Where a delivery stands."""

    #: waits for its time and a worker
    PENDING = "pending"
    #: a worker has it
    LEASED = "leased"
    #: the destination said that it has it
    SENT = "sent"
    #: the destination had it already
    DUPLICATE = "duplicate"
    #: a rule kept it back
    EXCLUDED = "excluded"
    #: kept, with its file, until a person retries or discards it
    FAILED = "failed"
    #: a person gave it up
    DISCARDED = "discarded"


#: states that keep the instance's file
OPEN_STATES = (State.PENDING, State.LEASED, State.FAILED)
#: states in which nothing more will happen, by themselves or by a person
FINAL_STATES = (State.SENT, State.DUPLICATE, State.EXCLUDED, State.DISCARDED)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is read from an instance's data set when it arrives; absent elements are empty."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    #: further elements for monitoring and mail, by keyword: Modality, PatientID, StudyDescription …
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One SOP instance in the spool."""

    id: int
    #: the called AE title it came in by
    forward_node: str
    calling_ae_title: str
    peer_host: str
    received_at: int
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    #: a Part 10 file; the data set starts at ``dataset_offset``
    path: Path
    #: bytes of preamble and file meta information before the data set
    dataset_offset: int
    #: bytes of the whole file
    size: int
    facts: Mapping[str, str] = field(default_factory=dict)


class Closable(Protocol):
    """Something to be given back."""

    def close(self) -> None:
        """Give it back; may be called twice."""
        ...


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One instance on its way to one destination."""

    id: int
    destination: str
    instance: Instance
    attempts: int
    created_at: int
    #: when it was received, or a person last asked for it again: ``retry_for`` counts from here
    since: int
    #: what gives a small instance its path; closed by the worker
    held: Closable | None = field(default=None, compare=False, repr=False)


class Content(Protocol):
    """The bytes of an instance that are in no file as a whole, until somebody asks for its path."""

    @property
    def path(self) -> Path:
        """A file with all of them, written when it is asked for; raises DeliveryError."""
        ...

    def open(self) -> BinaryIO:
        """Return a file to read them from, from the first one on."""
        ...


class _Path:
    """:attr:`Outgoing.path`: where its source is, or is written when somebody asks."""

    @overload
    def __get__(self, outgoing: None, owner: type) -> _Path: ...
    @overload
    def __get__(self, outgoing: Outgoing, owner: type) -> Path: ...
    def __get__(self, outgoing: Outgoing | None, owner: type) -> _Path | Path:
        if outgoing is None:
            raise AttributeError("path")  # so that the field has no default
        source = outgoing.source
        return source if isinstance(source, Path) else source.path

    def __set__(self, outgoing: Outgoing, source: Path | Content) -> None:
        outgoing.__dict__["path"] = source


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """What a destination is asked to send: a Part 10 file and the UIDs it goes out with."""

    #: the file. What de-identification makes is written to one when somebody asks for it, which raises DeliveryError
    #: where that cannot be done; :meth:`open` reads it without
    path: _Path = _Path()
    dataset_offset: int
    size: int
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    #: what :attr:`Instance.facts` holds, as it goes out; None: as it was received
    facts: Mapping[str, str] | None = None
    #: transfer syntax UIDs that core can make of it where the peer does not take it as it is, the best first
    alternatives: tuple[str, ...] = ()
    #: gives it in one of ``alternatives``, for as long as its context lasts; raises DeliveryError
    convert: Callable[[str], AbstractContextManager[Outgoing]] | None = field(default=None, compare=False, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outgoing):
            return NotImplemented
        # by their sources: no file is written to compare them, nor to show them
        return {**self.__dict__, "convert": None} == {**other.__dict__, "convert": None}

    def __repr__(self) -> str:
        return f"Outgoing(path={self.source}, size={self.size}, transfer_syntax_uid={self.transfer_syntax_uid!r})"

    @property
    def source(self) -> Path | Content:
        """What ``path`` was given as: :func:`dataclasses.replace` with ``path=outgoing.source`` writes no file."""
        source: Path | Content = self.__dict__["path"]
        return source

    def open(self) -> BinaryIO:
        """Open it for reading, unbuffered, at its first byte.

        Raises
        ------
        OSError
            It cannot be opened. One that became shorter than ``size`` just ends there.
        """
        source = self.source
        if isinstance(source, Path):
            return open(source, "rb", buffering=0)
        return source.open()


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The destination has the instance."""

    #: what the peer remarked, e.g. ``0xB000 coercion of data elements``; empty: nothing
    warning: str = ""
    #: true: it had it before
    duplicate: bool = False
    #: what was sent, where it is not what was asked for but what ``convert`` gave
    outgoing: Outgoing | None = None


@dataclass(frozen=True, kw_only=True)
class Due:
    """Something to be done after an instance was sent; stored with the outcome, done once for each subject."""

    #: the destination's follow-up, see ``config.afterwards.FollowUp.key``
    part: str
    #: what it is done for: a series, say; at most 255 characters
    subject: str
    #: why it cannot be done; empty: it can
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one attempt of a delivery ended; stored in one place, the ledger."""

    state: State
    reason: str = ""
    #: for PENDING: milliseconds since 1970; earliest next attempt
    not_before: int = 0
    #: true: this was an attempt; false: nobody tried (destination held, or shut down)
    counts: bool = True
    #: what went out, for SENT and DUPLICATE
    outgoing: Outgoing | None = None
    #: for SENT and DUPLICATE: what follows
    due: tuple[Due, ...] = ()
    #: for FAILED: what has to be stored for it to be tried again by itself; empty: a person decides
    waits_for: str = ""


class Health(StrEnum):
    """How a destination is."""

    OK = "ok"
    #: does not answer; probed from time to time
    UNREACHABLE = "unreachable"
    #: refuses us: credentials, AE title, TLS
    HELD = "held"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Why a plugin keeps an instance from a destination."""

    rule: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a plugin refuses an association."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks for an association."""

    called_ae_title: str
    calling_ae_title: str
    host: str


class Authenticator(Protocol):
    """Makes the headers that authorize a request. Opened once in a process, and used by all of its threads at once."""

    def headers(self, refresh: bool = False) -> Mapping[str, str]:
        """Return the headers to send along; ask before every request, as what they hold may expire.

        Parameters
        ----------
        refresh
            True: the last ones were refused. Look again, or get others, and only once for all who ask because of the
            same ones.

        Raises
        ------
        Misconfigured
            There are none to be had: credentials are refused, or who gives them out is away. It holds the destination
            and costs no instance an attempt.
        """
        ...

    def close(self) -> None:
        """Give back connections. A worker that is just ending may still ask for headers afterwards."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredPseudonym:
    """A patient's pseudonym in a project, as somebody stored it."""

    pseudonym: str
    patient_id: str
    #: issuer of the Patient ID; empty: any
    issuer: str = ""


class PseudonymSource(Protocol):
    """Knows the pseudonyms of patients. Opened once for each destination in a process, used by all its threads."""

    def pseudonym(self, dataset: Dataset, project: str) -> str:
        """Return the patient's pseudonym in a project, 1 to 64 characters.

        Parameters
        ----------
        dataset
            The data set as received, without pixel data; do not change it.
        project
            The project's name.

        Raises
        ------
        NoPseudonym
            The patient has none: the delivery is failed, and kept.
        DeliveryError
            It cannot be found out: as for a destination that does not take the instance.
        """
        ...

    def close(self) -> None:
        """Give back connections. A worker that is just ending may still ask afterwards."""
        ...


def _no_stored_pseudonyms(_project: str, _patient_id: str) -> Sequence[StoredPseudonym]:
    return ()


def _without_key(secret: Any) -> str:
    """Open a secret where there is no key: only what is not encrypted."""
    text: str = secret.reveal()
    return text


@dataclass(frozen=True, kw_only=True)
class OpenContext:
    """What core tells a part when it opens it."""

    #: where relative paths of the configuration start
    data_directory: Path
    #: for a service: the gateway's PostgreSQL database; None: the embedded one in the data directory
    database_url: str | None = field(default=None, repr=False)
    #: the forward node's AE title; empty for a service
    forward_node: str = ""
    #: the destination's name; empty for a service
    destination: str = ""
    #: AE title -> (hostname, port), from ``application_entities``
    application_entities: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    #: returns the text of a :class:`karnak_core.config.secret.Secret`; raises Misconfigured. Ask when it is used: what
    #: the secret refers to, a file for example, may change
    reveal: Callable[[Any], str] = field(default=_without_key, compare=False, repr=False)
    #: those of the configuration, by name; opened at the first use, shared by the whole process
    authenticators: Mapping[str, Authenticator] = field(default_factory=dict, compare=False, repr=False)
    #: what the configuration says under ``plugins`` in the kind's own section, see :class:`karnak_core.kinds.Section`
    section: Any = field(default=None, compare=False, repr=False)
    #: of the destination's de-identification: the issuer of a Patient ID that comes without one; empty: none
    default_issuer_of_patient_id: str = ""
    #: (project, Patient ID) -> the pseudonyms that are stored for it, expired ones left out
    stored_pseudonyms: Callable[[str, str], Sequence[StoredPseudonym]] = field(
        default=_no_stored_pseudonyms, compare=False, repr=False
    )


class Destination(Protocol):
    """Where instances go. Opened once for each worker thread and used by that thread only."""

    def transfer_syntaxes(self, outgoing: Outgoing) -> Sequence[str]:
        """Return the transfer syntax UIDs known to be taken for this SOP class; empty: not known."""
        ...

    def send(self, outgoing: Outgoing) -> Sent:
        """Send one instance and wait until the peer says that it has it.

        Raises
        ------
        DeliveryError
            Retryable, Unreachable, Permanent, Misconfigured or Excluded, with the peer's words.
        """
        ...

    def probe(self) -> str:
        """Find out whether the destination would take instances; return what was seen, in words.

        Raises
        ------
        DeliveryError
            It would not; with the reason.
        """
        ...

    def close(self) -> None:
        """Give back connections and files. Called when idle, too: a later ``send`` opens them again."""
        ...


@runtime_checkable
class BatchDestination(Protocol):
    """A destination that does better when it sees several instances at once."""

    def send_batch(self, batch: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, Sent | DeliveryError]]:
        """Send in any order; yield each instance's answer as soon as it is known.

        What is not yielded was not tried: it waits for another attempt and none is counted.
        """
        ...


class FollowUp(Protocol):
    """Does something after instances were sent. Opened once in a process, used by several threads."""

    def subject(self, outgoing: Outgoing, original: Callable[[], Dataset]) -> str | None:
        """Return what is to be done for, at most 255 characters; None: nothing, for this instance.

        Called in a delivery worker for every instance that was sent or found to be there. For each subject
        ``after_send`` is called until it succeeds once, however many instances have it: for the first of them, or, when
        the configuration was changed before it succeeded, for the first one since. So it is to be said for this
        instance, whatever is known of others.

        Parameters
        ----------
        outgoing
            What was sent. Its file is there no more later on.
        original
            Reads the data set as received, without pixel data; do not change it. Costs time: call it when needed.

        Raises
        ------
        DeliveryError
            It cannot be decided; it is stored as failed, with the reason.
        """
        ...

    def after_send(self, outgoing: Outgoing, original: Dataset) -> str | None:
        """Do it, for an instance that brought its subject in; return what was done, in words.

        None: nothing is to be done for this instance, by settings that are newer than it. What was noted for the
        subject is forgotten, and a later instance of it is asked about anew.

        Called later, in another process, and again after an error.

        Parameters
        ----------
        outgoing
            What was sent: its UIDs, SOP class, transfer syntax and facts. Its file is there no more: it has no bytes.
        original
            The data set as received, without pixel data; do not change it.

        Raises
        ------
        DeliveryError
            Retryable or Misconfigured: it is tried again; Permanent: it has failed, for a person to decide.
        """
        ...

    def probe(self) -> str:
        """Find out whether it would work; return what was seen, in words; raises DeliveryError if not."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class Notifier(Protocol):
    """Tells people what became of a study. Opened when needed, used by one thread at a time."""

    def notify(self, summary: StudySummary) -> str:
        """Tell them; return to whom, in words.

        Raises
        ------
        DeliveryError
            Retryable or Misconfigured: it is tried again; Permanent: it has failed, for a person to decide.
        """
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class Service(Protocol):
    """Runs as long as the gateway does, in a process of its own.

    One that raises, when opened or later, is opened again in a new process, after a pause; so it is when its section
    of the configuration changes.
    """

    def run(self, stop: Event) -> None:
        """Work until ``stop`` is set."""
        ...


@runtime_checkable
class Reachable(Protocol):
    """A service that people reach: it listens from when it is opened on."""

    @property
    def address(self) -> str:
        """What the gateway's ready line says of it, e.g. ``web http://127.0.0.1:8081``; at most 500 bytes."""
        ...

"""What became of a study at one destination, in numbers that add up to what was received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from karnak_core.model import State


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why instances were not sent, or are not yet, or were sent with a warning."""

    state: State
    text: str
    #: instances
    count: int


@dataclass(frozen=True, kw_only=True)
class SeriesSummary:
    """What became of a series at one destination.

    Where the destination de-identifies, every text is as it was sent, and empty while nothing was.
    """

    series_instance_uid: str
    #: by keyword: Modality, SeriesDescription, SeriesNumber …
    facts: Mapping[str, str] = field(default_factory=dict)
    sop_class_uids: Sequence[str] = ()
    #: instances by how they stand; ``leased`` counts as ``pending``
    counts: Mapping[State, int] = field(default_factory=dict)
    #: attempts beyond the first of each
    retries: int = 0
    #: how often instances came again that had been received before; each still counts once, as it stands now
    again: int = 0
    reasons: Sequence[Reason] = ()
    #: ms since 1970; of reception, and of the last change
    first_at: int = 0
    last_at: int = 0

    @property
    def received(self) -> int:
        """Instances received for this destination."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class FollowUpSummary:
    """What was done, or is to be, after a series was sent."""

    #: the type and what it is for, in words without secrets
    label: str
    #: as sent
    series_instance_uid: str
    #: done, pending, failed or discarded
    state: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """What became of a study at one destination; what notifiers are given."""

    forward_node: str
    destination: str
    #: where that is, for people: ``stow https://pacs.example.org``, without secrets
    destination_label: str
    #: true: nothing in here is as it was received
    deidentified: bool
    study_instance_uid: str
    #: by keyword: PatientID, AccessionNumber, StudyDescription, StudyDate …
    facts: Mapping[str, str] = field(default_factory=dict)
    series: Sequence[SeriesSummary] = ()
    follow_ups: Sequence[FollowUpSummary] = ()
    first_at: int = 0
    last_at: int = 0
    #: which mail about this study at this destination it is, counted from 1
    number: int = 1
    #: true: when it was told last time something had failed, and now nothing has
    recovered: bool = False
    #: the same whenever it is tried to tell this, and no other's
    id: str = ""
    #: ms since 1970; when it was found that there is something to tell
    made_at: int = 0
    #: what the notifier left when it tried last to tell this, or what this has replaced: ``Retryable.remember``
    remembered: Mapping[str, Any] = field(default_factory=dict)

    def count(self, *states: State) -> int:
        """Return how many instances stand so."""
        return sum(series.counts.get(state, 0) for series in self.series for state in states)

    @property
    def received(self) -> int:
        """Instances received for this destination."""
        return sum(series.received for series in self.series)

    @property
    def failed(self) -> bool:
        """Say whether a person has to decide something."""
        return bool(self.count(State.FAILED)) or any(one.state == State.FAILED for one in self.follow_ups)

    @property
    def waiting(self) -> bool:
        """Say whether something is still to happen by itself."""
        return bool(self.count(State.PENDING)) or any(one.state == State.PENDING for one in self.follow_ups)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it: every field by its name, times in ms since 1970; :meth:`from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StudySummary:
        """Return what :meth:`to_json` has written, maybe by an earlier version; what is not known is left out."""
        series = [
            SeriesSummary(
                **{
                    **_known(SeriesSummary, one),
                    "counts": {State(state): count for state, count in one["counts"].items()},
                    "reasons": tuple(
                        Reason(state=State(reason["state"]), text=reason["text"], count=reason["count"])
                        for reason in one["reasons"]
                    ),
                    "sop_class_uids": tuple(one["sop_class_uids"]),
                }
            )
            for one in value["series"]
        ]
        follow_ups = tuple(FollowUpSummary(**_known(FollowUpSummary, one)) for one in value["follow_ups"])
        return cls(**{**_known(cls, value), "series": tuple(series), "follow_ups": follow_ups})


def _known(cls: Any, value: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(cls)}
    return {name: item for name, item in value.items() if name in names}

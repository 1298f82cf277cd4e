"""Deliveries of one study at one destination -> its summary.

Always counted from the deliveries themselves, so that the numbers add up. An instance that came several times counts
once, as it stands now: by what became of it when it came last.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from karnak_core.config.afterwards import by_key
from karnak_core.config.models import Destination
from karnak_core.model import State
from karnak_core.monitor.labels import label
from karnak_core.monitor.masks import DIRECT, masking
from karnak_core.spool import studies
from karnak_core.spool.studies import StudyDelivery, StudyFollowUp
from karnak_core.summary import FollowUpSummary, Reason, SeriesSummary, StudySummary

#: characters of a reason, and different reasons of a series in one state
LONGEST_REASON: Final = 500
MOST_REASONS: Final = 20
OTHER_REASONS: Final = "other reasons"
#: what is remembered of a series beside its counts: a digest of why some failed, and deliveries that were given up
WHY, GIVEN_UP = "why", "given up"
#: what leaves an instance at the destination that is there
_CHANGES_NOTHING: Final = (State.DUPLICATE, State.EXCLUDED, State.DISCARDED)


@dataclass(frozen=True, kw_only=True)
class Summarized:
    """A summary, and what a comparison with another one needs beside it."""

    summary: StudySummary
    #: when an instance of the study came last, ms
    last_received_at: int
    #: series, as received -> instances by how they stand, why some failed, and how often something was given up
    told: Mapping[str, Mapping[str, int]]
    #: part and subject -> state, and of a failed one a digest of why
    follow_ups: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What is common to everything that is said of the study."""

    deidentified: bool
    facts: Mapping[int, tuple[Mapping[str, str], Mapping[str, str]]]
    mask: Callable[[str], str]

    def facts_of(self, known: StudyDelivery | None, sent: StudyDelivery | None) -> dict[str, str]:
        """Return facts as sent, or else, where that may be told, as received."""
        received, as_sent = self.facts[sent.id] if sent else ({}, {})
        if self.deidentified:
            return {
                keyword: value
                for keyword, value in as_sent.items()
                if keyword not in DIRECT or value != received.get(keyword)
            }
        if as_sent or known is None:
            return dict(as_sent)
        return dict(self.facts[known.id][0])


def summarize(connection: sa.Connection, forward_node: str, destination: Destination, study: str) -> Summarized | None:
    """Return what became of a study, by the UID that it was received with; None: the ledger has nothing of it."""
    rows = studies.deliveries(connection, forward_node, destination.name, study)
    if not rows:
        return None
    deidentified = destination.de_identification is not None
    by_series: dict[str, list[StudyDelivery]] = {}
    for row in rows:
        by_series.setdefault(row.series_instance_uid, []).append(row)
    examples = {series: (some[0], _first_sent(some, study, deidentified)) for series, some in by_series.items()}
    wanted = {one.id for pair in examples.values() for one in pair if one}
    if deidentified:
        # a reason may repeat what its own instance has, and no other
        wanted.update(row.id for row in rows if row.reason)
    facts = studies.facts(connection, sorted(wanted))
    found = _Found(
        deidentified=deidentified, facts=facts, mask=_mask(rows, study, facts) if deidentified else lambda text: text
    )
    summarized = [_series(some, *examples[series], found) for series, some in by_series.items()]
    followed = studies.follow_ups(connection, forward_node, destination.name, study)
    sent = next((sent for _, sent in examples.values() if sent), None)
    series = tuple(sorted((one for one, _ in summarized), key=_order))
    return Summarized(
        last_received_at=max(row.received_at for row in rows),
        told={uid: told for uid, (_, told) in zip(by_series, summarized, strict=True)},
        follow_ups={f"{one.part} {one.subject}": _how(one, found) for one in followed},
        summary=StudySummary(
            forward_node=forward_node,
            destination=destination.name,
            destination_label=label(destination),
            deidentified=deidentified,
            study_instance_uid=_uid(study, sent.sent_study_instance_uid if sent else None, deidentified),
            facts=found.facts_of(rows[0], sent),
            series=series,
            follow_ups=tuple(_follow_up(one, destination, found) for one in followed),
            first_at=min(one.first_at for one in series),
            last_at=max(one.last_at for one in series),
        ),
    )


def _mask(
    rows: Sequence[StudyDelivery], study: str, facts: Mapping[int, tuple[Mapping[str, str], Mapping[str, str]]]
) -> Callable[[str], str]:
    uids = {study, *(row.series_instance_uid for row in rows), *(row.sop_instance_uid for row in rows)}
    return masking(uids, (received for received, _ in facts.values()))


def _first_sent(rows: Sequence[StudyDelivery], study: str, deidentified: bool) -> StudyDelivery | None:
    return next(
        (row for row in rows if row.sent_series_instance_uid and (not deidentified or _is_deidentified(row, study))),
        None,
    )


def _is_deidentified(row: StudyDelivery, study: str) -> bool:
    # what went out before the destination was told to de-identify is as it was received, or with other tags changed
    return (
        row.changed
        and row.sent_study_instance_uid not in (None, study)
        and row.sent_series_instance_uid != row.series_instance_uid
    )


def _uid(received: str, sent: str | None, deidentified: bool) -> str:
    return sent or ("" if deidentified else received)


def _series(
    rows: Sequence[StudyDelivery], first: StudyDelivery, sent: StudyDelivery | None, found: _Found
) -> tuple[SeriesSummary, dict[str, int]]:
    """Return the summary of a series, and what is remembered of it for comparison."""
    last: dict[str, StudyDelivery] = {}
    states: dict[str, State] = {}
    for row in rows:
        uid = row.sop_instance_uid
        before = states.get(uid)
        last[uid] = row
        # what was sent is there, whatever kept it from being sent again
        stays = before in (State.SENT, State.DUPLICATE) and row.state in _CHANGES_NOTHING
        states[uid] = before if before and stays else row.state
    counts = Counter(states.values())
    reasons = Counter(
        (states[uid], _shortened(found.mask(row.reason)))
        for uid, row in last.items()
        if row.reason and states[uid] is row.state
    )
    summary = SeriesSummary(
        series_instance_uid=_uid(
            first.series_instance_uid, sent.sent_series_instance_uid if sent else None, found.deidentified
        ),
        facts=found.facts_of(first, sent),
        sop_class_uids=tuple(sorted({row.sop_class_uid for row in rows})),
        counts=dict(counts),
        retries=sum(max(0, row.attempts - 1) for row in rows),
        again=len(rows) - len(last),
        reasons=_most_frequent(reasons),
        first_at=min(row.received_at for row in rows),
        last_at=max(row.changed_at for row in rows),
    )
    told = {state.value: count for state, count in counts.items()}
    if failed := sorted(text for state, text in reasons if state is State.FAILED):
        told[WHY] = zlib.crc32("\n".join(failed).encode())
    if given_up := sum(row.state is State.DISCARDED for row in rows):
        told[GIVEN_UP] = given_up
    return summary, told


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def _most_frequent(reasons: Counter[tuple[State, str]]) -> tuple[Reason, ...]:
    found: list[Reason] = []
    for wanted in State:
        some = [(text, count) for (state, text), count in reasons.most_common() if state is wanted]
        rest = sum(count for _, count in some[MOST_REASONS:])
        shown = some[:MOST_REASONS] + ([(OTHER_REASONS, rest)] if rest else [])
        found += [Reason(state=wanted, text=text, count=count) for text, count in shown]
    return tuple(found)


def _order(series: SeriesSummary) -> tuple[int, int, str]:
    number = series.facts.get("SeriesNumber", "")
    # those with a failure first
    return (
        0 if series.counts.get(State.FAILED) else 1,
        int(number) if number.isdecimal() else 1 << 31,
        series.series_instance_uid,
    )


def _how(row: StudyFollowUp, found: _Found) -> str:
    """Return what is remembered of a follow-up for comparison."""
    if row.state != State.FAILED:
        return row.state
    return f"{row.state} {zlib.crc32(_shortened(found.mask(row.reason)).encode()):08x}"


def _follow_up(row: StudyFollowUp, destination: Destination, found: _Found) -> FollowUpSummary:
    configured = by_key(destination.follow_ups).get(row.part)
    # a name is a part's key; without one, the key is the type and a digest
    name = configured.name or configured.type if configured else row.part.rpartition("-")[0] or row.part
    series = str(row.sent.get("series_instance_uid", ""))
    return FollowUpSummary(
        label=f"{configured.type} {name}" if configured and configured.name else name,
        # what was sent before the destination was told to de-identify has the one that was received
        series_instance_uid="" if found.deidentified and series == row.series_instance_uid else series,
        state=row.state,
        reason=_shortened(found.mask(row.reason)),
    )

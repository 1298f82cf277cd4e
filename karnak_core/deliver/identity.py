"""De-identification and tag morphing of what goes to one destination, checked before it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from pydicom.dataset import Dataset

from karnak_core.deidentify import Excluded as ExcludedByProfile
from karnak_core.deidentify import Fetch, Profile, Project, Result
from karnak_core.errors import Excluded, Permanent
from karnak_core.leaks import Encoded, beside_pixels, find_leaks
from karnak_core.model import PseudonymSource
from karnak_core.pixels.cleaning import Cleaning, plan_cleaning
from karnak_core.pixels.overlays import OVERLAY_DATA, embedded_overlays
from karnak_core.rewrite import Apart, Together


def _unchecked(_together: Together) -> None:
    """Have nothing against it."""


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A data set as it goes out."""

    dataset: Dataset
    #: what has to be done to its pixels; None: nothing
    cleaning: Cleaning | None = None
    #: true: an overlay lay in bits that its pixels do not use, and is gone from the rest
    only_used_bits: bool = False
    #: true: nothing but pixels goes out of the elements that they are in: no comments in compressed frames
    only_pixels: bool = False
    #: looks at the whole of what is sent; raises DeliveryError: it must not be
    check: Callable[[Together], None] = field(default=_unchecked)


class Identity(Protocol):
    """What a destination does to data sets before they are sent; used by all its workers."""

    def changed(self, apart: Apart, received_at: int) -> Changed:
        """Return a data set as it goes out; raises DeliveryError: it must not, or cannot."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True)
class Unchanged:
    """Leaves data sets as they are."""

    def changed(self, apart: Apart, received_at: int) -> Changed:
        """Return the data set as it was received."""
        return Changed(dataset=apart.dataset)

    def close(self) -> None:
        """Hold nothing."""


@dataclass(frozen=True, kw_only=True)
class TagMorphing:
    """Changes elements as a profile says; the patient stays who it is unless the profile says otherwise."""

    profile: Profile
    #: the project as it is now; raises Misconfigured where its secret cannot be had
    project: Callable[[], Project]
    fetch: Fetch
    give_back: Callable[[], None]

    def changed(self, apart: Apart, received_at: int) -> Changed:
        """Return the data set with its elements changed; pixels stay, as in the reference."""
        return Changed(
            dataset=_of(self.profile.morph(apart.dataset, self.project(), fetch=self.fetch, changes=False)).dataset
        )

    def close(self) -> None:
        """Close what the profile's requests were sent with."""
        self.give_back()


@dataclass(frozen=True, kw_only=True)
class DeIdentification:
    """Gives the patient a pseudonym and new UIDs, as a profile says, and checks that nothing of the old is left."""

    profile: Profile
    project: Callable[[], Project]
    source: PseudonymSource
    fetch: Fetch
    give_back: Callable[[], None]
    leak_check: bool

    def changed(self, apart: Apart, received_at: int) -> Changed:
        """Return the data set de-identified."""
        project = self.project()
        pseudonym = self.source.pseudonym(apart.dataset, project.name)
        # the time of reception, so that every attempt gives the same bytes
        at = datetime.fromtimestamp(received_at / 1000, UTC)
        result = _of(self.profile.apply(apart.dataset, project, pseudonym, fetch=self.fetch, at=at, changes=False))

        def check(together: Together) -> None:
            if self.leak_check:
                check_for_leaks(apart, together, result.kept)

        return Changed(
            dataset=result.dataset,
            only_used_bits=without_embedded_overlays(self.profile, apart.dataset, result.dataset),
            only_pixels=True,
            cleaning=plan_cleaning(self.profile, apart.dataset, result.dataset, project, bool(apart.pixels)),
            check=check,
        )

    def close(self) -> None:
        """Close the source of pseudonyms, and what the profile's requests were sent with."""
        self.source.close()
        self.give_back()


def without_embedded_overlays(profile: Profile, received: Dataset, dataset: Dataset) -> bool:
    """Take away overlays that lie in the pixels, where the profile removes overlays; say whether there were any.

    Parameters
    ----------
    dataset
        As the profile has left it: perhaps nothing says of an overlay any more that it lies there.
    """
    stay = embedded_overlays(dataset)
    gone = [
        group
        for group in embedded_overlays(received)
        if group not in stay or profile.may_remove(group << 16 | OVERLAY_DATA)
    ]
    if not gone:
        return False
    for tag in [tag for tag in dataset.keys() if tag.group in gone]:  # noqa: SIM118 - values are not decoded
        del dataset[tag]
    return True


def _of(result: Result | ExcludedByProfile) -> Result:
    if isinstance(result, ExcludedByProfile):
        raise Excluded(result.reason)
    return result


def check_for_leaks(apart: Apart, together: Together, kept: frozenset[int]) -> None:
    """Search what goes out for the identifiers of what was received; raises Permanent, which names the place."""
    start, end = together.pixels
    beside = None
    if start < end:
        with together.made.open() as file:
            beside = beside_pixels(file, start, end, implicit=together.implicit, little=together.little)
    leaks = find_leaks(
        Encoded(dataset=apart.encoded, implicit=apart.implicit, little=apart.little),
        Encoded(
            dataset=together.encoded,
            implicit=together.implicit,
            little=together.little,
            file_meta=together.beginning,
        ),
        kept=kept,
        beside=beside,
    )
    if leaks:
        first, *others = leaks
        raise Permanent(f"leak check: {first}" + (f" (and {len(others)} more)" if others else ""))

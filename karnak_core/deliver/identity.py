"""De-identification and tag morphing of what goes to one destination, checked before it leaves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydicom.dataset import Dataset

from karnak_core.deidentify import Excluded as ExcludedByProfile
from karnak_core.deidentify import Fetch, Profile, Project, Result
from karnak_core.deliver.cleaned import cleaned_pixels
from karnak_core.errors import Excluded, Permanent
from karnak_core.leaks import Encoded, find_leaks
from karnak_core.model import Instance, PseudonymSource
from karnak_core.pixels.cleaning import plan_cleaning
from karnak_core.rewrite import Apart, Together, put_together


class Identity(Protocol):
    """What a destination does to data sets before they are sent; used by all its workers."""

    def changed(self, instance: Instance, apart: Apart, workspace: Path) -> Together:
        """Return the instance as it goes out; raises DeliveryError: it must not, or cannot."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, kw_only=True)
class TagMorphing:
    """Changes elements as a profile says; the patient stays who it is unless the profile says otherwise."""

    profile: Profile
    #: the project as it is now; raises Misconfigured where its secret cannot be had
    project: Callable[[], Project]
    fetch: Fetch
    give_back: Callable[[], None]

    def changed(self, instance: Instance, apart: Apart, workspace: Path) -> Together:
        """Return the instance with its elements changed."""
        result = self.profile.morph(apart.dataset, self.project(), fetch=self.fetch)
        return put_together(apart, _of(result).dataset, workspace, source_ae_title=instance.forward_node)

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

    def changed(self, instance: Instance, apart: Apart, workspace: Path) -> Together:
        """Return the de-identified instance."""
        project = self.project()
        pseudonym = self.source.pseudonym(apart.dataset, project.name)
        # the time of reception, so that every attempt gives the same bytes
        at = datetime.fromtimestamp(instance.received_at / 1000, UTC)
        result = _of(self.profile.apply(apart.dataset, project, pseudonym, fetch=self.fetch, at=at))
        together = self._together(instance, apart, result.dataset, project, workspace)
        try:
            if self.leak_check:
                _check_for_leaks(apart, together, result.kept, pseudonym)
        except BaseException:
            together.close()
            raise
        return together

    def _together(
        self, instance: Instance, apart: Apart, dataset: Dataset, project: Project, workspace: Path
    ) -> Together:
        """Return the new elements with the pixels, cleaned where the profile wants it."""
        cleaning = plan_cleaning(self.profile, apart.dataset, dataset, project, bool(apart.pixels))
        if cleaning is None:
            return put_together(apart, dataset, workspace, source_ae_title=instance.forward_node)
        cleaned = cleaned_pixels(apart, dataset, cleaning, workspace)
        with closing(cleaned.made) as pixels:
            return put_together(
                apart,
                cleaned.dataset,
                workspace,
                source_ae_title=instance.forward_node,
                transfer_syntax_uid=cleaned.transfer_syntax_uid,
                new_pixels=pixels,
            )

    def close(self) -> None:
        """Close the source of pseudonyms, and what the profile's requests were sent with."""
        self.source.close()
        self.give_back()


def _of(result: Result | ExcludedByProfile) -> Result:
    if isinstance(result, ExcludedByProfile):
        raise Excluded(result.reason)
    return result


def _check_for_leaks(apart: Apart, together: Together, kept: frozenset[int], pseudonym: str) -> None:
    leaks = find_leaks(
        Encoded(dataset=apart.encoded, implicit=apart.implicit, little=apart.little),
        Encoded(
            dataset=together.encoded,
            implicit=together.implicit,
            little=together.little,
            file_meta=together.beginning,
        ),
        kept=kept,
        pseudonym=pseudonym,
    )
    if leaks:
        more = f" (and {len(leaks) - 1} more)" if len(leaks) > 1 else ""
        raise Permanent(f"leak check: {leaks[0]}{more}")

"""De-identification as a destination of a gateway has it, with a note of everything that it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from pydicom.dataset import Dataset

from karnak_core.deidentify import (
    Change,
    DeidentificationError,
    Fetch,
    Hasher,
    Profile,
    Project,
    Rectangle,
    Result,
    decode_dataset,
    first_text_of,
)
from karnak_core.deidentify import Excluded as ExcludedByProfile
from karnak_core.deidentify.changes import shown
from karnak_core.deidentify.undecoded import vr_of
from karnak_core.deliver.identity import Changed, check_for_leaks, without_embedded_overlays
from karnak_core.errors import Excluded
from karnak_core.pixels.cleaning import FEATURES, PIXELS, Cleaning, plan_cleaning
from karnak_core.rewrite import Apart, Together
from karnak_core.tryout.diff import Row, diff_of

#: bytes of a pseudonym that is derived from a Patient ID: among 10 000 patients two are alike once in 5 million times
_DERIVED: Final = 6
_PATIENT_ID, _ISSUER, _MODALITY = 0x00100020, 0x00100021, 0x00080060
#: of study, series and instance
_UIDS: Final = (0x0020000D, 0x0020000E, 0x00080018)
_PIXEL_GROUP: Final = 0x7FE0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is done to every file."""

    profile: Profile = field(repr=False)
    project: Project
    #: the patient's name in the project; None: derived from each Patient ID
    pseudonym: str | None = None
    #: true: tag morphing instead of de-identification
    morph: bool = False
    leak_check: bool = True
    #: written as date and time of creation
    at: datetime
    #: true: what changed is listed
    changes: bool = False
    #: true: with the values as they were received
    show_values: bool = False
    #: sends the requests of ``action.replace.api``
    fetch: Fetch | None = field(default=None, repr=False)


class Noting:
    """Changes one data set as a destination would; afterwards it knows what was done."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        #: name of the profile element that keeps the instance back
        self.excluded_by = ""
        self.rows: tuple[Row, ...] = ()
        #: what was done to the pixels, in the words of DICOM CID 7050
        self.cleaned: tuple[str, ...] = ()
        #: parts of the image that were masked
        self.rectangles: tuple[Rectangle, ...] = ()
        self.modality = ""
        #: true: study, series and instance have other UIDs than before
        self.has_new_uids = False

    def changed(self, apart: Apart, received_at: int) -> Changed:
        """Return the data set as it is written."""
        settings, received = self._settings, apart.dataset
        pseudonym = ""
        if settings.morph:
            result = settings.profile.morph(received, settings.project, fetch=settings.fetch, changes=settings.changes)
        else:
            pseudonym = settings.pseudonym or derived_pseudonym(received, settings.project.hasher)
            result = settings.profile.apply(
                received,
                settings.project,
                pseudonym,
                fetch=settings.fetch,
                at=datetime.fromtimestamp(received_at / 1000, UTC),
                changes=settings.changes,
            )
        if isinstance(result, ExcludedByProfile):
            self.excluded_by = result.element
            raise Excluded(result.reason)
        self.modality = first_text_of(result.dataset, _MODALITY)
        self.has_new_uids = all(first_text_of(received, tag) != first_text_of(result.dataset, tag) for tag in _UIDS)
        cleaning = None
        if not settings.morph:
            cleaning = plan_cleaning(settings.profile, received, result.dataset, settings.project, bool(apart.pixels))
        # cleaning changes the data set that is handed on
        profiled = replace(result, dataset=Dataset(dict(result.dataset.items())))
        only_used_bits = not settings.morph and without_embedded_overlays(settings.profile, received, result.dataset)

        def check(together: Together) -> None:
            if settings.leak_check and not settings.morph:
                check_for_leaks(apart, together, result.kept)
            self._note(apart, profiled, together, cleaning, only_used_bits)

        return Changed(
            dataset=result.dataset,
            cleaning=cleaning,
            only_used_bits=only_used_bits,
            only_pixels=not settings.morph,
            check=check,
        )

    def close(self) -> None:
        """Hold nothing."""

    def _note(
        self, apart: Apart, result: Result, together: Together, cleaning: Cleaning | None, only_used_bits: bool
    ) -> None:
        changes: Sequence[Change] = result.changes
        if cleaning is not None:
            self.cleaned = tuple(method.meaning for method in cleaning.methods)
            self.rectangles = cleaning.rectangles
        if not self._settings.changes:
            return
        if cleaning is not None or only_used_bits:
            final = decode_dataset(together.encoded, implicit=together.implicit, little=together.little)
            codename = "" if cleaning is None else PIXELS if cleaning.masks else FEATURES
            changes = _with_cleaning(changes, result.dataset, final, codename)
        self.rows = diff_of(apart.dataset, changes, show_values=self._settings.show_values)


def derived_pseudonym(received: Dataset, hasher: Hasher) -> str:
    """Return a pseudonym of 12 hex digits: the same one for the same Patient ID, issuer and secret.

    Raises
    ------
    DeidentificationError
        There is no Patient ID.
    """
    patient_id = first_text_of(received, _PATIENT_ID).strip()
    if not patient_id:
        raise DeidentificationError("the data set has no Patient ID (0010,0020)")
    issuer = first_text_of(received, _ISSUER).strip()
    return hasher.digest(f"pseudonym\\{patient_id}\\{issuer}")[:_DERIVED].hex().upper()


def _with_cleaning(changes: Sequence[Change], profiled: Dataset, final: Dataset, codename: str) -> Sequence[Change]:
    """Add what the cleaning of pixels changed at the root of the header."""
    known = {change.tag: change for change in changes if not change.place}
    for tag in {*profiled.keys(), *final.keys()}:
        if tag.group == _PIXEL_GROUP:
            continue
        before, after = (
            shown(dataset, dataset.get_item(tag)) if tag in dataset else None for dataset in (profiled, final)
        )
        if before == after:
            continue
        dataset = final if tag in final else profiled
        made = Change(
            place=(),
            tag=int(tag),
            vr=vr_of(dataset, dataset.get_item(tag)),
            before=before,
            after=after,
            element="",
            codename=codename,
        )
        known[int(tag)] = replace(known[int(tag)], after=after) if int(tag) in known else made
    at_root = [change for change in known.values() if change.before is not None or change.after is not None]
    return [change for change in changes if change.place] + at_root

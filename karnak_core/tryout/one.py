"""One file, de-identified as the gateway would, with what was done to it."""

from __future__ import annotations

import shutil
import stat
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from karnak_core.deidentify import (
    DeidentificationError,
    Excluded,
    Fetch,
    Hasher,
    Profile,
    Project,
    Result,
    first_text_of,
)
from karnak_core.errors import DeliveryError, Permanent
from karnak_core.leaks import Encoded, find_leaks
from karnak_core.part10 import Beginning, read_beginning
from karnak_core.pixels.cleaning import plan_cleaning
from karnak_core.pixels.image import KINDS
from karnak_core.rewrite import Apart, Together, put_together, taken_apart
from karnak_core.tryout.diff import Row, diff_of
from karnak_core.tryout.naming import name_of_instance, written

#: Source Application Entity Title of what is written
AE_TITLE: Final = "KARNAK"
DICOMDIR: Final = "1.2.840.10008.1.3.10"
#: bytes of a pseudonym that is derived from a Patient ID: among 10 000 patients two are alike once in 5 million times
_DERIVED: Final = 6
_PATIENT_ID, _ISSUER, _MODALITY = 0x00100020, 0x00100021, 0x00080060


class Ending(StrEnum):
    """How it ended for one file."""

    WRITTEN = "written"
    #: it would have been written
    TRIED = "tried"
    #: the profile keeps it back
    EXCLUDED = "excluded"
    FAILED = "failed"
    #: it is nothing to be de-identified
    SKIPPED = "skipped"


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


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a new file goes."""

    #: where temporary files may be made
    workspace: Path
    #: a file; None: nothing is written, or it goes into ``folder``
    file: Path | None = None
    #: a folder, for ``study/series/instance.dcm``; None: nothing is written, or it is ``file``
    folder: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What became of one file."""

    path: Path
    ending: Ending
    #: why it was not written; never a value of the data set
    reason: str = ""
    #: name of the profile element that excludes it
    excluded_by: str = ""
    output: Path | None = None
    modality: str = ""
    sop_class_uid: str = ""
    #: as they are written
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    rows: tuple[Row, ...] = ()

    @property
    def done(self) -> bool:
        """Tell whether there is a new instance."""
        return self.ending in (Ending.WRITTEN, Ending.TRIED)


def try_file(path: Path, settings: Settings, output: Output) -> Tried:
    """De-identify a file; whatever goes wrong with it is in what is returned."""
    try:
        if not _is_regular(path):
            return Tried(path=path, ending=Ending.SKIPPED, reason="no regular file")
        with open(path, "rb") as file:
            if file.read(132)[128:] != b"DICM":
                return Tried(path=path, ending=Ending.SKIPPED, reason="no DICOM file (DICOM PS3.10 section 7.1)")
            file.seek(0)
            beginning = read_beginning(file)
        if beginning.sop_class_uid == DICOMDIR:
            return Tried(path=path, ending=Ending.SKIPPED, reason="a DICOMDIR")
        return _tried(path, beginning, settings, output)
    except DeliveryError as error:
        reason = error.reason
    except ValueError as error:
        reason = str(error)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
    return Tried(path=path, ending=Ending.FAILED, reason=reason)


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


def _is_regular(path: Path) -> bool:
    """Tell whether a path is that of a file: opening a pipe or a device may wait for ever."""
    return stat.S_ISREG(path.stat().st_mode)


def _tried(path: Path, beginning: Beginning, settings: Settings, output: Output) -> Tried:
    with taken_apart(path, beginning.transfer_syntax_uid, beginning.dataset_offset, output.workspace) as apart:
        pseudonym = ""
        if not settings.morph:
            pseudonym = settings.pseudonym or derived_pseudonym(apart.dataset, settings.project.hasher)
        result = _applied(apart.dataset, settings, pseudonym)
        if isinstance(result, Excluded):
            return Tried(path=path, ending=Ending.EXCLUDED, reason=result.reason, excluded_by=result.element)
        if not settings.morph:
            _refuse_unclean_pixels(apart, result, settings)
        together = put_together(apart, result.dataset, output.workspace, source_ae_title=AE_TITLE)
        try:
            if settings.leak_check and not settings.morph:
                check_for_leaks(apart, together, result.kept, pseudonym)
            modality = first_text_of(result.dataset, _MODALITY)
            rows = diff_of(apart.dataset, result.changes, show_values=settings.show_values) if settings.changes else ()
            target = _target(together, output)
            if target is not None:
                if target.exists() and target.samefile(path):
                    raise Permanent("the new file would replace the one that is read")
                with written(target, overwrite=output.overwrite) as file:
                    together.made.file.seek(0)
                    shutil.copyfileobj(together.made.file, file, 1 << 20)
        finally:
            together.close()
        outgoing = together.outgoing
        return Tried(
            path=path,
            ending=Ending.TRIED if target is None else Ending.WRITTEN,
            output=target,
            modality=modality,
            sop_class_uid=outgoing.sop_class_uid,
            study_instance_uid=outgoing.study_instance_uid,
            series_instance_uid=outgoing.series_instance_uid,
            sop_instance_uid=outgoing.sop_instance_uid,
            transfer_syntax_uid=outgoing.transfer_syntax_uid,
            rows=rows,
        )


def _applied(received: Dataset, settings: Settings, pseudonym: str) -> Result | Excluded:
    profile, project = settings.profile, settings.project
    if settings.morph:
        return profile.morph(received, project, fetch=settings.fetch, changes=settings.changes)
    return profile.apply(received, project, pseudonym, fetch=settings.fetch, at=settings.at, changes=settings.changes)


def _refuse_unclean_pixels(apart: Apart, result: Result, settings: Settings) -> None:
    """Keep back an instance whose pixels have to be cleaned: that is not done here yet."""
    has_pixels = any(element.tag in KINDS for element in apart.pixels)
    if plan_cleaning(settings.profile, apart.dataset, result.dataset, settings.project, has_pixels) is not None:
        raise Permanent("its pixels have to be cleaned, which `karnak deidentify` cannot do yet")


def check_for_leaks(apart: Apart, together: Together, kept: frozenset[int], pseudonym: str) -> None:
    """Raise Permanent where an identifier of the received data set stands in the new file."""
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
        others = len(leaks) - 1
        raise Permanent(f"leak check: {leaks[0]}{f' (and {others} more)' if others else ''}")


def _target(together: Together, output: Output) -> Path | None:
    if output.folder is not None:
        return output.folder / name_of_instance(together.outgoing)
    return output.file


def workspace_of(output: Path | None) -> Path:
    """Return a folder for temporary files that exists: beside the output, where there is room for it."""
    for folder in (output, *(output.parents if output is not None else ())):
        if folder is not None and folder.is_dir():
            return folder
    return Path(tempfile.gettempdir())

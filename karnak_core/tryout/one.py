"""One file, de-identified as the gateway would, with what was done to it."""

from __future__ import annotations

import filecmp
import shutil
import stat
import tempfile
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from karnak_core.deliver.conversion import Conversion
from karnak_core.errors import DeliveryError, Excluded, Permanent
from karnak_core.model import Outgoing
from karnak_core.part10 import Beginning, read_beginning
from karnak_core.pixels.preview import preview_pngs
from karnak_core.tryout.diff import Row
from karnak_core.tryout.naming import AlreadyThere, name_of_instance, written
from karnak_core.tryout.noting import Noting, Settings

#: Source Application Entity Title of what is written
AE_TITLE: Final = "KARNAK"
DICOMDIR: Final = "1.2.840.10008.1.3.10"
#: bytes that are copied at a time
_BLOCK: Final = 1 << 20


class Ending(StrEnum):
    """How it ended for one file."""

    WRITTEN = "written"
    #: the same bytes are there already: a copy of an instance that was done before
    AGAIN = "again"
    #: it would have been written
    TRIED = "tried"
    #: the profile keeps it back
    EXCLUDED = "excluded"
    FAILED = "failed"
    #: it is nothing to be de-identified
    SKIPPED = "skipped"


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
    #: a folder for pictures of cleaned pixels, before and after; None: none are made
    preview: Path | None = None


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
    #: false: a UID is still that of the original
    has_new_uids: bool = False
    #: what was done to its pixels, in the words of DICOM CID 7050
    cleaned: tuple[str, ...] = ()
    #: of its pixels before and after
    pictures: tuple[Path, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def done(self) -> bool:
        """Tell whether there is a new instance."""
        return self.ending in (Ending.WRITTEN, Ending.AGAIN, Ending.TRIED)


def try_file(path: Path, settings: Settings, output: Output) -> Tried:
    """De-identify a file; whatever goes wrong with it is in what is returned."""
    noting = Noting(settings)
    try:
        if not _is_regular(path):
            return Tried(path=path, ending=Ending.SKIPPED, reason="no regular file")
        with open(path, "rb") as file:
            if file.read(132)[128:] != b"DICM":
                return Tried(path=path, ending=Ending.SKIPPED, reason="no DICOM file (DICOM PS3.10 section 7.1)")
            file.seek(0)
            try:
                beginning = read_beginning(file)
            except ValueError as error:
                raise Permanent(str(error)) from None
        if beginning.sop_class_uid == DICOMDIR:
            return Tried(path=path, ending=Ending.SKIPPED, reason="a DICOMDIR")
        return _tried(path, beginning, noting, settings, output)
    except Excluded as error:
        return Tried(path=path, ending=Ending.EXCLUDED, reason=error.reason, excluded_by=noting.excluded_by)
    except DeliveryError as error:
        reason = error.reason
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
    except Exception as error:
        # a mistake of ours: the others go on. What it says may quote a value
        reason = f"unexpected {type(error).__name__}"
    return Tried(path=path, ending=Ending.FAILED, reason=reason)


def _pictures(path: Path, outgoing: Outgoing, noting: Noting, folder: Path | None) -> tuple[Path, ...]:
    """Write pictures of pixels that were cleaned; called by the new UID, never by an old name."""
    if folder is None or not noting.cleaned:
        return ()
    written = preview_pngs(path, outgoing.path, folder, name=outgoing.sop_instance_uid, rectangles=noting.rectangles)
    return tuple(written)


def _is_regular(path: Path) -> bool:
    """Tell whether a path is that of a file: opening a pipe or a device may wait for ever."""
    return stat.S_ISREG(path.stat().st_mode)


def _tried(path: Path, beginning: Beginning, noting: Noting, settings: Settings, output: Output) -> Tried:
    received = Outgoing(
        path=path,
        dataset_offset=beginning.dataset_offset,
        size=path.stat().st_size,
        sop_class_uid=beginning.sop_class_uid,
        sop_instance_uid=beginning.sop_instance_uid,
        study_instance_uid="",
        series_instance_uid="",
        transfer_syntax_uid=beginning.transfer_syntax_uid,
    )
    # the steps of a gateway's destination
    conversion = Conversion(identity=noting, workspace=output.workspace)
    with closing(conversion.prepare(received, int(settings.at.timestamp() * 1000), AE_TITLE)) as prepared:
        outgoing = prepared.outgoing
        target = _target(outgoing, output)
        ending = Ending.TRIED
        if target is not None:
            ending = _write(outgoing.path, path, target, output)
        pictures = _pictures(path, outgoing, noting, output.preview)
    return Tried(
        path=path,
        ending=ending,
        output=target,
        modality=noting.modality,
        sop_class_uid=outgoing.sop_class_uid,
        study_instance_uid=outgoing.study_instance_uid,
        series_instance_uid=outgoing.series_instance_uid,
        sop_instance_uid=outgoing.sop_instance_uid,
        transfer_syntax_uid=outgoing.transfer_syntax_uid,
        has_new_uids=noting.has_new_uids,
        cleaned=noting.cleaned,
        pictures=pictures,
        rows=noting.rows,
    )


def _write(made: Path, source: Path, target: Path, output: Output) -> Ending:
    if target.exists() and target.samefile(source):
        raise Permanent("the new file would replace the one that is read")
    try:
        with open(made, "rb") as whole, written(target, overwrite=output.overwrite) as file:
            shutil.copyfileobj(whole, file, _BLOCK)
    except AlreadyThere:
        # a folder is told by its instances: that of a copy is this one
        if output.folder is not None and filecmp.cmp(made, target, shallow=False):
            return Ending.AGAIN
        raise
    return Ending.WRITTEN


def _target(outgoing: Outgoing, output: Output) -> Path | None:
    if output.folder is not None:
        return output.folder / name_of_instance(outgoing)
    return output.file


def workspace_of(output: Path | None) -> Path:
    """Return a folder for temporary files that exists: beside the output, where there is room for it."""
    for folder in (output, *(output.parents if output is not None else ())):
        if folder is not None and folder.is_dir():
            return folder
    return Path(tempfile.gettempdir())

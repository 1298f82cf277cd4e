"""One C-STORE on its way to the spool: stream to a file, read the header, commit."""

from __future__ import annotations

import errno
import logging
import mmap
import os
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from karnak_core.database import is_full
from karnak_core.dimse import StoreAnswer, StoreRequest
from karnak_core.elements import UnreadableDataSet
from karnak_core.headers import read_header
from karnak_core.model import Header, now_ms
from karnak_core.part10 import file_beginning
from karnak_core.receive.committer import Committer
from karnak_core.receive.refusals import Refusals
from karnak_core.receive.space import Space
from karnak_core.spool.files import SpoolWriter
from karnak_core.spool.memory import SMALL_BYTES
from karnak_core.spool.record import Received

logger = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000

#: a data set up to this size is collected in memory and written at once
MEMORY_BYTES: Final = 256 << 10
#: the free space is looked at again after this much was written: what many associations overshoot together is little
LOOK_AGAIN_BYTES: Final = 256 << 10


class Incoming:
    """Receives one data set; the answer is given once it is durable."""

    def __init__(
        self,
        request: StoreRequest,
        destinations: tuple[str, ...],
        writer: SpoolWriter,
        committer: Committer,
        space: Space,
        refusals: Refusals,
    ) -> None:
        self._request = request
        self._destinations = destinations
        self._writer = writer
        self._committer = committer
        self._space = space
        self._refusals = refusals
        self._beginning = file_beginning(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            calling_ae_title=request.association.calling_ae_title,
        )
        self._memory = bytearray(self._beginning)
        self._size = len(self._beginning)
        self._path = ""
        self._descriptor = -1
        self._unlooked = 0

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the data set."""
        self._size += len(data)
        if self._descriptor < 0:
            if self._size <= MEMORY_BYTES:
                self._memory += data
                return
            self._open()
        _write_all(self._descriptor, data)
        self._unlooked += len(data)
        if self._unlooked >= LOOK_AGAIN_BYTES:
            self._unlooked = 0
            if not self._space.enough():
                raise OSError(errno.ENOSPC, "below the reserve")

    def finish(self) -> StoreAnswer:
        """Make the instance durable and say so, or keep nothing and say why."""
        try:
            header = self._header()
        except UnreadableDataSet as error:
            self.discard()
            return StoreAnswer(CANNOT_UNDERSTAND, f"unreadable: {error}")
        mismatch = self._mismatch(header)
        if mismatch:
            self.discard()
            return StoreAnswer(DOES_NOT_MATCH_SOP_CLASS, mismatch)
        if self._size > SMALL_BYTES:
            if self._descriptor < 0:
                self._open()
            os.fsync(self._descriptor)
        return self._commit(header)

    def discard(self) -> None:
        """Keep nothing; the source was, or will be, told so."""
        self._refusals.instance(self._request.association.called_ae_title)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._writer.folder.remove([self._path])

    def _open(self) -> None:
        self._path, self._descriptor = self._writer.create()
        _write_all(self._descriptor, memoryview(self._memory))
        self._memory = bytearray()

    def _header(self) -> Header:
        offset = len(self._beginning)
        if self._size == offset:
            raise UnreadableDataSet("there is no data set")
        syntax = self._request.transfer_syntax_uid
        if self._descriptor < 0:
            return read_header(memoryview(self._memory)[offset:], syntax)
        with (
            mmap.mmap(self._descriptor, self._size, prot=mmap.PROT_READ) as mapped,
            memoryview(mapped) as view,
            view[offset:] as data,
        ):
            return read_header(data, syntax)

    def _mismatch(self, header: Header) -> str:
        if header.sop_class_uid != self._request.sop_class_uid:
            return "SOP Class UID differs from the command's"
        if header.sop_instance_uid != self._request.sop_instance_uid:
            return "SOP Instance UID differs from the command's"
        return ""

    def _commit(self, header: Header) -> StoreAnswer:
        request = self._request
        received = Received(
            forward_node=request.association.called_ae_title,
            calling_ae_title=request.association.calling_ae_title,
            peer_host=request.association.peer_host,
            received_at=now_ms(),
            transfer_syntax_uid=request.transfer_syntax_uid,
            header=header,
            path=self._path,
            content=bytes(self._memory) if self._descriptor < 0 else b"",
            dataset_offset=len(self._beginning),
            size=self._size,
            destinations=self._destinations,
        )
        try:
            self._committer.commit(received)
        except SQLAlchemyError as error:
            full = is_full(error)
            logger.error("cannot write to the ledger: %s", "the disk is full" if full else type(error).__name__)
            if full:
                # nothing was committed, and the file takes the room that is missing
                self.discard()
            else:
                # A broken connection leaves open whether it was committed. The file stays: the ledger may name it; if
                # it does not, the sweep removes it once this process is gone.
                self._refusals.instance(request.association.called_ae_title)
            return StoreAnswer(OUT_OF_RESOURCES, "the ledger cannot be written")
        finally:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
        return StoreAnswer(SUCCESS)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]

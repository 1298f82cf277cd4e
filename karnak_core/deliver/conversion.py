"""One instance as it goes out: its data set changed, its pixels cleaned, all of it in a transfer syntax that is taken.

What nothing changes is not opened. What is made lies in memory or in the workspace until it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from karnak_core.deliver.identity import Identity, Unchanged
from karnak_core.deliver.pixels import NATIVE, NewPixels, PixelRule, bare_pixels, new_pixels, refusal
from karnak_core.deliver.reencode import reencoded
from karnak_core.model import Closable, Outgoing
from karnak_core.part10 import file_beginning
from karnak_core.pixels import CannotTranscode
from karnak_core.rewrite import put_together, taken_apart


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An instance that is ready to be sent."""

    outgoing: Outgoing
    #: what was made for it; None: it goes out as it was received
    made: Closable | None = None
    #: why it is not as the destination wants it; empty: it is
    note: str = ""

    @property
    def made_bytes(self) -> int:
        """Bytes that it takes beside the spool, until it is closed."""
        return self.outgoing.size if self.made else 0

    def close(self) -> None:
        """Give up what was made; may be called twice."""
        if self.made is not None:
            self.made.close()


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What one destination makes of instances; used by all its workers."""

    identity: Identity | None = None
    pixels: PixelRule = field(default_factory=PixelRule)
    #: a folder for large files that are made on the way
    workspace: Path

    def prepare(self, received: Outgoing, received_at: int, source_ae_title: str) -> Prepared:
        """Return what goes out.

        Parameters
        ----------
        received
            The spool file.
        received_at
            ms since 1970.
        source_ae_title
            Who says that it has written the file (PS3.10 table 7.1-1).

        Raises
        ------
        DeliveryError
            It must not go out, or cannot; with the reason.
        FileNotFoundError
            The spool file is missing.
        """
        target = self.pixels.target(received.transfer_syntax_uid)
        make = partial(self._made, received, received_at, source_ae_title)
        if self.identity is None and target == received.transfer_syntax_uid:
            prepared = Prepared(outgoing=received)
        else:
            prepared = make(target, strict=False)
        outgoing = replace(
            prepared.outgoing,
            path=prepared.outgoing.source,
            alternatives=self.pixels.alternatives(received.transfer_syntax_uid),
            convert=partial(_converted, partial(make, strict=True)),
        )
        return Prepared(outgoing=outgoing, made=prepared.made, note=prepared.note)

    def _made(
        self, received: Outgoing, received_at: int, source_ae_title: str, target: str, *, strict: bool
    ) -> Prepared:
        """Make a file in the transfer syntax ``target``; not ``strict``: in the received one, if that cannot be."""
        native = target in NATIVE and received.transfer_syntax_uid in NATIVE
        with ExitStack() as stack:
            if self.identity is None and native:
                if target == received.transfer_syntax_uid:
                    return Prepared(outgoing=received)
                return self._native(received, target, source_ae_title)
            source = received
            if received.transfer_syntax_uid in (ImplicitVRLittleEndian, ExplicitVRBigEndian) and (
                target != received.transfer_syntax_uid
            ):
                # what is changed is written as it was encoded
                source = stack.enter_context(self._explicit(received))
            implicit_at_last = target == ImplicitVRLittleEndian and source.transfer_syntax_uid != target
            wanted = str(ExplicitVRLittleEndian) if implicit_at_last else target
            prepared = self._changed(source, received_at, source_ae_title, wanted, strict=strict)
        if not implicit_at_last:
            return prepared
        with closing(prepared):
            return self._native(prepared.outgoing, target, source_ae_title)

    def _changed(
        self, source: Outgoing, received_at: int, source_ae_title: str, target: str, *, strict: bool
    ) -> Prepared:
        identity = self.identity or Unchanged()
        path, syntax, offset = source.path, source.transfer_syntax_uid, source.dataset_offset
        with taken_apart(path, syntax, offset, self.workspace) as apart, ExitStack() as stack:
            changed = identity.changed(apart, received_at)
            if target == syntax:
                target = apart.transfer_syntax_uid  # a deflated data set is plain now
            note, pixels = "", None
            try:
                pixels = new_pixels(
                    apart,
                    changed.dataset,
                    changed.cleaning,
                    target,
                    self.pixels.options,
                    self.workspace,
                    only_used_bits=changed.only_used_bits,
                    only_pixels=changed.only_pixels,
                )
            except CannotTranscode as error:
                if strict or changed.cleaning is not None or changed.only_used_bits:
                    raise
                note = refusal(error, target)
            if pixels is None and changed.only_pixels:
                pixels = bare_pixels(apart, changed.dataset, self.workspace)
            if pixels is not None:
                stack.callback(pixels.made.close)
            together = put_together(
                apart,
                changed.dataset if pixels is None else pixels.dataset,
                self.workspace,
                source_ae_title=source_ae_title,
                transfer_syntax_uid=_syntax(apart.transfer_syntax_uid, target, pixels, has_pixels=bool(apart.pixels)),
                new_pixels=None if pixels is None else pixels.made,
            )
            try:
                changed.check(together)
            except BaseException:
                together.close()
                raise
        outgoing = together.outgoing
        if self.identity is None:
            outgoing = replace(outgoing, path=outgoing.source, facts=None)
        return Prepared(outgoing=outgoing, made=together.made, note=note)

    @contextmanager
    def _explicit(self, outgoing: Outgoing) -> Iterator[Outgoing]:
        """Give an uncompressed instance in Explicit VR Little Endian."""
        with reencoded(outgoing, ExplicitVRLittleEndian, self.workspace) as (path, offset, length):
            yield replace(
                outgoing,
                path=path,
                dataset_offset=offset,
                size=length,
                transfer_syntax_uid=str(ExplicitVRLittleEndian),
            )

    def _native(self, outgoing: Outgoing, target: str, source_ae_title: str) -> Prepared:
        """Return an uncompressed instance in another uncompressed transfer syntax."""
        beginning = file_beginning(
            sop_class_uid=outgoing.sop_class_uid,
            sop_instance_uid=outgoing.sop_instance_uid,
            transfer_syntax_uid=target,
            calling_ae_title=source_ae_title,
        )
        stack = ExitStack()
        path, _, size = stack.enter_context(reencoded(outgoing, target, self.workspace, beginning))
        made = replace(outgoing, path=path, dataset_offset=len(beginning), size=size, transfer_syntax_uid=str(target))
        return Prepared(outgoing=made, made=stack)


def conversion(outgoing: Outgoing, workspace: Path) -> Callable[[str], AbstractContextManager[Outgoing]]:
    """Return what gives a file in another transfer syntax, for who sends files that no gateway has received."""
    make = Conversion(workspace=workspace)._made
    return partial(_converted, partial(make, outgoing, 0, "", strict=True))


@contextmanager
def _converted(make: Callable[[str], Prepared], transfer_syntax_uid: str) -> Iterator[Outgoing]:
    """Give an instance in a transfer syntax that the peer takes; raises DeliveryError."""
    with closing(make(transfer_syntax_uid)) as prepared:
        yield prepared.outgoing


def _syntax(syntax: str, target: str, pixels: NewPixels | None, *, has_pixels: bool) -> str:
    if pixels is not None:
        return pixels.transfer_syntax_uid
    # without pixels nothing is compressed but by its name
    return target if not has_pixels and target in NATIVE else syntax

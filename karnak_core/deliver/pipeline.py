"""What happens to an instance on its way to one destination, step by step.

SOP class filter -> condition -> plugins -> de-identification or tag morphing -> what is to be sent. Every step returns
or raises; the outcome is stored elsewhere, once. An instance that no step changes is sent from its spool file, which is
not even opened here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from karnak_core.deliver.filters import Filters
from karnak_core.deliver.identity import Identity
from karnak_core.errors import Permanent
from karnak_core.model import Instance, Outgoing
from karnak_core.rewrite import MadeFile, taken_apart


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An instance that is ready to be sent."""

    outgoing: Outgoing
    #: the file that was made for it; None: it goes out as it was received
    made: MadeFile | None = None

    @property
    def made_bytes(self) -> int:
        """Bytes that it takes beside the spool, until it is closed."""
        return self.outgoing.size if self.made else 0

    def close(self) -> None:
        """Give up what was made; may be called twice."""
        if self.made is not None:
            self.made.close()


class Pipeline:
    """The steps of one destination; used by all its workers.

    Parameters
    ----------
    identity
        None: data sets go out as they were received.
    workspace
        A folder for files that are made on the way.
    """

    def __init__(self, filters: Filters, identity: Identity | None = None, workspace: Path = Path()) -> None:
        self._filters = filters
        self._identity = identity
        self._workspace = workspace

    def prepare(self, instance: Instance) -> Prepared:
        """Return what is to be sent; to be closed after it was.

        Raises
        ------
        DeliveryError
            It must not or cannot be sent; with the reason.
        """
        try:
            self._filters.check(instance)
            if self._identity is not None:
                return self._changed(instance, self._identity)
        except FileNotFoundError as error:
            raise Permanent("the spool file is missing") from error
        return Prepared(
            outgoing=Outgoing(
                path=instance.path,
                dataset_offset=instance.dataset_offset,
                size=instance.size,
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                study_instance_uid=instance.study_instance_uid,
                series_instance_uid=instance.series_instance_uid,
                transfer_syntax_uid=instance.transfer_syntax_uid,
            )
        )

    def close(self) -> None:
        """Give back what the steps hold; after the last worker has ended."""
        if self._identity is not None:
            self._identity.close()

    def _changed(self, instance: Instance, identity: Identity) -> Prepared:
        with taken_apart(
            instance.path, instance.transfer_syntax_uid, instance.dataset_offset, self._workspace
        ) as apart:
            together = identity.changed(instance, apart, self._workspace)
        return Prepared(outgoing=together.outgoing, made=together.made)

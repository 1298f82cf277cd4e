"""What happens to an instance on its way to one destination, step by step.

SOP class filter -> condition -> plugins -> de-identification or tag morphing -> what is to be sent. Every step returns
or raises; the outcome is stored elsewhere, once. An instance that no step changes is sent from its spool file, which is
not even opened here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from karnak_core.deliver.filters import Filters, LazyHeader
from karnak_core.deliver.identity import Identity
from karnak_core.errors import DeliveryError, Permanent
from karnak_core.model import Due, FollowUp, Instance, Outgoing
from karnak_core.rewrite import MadeFile, taken_apart

logger = logging.getLogger(__name__)


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
    follow_ups
        What is done after instances were sent, by its key.
    """

    def __init__(
        self,
        filters: Filters,
        identity: Identity | None = None,
        workspace: Path = Path(),
        follow_ups: Mapping[str, FollowUp] = MappingProxyType({}),
    ) -> None:
        self._filters = filters
        self._identity = identity
        self._workspace = workspace
        self._follow_ups = follow_ups

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

    def due(self, instance: Instance, outgoing: Outgoing) -> tuple[Due, ...]:
        """Return what is to be done after an instance was sent."""
        if not self._follow_ups:
            return ()
        found = []
        with LazyHeader(instance) as header:
            for part, follow_up in self._follow_ups.items():
                try:
                    subject = follow_up.subject(outgoing, lambda: header.dataset)
                    problem = ""
                except DeliveryError as error:
                    subject, problem = outgoing.sop_instance_uid, error.reason
                except Exception as error:
                    # it was sent: that it is so must not depend on what follows
                    logger.exception("follow-up %s failed to say what it is for", part)
                    subject, problem = outgoing.sop_instance_uid, f"unexpected {type(error).__name__}; see the log"
                if subject is not None:
                    found.append(Due(part=part, subject=subject[:255], problem=problem))
        return tuple(found)

    def close(self) -> None:
        """Give back what the steps hold; after the last worker has ended."""
        for part in (self._identity, *self._follow_ups.values()):
            if part is not None:
                part.close()

    def _changed(self, instance: Instance, identity: Identity) -> Prepared:
        with taken_apart(
            instance.path, instance.transfer_syntax_uid, instance.dataset_offset, self._workspace
        ) as apart:
            together = identity.changed(instance, apart, self._workspace)
        return Prepared(outgoing=together.outgoing, made=together.made)

"""What happens to an instance on its way to one destination, step by step.

SOP class filter -> condition -> plugins -> de-identification or tag morphing -> pixels -> what is sent. Every step
returns or raises; the outcome is stored elsewhere, once. An instance that no step changes is sent from its spool file,
which is not even opened here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType

from karnak_core.deliver.conversion import Conversion, Prepared
from karnak_core.deliver.filters import Filters
from karnak_core.errors import DeliveryError, Permanent
from karnak_core.model import Due, FollowUp, Instance, Outgoing
from karnak_core.original import LazyHeader

logger = logging.getLogger(__name__)


class Pipeline:
    """The steps of one destination; used by all its workers.

    Parameters
    ----------
    conversion
        What is made of an instance; None: it goes out as it was received, whatever the peer takes.
    follow_ups
        What is done after instances were sent, by its key.
    """

    def __init__(
        self,
        filters: Filters,
        conversion: Conversion | None = None,
        follow_ups: Mapping[str, FollowUp] = MappingProxyType({}),
    ) -> None:
        self._filters = filters
        self._conversion = conversion
        self._follow_ups = follow_ups

    def prepare(self, instance: Instance) -> Prepared:
        """Return what is to be sent; to be closed after it was.

        Raises
        ------
        DeliveryError
            It must not or cannot be sent; with the reason.
        """
        received = Outgoing(
            path=instance.path,
            dataset_offset=instance.dataset_offset,
            size=instance.size,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
        )
        try:
            self._filters.check(instance)
            if self._conversion is None:
                return Prepared(outgoing=received)
            return self._conversion.prepare(received, instance.received_at, instance.forward_node)
        except FileNotFoundError as error:
            raise Permanent("the spool file is missing") from error

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
        identity = self._conversion.identity if self._conversion else None
        for part in (identity, *self._follow_ups.values()):
            if part is not None:
                part.close()

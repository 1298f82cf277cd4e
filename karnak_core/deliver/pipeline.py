"""What happens to an instance on its way to one destination, step by step.

SOP class filter -> condition -> plugins -> what is to be sent. Every step returns or raises; the outcome is stored
elsewhere, once. An instance that no step changes is sent from its spool file, which is not even opened here.
"""

from __future__ import annotations

from karnak_core.deliver.filters import Filters
from karnak_core.errors import Permanent
from karnak_core.model import Instance, Outgoing


class Pipeline:
    """The steps of one destination; used by all its workers."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters

    def prepare(self, instance: Instance) -> Outgoing:
        """Return what is to be sent.

        Raises
        ------
        DeliveryError
            It must not or cannot be sent; with the reason.
        """
        try:
            self._filters.check(instance)
        except FileNotFoundError as error:
            raise Permanent("the spool file is missing") from error
        return Outgoing(
            path=instance.path,
            dataset_offset=instance.dataset_offset,
            size=instance.size,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
        )

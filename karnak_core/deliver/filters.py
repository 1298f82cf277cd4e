"""What keeps an instance from a destination: its SOP class, the destination's condition, a plugin."""

from __future__ import annotations

from typing import Any

from karnak_core.errors import DeliveryError, Excluded, Permanent, Retryable
from karnak_core.expressions import Condition, ExpressionError
from karnak_core.model import Exclusion, Instance
from karnak_core.original import LazyHeader
from karnak_core.plugins import Plugins


class Filters:
    """The filters of one destination, in order; core's own first, a plugin can only narrow."""

    def __init__(
        self, destination: str, sop_classes: frozenset[str], condition: Condition | None, plugins: Plugins
    ) -> None:
        self._destination = destination
        self._sop_classes = sop_classes
        self._condition = condition
        self._plugins = plugins if plugins.has("karnak_exclude_instance") else None

    def check(self, instance: Instance) -> None:
        """Return if the instance may go on.

        Raises
        ------
        Excluded
            A rule keeps it back; the reason names the rule and no instance, so that equal reasons count as one.
        DeliveryError
            It cannot be decided: held back.
        """
        if self._sop_classes and instance.sop_class_uid not in self._sop_classes:
            raise Excluded(f"SOP class {instance.sop_class_uid} is not authorised")
        with LazyHeader(instance) as header:
            if self._condition is not None:
                self._check_condition(self._condition, header)
            if self._plugins is not None:
                self._ask_plugins(self._plugins, instance, header)

    def _check_condition(self, condition: Condition, header: LazyHeader) -> None:
        try:
            holds = condition.holds(header.dataset)
        except ExpressionError as error:
            raise Permanent(f"the condition cannot be decided: {error}") from error
        if not holds:
            raise Excluded("condition not met")

    def _ask_plugins(self, plugins: Plugins, instance: Instance, header: LazyHeader) -> None:
        try:
            answer: Any = plugins.hook.karnak_exclude_instance(
                instance=instance, header=header.dataset, destination=self._destination
            )
        except (DeliveryError, FileNotFoundError):
            raise
        except Exception as error:
            raise Retryable(f"a plugin failed in karnak_exclude_instance: {type(error).__name__}") from error
        if isinstance(answer, Exclusion):
            raise Excluded(answer.rule)
        if answer is not None:
            raise Retryable(f"a plugin answered karnak_exclude_instance with {type(answer).__name__}, not Exclusion")

"""Every hook of Karnak.

A plugin is a module named by an entry point of the group ``karnak.plugins``; it implements hooks with
``karnak_core.hookimpl``. Implementations may take fewer arguments than listed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click
    from pydicom import Dataset

    from karnak_core.config.models import Configuration
    from karnak_core.deidentify import ProfileElement
    from karnak_core.errors import ConfigProblem
    from karnak_core.kinds import Kind
    from karnak_core.model import (
        Authenticator,
        Caller,
        Delivery,
        Destination,
        Exclusion,
        FollowUp,
        Instance,
        Notifier,
        Outcome,
        PseudonymSource,
        Refusal,
        Service,
    )

hookspec = pluggy.HookspecMarker("karnak")
hookimpl = pluggy.HookimplMarker("karnak")


# ---- what a plugin offers: called once at start, in every process --------------------------------


@hookspec
def karnak_register_destinations() -> Sequence[Kind[Any, Destination]]:  # type: ignore[empty-body]
    """Offer destination types.

    Called once when plugins are loaded. An exception stops the start.

    :return: kinds whose ``open`` makes a :class:`karnak_core.model.Destination`

    .. versionadded:: 0.1
    """


@hookspec
def karnak_register_authenticators() -> Sequence[Kind[Any, Authenticator]]:  # type: ignore[empty-body]
    """Offer ways to authorize requests.

    Called once when plugins are loaded. One is configured under ``authenticators`` and named where it is used; its
    kind is a command of ``karnak auth-header``, too. An exception stops the start.

    :return: kinds whose ``open`` makes a :class:`karnak_core.model.Authenticator`

    .. versionadded:: 0.1
    """


@hookspec
def karnak_register_pseudonym_sources() -> Sequence[Kind[Any, PseudonymSource]]:  # type: ignore[empty-body]
    """Offer ways to find a patient's pseudonym.

    Called once when plugins are loaded. One is configured under ``de_identification.pseudonym`` of a destination. An
    exception stops the start.

    :return: kinds whose ``open`` makes a :class:`karnak_core.model.PseudonymSource`

    .. versionadded:: 0.1
    """


@hookspec
def karnak_register_follow_ups() -> Sequence[Kind[Any, FollowUp]]:  # type: ignore[empty-body]
    """Offer things to be done after instances were sent.

    Called once when plugins are loaded. One is configured under ``follow_ups`` of a destination. An exception stops the
    start.

    :return: kinds whose ``open`` makes a :class:`karnak_core.model.FollowUp`

    .. versionadded:: 0.1
    """


@hookspec
def karnak_register_notifiers() -> Sequence[Kind[Any, Notifier]]:  # type: ignore[empty-body]
    """Offer ways to tell people what became of a study.

    Called once when plugins are loaded. One is configured under ``notifications`` of a destination. An exception stops
    the start.

    :return: kinds whose ``open`` makes a :class:`karnak_core.model.Notifier`

    .. versionadded:: 0.1
    """


@hookspec
def karnak_register_profile_elements() -> Sequence[ProfileElement]:  # type: ignore[empty-body]
    """Offer codenames that elements of a de-identification profile can have.

    Called once when plugins are loaded. An exception stops the start.

    :return: what reads an element of a profile and says what becomes of each data element

    .. versionadded:: 0.1
    """


@hookspec
def karnak_register_services() -> Sequence[Kind[Any, Service]]:  # type: ignore[empty-body]
    """Offer services that run as long as the gateway.

    Called once when plugins are loaded. A service is configured under ``plugins.<name of the kind>`` and started, in a
    thread of the supervising process, where that key is present. An exception stops the start.

    :return: kinds whose ``open`` makes a :class:`karnak_core.model.Service`

    .. versionadded:: 0.1
    """


@hookspec
def karnak_register_commands(cli: click.Group) -> None:
    """Add commands to ``karnak``.

    Called whenever the command line starts, before it is parsed; do nothing slow. After an exception the plugin's
    commands are missing, and a warning says so.

    :param cli: the group to add commands to

    .. versionadded:: 0.1
    """


# ---- configuration --------------------------------------------------------------------------------


@hookspec
def karnak_check_config(config: Configuration) -> Sequence[ConfigProblem]:  # type: ignore[empty-body]
    """Find what is wrong in a configuration across its parts.

    Called by ``check``, ``plan`` and ``apply`` after every key has been read; where some of them are wrong, about
    the rest, without the parts that they are in and those that use these. Do not use the network.

    :param config: the whole configuration, or the rest of it
    :return: the problems; empty when there are none. An exception refuses the configuration.

    .. versionadded:: 0.1
    """


# ---- decisions: a plugin can only narrow what core allows -----------------------------------------


@hookspec(firstresult=True)
def karnak_refuse_association(request: Caller) -> Refusal | None:
    """Refuse an association that core would accept.

    Called in the association's thread, after the forward node and its sources accepted it.
    Stops at the first answer that is not None.

    :param request: who asks
    :return: why it is refused; None means no opinion. An exception refuses the association (transient).

    .. versionadded:: 0.1
    """


@hookspec(firstresult=True)
def karnak_exclude_instance(instance: Instance, header: Dataset, destination: str) -> Exclusion | None:
    """Keep an instance from a destination.

    Called in a delivery worker, after the destination's own filters let the instance through and before anything is
    changed. Stops at the first answer that is not None.

    :param instance: the instance as received
    :param header: its data set without pixel data; do not change it
    :param destination: the destination's name
    :return: the rule that excludes it; None means no opinion. An exception delays the delivery.

    .. versionadded:: 0.1
    """


# ---- observation: one failing plugin never stops the next -----------------------------------------


@hookspec
def karnak_delivery_finished(delivery: Delivery, outcome: Outcome) -> None:
    """See how an attempt of a delivery ended.

    Called in a delivery worker, after the outcome was stored. Return quickly. Exceptions are logged.

    :param delivery: what was delivered
    :param outcome: how it ended; state PENDING means that it will be tried again

    .. versionadded:: 0.1
    """


@hookspec
def karnak_startup(gateway: str) -> None:
    """Prepare; called once in the supervising process before it says that it is ready.

    :param gateway: the data directory of the gateway
    :return: nothing. An exception stops the start.

    .. versionadded:: 0.1
    """


@hookspec
def karnak_shutdown(gateway: str) -> None:
    """Clean up; called once in the supervising process after everything has stopped. Exceptions are logged.

    :param gateway: the data directory of the gateway

    .. versionadded:: 0.1
    """

"""Follow-ups of type ``kheops_album``: series that were sent are shared with albums of Kheops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from karnak_core import hookimpl
from karnak_core.config.models import Configuration
from karnak_core.errors import ConfigProblem
from karnak_core.kinds import Kind
from karnak_core.model import FollowUp
from karnak_plugins.kheops_switch.album import Album
from karnak_plugins.kheops_switch.checks import problems
from karnak_plugins.kheops_switch.config import KheopsAlbum

KHEOPS_ALBUM = Kind(
    name="kheops_album",
    config=KheopsAlbum,
    open=Album,
    summary="shares series that were sent with an album of Kheops",
)


@hookimpl
def karnak_register_follow_ups() -> Sequence[Kind[Any, FollowUp]]:
    """Offer the type ``kheops_album``."""
    return [KHEOPS_ALBUM]


@hookimpl
def karnak_check_config(config: Configuration) -> Sequence[ConfigProblem]:
    """Refuse albums where they cannot work, and the same one twice."""
    return list(problems(config))

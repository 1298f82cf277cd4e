"""The codenames of Karnak itself, one file for each family."""

from __future__ import annotations

from collections.abc import Sequence

from karnak_core.deidentify.entry import ProfileElement
from karnak_core.deidentify.rules.adding import ADD_PRIVATE_TAG, ADD_TAG
from karnak_core.deidentify.rules.api import REPLACE_API
from karnak_core.deidentify.rules.basic import BASIC_PROFILE
from karnak_core.deidentify.rules.dates import ON_DATES
from karnak_core.deidentify.rules.expressions import ON_EXPRESSION
from karnak_core.deidentify.rules.pixels import CLEAN_FEATURES, CLEAN_PIXELS
from karnak_core.deidentify.rules.tags import ON_PRIVATE_TAGS, ON_TAGS, REPLACE_UID

BUILT_IN: Sequence[ProfileElement] = (
    BASIC_PROFILE,
    CLEAN_PIXELS,
    CLEAN_FEATURES,
    ON_TAGS,
    ON_PRIVATE_TAGS,
    ON_DATES,
    ON_EXPRESSION,
    ADD_TAG,
    ADD_PRIVATE_TAG,
    REPLACE_API,
    REPLACE_UID,
)

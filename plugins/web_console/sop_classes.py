"""The names of the storage SOP classes, for a search."""

from __future__ import annotations

from functools import cache

from pydicom._uid_dict import UID_dictionary


@cache
def sop_class_names() -> tuple[str, ...]:
    """Return the names of the SOP classes of instances that are stored, in the order of the alphabet."""
    return tuple(
        sorted(
            name
            for name, kind, _, _, _ in UID_dictionary.values()
            if kind == "SOP Class"
            and name.endswith(("Storage", "Storage - For Presentation", "Storage - For Processing"))
        )
    )

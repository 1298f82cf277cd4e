"""Elements that come to a level: those that a profile adds, and the creators of private elements that stay."""

from __future__ import annotations

from pydicom.tag import BaseTag

from karnak_core.deidentify.entry import AddPrivate
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.level import Elements, Level
from karnak_core.deidentify.undecoded import Element
from karnak_core.deidentify.visit import texts_of
from karnak_core.expressions import Add


def additions(level: Level, add: Add | AddPrivate) -> list[Element]:
    """Return the elements to add to a level; none where they, or another creator's, are there already."""
    if isinstance(add, Add):
        return [_made(level, add.tag, add.vr, add.value)] if _is_free(level, add.tag) else []
    if add.creator is None:
        return [_made(level, add.tag, add.vr, add.value)] if _is_free(level, add.tag) else []
    creator = add.creator.strip()
    group, element = add.tag & 0xFFFF0000, add.tag & 0xFFFF
    if _creator(level, group | element >> 8) not in (None, creator):
        return []
    block = _block(level, group, creator)
    new = [] if _creator(level, group | block) == creator else [level.encoder.text(group | block, "LO", creator)]
    tag = group | block << 8 | element & 0xFF
    return [*new, _made(level, tag, add.vr, add.value)] if _is_free(level, tag) else []


def _made(level: Level, tag: int, vr: str, value: str | None) -> Element:
    return level.encoder.fitting(tag, vr, value) if value else level.encoder.empty(tag, vr)


def _is_free(level: Level, tag: int) -> bool:
    return tag not in level.dataset and BaseTag(tag) not in level.added


def _creator(level: Level, tag: int) -> str | None:
    """Return the creator that owns a block; None where nobody does."""
    added = level.added.get(BaseTag(tag))
    if added is not None:
        return (added.value or b"").decode("utf-8", "replace").strip()
    texts = texts_of(level.dataset, tag)
    return texts[0] if texts else None


def _block(level: Level, group: int, creator: str) -> int:
    """Return the block of a creator: the one it has, else the first free one (PS3.5 section 7.8.1)."""
    free = 0
    for block in range(0x10, 0x100):
        owner = _creator(level, group | block)
        if owner == creator:
            return block
        if owner is None and not free:
            free = block
    if not free:
        raise DeidentificationError(f"no block of group {group >> 16:04X} is free for a private element")
    return free


def restore_creators(level: Level, elements: Elements, named: frozenset[int]) -> None:
    """Put back the creators of the private elements that stay, unless the profile names those creators itself."""
    dataset = level.dataset
    for tag in [tag for tag in elements if int(tag) >> 16 & 1 and int(tag) & 0xFFFF >= 0x1000]:
        creator = BaseTag(int(tag) & 0xFFFF0000 | (int(tag) & 0xFFFF) >> 8)
        if creator in dataset and int(creator) not in named:
            elements[creator] = dataset.get_item(creator)

"""``action.on.specific.tags``, ``action.on.privatetags`` and ``replace.uid``: one action for the tags of a list."""

from __future__ import annotations

from functools import partial

from karnak_core.deidentify.actions import Choice, Decision
from karnak_core.deidentify.entry import Entry, Method, ProfileElement, Rule, on_tags
from karnak_core.deidentify.tags import TagSet
from karnak_core.deidentify.visit import CLASS_UIDS, Visit
from karnak_core.expressions import Keep, Remove, ReplaceNull, Uid

_SAFE_PRIVATE = Method(value="113111", meaning="Retain Safe Private Option")


def _read_tags(entry: Entry) -> Rule:
    entry.known_arguments()
    action = entry.require_action()
    tags = entry.require_tags()
    excluded = entry.read_excluded_tags()
    decide = partial(_uids, tags, excluded) if action == Uid() else on_tags(tags, excluded, action or Keep())
    return Rule(decide=decide, named=tags.exact - excluded.exact)


def _uids(tags: TagSet, excluded: TagSet, tag: int) -> Choice | None:
    """Return the choice of action U: what a pattern covers is replaced where it is the UID of an instance."""
    if tag in excluded or tag in CLASS_UIDS:
        return None
    if tag in tags.exact:
        return Uid()
    return _uid_of_instance if tag in tags else None


def _uid_of_instance(visit: Visit) -> Decision | None:
    return Uid() if visit.vr in ("UI", "SQ") and visit.tag not in CLASS_UIDS else None


def _read_private_tags(entry: Entry) -> Rule:
    entry.known_arguments()
    action = entry.require_action() or Keep()
    tags = entry.read_tags()
    excluded = entry.read_excluded_tags()
    return Rule(
        decide=partial(_private, tags if entry.tags else None, excluded, action),
        named=tags.exact - excluded.exact,
        # not claimed where private elements are removed or changed
        method=_SAFE_PRIVATE if action == Keep() else None,
    )


def _private(tags: TagSet | None, excluded: TagSet, action: Decision, tag: int) -> Choice | None:
    if not tag >> 16 & 1 or tag in excluded:
        return None
    if tags is not None and tag not in tags:
        return None
    return _uid_of_instance if action == Uid() and (tags is None or tag not in tags.exact) else action


def _read_uid(entry: Entry) -> Rule:
    entry.known_arguments()
    symbols: dict[str, Decision] = {"U": Uid(), "X": Remove(), "Z": ReplaceNull()}
    action = Uid() if entry.action is None else entry.require_action(symbols) or Uid()
    tags, excluded = entry.read_tags(), entry.read_excluded_tags()
    return Rule(decide=partial(_replace_uid, tags if entry.tags else None, excluded, action))


def _replace_uid(tags: TagSet | None, excluded: TagSet, action: Decision, tag: int) -> Choice | None:
    if tag in CLASS_UIDS or tag in excluded or (tags is not None and tag not in tags):
        return None
    return partial(_if_uid, action)


def _if_uid(action: Decision, visit: Visit) -> Decision | None:
    return action if visit.vr == "UI" else None


_KEYS = ("action", "tags", "excludedTags")

ON_TAGS = ProfileElement(codename="action.on.specific.tags", read=_read_tags, keys=_KEYS)
ON_PRIVATE_TAGS = ProfileElement(codename="action.on.privatetags", read=_read_private_tags, keys=_KEYS)
#: has no effect in the Java Karnak; here it does what its name says
REPLACE_UID = ProfileElement(codename="replace.uid", read=_read_uid, keys=_KEYS)

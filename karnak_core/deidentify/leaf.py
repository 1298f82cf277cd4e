"""What an action makes of one data element that is not a sequence."""

from __future__ import annotations

from karnak_core.deidentify.actions import ByType, Decision, Dummy, OnlyIdentity, OnlyInstanceUids, by_type
from karnak_core.deidentify.ages import age_of
from karnak_core.deidentify.dummies import dummy_text, may_identify, needs_texts
from karnak_core.deidentify.errors import DeidentificationError, tag_text
from karnak_core.deidentify.level import Level
from karnak_core.deidentify.tables import attribute_type
from karnak_core.deidentify.undecoded import Element
from karnak_core.deidentify.visit import CLASS_UIDS, Received, Visit
from karnak_core.expressions import ComputePatientAge, Keep, Remove, Replace, ReplaceNull, Uid


def carry_out(action: Decision, received: Received, level: Level, element: Element, vr: str) -> Element | None:
    """Return the element after an action; the same one where nothing changes, None where it is removed."""
    tag = int(element.tag)
    while isinstance(action, ByType | OnlyInstanceUids | OnlyIdentity):
        action = _resolved(action, received, level, tag, vr)
    match action:
        case Keep():
            return element
        case Remove():
            return None
        case ReplaceNull():
            return _emptied(level, element, vr)
        case Replace(text):
            return level.encoder.text(tag, vr, text) if text else _emptied(level, element, vr)
        case Uid():
            return _uid(received, level, element, vr)
        case Dummy():
            texts = _texts(received, level, tag, vr) if needs_texts(vr) else ()
            text = dummy_text(received, vr, texts)
            return level.encoder.text(tag, vr, text) if text else _emptied(level, element, vr)
        case ComputePatientAge():
            age = age_of(received.dataset)
            return level.encoder.text(tag, vr, age) if age else _emptied(level, element, vr)
    raise DeidentificationError(f"{tag_text(tag)} {vr}: {type(action).__name__} cannot be carried out here")


def _resolved(
    action: ByType | OnlyInstanceUids | OnlyIdentity, received: Received, level: Level, tag: int, vr: str
) -> Decision:
    if isinstance(action, ByType):
        return by_type(action.symbol, attribute_type(received.sop_class_uid, (*level.path, tag)))
    if vr == "UI":
        return Keep() if tag in CLASS_UIDS else Uid()
    return Dummy() if isinstance(action, OnlyIdentity) and may_identify(tag, vr) else Keep()


def is_empty(element: Element) -> bool:
    """Tell whether an element has no value."""
    value = element.value
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _emptied(level: Level, element: Element, vr: str) -> Element:
    return element if is_empty(element) else level.encoder.empty(int(element.tag), vr)


def _texts(received: Received, level: Level, tag: int, vr: str) -> tuple[str, ...]:
    return Visit(received=received, level=level.dataset, path=level.path, tag=tag, vr=vr).texts()


def _uid(received: Received, level: Level, element: Element, vr: str) -> Element:
    tag = int(element.tag)
    if is_empty(element) or tag in CLASS_UIDS:
        return element
    value = element.value
    if vr == "UI" and isinstance(value, bytes):
        texts: tuple[str, ...] = tuple(part.strip(" \0") for part in value.decode("latin-1").split("\\"))
    else:
        texts = _texts(received, level, tag, vr)
        if not texts:
            # nothing to hash in bulk data; an element that only holds padding stays
            if vr == "UI" or Visit(received=received, level=level.dataset, path=(), tag=tag, vr=vr).has_text():
                return element
            raise DeidentificationError(f"{tag_text(tag)} {vr}: its value cannot become a UID")
    uid = received.hasher.uid
    return level.encoder.text(tag, "UI", "\\".join(uid(text) or "" for text in texts))

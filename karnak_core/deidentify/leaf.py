"""What an action makes of one data element that is not a sequence."""

from __future__ import annotations

from karnak_core.deidentify.actions import ByType, Decision, Dummy, OnlyIdentity, OnlyInstanceUids, by_type
from karnak_core.deidentify.ages import age_of
from karnak_core.deidentify.dummies import dummy_text, may_identify, needs_texts
from karnak_core.deidentify.errors import DeidentificationError, tag_text
from karnak_core.deidentify.level import Where
from karnak_core.deidentify.tables import attribute_type
from karnak_core.deidentify.undecoded import Element
from karnak_core.deidentify.visit import CLASS_UIDS, Received, has_text
from karnak_core.expressions import ComputePatientAge, Keep, Remove, Replace, ReplaceNull, Uid
from karnak_core.expressions.values import public_vr

#: how items begin, in little and in big endian
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_UNRESOLVED = (ByType, OnlyInstanceUids, OnlyIdentity)


def carry_out(action: Decision, received: Received, place: Where, element: Element, vr: str) -> Element | None:
    """Return the element after an action; the same one where nothing changes, None where it is removed."""
    tag = int(element.tag)
    while isinstance(action, _UNRESOLVED):
        action = _resolved(action, received, place, tag, vr)
    match action:
        case Keep():
            return kept_leaf(element, vr)
        case Remove():
            return None
        case ReplaceNull():
            return _emptied(place, element, vr)
        case Replace(text):
            return place.encoder.fitting(tag, vr, text) if text else _emptied(place, element, vr)
        case Uid():
            return _uid(received, place, element, vr)
        case Dummy():
            texts = _texts(place, element, vr) if needs_texts(vr) else ()
            text = dummy_text(received, vr, texts)
            return place.encoder.text(tag, vr, text) if text else _emptied(place, element, vr)
        case ComputePatientAge():
            age = age_of(received.dataset)
            return place.encoder.text(tag, vr, age) if age else _emptied(place, element, vr)
    raise DeidentificationError(f"{tag_text(tag)} {vr}: {type(action).__name__} cannot be carried out here")


def kept_leaf(element: Element, vr: str) -> Element:
    """Return an element that stays as it is.

    Raises
    ------
    DeidentificationError
        It is a sequence by the dictionary, and something else by its VR: nobody has looked at its items.
    """
    tag, value = int(element.tag), element.value
    if public_vr(tag) == "SQ" and isinstance(value, bytes) and value.startswith(_ITEMS):
        raise DeidentificationError(f"{tag_text(tag)} {vr}: it should be a sequence (DICOM PS3.6)")
    return element


def _resolved(
    action: ByType | OnlyInstanceUids | OnlyIdentity, received: Received, place: Where, tag: int, vr: str
) -> Decision:
    if isinstance(action, ByType):
        return by_type(action.symbol, attribute_type(received.sop_class_uid, (*place.path, tag)))
    if vr == "UI":
        return Keep() if tag in CLASS_UIDS else Uid()
    return Dummy() if isinstance(action, OnlyIdentity) and may_identify(tag, vr) else Keep()


def is_empty(element: Element) -> bool:
    """Tell whether an element has no value."""
    value = element.value
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _emptied(place: Where, element: Element, vr: str) -> Element:
    return element if is_empty(element) else place.encoder.empty(int(element.tag), vr)


def _texts(place: Where, element: Element, vr: str) -> tuple[str, ...]:
    """Return the values of a UI or a date, which have no character set."""
    value = element.value
    if not isinstance(value, bytes):
        return place.texts(int(element.tag), vr)
    texts = tuple([part.strip(" \0") for part in value.decode("latin-1").split("\\")])
    return texts if any(texts) or len(texts) > 1 else ()


def _uid(received: Received, place: Where, element: Element, vr: str) -> Element:
    tag = int(element.tag)
    if is_empty(element) or tag in CLASS_UIDS:
        return element
    texts = _texts(place, element, vr) if vr == "UI" else place.texts(tag, vr)
    if not texts:
        # nothing to hash in bulk data; an element that only holds padding stays
        if has_text(vr):
            return element
        raise DeidentificationError(f"{tag_text(tag)} {vr}: its value cannot become a UID")
    uid = received.hasher.uid
    return place.encoder.text(tag, "UI", "\\".join(uid(text) or "" for text in texts))

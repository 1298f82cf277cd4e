"""``action.add.tag`` and ``action.add.private.tag``: elements that an instance does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydicom.datadict import dictionary_VR

from karnak_core.deidentify.charsets import UTF_8
from karnak_core.deidentify.encode import Encoder
from karnak_core.deidentify.entry import AddPrivate, Entry, ProfileElement, Rule
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.tables import attribute_types
from karnak_core.deidentify.visit import Received
from karnak_core.expressions import Add
from karnak_core.expressions.tags import VRS


def _read_public(entry: Entry) -> Rule:
    entry.known_arguments("value", "vr")  # the VR is that of the dictionary, whatever is written
    value = entry.require_argument("value")
    tag = entry.single_tag()
    if tag is None:
        return Rule()
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        entry.problem("the tag is not in the data dictionary (PS3.6); it cannot be added", entry.tags[0].line)
        return Rule()
    if vr not in VRS or vr == "SQ":
        entry.problem(f"an attribute of VR {vr!r} cannot be added", entry.tags[0].line)
        return Rule()
    _check_value(entry, tag, vr, value)
    return Rule(add=partial(_public, Add(tag, vr, value)))


def _public(add: Add, received: Received) -> Sequence[Add]:
    """Return what to add: nothing where no module of the SOP class defines the attribute."""
    return (add,) if attribute_types(received.sop_class_uid, (add.tag,)) else ()


def _read_private(entry: Entry) -> Rule:
    entry.known_arguments("value", "vr", "privateCreator")
    value, vr = entry.require_argument("value"), entry.require_argument("vr")
    if "vr" in entry.arguments and (vr not in VRS or vr == "SQ"):
        entry.problem(f"argument 'vr': {vr[:40]!r} is not a VR that can be added", entry.arguments["vr"].line)
    creator = entry.argument("privateCreator")
    if creator is not None and not (0 < len(creator.strip()) <= 64 and "\\" not in creator):
        entry.problem("argument 'privateCreator' is not 1 to 64 characters", entry.arguments["privateCreator"].line)
    tag = entry.single_tag()
    if tag is not None and not (tag >> 16 & 1 and tag & 0xFFFF >= 0x1000):
        entry.problem("the tag is not that of a private data element: odd group, element from 1000", entry.tags[0].line)
    if tag is None:
        return Rule()
    if vr in VRS:
        _check_value(entry, tag, vr, value)
    return Rule(add=partial(_private, AddPrivate(tag=tag, vr=vr, value=value, creator=creator)))


def _check_value(entry: Entry, tag: int, vr: str, value: str) -> None:
    """Note a value that no instance could take."""
    try:
        if value:
            Encoder(False, True, UTF_8).fitting(tag, vr, value)
    except DeidentificationError:
        entry.problem(f"argument 'value' is not a value of VR {vr}", entry.arguments["value"].line)


def _private(add: AddPrivate, _received: Received) -> Sequence[AddPrivate]:
    return (add,)


ADD_TAG = ProfileElement(codename="action.add.tag", read=_read_public, keys=("arguments", "tags"))
ADD_PRIVATE_TAG = ProfileElement(codename="action.add.private.tag", read=_read_private, keys=("arguments", "tags"))

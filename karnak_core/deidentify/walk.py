"""One pass over a data set: each element of each level is decided, and what was decided is carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from karnak_core.deidentify.actions import ByType, Decision, Dummy, OnlyIdentity, OnlyInstanceUids, by_type
from karnak_core.deidentify.adding import additions, restore_creators
from karnak_core.deidentify.changes import Change, shown
from karnak_core.deidentify.dummies import code_elements, has_codes
from karnak_core.deidentify.entry import AddPrivate
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.leaf import carry_out, is_empty, kept_leaf
from karnak_core.deidentify.level import SPECIFIC_CHARACTER_SET, Elements, Level, Where
from karnak_core.deidentify.patient import NEVER_KEPT
from karnak_core.deidentify.plan import (
    GOES,
    HAS_ITEMS,
    NOTHING,
    OVERLAYS,
    STAYS,
    UNKNOWN,
    Plan,
    Questions,
    Step,
    ask,
    inherited_by,
)
from karnak_core.deidentify.scan import Scan, Unscannable
from karnak_core.deidentify.tables import attribute_type
from karnak_core.deidentify.undecoded import Element, items_of, vr_of
from karnak_core.deidentify.visit import Received, Visit
from karnak_core.expressions import Add, ExcludeInstance, ExpressionError, Keep, Remove, Replace, ReplaceNull, Uid

_PATIENT_NAME = 0x00100010
#: (60xx,3000), for all xx: an overlay without its data is none
_OVERLAY_DATA = 0x60003000
#: VRs of elements that are what they say they are, and no sequences
_LEAVES = frozenset(vr.value for vr in VR) - {"SQ", "UN"}


class ExcludedBy(Exception):
    """An element of the profile excludes the instance."""

    def __init__(self, step: Step) -> None:
        self.step = step
        super().__init__(step.name)


class Walk:
    """The pass over one received instance; used once, by one thread."""

    def __init__(self, plan: Plan, received: Received, changes: list[Change] | None = None) -> None:
        self._plan = plan
        self._received = received
        self._changes = changes
        self._holds: dict[int, bool] = {}
        self.root = Level.root(received.dataset)
        #: tags that an element says to keep, at whatever level
        self.kept: set[int] = set()
        #: which element decided PatientName at the root, and what
        self.name_decision: tuple[int, Decision | None] = NOTHING

    def elements(self) -> Elements:
        """Return the elements of the new data set, before those of the patient are written.

        Raises
        ------
        DeidentificationError
            Something cannot be read, decided or encoded.
        ExcludedBy
            The profile excludes the instance.
        NeedsUtf8
            A new value does not fit into the data set's character set.
        """
        for step in self._plan.steps:
            if step.rule.add is not None and self.holds(step.index):
                for add in step.rule.add(self._received):
                    self._add(self.root, add, step.index)
        elements = self.walked(self.root, -1, None)
        return dict(self.root.dataset.items()) if elements is None else elements

    def holds(self, index: int) -> bool:
        """Tell whether the condition of a profile element is true for the instance as it was received."""
        known = self._holds.get(index)
        if known is None:
            known = self._holds[index] = self._plan.steps[index].holds(self._received.dataset)
        return known

    def _add(self, level: Level, add: Add | AddPrivate, index: int) -> None:
        for element in additions(level, add):
            level.added[element.tag] = element
            self._note(level, element, None, element, index)

    def walked(self, level: Level, decider: int, inherited: Decision | None) -> Elements | None:
        """Return the new elements of a level; None where nothing changes.

        Parameters
        ----------
        decider
            Index of the profile element that decided the sequence around this level, -1 where none did.
        inherited
            What it decided: it counts for elements that nobody up to it decides.
        """
        plan, dataset = self._plan, level.dataset
        known, find_out = plan.verdicts(decider, inherited)
        out: Elements = {}
        changed = private = False
        #: overlays that lose their data, and which profile element says so; what nobody decides in any overlay
        overlays: dict[int, int] = {}
        undecided: list[BaseTag] = []
        for tag, element in list(dataset.items()):
            number = int(tag)
            kind, index, action = known.get(number) or find_out(number)
            if kind is STAYS or kind is HAS_ITEMS:
                if action is not None:
                    self._keep(level, number)
                if kind is STAYS and element.VR in _LEAVES and element.value is not None:
                    out[tag] = element
                    continue
            elif kind is UNKNOWN:
                index, action = self._decision(level, element, number, decider, inherited)
                private = private or number >> 16 & 1 == 1
                if number >> 24 == OVERLAYS and action is None:
                    undecided.append(tag)
            new = None if kind is GOES else self._decided(level, element, number, index, action)
            if new is not None:
                out[tag] = new
            elif number & 0xFF00FFFF == _OVERLAY_DATA:
                overlays[number >> 16] = index
            if new is not element:
                changed = True
                walked = new is not None and new.VR == "SQ" and not is_empty(new)
                if self._changes is not None and not walked:
                    self._note(level, element, element, new, index)
        if not changed and not level.added:
            return None
        for tag in undecided:
            index = overlays.get(int(tag) >> 16, -1)
            if index >= 0:
                self._note(level, out[tag], out.pop(tag), None, index)
        out.update(level.added)
        if private or level.added:
            restore_creators(level, out, plan.named)
        return out

    def _decision(
        self, level: Level, element: Element, tag: int, decider: int, inherited: Decision | None
    ) -> tuple[int, Decision | None]:
        """Return what is decided for one element, and by which one of the profile."""
        fixed, questions = self._plan.known(decider).get(tag) or self._plan.look_up(tag, decider)
        index, action = self._asked(questions, level, element, tag) if questions else fixed
        if action is None:
            index, action = decider, inherited_by(tag, inherited)
        if isinstance(action, Keep):
            self._keep(level, tag)
        if tag == _PATIENT_NAME and not level.path:
            self.name_decision = index, action
        return index, action

    def _keep(self, level: Level, tag: int) -> None:
        if level.path or tag not in NEVER_KEPT:
            self.kept.add(tag)

    def _asked(self, questions: Questions, level: Level, element: Element, tag: int) -> tuple[int, Decision | None]:
        visit = Visit(
            received=self._received, level=level.dataset, path=level.path, tag=tag, vr=vr_of(level.dataset, element)
        )
        try:
            return ask(questions, self.holds, lambda add, index: self._add(level, add, index), visit)
        except ExpressionError as error:
            problem = f"an expression of the profile: {error}"
        raise DeidentificationError(problem)

    def _decided(self, level: Level, element: Element, tag: int, index: int, action: Decision | None) -> Element | None:
        if tag & 0xFFFF == 0 or tag < 0x00030000:
            return None  # group lengths, and groups that a data set does not have (PS3.5 section 7.1)
        if tag == SPECIFIC_CHARACTER_SET:
            return element  # says how the others are encoded
        if isinstance(action, ExcludeInstance):
            raise ExcludedBy(self._plan.steps[index])
        if isinstance(action, Remove):
            return None
        if element.value is None and isinstance(element, RawDataElement) and element.length:
            element = level.dataset.get_item(tag)  # its reading had been deferred
        vr = element.VR
        if vr is None or vr == "UN":
            vr = vr_of(level.dataset, element)
        if vr == "SQ":
            return self._sequence(level, element, tag, index, action)
        if action is None or isinstance(action, Keep):
            return kept_leaf(element, vr)
        return self.carried_out(action, level, element, vr)

    def _sequence(
        self, level: Level, element: Element, tag: int, decider: int, action: Decision | None
    ) -> Element | None:
        if is_empty(element):
            return element
        path = (*level.path, tag)
        action = self.sequence_action(action, path, lambda: items_of(level.dataset, element))
        if isinstance(action, Remove):
            return None
        if isinstance(action, ReplaceNull):
            return level.encoder.empty(tag, "SQ")
        if isinstance(action, Dummy):
            coded = {one.tag: one for one in code_elements(level.encoder)}
            new = level.sequence(tag, [(level, coded)])
            self._note(level, element, element, new, decider)
            return new
        undefined = element.is_undefined_length if isinstance(element, DataElement) else element.length == 0xFFFFFFFF
        if self._changes is None and isinstance(element, RawDataElement) and element.VR != "UN":
            implicit, little = element.is_implicit_VR, element.is_little_endian
            if level.dataset.original_encoding == (implicit, little):
                scan = Scan(self, self._plan, level, element.value or b"", implicit=implicit, little=little)
                with suppress(Unscannable):
                    value = scan.new_value(path, decider, action)
                    if value is None:
                        return element
                    raw = level.encoder.raw(tag, "SQ", value)
                    return raw._replace(length=0xFFFFFFFF) if undefined else raw
        items = items_of(level.dataset, element)
        new_items: list[tuple[Level, Elements]] = []
        changed = False
        for number, item in enumerate(items):
            inner = level.item(item, tag, number)
            elements = self.walked(inner, decider, action)
            changed = changed or elements is not None
            new_items.append((inner, dict(item.items()) if elements is None else elements))
        if not changed:
            return element
        return level.sequence(tag, new_items, undefined=undefined)

    def sequence_action(
        self, action: Decision | None, path: tuple[int, ...], items: Callable[[], Sequence[Dataset]]
    ) -> Decision | None:
        """Return what counts in the items of a sequence; for the whole of it, Remove, ReplaceNull or Dummy."""
        if isinstance(action, ByType):
            action = by_type(action.symbol, attribute_type(self._received.sop_class_uid, path), is_sequence=True)
        if isinstance(action, Dummy):
            return action if has_codes(items()) else OnlyIdentity()
        if isinstance(action, Uid):
            return OnlyInstanceUids()
        return ReplaceNull() if action == Replace(None) else action

    def carried_out(self, action: Decision, place: Where, element: Element, vr: str) -> Element | None:
        """Return an element that is no sequence after an action."""
        return carry_out(action, self._received, place, element, vr)

    def _note(self, level: Level, element: Element, before: Element | None, after: Element | None, index: int) -> None:
        if self._changes is None:
            return
        step = self._plan.steps[index] if index >= 0 else None
        self._changes.append(
            Change(
                place=level.place,
                tag=int(element.tag),
                vr=vr_of(level.dataset, element),
                before=None if before is None else shown(level.dataset, before),
                after=None if after is None else shown(level.dataset, after),
                element=step.name if step else "",
                codename=step.codename if step else "",
            )
        )

"""One pass over a data set: each element of each level is decided, and what was decided is carried out."""

from __future__ import annotations

from pydicom.dataelem import DataElement, RawDataElement

from karnak_core.deidentify.actions import ByType, Decision, Dummy, OnlyIdentity, OnlyInstanceUids, by_type
from karnak_core.deidentify.adding import additions, restore_creators
from karnak_core.deidentify.changes import Change, shown
from karnak_core.deidentify.dummies import code_elements, has_codes
from karnak_core.deidentify.entry import AddPrivate
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.leaf import carry_out, is_empty
from karnak_core.deidentify.level import SPECIFIC_CHARACTER_SET, Elements, Level
from karnak_core.deidentify.plan import NOTHING, Plan, Questions, Step, ask
from karnak_core.deidentify.tables import attribute_type
from karnak_core.deidentify.undecoded import Element, items_of, vr_of
from karnak_core.deidentify.visit import Received, Visit
from karnak_core.expressions import Add, ExcludeInstance, ExpressionError, Keep, Remove, Replace, ReplaceNull, Uid

_DEEPEST = 64
_PATIENT_NAME = 0x00100010


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
        elements = self._walked(self.root, -1, None)
        return dict(self.root.dataset.items()) if elements is None else elements

    def holds(self, index: int) -> bool:
        """Tell whether the condition of a profile element is true for the instance as it was received."""
        known = self._holds.get(index)
        if known is not None:
            return known
        step = self._plan.steps[index]
        try:
            known = step.condition is None or step.condition.holds(self._received.dataset)
        except ExpressionError as error:
            problem = f"profile element {step.name!r}: {error}"
        else:
            self._holds[index] = known
            return known
        raise DeidentificationError(problem)

    def _add(self, level: Level, add: Add | AddPrivate, index: int) -> None:
        for element in additions(level, add):
            level.added[element.tag] = element
            self._note(level, element, None, element, index)

    def _walked(self, level: Level, decider: int, inherited: Decision | None) -> Elements | None:
        """Return the new elements of a level; None where nothing changes.

        Parameters
        ----------
        decider
            Index of the profile element that decided the sequence around this level, -1 where none did.
        inherited
            What it decided: it counts for elements that nobody up to it decides.
        """
        plan, known, dataset = self._plan, self._plan.known(decider), level.dataset
        out: Elements = {}
        changed = False
        for tag, element in list(dataset.items()):
            number = int(tag)
            fixed, questions = known.get(number) or plan.look_up(number, decider)
            index, action = self._asked(questions, level, element, number) if questions else fixed
            if action is None:
                index, action = decider, inherited
            if isinstance(action, Keep):
                self.kept.add(number)
            if number == _PATIENT_NAME and not level.path:
                self.name_decision = index, action
            new = self._decided(level, element, number, index, action)
            if new is not None:
                out[tag] = new
            if new is not element:
                changed = True
                walked = new is not None and new.VR == "SQ" and not is_empty(new)
                if self._changes is not None and not walked:
                    self._note(level, element, element, new, index)
        if not changed and not level.added:
            return None
        out.update(level.added)
        restore_creators(level, out, plan.named)
        return out

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
            return element
        return carry_out(action, self._received, level, element, vr)

    def _sequence(
        self, level: Level, element: Element, tag: int, decider: int, action: Decision | None
    ) -> Element | None:
        if is_empty(element):
            return element
        if isinstance(action, ByType):
            kind = attribute_type(self._received.sop_class_uid, (*level.path, tag))
            action = by_type(action.symbol, kind, is_sequence=True)
        if isinstance(action, Remove):
            return None
        if isinstance(action, ReplaceNull) or action == Replace(None):
            return level.encoder.empty(tag, "SQ")
        items = items_of(level.dataset, element)
        if isinstance(action, Dummy):
            if has_codes(items):
                coded = {one.tag: one for one in code_elements(level.encoder)}
                new = level.sequence(tag, [(level, coded)])
                self._note(level, element, element, new, decider)
                return new
            action = OnlyIdentity()
        elif isinstance(action, Uid):
            action = OnlyInstanceUids()
        new_items: list[tuple[Level, Elements]] = []
        changed = False
        for number, item in enumerate(items):
            inner = level.item(item, tag, number)
            elements = self._walked(inner, decider, action)
            changed = changed or elements is not None
            new_items.append((inner, dict(item.items()) if elements is None else elements))
        if not changed:
            return element
        undefined = element.is_undefined_length if isinstance(element, DataElement) else element.length == 0xFFFFFFFF
        return level.sequence(tag, new_items, undefined=undefined)

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

"""What the elements of a profile decide, tag by tag. Made once for a profile, then only looked up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from pydicom.dataset import Dataset

from karnak_core.deidentify.actions import Choice, Decision, OnlyIdentity, OnlyInstanceUids
from karnak_core.deidentify.entry import Rule
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.visit import Visit
from karnak_core.expressions import Add, Condition, ExcludeInstance, ExpressionError, Keep, Remove
from karnak_core.expressions.values import public_vr

#: tags remembered; there are five thousand in the standard, but anybody can send others
_MOST_TAGS = 20_000


@dataclass(frozen=True, kw_only=True)
class Step:
    """One element of a profile, and its place in it."""

    index: int
    name: str
    codename: str
    condition: Condition | None
    rule: Rule

    def holds(self, dataset: Dataset) -> bool:
        """Tell whether its condition is true for a received instance.

        Raises
        ------
        DeidentificationError
            It cannot be decided.
        """
        try:
            return self.condition is None or self.condition.holds(dataset)
        except ExpressionError as error:
            problem = f"profile element {self.name!r}: {error}"
        raise DeidentificationError(problem)


#: (step, action): the same for every instance. None: no element has anything for the tag.
Fixed = tuple[int, Decision | None]
#: (index, has a condition, choice) of the elements to ask in turn
Questions = Sequence[tuple[int, bool, Choice]]

NOTHING: Fixed = (-1, None)


class Kind(IntEnum):
    """What becomes of the elements of one tag."""

    STAYS = 1
    GOES = 2
    CHANGES = 3
    #: the tag alone does not tell
    UNKNOWN = 4
    #: it stays, and its items are decided for themselves
    HAS_ITEMS = 5


STAYS, GOES, CHANGES, UNKNOWN, HAS_ITEMS = Kind


class Verdict(NamedTuple):
    """What is decided for the elements of one tag, by what the profile and the sequence around them say."""

    kind: Kind
    #: index of the profile element that decided; -1: none did
    decider: int
    action: Decision | None


#: what is known about tags, to look into first, and what finds out more
Verdicts = tuple[dict[int, Verdict], Callable[[int], Verdict]]

#: first half of the group numbers of overlays
OVERLAYS = 0x60
#: Specific Character Set and PatientName: what is decided by more than a tag
_TO_LOOK_AT = frozenset({0x00080005, 0x00100010})
#: attributes that say who somebody is: those of a sequence that is kept stay with it, but nobody has named them
_PATIENT = 0x0010
#: what counts in sequences, other than texts, which may be a patient's and are not remembered
_INHERITED = (Keep, OnlyIdentity, OnlyInstanceUids)


class Plan:
    """The decisions of a profile's elements; any number of threads may ask."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        #: private creators that an element names: what it decides for them stands
        self.named = frozenset(tag for step in steps for tag in step.rule.named)
        # What is remembered follows from the profile alone: threads that find the same at once do no harm.
        self._verdicts: dict[tuple[int, Decision | None], Verdicts] = {}
        self._known: list[dict[int, tuple[Fixed, Questions]]] = [{} for _ in range(len(self.steps) + 1)]

    def verdicts(self, decider: int, inherited: Decision | None) -> Verdicts:
        """Return what becomes of tags by themselves.

        Parameters
        ----------
        decider
            Index of the element that decided the sequence around them, as in `look_up`.
        inherited
            What counts in that sequence for tags that nobody decides.
        """
        found = self._verdicts.get((decider, inherited))
        if found is None:
            known: dict[int, Verdict] = {}
            found = known, partial(self._verdict, known, decider, inherited)
            if inherited is None or isinstance(inherited, _INHERITED):
                self._verdicts[decider, inherited] = found
        return found

    def _verdict(self, known: dict[int, Verdict], decider: int, inherited: Decision | None, tag: int) -> Verdict:
        (index, action), questions = self._known[decider].get(tag) or self.look_up(tag, decider)
        if action is None:
            index, action = decider, inherited_by(tag, inherited)
        if tag & 0xFFFF == 0 or tag < 0x00030000:
            kind = GOES  # group lengths, and groups that a data set does not have (PS3.5 section 7.1)
        elif questions or tag in _TO_LOOK_AT or tag >> 24 == OVERLAYS or isinstance(action, ExcludeInstance):
            kind = UNKNOWN
        elif isinstance(action, Remove):
            kind = GOES
        elif tag >> 16 & 1:
            kind = UNKNOWN  # its creator stays, too
        elif action is None or isinstance(action, Keep):
            kind = HAS_ITEMS if public_vr(tag) == "SQ" else STAYS
        else:
            kind = CHANGES
        found = Verdict(kind, index, action)
        if len(known) < _MOST_TAGS:
            known[tag] = found
        return found

    def known(self, decider: int) -> dict[int, tuple[Fixed, Questions]]:
        """Return what is remembered for a decider, to look into before `look_up`."""
        return self._known[decider]

    def look_up(self, tag: int, decider: int) -> tuple[Fixed, Questions]:
        """Return what is decided for a tag.

        Parameters
        ----------
        tag
            Of the data element.
        decider
            Index of the element that decided the sequence around it: the elements after that one are not asked. -1
            for the root, and in sequences that nobody decided.

        Returns
        -------
        tuple
            A fixed decision, or questions to be asked; the other one is empty.
        """
        asked = self.steps if decider < 0 else self.steps[: decider + 1]
        questions: list[tuple[int, bool, Choice]] = []
        for step in asked:
            choice = step.rule.decide(tag)
            if choice is None:
                continue
            questions.append((step.index, step.condition is not None, choice))
            if step.condition is None and not callable(choice) and not isinstance(choice, Add):
                break
        found: tuple[Fixed, Questions]
        if not questions:
            found = (NOTHING, ())
        else:
            index, conditional, choice = questions[0]
            fixed = not conditional and not callable(choice) and not isinstance(choice, Add)
            found = ((index, choice), ()) if fixed and not callable(choice) else (NOTHING, tuple(questions))
        known = self._known[decider]
        if len(known) < _MOST_TAGS:
            known[tag] = found
        return found


def inherited_by(tag: int, inherited: Decision | None) -> Decision | None:
    """Return what counts for a tag that nobody decides in a sequence.

    Who keeps a sequence has not said that the patient's name in it may be known: it stays, but the leak check looks for
    it all the same.
    """
    return None if tag >> 16 == _PATIENT and isinstance(inherited, Keep) else inherited


def ask(
    questions: Questions, holds: Callable[[int], bool], add: Callable[[Add, int], None], visit: Visit
) -> tuple[int, Decision | None]:
    """Ask the elements in turn; return the first one that decides, and its decision.

    An element that adds something has it added, and the next one is asked.
    """
    for index, conditional, choice in questions:
        if conditional and not holds(index):
            continue
        decision = choice(visit) if callable(choice) else choice
        if isinstance(decision, Add):
            add(decision, index)
        elif decision is not None:
            return index, decision
    return NOTHING

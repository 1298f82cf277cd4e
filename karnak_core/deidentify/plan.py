"""What the elements of a profile decide, tag by tag. Made once for a profile, then only looked up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from karnak_core.deidentify.actions import Choice, Decision
from karnak_core.deidentify.entry import Rule
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.visit import Visit
from karnak_core.expressions import Add, Condition, ExpressionError

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


class Plan:
    """The decisions of a profile's elements; any number of threads may ask."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        #: private creators that an element names: what it decides for them stands
        self.named = frozenset(tag for step in steps for tag in step.rule.named)
        # What is remembered follows from the profile alone: threads that find the same at once do no harm.
        self._known: list[dict[int, tuple[Fixed, Questions]]] = [{} for _ in range(len(self.steps) + 1)]

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

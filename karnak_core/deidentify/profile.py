"""A profile: read from its text once, then applied to data sets, by any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Self

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from karnak_core.deidentify.actions import Decision
from karnak_core.deidentify.changes import Change, shown
from karnak_core.deidentify.charsets import in_utf8
from karnak_core.deidentify.encode import NeedsUtf8, tag_of
from karnak_core.deidentify.entry import Entry, Method, ProfileElement, Rule, Text
from karnak_core.deidentify.errors import DeidentificationError, Problem, ProfileError
from karnak_core.deidentify.hashing import Hasher
from karnak_core.deidentify.level import Elements
from karnak_core.deidentify.patient import Identity, attributes, checked_pseudonym, removed
from karnak_core.deidentify.plan import Plan, Step
from karnak_core.deidentify.reading import Source, read_source
from karnak_core.deidentify.rules import BUILT_IN
from karnak_core.deidentify.visit import Fetch, Received, texts_of
from karnak_core.deidentify.walk import ExcludedBy, Walk
from karnak_core.expressions import Keep
from karnak_core.expressions.values import UNREADABLE

_BASIC = """\
name: Dicom Basic Profile
version: "1.0"
profileElements:
  - name: DICOM basic profile
    codename: basic.dicom.profile
"""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project as the engine needs it: its name, and what its UIDs and dates are derived from."""

    name: str
    #: 16 bytes
    secret: bytes = field(repr=False)
    hasher: Hasher = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.name) > 64 or "\\" in self.name:
            raise ValueError("a project's name has 64 characters at most, without a backslash")
        object.__setattr__(self, "hasher", Hasher(self.secret))


@dataclass(frozen=True, kw_only=True)
class Result:
    """An instance after a profile has been applied."""

    #: a new data set; elements that nothing changed are those of the received one
    dataset: Dataset
    #: what changed, where it was asked for
    changes: Sequence[Change] = ()
    #: tags of elements that the profile says to keep, at whatever level
    kept: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """The profile keeps the instance back."""

    #: name of the profile element
    element: str

    @property
    def reason(self) -> str:
        """Return why, in words."""
        return f"Instance excluded by profile: {self.element}"


class Profile:
    """The rules of a project: what becomes of each data element. Immutable."""

    def __init__(self, source: Source, elements: Sequence[ProfileElement]) -> None:
        self.name = source.name
        self.version = source.version
        self.minimum_version = source.minimum_version
        #: written in old profiles, without effect: the issuer is a setting of the destination
        self.default_issuer = source.default_issuer
        self.masks = tuple(source.masks)
        problems = list(source.problems)
        known = {element.codename: element for element in elements}
        steps: list[Step] = []
        #: codename and line of elements that cannot be applied, with the reason
        self._refused: list[Problem] = []
        for entry in source.entries:
            element = known.get(entry.codename)
            if element is not None:
                steps.append(self._step(len(steps), entry, element, [step.codename for step in steps]))
            elif entry.codename.strip():
                entry.problem(f"codename {entry.codename[:60]!r} is unknown; known are {', '.join(sorted(known))}")
            problems += entry.problems
        self._problems = tuple(sorted(problems))
        self._plan = Plan(steps)

    def _step(self, index: int, entry: Entry, element: ProfileElement, before: Sequence[str]) -> Step:
        if element.once and element.codename in before:
            entry.problem("stands in the profile twice; once is allowed")
        if element.keys is not None:
            entry.known_keys(element.keys)
        try:
            rule = element.read(entry)
        except Exception as error:
            # a mistake of a third party's codename: its profile is wrong, and everything else is still told
            entry.problem(f"the codename cannot read it: {type(error).__name__}: {error}")
            rule = Rule()
        if rule.refused:
            self._refused.append(Problem(line=entry.line, message=f"{entry.title}: {rule.refused}"))
        return Step(index=index, name=entry.name, codename=entry.codename, condition=entry.read_condition(), rule=rule)

    @classmethod
    def from_yaml(cls, text: str, elements: Sequence[ProfileElement] = BUILT_IN) -> Self:
        """Read a profile. What is wrong with it is found by `check`; nothing is raised here.

        Parameters
        ----------
        text
            YAML, in the format of the Java Karnak.
        elements
            The codenames that there are.
        """
        return cls(read_source(text), elements)

    @property
    def codenames(self) -> tuple[str, ...]:
        """Return the codenames of its elements, in their order."""
        return tuple(step.codename for step in self._plan.steps)

    @property
    def cleans_pixels(self) -> bool:
        """Tell whether any of its elements asks for pixels to be cleaned."""
        return any(step.rule.cleans_pixels for step in self._plan.steps)

    @property
    def methods(self) -> tuple[Method, ...]:
        """Return the methods of all its elements, in their order, whether they apply to an instance or not."""
        return tuple(step.rule.method for step in self._plan.steps if step.rule.method is not None)

    def may_remove(self, tag: int) -> bool:
        """Tell whether an element with this tag does not stay in the root of every instance as it is."""
        (_, action), questions = self._plan.look_up(tag, -1)
        return bool(questions) or not (action is None or isinstance(action, Keep))

    @property
    def authenticators(self) -> tuple[Text, ...]:
        """Return the names of the authenticators that its elements use, and where they stand."""
        return tuple(text for step in self._plan.steps for text in step.rule.authenticators)

    def check(self, *, to_apply: bool = False) -> tuple[Problem, ...]:
        """Return everything that is wrong with the profile, by line.

        Parameters
        ----------
        to_apply
            True: what is right but cannot be applied by this version counts, too.
        """
        return tuple(sorted((*self._problems, *self._refused))) if to_apply else self._problems

    def require(self) -> Self:
        """Return the profile if it can be applied; raises `ProfileError` with all problems if not."""
        problems = self.check(to_apply=True)
        if problems:
            raise ProfileError(problems)
        return self

    def apply(
        self,
        dataset: Dataset,
        project: Project,
        pseudonym: str,
        *,
        fetch: Fetch | None = None,
        at: datetime | None = None,
        changes: bool = True,
    ) -> Result | Excluded:
        """De-identify a data set; the one given keeps all its values.

        Parameters
        ----------
        pseudonym
            The patient's name in the project.
        fetch
            Sends the requests of ``action.replace.api``; what it raises is passed on.
        at
            Written as date and time of creation; give the same one for the same result. Now, if left out.
        changes
            False: the result does not list what changed, which takes less time.

        Raises
        ------
        DeidentificationError
            It cannot be done, or the profile has problems. Names no value of the data set.
        """
        pseudonym = checked_pseudonym(pseudonym)
        moment = at or datetime.now(UTC)

        def finish(walk: Walk, elements: Elements, noted: list[Change] | None) -> None:
            identity = self._identity(walk, project, pseudonym, moment)
            new = attributes(walk.root, identity)
            gone = [tag_of(tag) for tag in removed(identity)]
            for tag in gone:
                elements.pop(tag, None)
            elements.update(new)
            if noted is not None:
                _note_identity(walk.root.dataset, new, gone, noted)

        return self._applied(dataset, project, fetch, changes, finish)

    def cleaning(self, dataset: Dataset) -> dict[str, Method]:
        """Return which elements ask for pixels of a received instance to be cleaned: codename and method of each.

        An element asks if its condition holds. Whether there is anything to clean is decided by `karnak_core.pixels`.

        Raises
        ------
        DeidentificationError
            A condition cannot be decided.
        """
        steps = [step for step in self._plan.steps if step.rule.cleans_pixels and step.holds(dataset)]
        return {step.codename: step.rule.method for step in steps if step.rule.method is not None}

    def morph(
        self, dataset: Dataset, project: Project, *, fetch: Fetch | None = None, changes: bool = True
    ) -> Result | Excluded:
        """Morph tags: the same as `apply`, but the patient stays who it is unless the profile says otherwise."""
        return self._applied(dataset, project, fetch, changes, lambda *_: None)

    def _applied(
        self,
        dataset: Dataset,
        project: Project,
        fetch: Fetch | None,
        changes: bool,
        finish: Callable[[Walk, Elements, list[Change] | None], None],
    ) -> Result | Excluded:
        problems = self._problems or self._refused
        if problems:
            raise DeidentificationError(f"the profile cannot be applied: line {problems[0]}")
        try:
            try:
                return self._walked(dataset, project, fetch, changes, finish)
            except NeedsUtf8:
                return self._walked(in_utf8(dataset), project, fetch, changes, finish)
        except ExcludedBy as excluded:
            return Excluded(element=excluded.step.name)
        except NeedsUtf8:
            problem = "a new value fits into no character set"
        except UNREADABLE as error:
            # the message of the error may quote a value
            why = "sequences are nested too deeply" if isinstance(error, RecursionError) else type(error).__name__
            problem = f"the data set cannot be read ({why})"
        raise DeidentificationError(problem)

    def _walked(
        self,
        dataset: Dataset,
        project: Project,
        fetch: Fetch | None,
        changes: bool,
        finish: Callable[[Walk, Elements, list[Change] | None], None],
    ) -> Result:
        received = Received(
            dataset=dataset,
            hasher=project.hasher,
            patient_id=_patient_id(dataset),
            sop_class_uid=(texts_of(dataset, 0x00080016) or ("",))[0],
            fetch=fetch,
        )
        noted: list[Change] | None = [] if changes else None
        walk = Walk(self._plan, received, noted)
        elements = walk.elements()
        finish(walk, elements, noted)
        return Result(dataset=walk.root.with_elements(elements), changes=tuple(noted or ()), kept=frozenset(walk.kept))

    def _identity(self, walk: Walk, project: Project, pseudonym: str, at: datetime) -> Identity:
        rules = [
            step.rule
            for step in self._plan.steps
            if step.rule.method is not None and not step.rule.cleans_pixels and walk.holds(step.index)
        ]
        return Identity(
            patient_id=project.hasher.patient_id(pseudonym),
            pseudonym=pseudonym,
            write_name=not self._acted(*walk.name_decision) and tag_of(0x00100010) not in walk.root.added,
            project=project.name,
            profile=self.name,
            codenames=self.codenames,
            methods=[rule.method for rule in rules if rule.method is not None],
            at=at,
        )

    def _acted(self, index: int, decision: Decision | None) -> bool:
        """Tell whether an element gave PatientName another value; keeping the real one does not count."""
        if decision is None or isinstance(decision, Keep):
            return False
        return not self._plan.steps[index].rule.leaves_name


@cache
def basic_profile() -> Profile:
    """Return the built-in profile, ``Dicom Basic Profile``."""
    return Profile.from_yaml(_BASIC)


def _patient_id(dataset: Dataset) -> str:
    texts = texts_of(dataset, 0x00100020)
    if not texts or not texts[0].strip():
        raise DeidentificationError("the data set has no Patient ID (0010,0020)")
    return texts[0]


def _note_identity(received: Dataset, new: Elements, gone: Sequence[BaseTag], noted: list[Change]) -> None:
    """Note what was written about the patient instead of what the profile may have said before."""
    tags = {int(tag) for tag in (*new, *gone)}
    noted[:] = [change for change in noted if change.place or change.tag not in tags]
    for tag in (*new, *gone):
        before = shown(received, received.get_item(tag)) if tag in received else None
        after = shown(received, new[tag]) if tag in new else None
        if before != after:
            vr = str(new[tag].VR) if tag in new else str(received.get_item(tag).VR or "")
            noted.append(Change(place=(), tag=int(tag), vr=vr, before=before, after=after, element="", codename=""))

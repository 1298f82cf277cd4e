"""One element of a profile as it is written, and the values that a codename makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from karnak_core.deidentify.actions import SYMBOLS, Choice, Decision
from karnak_core.deidentify.errors import Problem
from karnak_core.deidentify.tags import NO_TAGS, TagPattern, TagSet
from karnak_core.deidentify.visit import Received
from karnak_core.expressions import Add, Condition, ExpressionError


@dataclass(frozen=True, slots=True)
class Text:
    """A text of the file and the line it is on, counted from 1."""

    text: str
    line: int


@dataclass(frozen=True, kw_only=True)
class AddPrivate:
    """A private data element to add, in a block of its creator."""

    tag: int
    vr: str
    value: str | None
    creator: str | None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A code of DICOM CID 7050, for De-identification Method Code Sequence."""

    value: str
    meaning: str


def _undecided(_tag: int) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an element of a profile does. A value without state: it is shared by all threads."""

    #: what it has for a tag; None: nothing, at no level
    decide: Callable[[int], Choice | None] = _undecided
    #: elements that it adds to the root of an instance, before anything is decided
    add: Callable[[Received], Sequence[Add | AddPrivate]] | None = None
    #: tags that it names one by one
    named: frozenset[int] = frozenset()
    #: what it may be said to do to the instances it is applied to
    method: Method | None = None
    #: true: what it does to PatientName does not keep the pseudonym from being written there
    leaves_name: bool = False
    #: true: it cleans pixels, which is done elsewhere, where its method is recorded, too: `Profile.cleaning`
    cleans_pixels: bool = False
    #: names of authenticators that its requests need
    authenticators: Sequence[Text] = ()
    #: why a profile with it cannot be applied here; empty: it can
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class ProfileElement:
    """A codename: what elements of that name do. Third parties offer more of them."""

    codename: str
    #: reads an element; notes what is wrong in the entry
    read: Callable[[Entry], Rule]
    #: true: a profile has at most one
    once: bool = False
    #: keys that an element may have besides name, codename, condition and args, which is ignored; None: all
    keys: Sequence[str] | None = None


@dataclass(kw_only=True)
class Entry:
    """One element of a profile as it is written; collects what is wrong with it."""

    line: int
    name: str = ""
    codename: str = ""
    condition: Text | None = None
    action: Text | None = None
    option: Text | None = None
    arguments: Mapping[str, Text] = field(default_factory=dict)
    tags: Sequence[Text] = ()
    excluded_tags: Sequence[Text] = ()
    problems: list[Problem] = field(default_factory=list)

    def problem(self, message: str, line: int | None = None) -> None:
        """Note something that is wrong, by default with the element as a whole."""
        self.problems.append(Problem(line=line or self.line, message=f"{self.title}: {message}"))

    @property
    def title(self) -> str:
        """What to call it in messages."""
        return f"{self.codename} {self.name!r}" if self.name else self.codename

    def read_condition(self) -> Condition | None:
        """Return the condition, None where there is none or it is wrong."""
        if self.condition is None:
            return None
        try:
            return Condition.parse(self.condition.text)
        except ExpressionError as error:
            problem = str(error)
        self.problem(problem, self.condition.line)
        return None

    def read_tags(self) -> TagSet:
        """Return ``tags``."""
        return self._tag_set(self.tags)

    def read_excluded_tags(self) -> TagSet:
        """Return ``excludedTags``."""
        return self._tag_set(self.excluded_tags)

    def known_keys(self, names: Sequence[str]) -> None:
        """Note every key that is not one of these; arguments are for `known_arguments`."""
        written = {
            "action": self.action,
            "option": self.option,
            "tags": next(iter(self.tags), None),
            "excludedTags": next(iter(self.excluded_tags), None),
        }
        for key, text in written.items():
            if text is not None and key not in names:
                known = ", ".join(("name", "codename", "condition", *names))
                self.problem(f"key {key!r} has no meaning here; known are {known}", text.line)

    def require_tags(self) -> TagSet:
        """Return ``tags``, of which there has to be at least one."""
        if not self.tags:
            self.problem("tags are missing")
        return self.read_tags()

    def single_tag(self) -> int | None:
        """Return the one tag that there has to be, without an X; None after a problem."""
        if len(self.tags) != 1:
            self.problem(f"has {len(self.tags)} tags; exactly one is needed")
            return None
        found = self.read_tags()
        if found.patterns:
            self.problem("the tag to add cannot have an X", self.tags[0].line)
        return next(iter(found.exact), None)

    def _tag_set(self, texts: Sequence[Text]) -> TagSet:
        tags = []
        for text in texts:
            try:
                tags.append(TagPattern.parse(text.text))
            except ValueError as error:
                self.problem(str(error), text.line)
        return TagSet.of(tags) if tags else NO_TAGS

    def require_action(self, known: Mapping[str, Decision] = SYMBOLS) -> Decision | None:
        """Return the action of the key ``action``; None after a problem."""
        if self.action is None:
            self.problem(f"action is missing; known are {', '.join(known)}")
            return None
        if self.action.text not in known:
            self.problem(f"action {self.action.text[:40]!r} is unknown; known are {', '.join(known)}", self.action.line)
            return None
        return known[self.action.text]

    def known_arguments(self, *names: str) -> None:
        """Note every argument that is not one of these."""
        for name, text in self.arguments.items():
            if name not in names:
                known = f"known are {', '.join(names)}" if names else "there are none"
                self.problem(f"argument {name[:40]!r} is unknown; {known}", text.line)

    def argument(self, name: str) -> str | None:
        """Return the text of an argument; None where it is missing."""
        found = self.arguments.get(name)
        return None if found is None else found.text

    def require_argument(self, name: str) -> str:
        """Return the text of an argument that has to be there; empty after a problem."""
        found = self.argument(name)
        if found is None:
            self.problem(f"argument {name!r} is missing")
        return found or ""

    def number(self, name: str, default: int | None = None) -> int:
        """Return an argument that is a whole number of 32 bits; it has to be there when there is no default."""
        found = self.arguments.get(name)
        if found is None:
            if default is None:
                self.problem(f"argument {name!r} is missing")
            return default or 0
        digits = found.text.strip()
        if digits.lstrip("+-").isascii() and digits.lstrip("+-").isdigit() and len(digits) <= 11:
            try:
                number = int(digits)
            except ValueError:
                pass
            else:
                if -(2**31) <= number < 2**31:
                    return number
        self.problem(f"argument {name!r}: {found.text[:40]!r} is not a whole number", found.line)
        return 0


def on_tags(tags: TagSet, excluded: TagSet, choice: Choice) -> Callable[[int], Choice | None]:
    """Return a rule's ``decide`` that has the same choice for every tag that is listed and not excluded."""
    return partial(_on_tags, tags, excluded, choice)


def _on_tags(tags: TagSet, excluded: TagSet, choice: Choice, tag: int) -> Choice | None:
    return choice if tag in tags and tag not in excluded else None

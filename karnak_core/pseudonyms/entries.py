"""What people store: a patient's pseudonym in a project, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from karnak_core.errors import KarnakError
from karnak_core.pseudonyms.finding import MOST_CHARACTERS

#: where an entry stands
P = TypeVar("P")


class PseudonymError(KarnakError):
    """It cannot be stored; ``problems`` holds everything that is wrong. Names no patient and no pseudonym."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A pseudonym as somebody wants it stored; blanks at the ends of texts do not count."""

    pseudonym: str
    patient_id: str
    #: issuer of the Patient ID; empty: any
    issuer: str = ""
    #: for people who look somebody up, nothing else
    first_name: str = ""
    last_name: str = ""
    #: ms since 1970; None: never
    expires_at: int | None = None

    def __post_init__(self) -> None:
        for name in TEXTS:
            object.__setattr__(self, name, getattr(self, name).strip())

    @property
    def patient(self) -> tuple[str, str]:
        """Return what tells patients of a project apart."""
        return self.patient_id, self.issuer

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with it: values of VR LO are stored, no others (DICOM PS3.5 section 6.2)."""
        for name, title in TEXTS.items():
            text = getattr(self, name)
            if not text and name in REQUIRED:
                yield f"the {title} is missing"
            elif len(text) > MOST_CHARACTERS:
                yield f"the {title} has {len(text)} characters; at most {MOST_CHARACTERS} are allowed"
            elif "\\" in text or not text.isprintable():
                yield f"the {title} has a backslash or a control character"


def problems_of(
    entries: Iterable[tuple[P, Entry]],
    called: Callable[[P], str],
    patients: Mapping[tuple[str, str], str] = MappingProxyType({}),
    names: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[P, str]]:
    """Yield what is wrong with entries, also with each beside those before it.

    Parameters
    ----------
    entries
        Each with its place.
    called
        Gives the name of a place.
    patients, names
        Patients that have a pseudonym, and pseudonyms that are taken, with the name of where.
    """
    patients, names = dict(patients), dict(names)
    for place, entry in entries:
        found = list(entry.problems())
        if not found and entry.patient in patients:
            found.append(f"this Patient ID with this issuer has a pseudonym already: {patients[entry.patient]}")
        elif not found and entry.pseudonym in names:
            found.append(f"another patient has this pseudonym already: {names[entry.pseudonym]}")
        yield from ((place, problem) for problem in found)
        patients.setdefault(entry.patient, called(place))
        names.setdefault(entry.pseudonym, called(place))


#: the texts of an entry, and what to call them
TEXTS: Final = {
    "pseudonym": "pseudonym",
    "patient_id": "Patient ID",
    "issuer": "issuer",
    "first_name": "first name",
    "last_name": "last name",
}
REQUIRED: Final = ("pseudonym", "patient_id")

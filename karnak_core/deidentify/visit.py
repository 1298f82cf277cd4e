"""What a profile element may look at when it decides: the instance as it was received, and one of its elements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from karnak_core.deidentify.encode import tag_of
from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.hashing import Hasher
from karnak_core.deidentify.undecoded import tags_of
from karnak_core.expressions.spots import RuleError
from karnak_core.expressions.values import text_values

#: VRs whose values can be read as text
_WITH_TEXT = frozenset(
    "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST SV TM UC UI UL UR US UT UV".split()  # noqa: SIM905
)


#: those of them that are text, of several values: where it is ASCII it can be read whatever the character set
_MOST_TEXTS = frozenset("AE AS CS DA DS DT IS LO PN SH TM UC UI".split())  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """A request of ``action.replace.api``."""

    #: GET or POST
    method: str
    url: str
    #: JSON text; None for a GET
    body: str | None
    #: name of the authenticator; None: none
    authenticator: str | None


#: Sends a request and returns the text of the answer; raises `karnak_core.errors.DeliveryError` where there is none.
Fetch = Callable[[Lookup], str]


@dataclass(frozen=True, kw_only=True)
class Received:
    """An instance as it was received, and what is derived from its project."""

    dataset: Dataset
    hasher: Hasher
    patient_id: str
    sop_class_uid: str
    fetch: Fetch | None = None

    @cached_property
    def fraction(self) -> float:
        """The number from 0 up to 1 that stands for the patient: where in a range its dates are shifted to."""
        return self.hasher.fraction(self.patient_id)

    @cached_property
    def _tags(self) -> frozenset[int]:
        return frozenset(tags_of(self.dataset))

    def has(self, tag: int) -> bool:
        """Tell whether an element is present, empty or not, at the root level or in an item at any depth.

        Raises
        ------
        DeidentificationError
            A sequence cannot be read.
        """
        return tag in self._tags


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One data element of a received instance."""

    received: Received
    #: the data set, or item of a sequence, that the element is in
    level: Dataset
    #: tags of the sequences around it, from the root
    path: tuple[int, ...]
    tag: int
    vr: str

    def texts(self) -> tuple[str, ...]:
        """Return its values as text; none for an empty one, a sequence, or a VR that has no text.

        Raises
        ------
        DeidentificationError
            They cannot be decoded.
        """
        return texts_of(self.level, self.tag) if self.has_text() else ()

    def has_text(self) -> bool:
        """Tell whether its VR has values that can be read as text."""
        return has_text(self.vr)

    def string_value(self) -> str | None:
        """Return its first value as text, None when there is none."""
        texts = self.texts()
        return texts[0] or None if texts else None


def has_text(vr: str) -> bool:
    """Tell whether a VR has values that can be read as text."""
    return vr in _WITH_TEXT


def texts_of(level: Dataset, tag: int) -> tuple[str, ...]:
    """Return the values of an element as text; raises `DeidentificationError` when they cannot be decoded."""
    element = level.get_item(tag_of(tag), keep_deferred=True)
    if isinstance(element, RawDataElement) and element.VR in _MOST_TEXTS:
        value = element.value
        if value is not None and value.isascii() and b"\x1b" not in value:
            # the same as below, sooner
            texts = tuple([text.strip(" \0") for text in value.decode("ascii").split("\\")])
            return texts if len(texts) > 1 or any(texts) else ()
    try:
        return text_values(level, tag)
    except RuleError as error:
        problem = str(error)
    raise DeidentificationError(problem)


def first_text_of(level: Dataset, tag: int) -> str:
    """Return the first value of an element as text, empty where there is none; raises as `texts_of` does."""
    return next(iter(texts_of(level, tag)), "")


#: UI attributes that name something of the standard or of a vendor, never an instance: they are not replaced
CLASS_UIDS = frozenset(
    {
        0x00041510,  # Referenced SOP Class UID in File
        0x00041512,  # Referenced Transfer Syntax UID in File
        0x0004151A,  # Referenced Related General SOP Class UID in File
        0x00080016,  # SOP Class UID
        0x0008001A,  # Related General SOP Class UID
        0x0008001B,  # Original Specialized SOP Class UID
        0x00080062,  # SOP Classes in Study
        0x0008010C,  # Coding Scheme UID
        0x0008010D,  # Context Group Extension Creator UID
        0x00080117,  # Context UID
        0x00080118,  # Mapping Resource UID
        0x0008040E,  # Stored Instance Transfer Syntax UID
        0x00081150,  # Referenced SOP Class UID
        0x0008115A,  # SOP Classes Supported
        0x00083002,  # Available Transfer Syntax UID
        0x00340003,  # Flow Transfer Syntax UID
        0x04000010,  # MAC Calculation Transfer Syntax UID
        0x04000510,  # Encrypted Content Transfer Syntax UID
        0x30100052,  # Pertinent SOP Classes in Study
        0x30100053,  # Pertinent SOP Classes in Series
    }
)

"""The codename ``example.truncate.text``: texts of the listed tags are cut after so many characters.

In a profile:

    - name: Short comments
      codename: example.truncate.text
      arguments: {length: 10}
      tags: ["(0010,4000)"]
"""

from __future__ import annotations

from functools import partial

from karnak_core.deidentify import Entry, ProfileElement, Rule, Visit, on_tags
from karnak_core.expressions import Keep, Replace

_TEXTS = ("LO", "LT", "SH", "ST", "UC", "UT")


def _read(entry: Entry) -> Rule:
    """Read one element of a profile. What is wrong is noted in the entry, with its line; nothing is raised."""
    entry.known_arguments("length")
    length = entry.number("length")
    if length < 1 and "length" in entry.arguments:
        entry.problem(f"argument 'length': {length} is not 1 or more", entry.arguments["length"].line)
    return Rule(decide=on_tags(entry.require_tags(), entry.read_excluded_tags(), partial(_cut, length)))


def _cut(length: int, visit: Visit) -> Keep | Replace | None:
    """Decide for one data element, in many threads at once: what is not in the arguments does not count.

    None is no decision: the next element of the profile is asked.
    """
    if visit.vr not in _TEXTS:
        return None
    texts = visit.texts()
    if all(len(text) <= length for text in texts):
        return Keep()
    return Replace("\\".join(text[:length] for text in texts))


TRUNCATE_TEXT = ProfileElement(codename="example.truncate.text", read=_read)

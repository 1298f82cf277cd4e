"""De-identification and tag morphing: a data set goes in, another one comes out. No files, no network, no state.

``Profile.from_yaml`` reads a profile, `Profile.check` lists what is wrong with it, `Profile.apply` de-identifies and
`Profile.morph` morphs tags.
"""

from __future__ import annotations

from karnak_core.deidentify.changes import Change
from karnak_core.deidentify.codec import decode_dataset, encode_around, encode_dataset
from karnak_core.deidentify.entry import AddPrivate, Entry, Method, ProfileElement, Rule, Text, on_tags
from karnak_core.deidentify.errors import DeidentificationError, Problem, ProfileError
from karnak_core.deidentify.file_meta import file_head, make_file_meta
from karnak_core.deidentify.hashing import Hasher, secret_from_text, secret_to_text
from karnak_core.deidentify.masks import Mask, Rectangle
from karnak_core.deidentify.profile import Excluded, Profile, Project, Result, basic_profile
from karnak_core.deidentify.rules import BUILT_IN
from karnak_core.deidentify.visit import Fetch, Lookup, Received, Visit, first_text_of

__all__ = [
    "BUILT_IN",
    "AddPrivate",
    "Change",
    "DeidentificationError",
    "Entry",
    "Excluded",
    "Fetch",
    "Hasher",
    "Lookup",
    "Mask",
    "Method",
    "Problem",
    "Profile",
    "ProfileElement",
    "ProfileError",
    "Project",
    "Received",
    "Rectangle",
    "Result",
    "Rule",
    "Text",
    "Visit",
    "basic_profile",
    "decode_dataset",
    "encode_around",
    "encode_dataset",
    "file_head",
    "first_text_of",
    "make_file_meta",
    "on_tags",
    "secret_from_text",
    "secret_to_text",
]

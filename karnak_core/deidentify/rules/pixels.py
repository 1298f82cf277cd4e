"""``clean.pixel.data`` and ``clean.recognizable.visual.features``: read and checked, not applied yet."""

from __future__ import annotations

from karnak_core.deidentify.entry import Entry, Method, ProfileElement, Rule

_LATER = "comes with a later version"


def _read_pixels(entry: Entry) -> Rule:
    entry.known_arguments("automaticMasksGeneration")
    return Rule(method=Method(value="113101", meaning="Clean Pixel Data Option"))


def _read_features(entry: Entry) -> Rule:
    entry.known_arguments()
    return Rule(method=Method(value="113102", meaning="Clean Recognizable Visual Features Option"))


CLEAN_PIXELS = ProfileElement(codename="clean.pixel.data", read=_read_pixels, once=True, refused=_LATER)
CLEAN_FEATURES = ProfileElement(
    codename="clean.recognizable.visual.features", read=_read_features, once=True, refused=_LATER
)

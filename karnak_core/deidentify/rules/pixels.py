"""``clean.pixel.data`` and ``clean.recognizable.visual.features``: read here, carried out in ``karnak_core.pixels``."""

from __future__ import annotations

from importlib.util import find_spec

from karnak_core.deidentify.entry import Entry, Method, ProfileElement, Rule

#: what the extra installs, by module: without one of them there are images that could not be read
_CODECS = ("imagecodecs", "jpeg_ls", "openjpeg", "rle")
#: A service that finds text in images would be asked by ``karnak_core.pixels.cleaning``, for masks to paint.
_NEEDS_OCR = "automaticMasksGeneration needs a service that finds text in images, which cannot be configured yet"


def _read_pixels(entry: Entry) -> Rule:
    entry.known_arguments("automaticMasksGeneration")
    automatic = (entry.argument("automaticMasksGeneration") or "").strip().lower() == "true"
    return _cleaning("113101", "Clean Pixel Data Option", refused=_NEEDS_OCR if automatic else "")


def _read_features(entry: Entry) -> Rule:
    entry.known_arguments()
    return _cleaning("113102", "Clean Recognizable Visual Features Option")


def _cleaning(code: str, meaning: str, *, refused: str = "") -> Rule:
    if not refused and not all(map(find_spec, _CODECS)):
        refused = "needs image codecs: install karnak-gateway[transcode]"
    return Rule(method=Method(value=code, meaning=meaning), cleans_pixels=True, refused=refused)


# an action has no effect, but profiles of the Java Karnak have one
CLEAN_PIXELS = ProfileElement(codename="clean.pixel.data", read=_read_pixels, once=True, keys=("action", "arguments"))
CLEAN_FEATURES = ProfileElement(
    codename="clean.recognizable.visual.features", read=_read_features, once=True, keys=("action",)
)

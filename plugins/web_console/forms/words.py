"""Keys of the configuration as labels of fields."""

from __future__ import annotations

#: words that are not simply written in lower case
_WORDS = {
    **{word: word.upper() for word in ("ae", "api", "ca", "csv", "id", "ip", "json", "sop", "tls", "uid", "url")},
    "dicom": "DICOM",
    "hostname": "host name",
    "kheops": "Kheops",
    "oauth2": "OAuth 2",
}


def label(key: str) -> str:
    """Return a key in words: ``ae_title`` is "AE title"."""
    text = " ".join(_WORDS.get(word, word) for word in key.split("_") if word)
    return f"{text[:1].upper()}{text[1:]}"


def sentence(text: str) -> str:
    """Return a description as a sentence of its own; a box says by itself that ticked is true."""
    text = " ".join(text.split()).removeprefix("true: ")
    if text.startswith("false: "):
        text = f"off: {text.removeprefix('false: ')}"
    if not text:
        return ""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"

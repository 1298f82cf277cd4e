"""Texts from elsewhere, as the database takes them."""

from __future__ import annotations


def storable(text: str) -> str:
    """Return the text without what a database refuses: NUL (PostgreSQL), and surrogates that stand alone.

    A reason holds a peer's or a plugin's words; one that could not be stored would hold up the outcome it explains.
    """
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")

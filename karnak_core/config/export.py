"""A configuration becomes a document or a file again; what has its default is left out."""

from __future__ import annotations

from typing import Any

from karnak_core.config import yaml_text
from karnak_core.config.models import Configuration
from karnak_core.config.secret import WRITE_OUT


def to_document(configuration: Configuration) -> dict[str, Any]:
    """Return what has to be written to get this configuration: mappings, lists, texts and numbers.

    Raises
    ------
    ValueError
        A secret is still plain text: see :mod:`karnak_core.config.seal`.
    """
    document: dict[str, Any] = configuration.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, context=WRITE_OUT
    )
    return document


def to_yaml(configuration: Configuration) -> str:
    """Return the text of a file that, when loaded, gives this configuration; raises as ``to_document`` does."""
    return yaml_text.write(to_document(configuration))

"""Pixels: frames of a data set decoded one at a time, changed, and encoded in another transfer syntax.

No database, no network, no configuration. What cannot be done right is refused with a reason.
"""

from __future__ import annotations

from karnak_core.pixels.errors import CannotDecode, CannotTranscode
from karnak_core.pixels.frames import PixelElement, PixelSource, read_header
from karnak_core.pixels.image import Frame, ImageDescription, describe

__all__ = [
    "CannotDecode",
    "CannotTranscode",
    "Frame",
    "ImageDescription",
    "PixelElement",
    "PixelSource",
    "describe",
    "read_header",
]

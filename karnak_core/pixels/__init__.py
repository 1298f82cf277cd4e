"""Pixels: frames of a data set decoded one at a time, changed, and encoded in another transfer syntax.

No database, no network, no configuration. What cannot be done right is refused with a reason.
`PixelSource` reads, `transfer_syntax` reads what a configuration asks for, `output_syntax`, `fitting` and `candidates`
choose, and `transcode` does it.
"""

from __future__ import annotations

from karnak_core.pixels.choose import candidates, fitting, output_syntax, select
from karnak_core.pixels.encode import TranscodeOptions
from karnak_core.pixels.errors import CannotDecode, CannotTranscode
from karnak_core.pixels.frames import PixelElement, PixelSource, read_header
from karnak_core.pixels.image import Frame, ImageDescription, describe
from karnak_core.pixels.syntaxes import KEEP, OFFERED, SYNTAXES, TransferSyntax, transfer_syntax
from karnak_core.pixels.transcode import Edit, Transcoded, transcode

__all__ = [
    "KEEP",
    "OFFERED",
    "SYNTAXES",
    "CannotDecode",
    "CannotTranscode",
    "Edit",
    "Frame",
    "ImageDescription",
    "PixelElement",
    "PixelSource",
    "TranscodeOptions",
    "Transcoded",
    "TransferSyntax",
    "candidates",
    "describe",
    "fitting",
    "output_syntax",
    "read_header",
    "select",
    "transcode",
    "transfer_syntax",
]

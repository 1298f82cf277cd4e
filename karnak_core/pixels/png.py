"""Write an image as PNG (RFC 2083): eight bits, red, green and blue."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def to_png(image: NDArray[np.uint8]) -> bytes:
    """Return an image of shape (rows, columns, 3) as a PNG file."""
    rows, columns, _ = image.shape
    lines = np.zeros((rows, 1 + columns * 3), dtype=np.uint8)  # every line begins with its filter: none
    lines[:, 1:] = image.reshape(rows, columns * 3)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    return _SIGNATURE + b"".join(
        (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(lines.tobytes())), _chunk(b"IEND", b""))
    )


def _chunk(name: bytes, value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + name + value + struct.pack(">I", zlib.crc32(name + value))

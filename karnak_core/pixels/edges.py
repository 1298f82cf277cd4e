"""Edges of a black and white image: Canny's, as far as two values need it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]

#: tangents of 22.5° and 67.5° in 1/32768
_TAN_22: Final = 13573
_TAN_67: Final = _TAN_22 + (2 << 15)


def eroded(image: Bits, side: int) -> Bits:
    """Return where all of the square around a pixel is set. Beyond the edge of the image everything counts as set."""
    around = side // 2
    rows, columns = image.shape
    padded = np.pad(image, around, constant_values=True)
    wide = np.ones((rows + 2 * around, columns), dtype=bool)
    for start in range(side):
        wide &= padded[:, start : start + columns]
    result = np.ones((rows, columns), dtype=bool)
    for start in range(side):
        result &= wide[start : start + rows]
    return result


def edges(image: Bits) -> Bits:
    """Return the edges that Canny's method finds in an image of 0 and 255 with any thresholds from 1 to 509.

    Gradients of two values, by Sobel's 3×3 kernels, have a size (|x| + |y|) of 0 or of 510 and more: x + y is always
    even. So every edge is a strong one, and thinning is all that is left to do.
    """
    white = np.pad(image.astype(np.int32), 1, mode="edge")
    down = white[:-2] + 2 * white[1:-1] + white[2:]
    x = down[:, 2:] - down[:, :-2]
    across = white[:, :-2] + 2 * white[:, 1:-1] + white[:, 2:]
    y = across[2:] - across[:-2]
    size = np.abs(x) + np.abs(y)
    around = np.pad(size, 1)
    rows, columns = size.shape

    def neighbour(down: int, right: int) -> NDArray[np.int32]:
        return around[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]

    steep, flat = np.abs(y) << 15, np.abs(x)
    horizontal = steep < flat * _TAN_22
    vertical = steep > flat * _TAN_67
    falling = (x ^ y) < 0
    highest = np.where(
        horizontal,
        (size > neighbour(0, -1)) & (size >= neighbour(0, 1)),
        np.where(
            vertical,
            (size > neighbour(-1, 0)) & (size >= neighbour(1, 0)),
            np.where(
                falling,
                (size > neighbour(-1, 1)) & (size > neighbour(1, -1)),
                (size > neighbour(-1, -1)) & (size > neighbour(1, 1)),
            ),
        ),
    )
    return highest & (size > 0)

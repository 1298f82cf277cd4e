"""Means of squares around each pixel, in whole numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np

from karnak_core.pixels.image import Frame


def box_mean(area: Frame, side: int, *, mode: Literal["edge", "reflect"]) -> Frame:
    """Return the mean of the square around each pixel, rounded half up; each sample for itself.

    Parameters
    ----------
    area
        (rows, columns) or (rows, columns, samples), whole numbers of up to 32 bits.
    side
        Of the square in pixels, odd.
    mode
        What is beyond the edge, as `numpy.pad` knows it.
    """
    around = side // 2
    sums = np.pad(area.astype(np.int64), [(around, around)] * 2 + [(0, 0)] * (area.ndim - 2), mode=mode)
    for axis in (0, 1):
        total = np.cumsum(sums, axis=axis)
        total = np.insert(total, 0, 0, axis=axis)
        length = total.shape[axis]
        sums = np.take(total, range(side, length), axis=axis) - np.take(total, range(length - side), axis=axis)
    count = side * side
    return ((2 * sums + count) // (2 * count)).astype(area.dtype)

"""The colour of a mask as the numbers that an image stores for it (PS3.3 section C.7.6.3.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from karnak_core.deidentify import DeidentificationError
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.palette import Palette

#: red, green and blue, 0 to 255 each
Color = tuple[int, int, int]

#: thousandths of red, green and blue in luminance
_LUMINANCE: Final = (299, 587, 114)
#: Y, Cb, Cr of red, green and blue, in ten thousandths
_YBR: Final = ((2990, 5870, 1140), (-1687, -3313, 5000), (5000, -4187, -813))


class PixelColors:
    """Colours of one image.

    Parameters
    ----------
    image
        Of the decoded frames.
    header
        Has the palette, where the image has one.

    Raises
    ------
    DeidentificationError
        Colours of such an image are not known, or its palette cannot be read.
    """

    def __init__(self, image: ImageDescription, header: Dataset) -> None:
        self._image = image
        self._palette: Palette | None = None
        photometric = image.photometric_interpretation
        if photometric == "PALETTE COLOR":
            self._palette = Palette.read(header, image)
        elif photometric not in ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL"):
            raise DeidentificationError(f"colours of {photometric} are not known")

    def stored(self, color: Color) -> Frame:
        """Return the numbers of a pixel of this colour: one, or one for each sample."""
        image = self._image
        if self._palette is not None:
            return self._palette.nearest(np.array([color])).reshape(())
        if image.photometric_interpretation == "RGB":
            numbers = [self._scaled(value, 255) for value in color]
        elif image.photometric_interpretation == "YBR_FULL":
            numbers = [self._ybr(color, *row) for row in enumerate(_YBR)]
        else:
            luminance = sum(weight * value for weight, value in zip(_LUMINANCE, color, strict=True))
            if image.photometric_interpretation == "MONOCHROME1":
                luminance = 255_000 - luminance  # the lowest number is shown white
            numbers = [self._scaled(luminance, 255_000)]
        return np.array(numbers if len(numbers) > 1 else numbers[0], dtype=image.dtype)

    def smoothed(self, area: Frame, smooth: Callable[[Frame], Frame]) -> Frame:
        """Return an area smoothed; that of a palette by its colours, since its numbers say nothing themselves."""
        if self._palette is None:
            return smooth(area)
        return self._palette.nearest(smooth(self._palette.colors(area)))

    def _scaled(self, value: int, full: int) -> int:
        """Return what stands for ``value`` of 0 to ``full``, from the lowest number to the highest."""
        lowest, span = self._image.lowest, self._image.highest - self._image.lowest
        return lowest + (2 * value * span + full) // (2 * full)

    def _ybr(self, color: Color, index: int, weights: tuple[int, int, int]) -> int:
        span = self._image.highest - self._image.lowest
        middle = (span + 1) // 2 if index else 0
        sum_ = sum(weight * value for weight, value in zip(weights, color, strict=True))
        number = middle + (2 * sum_ * span + 2_550_000) // (2 * 2_550_000)
        return self._image.lowest + max(0, min(span, number))

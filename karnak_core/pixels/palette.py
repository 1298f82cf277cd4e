"""The palette of a PALETTE COLOR image (PS3.3 sections C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2), in both directions."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from karnak_core.deidentify import DeidentificationError
from karnak_core.expressions.values import UNREADABLE
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.reading import whole_number

_CHANNELS: Final = ("Red", "Green", "Blue")
_NO_PALETTE: Final = "the palette of the image cannot be read (DICOM PS3.3 section C.7.6.3.1.5)"
#: colours that are compared with the palette at a time
_AT_A_TIME: Final = 64


class Palette:
    """Colours by stored value, and stored values by colour.

    Parameters
    ----------
    colors
        (entries, 3), 0 to 255.
    first
        The stored value of the first entry.
    """

    def __init__(self, colors: NDArray[np.uint8], first: int, image: ImageDescription) -> None:
        last = min(first + len(colors) - 1, image.highest)
        if first < image.lowest or last < first:
            raise DeidentificationError("the palette has no entry that the image can store")
        self._first, self._last = first, last
        self._dtype = image.dtype
        self._colors = colors[: last - first + 1]
        #: colours that there are, each once, and an entry for each
        self._distinct, self._entries = np.unique(self._colors, axis=0, return_index=True)
        self._known: dict[int, int] = {}

    @classmethod
    def read(cls, header: Dataset, image: ImageDescription) -> Self:
        """Read the palette of an image.

        Raises
        ------
        DeidentificationError
            It is missing, or cannot be read.
        """
        try:
            colors, first = _read(header)
            if image.pixel_representation and first > 0x7FFF:
                first -= 0x10000  # two's complement, read as unsigned
        except UNREADABLE:  # their messages may quote a value
            raise DeidentificationError(_NO_PALETTE) from None
        return cls(colors, first, image)

    def colors(self, area: Frame) -> NDArray[np.uint8]:
        """Return the colours of stored values: (…, 3). What is beyond the palette has the colour of its nearest end."""
        found: NDArray[np.uint8] = self._colors[np.clip(area.astype(np.int64), self._first, self._last) - self._first]
        return found

    def nearest(self, colors: NDArray[Any]) -> Frame:
        """Return the stored values whose colours come nearest to these ones: (…, 3) to (…)."""
        flat = colors.reshape(-1, 3).astype(np.int64)
        codes = flat[:, 0] << 16 | flat[:, 1] << 8 | flat[:, 2]
        distinct, where = np.unique(codes, return_inverse=True)
        new = [code for code in distinct.tolist() if code not in self._known]
        for start in range(0, len(new), _AT_A_TIME):
            self._look_up(new[start : start + _AT_A_TIME])
        values = np.array([self._known[code] for code in distinct.tolist()], dtype=self._dtype)
        return values[where].reshape(colors.shape[:-1])

    def _look_up(self, codes: list[int]) -> None:
        wanted = np.array([(code >> 16, code >> 8 & 0xFF, code & 0xFF) for code in codes], dtype=np.float32)
        have = self._distinct.astype(np.float32)
        # |a - b|² without what is the same for all b; whole numbers below 2**24, so it is exact
        distances = (have * have).sum(axis=1)[None, :] - 2 * (wanted @ have.T)
        for code, index in zip(codes, self._entries[distances.argmin(axis=1)].tolist(), strict=True):
            self._known[code] = self._first + index


def _read(header: Dataset) -> tuple[NDArray[np.uint8], int]:
    said = header.RedPaletteColorLookupTableDescriptor
    if isinstance(said, (str, bytes)):
        raise TypeError("no three numbers")
    entries, first, bits = (whole_number(number) for number in said)
    entries = entries or 1 << 16
    if bits not in (8, 16) or not 1 <= entries <= 1 << 16:
        raise ValueError("neither 8 nor 16 bits, or no number of entries")
    if "RedPaletteColorLookupTableData" in header:
        little = header.original_encoding[1] is not False
        table = np.stack([_channel(header, name, entries, little) for name in _CHANNELS], axis=1)
    else:
        if bits == 8 and entries > 256:
            raise ValueError("more entries than pydicom expands")
        table = apply_color_lut(np.arange(first, first + entries), header)[..., :3]
    if table.max() > 0xFF:
        table = table >> 8
    return table.astype(np.uint8), first


def _channel(header: Dataset, name: str, entries: int, little: bool) -> NDArray[Any]:
    value = header[f"{name}PaletteColorLookupTableData"].value
    if not isinstance(value, bytes):
        raise TypeError("no bytes")
    if len(value) >= 2 * entries:
        return np.frombuffer(value, dtype="<u2" if little else ">u2", count=entries).astype(np.uint16)
    if not little:
        # bytes of an OW in Big Endian
        value = np.frombuffer(value, dtype=">u2").astype("<u2").tobytes()
    return np.frombuffer(value, dtype="u1", count=entries)

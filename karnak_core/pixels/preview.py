"""Pictures of frames before and after they were cleaned, for people who check a profile.

They show what was burned in: they are the patient's data as the received instance is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from karnak_core.deidentify import Rectangle
from karnak_core.expressions.values import UNREADABLE
from karnak_core.part10 import plain_dataset, read_beginning
from karnak_core.pixels.errors import CannotDecode
from karnak_core.pixels.frames import PixelSource
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.palette import Palette
from karnak_core.pixels.png import to_png

#: red, green and blue of the lines around masks
OUTLINE: Final = (255, 64, 64)
#: columns between the two pictures
_GAP: Final = 8
#: red, green and blue of Y, Cb and Cr (PS3.3 section C.7.6.3.1.2, solved)
_RGB_OF_YBR: Final = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])

#: lowest and highest number that is told from those around it
Window = tuple[float, float]


def preview_pngs(
    before: Path,
    after: Path,
    folder: Path,
    *,
    name: str = "",
    rectangles: Sequence[Rectangle] = (),
    most: int = 3,
) -> list[Path]:
    """Write a PNG for some frames of an instance, as it was on the left, as it is on the right.

    Parameters
    ----------
    before, after
        Part 10 files of one instance.
    folder
        Gets ``NAME-frame-0001.png`` and so on; it is made where it is missing.
    name
        NAME; empty: that of ``after``.
    rectangles
        Parts of the image to outline, as `Cleaning.rectangles` has them.
    most
        Frames to show: the first, the last, and some between them.

    Returns
    -------
    list
        What was written.

    Raises
    ------
    CannotDecode
        The pixels of one of the files cannot be read, or they have different sizes.
    ValueError
        One of the files is no Part 10 file.
    """
    with ExitStack() as stack:
        old, new = (_opened(path, stack) for path in (before, after))
        if old.image.number_of_frames != new.image.number_of_frames or old.image.shape[:2] != new.image.shape[:2]:
            raise CannotDecode("the images have different sizes or numbers of frames")
        frames = old.image.number_of_frames
        indexes = sorted({round(place) for place in np.linspace(0, frames - 1, min(most, frames)).tolist()})
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = []
        for index in indexes:
            path = folder / f"{name or after.stem}-frame-{index + 1:04}.png"
            path.write_bytes(
                preview(
                    (old.frame(index), old.output_image, old.header),
                    (new.frame(index), new.output_image, new.header),
                    rectangles,
                )
            )
            written.append(path)
        return written


#: the stored values of a frame, what they are, and the header with window and palette
Pixels = tuple[Frame, ImageDescription, Dataset]


def preview(before: Pixels, after: Pixels, rectangles: Sequence[Rectangle]) -> bytes:
    """Return a PNG of a frame before and after, rectangles outlined on both. Both are shown with the window of before.

    Raises
    ------
    DeidentificationError
        A palette cannot be read.
    """
    window = _window(before)
    pictures = []
    for pixels in (before, after):
        picture = _shown(pixels, window)
        for rectangle in rectangles:
            _outline(picture, rectangle)
        pictures.append(picture)
    gap = np.full((pictures[0].shape[0], _GAP, 3), 255, dtype=np.uint8)
    return to_png(np.concatenate([pictures[0], gap, pictures[1]], axis=1))


def _opened(path: Path, stack: ExitStack) -> PixelSource:
    with open(path, "rb") as part10:
        beginning = read_beginning(part10)
    syntax = beginning.transfer_syntax_uid
    file, offset = stack.enter_context(plain_dataset(path, syntax, beginning.dataset_offset))
    inflated = "1.2.840.10008.1.2.1" if syntax == "1.2.840.10008.1.2.1.99" else syntax
    return PixelSource.open(file, inflated, offset)


def _window(pixels: Pixels) -> Window:
    """Return the window that the header says, as stored values; else that of all values there are."""
    frame, image, header = pixels
    center, width = _first(header, "WindowCenter"), _first(header, "WindowWidth")
    if image.samples_per_pixel == 1 and center is not None and width is not None and width > 1:
        slope = _first(header, "RescaleSlope") or 1.0
        intercept = _first(header, "RescaleIntercept") or 0.0
        ends = sorted((center + side * (width - 1) / 2 - intercept) / slope for side in (-1, 1))
        if all(map(math.isfinite, (*ends, ends[1] - ends[0]))):
            return ends[0], ends[1]
    return float(frame.min()), float(frame.max())


def _first(header: Dataset, keyword: str) -> float | None:
    try:
        value = header.get(keyword)
        number = float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
    except UNREADABLE:
        return None
    return number if math.isfinite(number) else None


def _shown(pixels: Pixels, window: Window) -> NDArray[np.uint8]:
    frame, image, header = pixels
    if image.photometric_interpretation == "PALETTE COLOR":
        return Palette.read(header, image).colors(frame)
    if image.samples_per_pixel == 1:
        low, high = window
        gray = (frame.astype(np.float64) - low) / max(high - low, 1e-9)
        if image.photometric_interpretation == "MONOCHROME1":
            gray = 1 - gray
        return _eight_bits(np.repeat(gray[..., None], 3, axis=2))
    part = (frame.astype(np.float64) - image.lowest) / max(image.highest - image.lowest, 1)
    if image.photometric_interpretation == "YBR_FULL":
        part[..., 1:] -= 0.5
        part = part @ _RGB_OF_YBR.T
    return _eight_bits(part)


def _eight_bits(part: NDArray[Any]) -> NDArray[np.uint8]:
    eight: NDArray[np.uint8] = np.rint(np.clip(part, 0, 1) * 255).astype(np.uint8)
    return eight


def _outline(picture: NDArray[np.uint8], rectangle: Rectangle) -> None:
    """Draw a line of one pixel around a rectangle, outside of it, as far as that is in the picture."""
    left, top = rectangle.x - 1, rectangle.y - 1
    right, bottom = rectangle.x + rectangle.width, rectangle.y + rectangle.height
    rows, columns = picture.shape[:2]
    across = slice(max(left, 0), min(right + 1, columns))
    down = slice(max(top, 0), min(bottom + 1, rows))
    for row in (top, bottom):
        if 0 <= row < rows:
            picture[row, across] = OUTLINE
    for column in (left, right):
        if 0 <= column < columns:
            picture[down, column] = OUTLINE

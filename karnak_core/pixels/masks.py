"""Which masks of a profile an image gets, and painting them: exactly the pixels of their rectangles, every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from karnak_core.deidentify import DeidentificationError, Mask, Rectangle
from karnak_core.pixels.colors import PixelColors
from karnak_core.pixels.image import Frame, ImageDescription
from karnak_core.pixels.smooth import box_mean

#: side of the square that a blurred pixel is the mean of, in pixels
BLUR = 7
ANY_STATION = "*"


def select_masks(masks: Sequence[Mask], station_name: str, columns: int | None, rows: int | None) -> tuple[Mask, ...]:
    """Return the masks for an image: those of its station and size, else of its station, else of every station.

    Names are compared exactly. A mask for every station that says a size is never taken, as in the Java Karnak.
    Several masks that fit equally are all painted, in their order.
    """
    size = None if columns is None or rows is None else (columns, rows)
    wanted: list[tuple[str, tuple[int, int] | None]] = [(ANY_STATION, None)]
    if station_name:
        wanted = [(station_name, size), (station_name, None), *wanted]
    for station, image_size in wanted:
        found = tuple(mask for mask in masks if (mask.station_name, mask.image_size) == (station, image_size))
        if found:
            return found
    return ()


def rectangles_of(masks: Sequence[Mask], columns: int, rows: int) -> tuple[Rectangle, ...]:
    """Return the rectangles of masks as far as they lie in an image; none for those that lie outside."""
    clipped = [clip(rectangle, columns, rows) for mask in masks for rectangle in mask.rectangles]
    return tuple(rectangle for rectangle in clipped if rectangle is not None)


def clip(rectangle: Rectangle, columns: int, rows: int) -> Rectangle | None:
    """Return the part of a rectangle that lies in an image; None: no pixel of it does."""
    width = min(rectangle.x + rectangle.width, columns) - rectangle.x
    height = min(rectangle.y + rectangle.height, rows) - rectangle.y
    if width <= 0 or height <= 0:
        return None
    return Rectangle(x=rectangle.x, y=rectangle.y, width=width, height=height)


def painter(masks: Sequence[Mask], image: ImageDescription, colors: PixelColors) -> Callable[[Frame], None]:
    """Return what paints masks into a decoded frame, in place.

    Parameters
    ----------
    image
        Of the frames that are painted.

    Raises
    ------
    DeidentificationError
        Pixels of this kind cannot be painted.
    """
    if image.kind != "pixel" or image.bits_allocated > 32:
        raise DeidentificationError("masks can be painted on whole numbers of up to 32 bits only")
    strokes: list[tuple[tuple[slice, slice], Frame | None]] = []
    for mask in masks:
        value = None if mask.color is None else colors.stored(mask.color)
        for rectangle in rectangles_of((mask,), image.columns, image.rows):
            area = (
                slice(rectangle.y, rectangle.y + rectangle.height),
                slice(rectangle.x, rectangle.x + rectangle.width),
            )
            strokes.append((area, value))

    def paint(frame: Frame) -> None:
        for area, value in strokes:
            frame[area] = colors.smoothed(frame[area], _blurred) if value is None else value

    return paint


def _blurred(area: Frame) -> Frame:
    """Return the means of squares around each pixel. Beyond the edge of the area its outermost pixels are repeated."""
    return box_mean(area, BLUR, mode="edge")

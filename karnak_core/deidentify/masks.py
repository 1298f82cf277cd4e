"""Masks of a profile, read and checked: rectangles that are painted over the pixels of some stations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from karnak_core.deidentify.entry import Text
from karnak_core.deidentify.errors import Problem


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A part of an image, in stored pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Mask:
    """What is painted over the images of a station."""

    #: value of Station Name; ``*``: every station
    station_name: str
    #: red, green and blue; None: blurred instead
    color: tuple[int, int, int] | None
    rectangles: tuple[Rectangle, ...]
    #: (width, height) of the images it is for; None: of every size
    image_size: tuple[int, int] | None = None


def read_mask(
    line: int, values: Mapping[str, Text], rectangles: Sequence[Text], problems: list[Problem]
) -> Mask | None:
    """Return a mask; None after a problem."""
    before = len(problems)
    color = _color(values.get("color"), problems)
    boxes = [(box, text) for text in rectangles if (box := _rectangle(text, problems))]
    width, height = (_side(values.get(key), key, problems) for key in ("imageWidth", "imageHeight"))
    if (width is None) != (height is None) and len(problems) == before:
        problems.append(Problem(line=line, message="mask: imageWidth and imageHeight are needed both, or none of them"))
    for box, text in boxes if width and height else ():
        if box.x >= (width or 0) or box.y >= (height or 0):
            message = f"mask: rectangle {text.text[:40]!r} lies outside of images of {width} by {height} pixels"
            problems.append(Problem(line=text.line, message=message))
    if not rectangles:
        problems.append(Problem(line=line, message="mask: rectangles are missing"))
    if len(problems) > before:
        return None
    station = values["stationName"].text if "stationName" in values else "*"
    size = (width, height) if width is not None and height is not None else None
    return Mask(station_name=station, color=color, rectangles=tuple(box for box, _ in boxes), image_size=size)


def _color(text: Text | None, problems: list[Problem]) -> tuple[int, int, int] | None:
    """Return the colour of RRGGBB or AARRGGBB; the transparency is not used for drawing."""
    if text is None or not text.text.strip():
        return None
    if not re.fullmatch(r"[0-9A-Fa-f]{1,8}", text.text):
        problems.append(Problem(line=text.line, message=f"mask: color {text.text[:40]!r} is not RRGGBB in hex digits"))
        return None
    number = int(text.text, 16)
    return number >> 16 & 0xFF, number >> 8 & 0xFF, number & 0xFF


def _rectangle(text: Text, problems: list[Problem]) -> Rectangle | None:
    parts = text.text.split()
    if len(parts) == 4 and all(re.fullmatch(r"\d{1,6}", part, re.ASCII) for part in parts):
        x, y, width, height = map(int, parts)
        if width and height:
            return Rectangle(x=x, y=y, width=width, height=height)
        message = f"mask: rectangle {text.text[:40]!r} has no pixel; width and height are 1 at least"
    else:
        message = f"mask: rectangle {text.text[:40]!r} is not four whole numbers: x y width height"
    problems.append(Problem(line=text.line, message=message))
    return None


def _side(text: Text | None, key: str, problems: list[Problem]) -> int | None:
    if text is None:
        return None
    if re.fullmatch(r"\d{1,6}", text.text, re.ASCII) and int(text.text):
        return int(text.text)
    problems.append(Problem(line=text.line, message=f"mask: {key} {text.text[:40]!r} is not a number of pixels"))
    return None

"""What becomes of every kind of pixels in every transfer syntax: the table in ``docs/transfer-syntaxes.md``.

``python tests/pixels/matrix.py`` measures it and writes it there.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from independent import CannotRead, decoded
from pixel_objects import corpus, decoded_frames, native, opened
from pydicom.pixels.processing import convert_color_space

from karnak_core.pixels import (
    OFFERED,
    SYNTAXES,
    CannotDecode,
    CannotTranscode,
    ImageDescription,
    PixelSource,
    fitting,
    transcode,
)
from karnak_core.pixels import syntaxes as ts

PAGE = Path(__file__).parents[2] / "docs" / "transfer-syntaxes.md"
BEGIN, END = "<!-- made by tests/pixels/matrix.py -->\n", "<!-- end -->\n"
#: images below this many pixels are too small for a ratio to mean anything
SMALL = 1024
#: and above that many, a part stands for the image
LARGE = 1 << 20
#: what lossy numbers may differ by in the mean, of the span of all numbers
LOSSY_MEAN = 0.02

#: columns, and what stands above them
COLUMNS: Mapping[str, str] = {
    ts.EXPLICIT: "Explicit, Implicit",
    ts.RLE: "RLE",
    ts.JPEG_BASELINE: "JPEG Baseline",
    ts.JPEG_EXTENDED: "JPEG Extended",
    ts.JPEG_LOSSLESS_SV1: "JPEG Lossless, SV1",
    ts.JPEG_LS: "JPEG-LS",
    ts.JPEG_LS_NEAR: "JPEG-LS near",
    ts.JPEG_2000_LOSSLESS: "J2K lossless",
    ts.JPEG_2000: "J2K",
    ts.HTJ2K_LOSSLESS: "HTJ2K lossless, RPCL",
    ts.HTJ2K: "HTJ2K",
    ts.JPEG_XL_LOSSLESS: "JPEG XL lossless",
    ts.JPEG_XL: "JPEG XL",
}
#: two syntaxes in one column: what the second one does is what the first one does
ALIKE = {ts.IMPLICIT: ts.EXPLICIT, ts.JPEG_LOSSLESS: ts.JPEG_LOSSLESS_SV1, ts.HTJ2K_RPCL: ts.HTJ2K_LOSSLESS}
#: no program but the codec's own decodes them
XL = (ts.JPEG_XL_LOSSLESS, ts.JPEG_XL)
#: all but what is for one transfer syntax alone
WANTED = [syntax.uid for syntax in OFFERED if syntax.uid != ts.JPEG_XL_RECOMPRESSION]
SHORT = {ts.EXPLICIT: "→ Explicit", ts.JPEG_LOSSLESS_SV1: "→ SV1", ts.JPEG_LS: "→ JPEG-LS"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image of the test data."""

    path: Path
    kind: str
    pixels: int


def cases() -> list[Case]:
    """Return every image that can be read, the smallest one of each kind first."""
    found = []
    for path in corpus():
        with opened(path) as (file, syntax, offset):
            try:
                source = PixelSource.open(file, syntax, offset)
            except CannotDecode:
                continue
            image = source.output_image
            pixels = image.rows * image.columns * image.number_of_frames
            # what is too small for a codec is no sample of its kind
            found.append(Case(path=path, kind=kind_of(image), pixels=pixels if pixels >= SMALL else pixels + (1 << 40)))
    return sorted(found, key=lambda case: (case.kind, case.pixels, case.path.name))


def kinds() -> list[str]:
    """Return the rows of the table in the manual."""
    return [line.split("|")[1].strip() for line in committed().splitlines()[2:]]


def samples(found: Iterable[Case]) -> list[Case]:
    """Return one image of each kind."""
    first: dict[str, Case] = {}
    for case in found:
        first.setdefault(case.kind, case)
    return list(first.values())


def kind_of(image: ImageDescription) -> str:
    """Return what a row of the table is called."""
    name = {"MONOCHROME1": "MONOCHROME"}.get(image.photometric_interpretation, image.photometric_interpretation)
    name = "MONOCHROME" if name.startswith("MONOCHROME") else name
    if image.kind != "pixel":
        return f"{name}, {'32' if image.kind == 'float' else '64'} bits floating point"
    sign = ", signed" if image.pixel_representation else ""
    bits = f"{image.bits_stored} of {image.bits_allocated} bits" if image.bits_allocated > 1 else "1 bit"
    return f"{name}, {bits}{sign}"


def outcome(source: PixelSource, wanted: str, expected: np.ndarray[Any, Any]) -> str:
    """Transcode, decode independently, compare; return what stands in the table.

    Raises
    ------
    AssertionError
        What is decoded is not what it should be.
    """
    target = fitting(wanted, source.output_image, source.transfer_syntax_uid)
    written = io.BytesIO()
    try:
        result = transcode(source, source.header, target, written, edit=lambda _index, frame: frame)
    except CannotTranscode:
        return "refused"
    with tempfile.TemporaryDirectory() as folder:
        try:
            if target in XL:
                seen = decoded_frames(result.header, written.getvalue(), target)
            else:
                seen = decoded(result, written.getvalue(), Path(folder))
        except CannotRead:
            return "unread"
    keyword = SYNTAXES[target].keyword
    assert seen.shape == expected.shape, keyword
    if result.header.PhotometricInterpretation == "YBR_FULL_422" and source.photometric_interpretation == "YBR_FULL":
        expected = convert_color_space(expected, "YBR_FULL", "RGB")
    difference = np.abs(seen.astype("f8") - expected.astype("f8"))
    if SYNTAXES[target].lossless:
        assert not difference.max(), keyword
    else:
        check_lossy(difference, source, target)
    if target != ALIKE.get(wanted, wanted) and target != wanted:
        return SHORT.get(target, f"→ {COLUMNS[target]}")
    return "=" if SYNTAXES[target].lossless else "≈"


def middle_of(source: PixelSource) -> PixelSource:
    """Return an uncompressed object of the middle of the first frame."""
    frame, header = source.frame(0), source.header
    row, column = (length // 2 - 128 for length in frame.shape[:2])
    part = np.ascontiguousarray(frame[row : row + 256, column : column + 256])
    header.Rows = header.Columns = 256
    header.NumberOfFrames = 1
    header.PhotometricInterpretation = source.photometric_interpretation
    return PixelSource.open(native(header, part.tobytes()), ts.EXPLICIT)


def check_lossy(difference: np.ndarray[Any, Any], source: PixelSource, target: str) -> None:
    """Check that no more is lost than may be."""
    if target == ts.JPEG_LS_NEAR:
        assert difference.max() <= 2
    elif difference[0].size >= SMALL:
        span = source.image.highest - source.image.lowest
        assert difference.mean() <= LOSSY_MEAN * span, SYNTAXES[target].keyword


def measure(case: Case, *, whole: bool = False) -> dict[str, str]:
    """Return what becomes of an image, by wanted transfer syntax; not ``whole``: of a part of a large one."""
    with opened(case.path) as (file, syntax, offset):
        source = PixelSource.open(file, syntax, offset)
        if not whole and case.pixels > LARGE:
            source = middle_of(source)
        expected = np.stack([source.frame(index) for index in range(source.image.number_of_frames)])
        return {wanted: outcome(source, wanted, expected) for wanted in WANTED}


def row(kind: str, measured: Mapping[str, str]) -> str:
    """Return a line of the table."""
    for second, first in ALIKE.items():
        assert measured[second] == measured[first], (kind, second)
    return "| " + " | ".join([kind, *(measured[uid] for uid in COLUMNS)]) + " |\n"


def table(rows: Iterable[str]) -> str:
    """Return the table."""
    head = "| pixels | " + " | ".join(COLUMNS.values()) + " |\n"
    return head + "|---" * (len(COLUMNS) + 1) + "|\n" + "".join(rows)


def committed() -> str:
    """Return the table in the manual."""
    text = PAGE.read_text("utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def committed_row(kind: str) -> str:
    """Return a line of the table in the manual."""
    return next(line for line in committed().splitlines(keepends=True) if line.startswith(f"| {kind} |"))


def main() -> None:
    """Write the table into the manual."""
    text = PAGE.read_text("utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    made = table(row(case.kind, measure(case)) for case in samples(cases()))
    PAGE.write_text(before + made + after, "utf-8")


if __name__ == "__main__":
    main()

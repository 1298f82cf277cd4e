"""Masks cover exactly their pixels, in the colour that was asked for, whatever the pixels are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pixel_objects import make_header, native
from pydicom import Dataset
from pydicom.pixels import apply_color_lut, convert_color_space

from karnak_core.deidentify import DeidentificationError, Profile, Project, Rectangle
from karnak_core.pixels import PixelSource
from karnak_core.pixels.cleaning import Cleaning, plan_cleaning
from karnak_core.pixels.masks import select_masks

PROJECT = Project(name="STUDY-A", secret=bytes(range(16)))
RNG = np.random.default_rng(5)
ROWS, COLUMNS = 40, 60
#: red, green and blue
COLORS = [(255, 255, 0), (0, 0, 0), (255, 255, 255), (18, 130, 240)]


def profile_of(*masks: str, element: str = "{name: clean, codename: clean.pixel.data}") -> Profile:
    lines = "".join(f"  - {mask}\n" for mask in masks)
    text = f"name: Test\nprofileElements:\n  - {element}\n" + (f"masks:\n{lines}" if masks else "")
    return Profile.from_yaml(text).require()


def mask_of(color: Sequence[int] | None, *rectangles: str, station: str = "*", size: str = "") -> str:
    paint = "" if color is None else f"color: '{bytes(color).hex()}', "
    return f"{{stationName: '{station}', {paint}{size}rectangles: {list(rectangles)}}}"


def planned(profile: Profile, header: Dataset, sent: Dataset | None = None) -> Cleaning:
    cleaning = plan_cleaning(profile, header, header if sent is None else sent, PROJECT, True)
    assert cleaning is not None
    return cleaning


def cleaned(profile: Profile, file: io.BytesIO, index: int = 0) -> tuple[Any, Any, PixelSource]:
    """Return a frame before and after, and where it is from."""
    source = PixelSource.open(file, "1.2.840.10008.1.2.1")
    before = source.frame(index).copy()
    after = planned(profile, source.header).edit(source.output_image)(index, source.frame(index))
    return before, after, source


def noise(dtype: str, *shape: int, bits: int | None = None) -> NDArray[Any]:
    kind = np.dtype(dtype)
    bits = bits or 8 * kind.itemsize
    low = -(1 << (bits - 1)) if kind.kind == "i" else 0
    return RNG.integers(low, low + (1 << bits), size=shape, dtype=np.int64).astype(kind)


def inside(x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
    area = np.zeros((ROWS, COLUMNS), dtype=bool)
    area[y : y + height, x : x + width] = True
    return area


def luminance(color: Sequence[int]) -> float:
    red, green, blue = color
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


# ---- every photometric interpretation ------------------------------------------------------------------------------


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("u1", 8), ("u1", 6), ("u2", 10), ("u2", 12), ("u2", 16), ("i1", 8), ("i2", 12), ("i2", 16), ("u4", 32)],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_gray_images_get_the_luminance_of_the_color_at_their_own_depth(
    photometric: str, dtype: str, bits: int, color: tuple[int, int, int]
) -> None:
    frame = noise(dtype, ROWS, COLUMNS, bits=bits)
    header = make_header(frame, BitsStored=bits, PhotometricInterpretation=photometric)
    before, after, _ = cleaned(profile_of(mask_of(color, "7 5 20 11")), native(header, frame.tobytes()))
    area = inside(7, 5, 20, 11)
    assert (after[~area] == before[~area]).all()
    low = -(1 << (bits - 1)) if dtype[0] == "i" else 0
    shown = (after[area].astype(float) - low) / ((1 << bits) - 1)
    if photometric == "MONOCHROME1":
        shown = 1 - shown
    assert abs(shown - luminance(color)).max() <= 0.5 / ((1 << bits) - 1) + 1e-9
    assert after.dtype == before.dtype


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 16), ("u2", 12)])
@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_images_get_the_color(dtype: str, bits: int, planar: int, color: tuple[int, int, int]) -> None:
    frame = noise(dtype, ROWS, COLUMNS, 3, bits=bits)
    header = make_header(frame, BitsStored=bits, PlanarConfiguration=planar)
    value = (frame.transpose(2, 0, 1) if planar else frame).tobytes()
    before, after, _ = cleaned(profile_of(mask_of(color, "0 0 60 3")), native(header, value))
    area = inside(0, 0, 60, 3)
    assert (before == frame).all()
    assert (after[~area] == frame[~area]).all()
    assert (after[area] == [round(one * ((1 << bits) - 1) / 255) for one in color]).all()


@pytest.mark.parametrize("color", COLORS)
def test_ybr_full_images_get_the_color_as_it_is_in_ybr(color: tuple[int, int, int]) -> None:
    frame = noise("u1", ROWS, COLUMNS, 3)
    header = make_header(frame, PhotometricInterpretation="YBR_FULL")
    before, after, _ = cleaned(profile_of(mask_of(color, "7 5 20 11")), native(header, frame.tobytes(), vr="OB"))
    area = inside(7, 5, 20, 11)
    assert (after[~area] == before[~area]).all()
    shown = convert_color_space(after, "YBR_FULL", "RGB")[area].astype(int)
    assert abs(shown - color).max() <= 2  # whole numbers in YBR


@pytest.mark.parametrize("color", COLORS)
def test_pixels_that_share_chroma_with_the_mask_keep_their_own(color: tuple[int, int, int]) -> None:
    pairs = noise("u1", ROWS, COLUMNS // 2, 4)
    header = make_header(np.zeros((ROWS, COLUMNS, 3), "u1"), PhotometricInterpretation="YBR_FULL_422")
    # from an odd column to an odd one: the pairs at both edges are half covered
    before, after, source = cleaned(profile_of(mask_of(color, "7 5 20 11")), native(header, pairs.tobytes(), vr="OB"))
    area = inside(7, 5, 20, 11)
    assert source.output_image.photometric_interpretation == "YBR_FULL"
    assert (after[~area] == before[~area]).all()
    shown = convert_color_space(after, "YBR_FULL", "RGB")[area].astype(int)
    assert abs(shown - color).max() <= 2


def palette_header(frame: NDArray[Any], colors: NDArray[Any], first: int = 0, **changes: Any) -> Dataset:
    header = make_header(frame, PhotometricInterpretation="PALETTE COLOR", **changes)
    for index, name in enumerate(("Red", "Green", "Blue")):
        setattr(header, f"{name}PaletteColorLookupTableDescriptor", [len(colors) % 65536, first, 16])
        setattr(header, f"{name}PaletteColorLookupTableData", (colors[:, index].astype("<u2") * 257).tobytes())
    return header


def rainbow(entries: int) -> NDArray[Any]:
    colors = noise("u1", entries, 3)
    colors[entries // 2 : entries // 2 + len(COLORS)] = COLORS
    return colors


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize(
    ("dtype", "entries", "first"), [("u1", 256, 0), ("u2", 4096, 0), ("u1", 100, 30), ("u2", 65536, 0)]
)
def test_palette_images_get_the_entry_of_the_color(
    dtype: str, entries: int, first: int, color: tuple[int, int, int]
) -> None:
    frame = (noise("u4", ROWS, COLUMNS) % entries + first).astype(dtype)
    header = palette_header(frame, rainbow(entries), first)
    before, after, _ = cleaned(profile_of(mask_of(color, "7 5 20 11")), native(header, frame.tobytes()))
    area = inside(7, 5, 20, 11)
    assert (after[~area] == before[~area]).all()
    assert after.dtype == before.dtype
    assert (apply_color_lut(after, header)[area] // 257 == color).all()


def test_palette_without_the_color_gives_the_nearest_one() -> None:
    grays = np.repeat(np.arange(256, dtype="u1")[:, None], 3, axis=1)
    frame = noise("u1", ROWS, COLUMNS)
    _, after, _ = cleaned(
        profile_of(mask_of((250, 251, 252), "1 1 1 1")), native(palette_header(frame, grays), frame.tobytes())
    )
    assert after[1, 1] == 251


def test_segmented_palette_is_read() -> None:
    frame = noise("u1", ROWS, COLUMNS)
    header = make_header(frame, PhotometricInterpretation="PALETTE COLOR")
    for name, last in (("Red", 65535), ("Green", 0), ("Blue", 0)):
        setattr(header, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        # one value, then a straight line of 255 to the last one
        values = np.array([0, 1, 0, 1, 255, last], dtype="<u2")
        setattr(header, f"Segmented{name}PaletteColorLookupTableData", values.tobytes())
    _, after, _ = cleaned(profile_of(mask_of((128, 0, 0), "1 1 1 1")), native(header, frame.tobytes()))
    assert after[1, 1] == 128


@pytest.mark.parametrize("missing", ["RedPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"])
def test_palette_that_cannot_be_read_holds_the_instance(missing: str) -> None:
    frame = noise("u1", ROWS, COLUMNS)
    header = palette_header(frame, rainbow(256))
    delattr(header, missing)
    with pytest.raises(DeidentificationError, match="the palette of the image cannot be read"):
        cleaned(profile_of(mask_of((0, 0, 0), "1 1 1 1")), native(header, frame.tobytes()))


def test_bits_of_one_are_masked() -> None:
    bits = noise("u1", ROWS, COLUMNS) & 1
    header = make_header(bits, BitsAllocated=1, BitsStored=1)
    for color, value in (((255, 255, 255), 1), ((0, 0, 0), 0)):
        file = native(header, np.packbits(bits, bitorder="little").tobytes(), vr="OB")
        before, after, _ = cleaned(profile_of(mask_of(color, "7 5 20 11")), file)
        area = inside(7, 5, 20, 11)
        assert (after[~area] == before[~area]).all()
        assert (after[area] == value).all()


def test_pixels_that_are_no_whole_numbers_hold_the_instance() -> None:
    header = make_header(np.zeros((ROWS, COLUMNS), "u4"))
    file = native(header, np.zeros((ROWS, COLUMNS), "f4").tobytes(), vr="OF", tag=0x7FE00008)
    with pytest.raises(DeidentificationError, match="whole numbers"):
        cleaned(profile_of(mask_of((0, 0, 0), "1 1 1 1")), file)


# ---- where ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rectangle", "covered"),
    [
        ("3 4 1 1", (3, 4, 1, 1)),
        ("0 0 60 40", (0, 0, 60, 40)),
        ("50 30 100 100", (50, 30, 10, 10)),
        ("59 39 1 1", (59, 39, 1, 1)),
        ("0 39 999999 999999", (0, 39, 60, 1)),
    ],
)
@pytest.mark.parametrize("color", [(255, 255, 255), None])
def test_exactly_the_pixels_of_the_rectangle_change(
    rectangle: str, covered: tuple[int, int, int, int], color: tuple[int, int, int] | None
) -> None:
    frame = np.zeros((ROWS, COLUMNS), "u2")
    header = make_header(frame)
    profile = profile_of(mask_of(color, rectangle))
    edit = planned(profile, header).edit(PixelSource.open(native(header, frame.tobytes()), "1.2.840.10008.1.2.1").image)
    before = noise("u2", ROWS, COLUMNS) // 2
    after = edit(0, before.copy())
    assert (after[~inside(*covered)] == before[~inside(*covered)]).all()
    if color:
        assert (after[inside(*covered)] == 65535).all()
    assert planned(profile, header).rectangles == (
        Rectangle(x=covered[0], y=covered[1], width=covered[2], height=covered[3]),
    )


@pytest.mark.parametrize("rectangle", ["60 0 5 5", "0 40 5 5"])
def test_mask_that_covers_no_pixel_holds_the_instance(rectangle: str) -> None:
    header = make_header(np.zeros((ROWS, COLUMNS), "u1"))
    with pytest.raises(DeidentificationError, match="the mask for them lies outside the image"):
        plan_cleaning(profile_of(mask_of((0, 0, 0), rectangle)), header, header, PROJECT, True)


def test_every_frame_and_every_rectangle_is_painted_in_their_order() -> None:
    frames = noise("u1", 5, ROWS, COLUMNS)
    header = make_header(frames[0], frames=5)
    profile = profile_of(mask_of((255, 255, 255), "0 0 10 10", "20 20 5 5"), mask_of((0, 0, 0), "5 5 10 10"))
    white = (inside(0, 0, 10, 10) | inside(20, 20, 5, 5)) & ~inside(5, 5, 10, 10)
    black = inside(5, 5, 10, 10)
    for index in range(5):
        _, after, _ = cleaned(profile, native(header, frames.tobytes()), index)
        assert (after[white] == 255).all()
        assert (after[black] == 0).all()
        assert (after[~white & ~black] == frames[index][~white & ~black]).all()


def test_frame_that_cannot_be_written_to_is_copied() -> None:
    frame = noise("u1", ROWS, COLUMNS) | 1
    header = make_header(frame)
    edit = planned(profile_of(mask_of((0, 0, 0), "0 0 9 9")), header).edit(
        PixelSource.open(native(header, frame.tobytes()), "1.2.840.10008.1.2.1").image
    )
    frame.flags.writeable = False
    assert (edit(0, frame)[:9, :9] == 0).all()
    assert frame.all()


# ---- blurring ------------------------------------------------------------------------------------------------------


def blurred(values: NDArray[Any]) -> NDArray[Any]:
    """Return the means of 7 by 7 pixels, as slowly as can be."""
    padded = np.pad(values.astype(float), 3, mode="edge")
    rows, columns = values.shape
    means = [[padded[y : y + 7, x : x + 7].mean() for x in range(columns)] for y in range(rows)]
    return np.floor(np.array(means) + 0.5)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_without_a_color_the_rectangle_is_blurred_from_within(dtype: str) -> None:
    frame = noise(dtype, ROWS, COLUMNS)
    before, after, _ = cleaned(profile_of(mask_of(None, "7 5 20 11")), native(make_header(frame), frame.tobytes()))
    area = inside(7, 5, 20, 11)
    assert (after[~area] == before[~area]).all()
    assert (after[5:16, 7:27] == blurred(before[5:16, 7:27])).all()


def test_each_sample_is_blurred_for_itself() -> None:
    frame = noise("u1", ROWS, COLUMNS, 3)
    before, after, _ = cleaned(profile_of(mask_of(None, "7 5 20 11")), native(make_header(frame), frame.tobytes()))
    for sample in range(3):
        assert (after[5:16, 7:27, sample] == blurred(before[5:16, 7:27, sample])).all()


def test_palette_images_are_blurred_by_their_colors_not_by_their_numbers() -> None:
    frame = noise("u1", ROWS, COLUMNS)
    grays = RNG.permutation(256).astype("u1")  # numbers say nothing of how bright they are
    header = palette_header(frame, np.repeat(grays[:, None], 3, axis=1))
    before, after, _ = cleaned(profile_of(mask_of(None, "7 5 20 11")), native(header, frame.tobytes()))
    assert (grays[after[5:16, 7:27]] == blurred(grays[before[5:16, 7:27]])).all()
    area = inside(7, 5, 20, 11)
    assert (after[~area] == before[~area]).all()


# ---- which mask ----------------------------------------------------------------------------------------------------

EVERY = mask_of((1, 0, 0), "0 0 1 1")
STATION = mask_of((2, 0, 0), "0 0 1 1", station="US1")
SIZED = mask_of((3, 0, 0), "0 0 1 1", station="US1", size="imageWidth: 60, imageHeight: 40, ")
EVERY_SIZED = mask_of((4, 0, 0), "0 0 1 1", size="imageWidth: 60, imageHeight: 40, ")


@pytest.mark.parametrize(
    ("masks", "station", "size", "reds"),
    [
        ([EVERY, STATION, SIZED], "US1", (60, 40), [3]),
        ([EVERY, STATION, SIZED], "US1", (61, 40), [2]),
        ([EVERY, STATION, SIZED], "US1", (40, 60), [2]),
        ([EVERY, STATION, SIZED], "us1", (60, 40), [1]),
        ([EVERY, STATION, SIZED], "", (60, 40), [1]),
        ([STATION, SIZED], "US2", (60, 40), []),
        ([SIZED], "US1", (61, 40), []),
        ([EVERY_SIZED], "US1", (60, 40), []),
        ([EVERY, EVERY], "US1", (60, 40), [1, 1]),
        ([STATION, EVERY, STATION], "US1", (60, 40), [2, 2]),
    ],
)
def test_mask_of_station_and_size_comes_before_that_of_the_station_before_that_of_all(
    masks: Sequence[str], station: str, size: tuple[int, int], reds: Sequence[int]
) -> None:
    found = select_masks(profile_of(*masks).masks, station, *size)
    assert [mask.color and mask.color[0] for mask in found] == reds


def test_image_without_a_mask_that_fits_is_held_and_the_reason_names_nothing_of_it() -> None:
    header = make_header(np.zeros((ROWS, COLUMNS), "u1"), StationName="HOSPITAL-US7")
    with pytest.raises(DeidentificationError, match="has no mask for the station and the size") as caught:
        plan_cleaning(profile_of(STATION), header, header, PROJECT, True)
    assert "HOSPITAL" not in caught.value.reason


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_image_that_does_not_say_its_size_is_held(keyword: str) -> None:
    header = make_header(np.zeros((ROWS, COLUMNS), "u1"))
    delattr(header, keyword)
    with pytest.raises(DeidentificationError, match=f"{keyword} cannot be read"):
        plan_cleaning(profile_of(EVERY), header, header, PROJECT, True)

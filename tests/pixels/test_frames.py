"""Frames as they are stored, from every form that pixel data has; what is cut off or contradicts itself is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pixel_objects import CORPUS, encapsulated, make_header, native, source_of
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from karnak_core.pixels import CannotDecode, PixelSource

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def ramp(dtype: str = "u2", shape: tuple[int, ...] = (6, 8)) -> np.ndarray[Any, Any]:
    """Return a frame whose numbers are all different, as far as its type has so many."""
    return (np.arange(np.prod(shape)) * 5 + 3).astype(dtype).reshape(shape)


def frames_of(file: io.BytesIO, syntax: str = ExplicitVRLittleEndian) -> list[np.ndarray[Any, Any]]:
    """Return all frames of a data set."""
    source = PixelSource.open(file, syntax)
    return [source.frame(index) for index in range(source.image.number_of_frames)]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_native_frame_has_the_numbers_that_were_written(dtype: str, syntax: str) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    frame = ramp(dtype)
    value = frame.astype(np.dtype(dtype).newbyteorder(order)).tobytes()
    if np.dtype(dtype).itemsize == 1 and order == ">":
        # bytes in words of 16 bits change places (PS3.5 annex D)
        value = frame.view("u2").byteswap().tobytes()
    read = frames_of(native(make_header(frame), value, syntax), syntax)
    assert read[0].dtype == frame.dtype
    assert np.array_equal(read[0], frame)


def test_frames_of_an_odd_number_of_bytes_in_big_endian_words_are_found() -> None:
    frames = [ramp("u1", (3, 3)), ramp("u1", (3, 3)) + 100]
    value = np.concatenate([*(frame.ravel() for frame in frames)]).view("u2").byteswap().tobytes()
    read = frames_of(native(make_header(frames[0], 2), value, ExplicitVRBigEndian), ExplicitVRBigEndian)
    assert np.array_equal(read, frames)


def test_color_by_plane_is_given_by_pixel() -> None:
    frame = ramp("u1", (4, 6, 3))
    file = native(make_header(frame, PlanarConfiguration=1), frame.transpose(2, 0, 1).tobytes())
    assert np.array_equal(frames_of(file)[0], frame)


def test_half_width_chroma_is_given_for_every_pixel() -> None:
    header = make_header(ramp("u1", (1, 4, 3)), PhotometricInterpretation="YBR_FULL_422")
    source = PixelSource.open(native(header, bytes([1, 2, 50, 60, 3, 4, 70, 80])), ExplicitVRLittleEndian)
    assert source.frame(0).tolist() == [[[1, 50, 60], [2, 50, 60], [3, 70, 80], [4, 70, 80]]]
    assert source.photometric_interpretation == "YBR_FULL"


@pytest.mark.parametrize("signed", [False, True])
def test_bits_beyond_those_stored_are_not_part_of_the_number(signed: bool) -> None:
    meant = np.array([[5, 2047], [-1, -2048]] if signed else [[5, 4095], [0, 1]], dtype="i2")
    dirty = (meant.view("u2") & 0x0FFF) | np.array([[0xF000, 0x3000], [0, 0x8000]], dtype="u2")
    header = make_header(meant if signed else meant.view("u2"), BitsStored=12)
    assert np.array_equal(frames_of(native(header, dirty.tobytes()))[0], meant if signed else meant.view("u2"))


def test_numbers_that_end_at_a_higher_bit_are_shifted_down() -> None:
    frame = np.array([[1, 4095]], dtype="u2")
    header = make_header(frame, BitsStored=12, HighBit=15)
    assert np.array_equal(frames_of(native(header, (frame << 4).tobytes()))[0], frame)


def test_frames_of_one_bit_follow_one_another_inside_bytes() -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 5, 7)).astype("u1")
    header = make_header(bits[0], 3, BitsAllocated=1, BitsStored=1)
    value = np.packbits(bits.ravel(), bitorder="little").tobytes()
    assert np.array_equal(frames_of(native(header, value)), bits)


@pytest.mark.parametrize(("tag", "dtype", "vr"), [(0x7FE00008, "f4", "OF"), (0x7FE00009, "f8", "OD")])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_floating_point_pixels_are_read(tag: int, dtype: str, vr: str, syntax: str) -> None:
    frame = np.array([[0.5, -1e30], [np.inf, 3.0]], dtype=dtype)
    header = make_header(frame)
    del header.BitsStored, header.HighBit, header.PixelRepresentation
    value = frame.astype(f">{dtype}" if syntax == ExplicitVRBigEndian else f"<{dtype}").tobytes()
    assert np.array_equal(frames_of(native(header, value, syntax, vr, tag), syntax)[0], frame)


def test_padding_behind_the_last_frame_is_no_frame() -> None:
    frame = ramp("u1", (3, 3))
    assert np.array_equal(frames_of(native(make_header(frame), frame.tobytes() + b"\0"))[0], frame)


@pytest.mark.parametrize("missing", [2, 50])
def test_native_pixels_that_are_cut_off_are_refused(missing: int) -> None:
    frame = ramp()
    with pytest.raises(CannotDecode, match="cut off"):
        frames_of(io.BytesIO(native(make_header(frame), frame.tobytes()).getvalue()[:-missing]))


@pytest.mark.parametrize("factor", [0.5, 2])
def test_native_pixels_of_another_length_than_their_frames_are_refused(factor: float) -> None:
    frame = ramp()
    value = (frame.tobytes() * 2)[: int(frame.nbytes * factor)]
    with pytest.raises(CannotDecode, match="the pixel data has"):
        frames_of(native(make_header(frame), value))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": 0}, "0 rows"),
        ({"BitsAllocated": 12}, "Bits Allocated 12"),
        ({"BitsStored": 17}, "Bits Stored 17"),
        ({"BitsStored": 12, "HighBit": 5}, "High Bit 5"),
        ({"SamplesPerPixel": 3}, "3 samples per pixel"),
        ({"PhotometricInterpretation": "SMITH"}, "that is not a known one"),
        ({"NumberOfFrames": -2}, "Number of Frames is less than 1"),
        ({"PixelRepresentation": 3}, "Pixel Representation"),
        ({"BitsStored": None, "HighBit": 15}, "BitsStored is missing"),
    ],
)
def test_description_that_cannot_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    frame = ramp()
    with pytest.raises(CannotDecode, match=reason):
        frames_of(native(make_header(frame, **changes), frame.tobytes()))


def test_number_of_frames_that_no_memory_would_hold_takes_none() -> None:
    frame = ramp()
    with pytest.raises(CannotDecode, match="the pixel data has"):
        frames_of(native(make_header(frame, NumberOfFrames=2_000_000_000), frame.tobytes()))


# ---- encapsulated ------------------------------------------------------------------------------------------------


def rle_frame(value: int) -> bytes:
    """Return an RLE frame of 4 x 4 pixels of 8 bits, all alike."""
    return (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + bytes([256 - 15, value])


FRAMES = [rle_frame(10), rle_frame(20), rle_frame(30)]
HEADER = make_header(np.zeros((4, 4), "u1"), 3)


def test_one_fragment_a_frame_needs_no_table() -> None:
    assert [frame[0, 0] for frame in frames_of(encapsulated(HEADER, FRAMES), RLE)] == [10, 20, 30]


def test_one_fragment_a_frame_is_taken_whatever_the_table_says() -> None:
    assert [frame[0, 0] for frame in frames_of(encapsulated(HEADER, FRAMES, [7, 0]), RLE)] == [10, 20, 30]


def test_fragments_are_joined_as_the_table_says() -> None:
    parts = [FRAMES[0][:32], FRAMES[0][32:], FRAMES[1], FRAMES[2][:64], FRAMES[2][64:]]
    starts = [0, 8 + 32 + 8 + 34, 8 + 32 + 8 + 34 + 8 + 66]
    assert [frame[0, 0] for frame in frames_of(encapsulated(HEADER, parts, starts), RLE)] == [10, 20, 30]


@pytest.mark.parametrize("table", [(), (0, 3, 9), (0, 8 + 32)])
def test_fragments_that_belong_to_no_certain_frame_are_refused(table: tuple[int, ...]) -> None:
    parts = [FRAMES[0][:32], FRAMES[0][32:], FRAMES[1], FRAMES[2]]
    with pytest.raises(CannotDecode, match="not clear how 4 fragments make 3 frames"):
        frames_of(encapsulated(HEADER, parts, table), RLE)


def test_fragments_are_joined_where_frames_can_be_told_by_their_beginning() -> None:
    jpeg = CORPUS / "examples_ybr_color.dcm"
    with source_of(jpeg) as source:
        encoded = [source.encoded_frame(index) for index in range(3)]
        expected = [source.frame(index) for index in range(3)]
        header = source.header
    header.NumberOfFrames = 3
    parts = [part for frame in encoded for part in (frame[:1000], frame[1000:])]
    assert np.array_equal(frames_of(encapsulated(header, parts), JPEG_BASELINE), expected)


def test_missing_frame_is_refused() -> None:
    with pytest.raises(CannotDecode, match="2 fragments for 3 frames"):
        frames_of(encapsulated(HEADER, FRAMES[:2]), RLE)


@pytest.mark.parametrize("kept", [-1, -8, -12, -70])
def test_encapsulated_pixels_that_are_cut_off_are_refused(kept: int) -> None:
    with pytest.raises(CannotDecode, match="cut off"):
        frames_of(io.BytesIO(encapsulated(HEADER, FRAMES).getvalue()[:kept]), RLE)


def test_uncompressed_pixels_in_a_compressed_syntax_are_refused() -> None:
    frame = ramp("u1")
    with pytest.raises(CannotDecode, match="uncompressed pixel data"):
        frames_of(native(make_header(frame), frame.tobytes()), RLE)


def test_compressed_pixels_in_an_uncompressed_syntax_are_refused() -> None:
    with pytest.raises(CannotDecode, match="compressed pixel data"):
        frames_of(encapsulated(HEADER, FRAMES))


def test_video_is_refused_by_name() -> None:
    with pytest.raises(CannotDecode, match="MPEG4HP41 cannot be decoded"):
        frames_of(encapsulated(HEADER, FRAMES), "1.2.840.10008.1.2.4.102")


def test_data_set_without_pixels_is_refused() -> None:
    file = native(HEADER, b"")
    with pytest.raises(CannotDecode, match="no pixel data"):
        PixelSource.open(io.BytesIO(file.getvalue()[:-12]), ExplicitVRLittleEndian)


COMPRESSED = {
    "JPEG baseline": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG lossless": "SC_rgb_jpeg_gdcm.dcm",
    "JPEG 12 bits": "JPGExtended.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000": "MR_small_jp2klossless.dcm",
    "RLE": "MR_small_RLE.dcm",
}


@pytest.mark.parametrize("name", COMPRESSED.values(), ids=COMPRESSED.keys())
@pytest.mark.parametrize("part", [0.05, 0.3, 0.7, 0.97])
def test_frame_that_is_cut_off_is_refused(name: str, part: float) -> None:
    with source_of(CORPUS / name) as source:
        encoded = source.encoded_frame(0)
        header, syntax = source.header, source.transfer_syntax_uid
    cut = encoded[: int(len(encoded) * part)]
    with pytest.raises(CannotDecode):
        frames_of(encapsulated(header, [cut]), syntax)


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm"])
@pytest.mark.parametrize("missing", [4, 10, 100])
def test_frame_that_was_cut_off_and_closed_again_is_refused(name: str, missing: int) -> None:
    with source_of(CORPUS / name) as source:
        encoded = source.encoded_frame(0).rstrip(b"\0\xff")
        header, syntax = source.header, source.transfer_syntax_uid
    closed = encoded[: -missing - 2].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(CannotDecode, match="cut off"):
        frames_of(encapsulated(header, [closed]), syntax)


@pytest.mark.parametrize("name", COMPRESSED.values(), ids=COMPRESSED.keys())
@pytest.mark.parametrize("change", [{"Rows": 7}, {"Columns": 13}, {"SamplesPerPixel": 3, "PlanarConfiguration": 0}])
def test_frame_of_another_size_than_its_data_set_says_is_refused(name: str, change: dict[str, int]) -> None:
    with source_of(CORPUS / name) as source:
        encoded = source.encoded_frame(0)
        header, syntax = source.header, source.transfer_syntax_uid
    if header.SamplesPerPixel == 3 and "SamplesPerPixel" in change:
        change = {"SamplesPerPixel": 1}
    header.PhotometricInterpretation = (
        "RGB" if (change | {}).get("SamplesPerPixel", header.SamplesPerPixel) == 3 else "MONOCHROME2"
    )
    for keyword, value in change.items():
        setattr(header, keyword, value)
    with pytest.raises(CannotDecode):
        frames_of(encapsulated(header, [encoded]), syntax)


@pytest.mark.parametrize("name", COMPRESSED.values(), ids=COMPRESSED.keys())
def test_noise_is_refused(name: str) -> None:
    with source_of(CORPUS / name) as source:
        header, syntax = source.header, source.transfer_syntax_uid
    noise = np.random.default_rng(2).bytes(4000)
    with pytest.raises(CannotDecode):
        frames_of(encapsulated(header, [noise]), syntax)

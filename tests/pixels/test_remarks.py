"""What compressed frames say beside their pixels is taken out, and every pixel stays."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pixel_objects import make_header
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from karnak_core.pixels import CannotDecode, PixelElement, PixelSource
from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.frames import UNDEFINED
from karnak_core.pixels.remarks import remarks_in, without_remarks, write_without

SECRET = b"QUILL^PETER PID-90210"
#: ends pixel data in fragments
END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
GRAY = np.random.default_rng(7).integers(0, 256, (40, 48)).astype("u1")
COLOR = np.random.default_rng(7).integers(0, 256, (40, 48, 3)).astype("u1")


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def commented(frame: bytes, comment: bytes) -> bytes:
    """Return a frame of JPEG, or of JPEG 2000, with a comment."""
    if frame.startswith(b"\xff\xd8"):
        return frame[:2] + segment(0xFE, comment) + frame[2:]
    size = 4 + struct.unpack_from(">H", frame, 4)[0]
    return frame[:size] + segment(0x64, comment) + frame[size:]


BASELINE = bytes(imagecodecs.jpeg8_encode(COLOR, 90))
LOSSLESS = bytes(imagecodecs.jpeg8_encode(GRAY, lossless=True, predictor=1))
NEAR = bytes(imagecodecs.jpegls_encode(GRAY))
WAVELET = bytes(imagecodecs.jpeg2k_encode(GRAY, codecformat="J2K", reversible=True))
BOXED = bytes(imagecodecs.jpeg2k_encode(GRAY, codecformat="JP2", reversible=True))
XL = bytes(imagecodecs.jpegxl_encode(GRAY, lossless=True, usecontainer=True))

REMARKS = {
    "comment": segment(0xFE, SECRET),
    "Exif": segment(0xE1, b"Exif\0\0" + SECRET),
    "Exif, large": segment(0xE1, b"Exif\0\0" + SECRET * 2000),
    "small picture": segment(0xE0, b"JFXX\0\x10" + SECRET),
    "Photoshop": segment(0xED, b"Photoshop 3.0\0" + SECRET),
    "SPIFF": segment(0xE8, b"SPIFF\0" + SECRET),
    "not Adobe": segment(0xEE, SECRET),
}


@pytest.mark.parametrize("remark", REMARKS.values(), ids=REMARKS)
@pytest.mark.parametrize("frame", [BASELINE, LOSSLESS, NEAR], ids=["baseline", "lossless", "JPEG-LS"])
def test_jpeg_says_nothing_but_its_pixels(frame: bytes, remark: bytes) -> None:
    plain = without_remarks(frame, "")
    assert without_remarks(plain, "") is plain
    assert without_remarks(frame[:2] + remark + frame[2:], "") == plain


@pytest.mark.parametrize("frame", [BASELINE, LOSSLESS, NEAR], ids=["baseline", "lossless", "JPEG-LS"])
@pytest.mark.parametrize("behind", [SECRET, b"\0" + SECRET + b"\0\0"])
def test_what_is_behind_the_end_of_a_jpeg_goes(frame: bytes, behind: bytes) -> None:
    assert without_remarks(frame + behind, "") == without_remarks(frame, "")
    assert without_remarks(frame + b"\0", "") is not None


def test_second_picture_of_a_camera_goes() -> None:
    several = BASELINE[:2] + segment(0xE2, b"MPF\0" + bytes(80)) + BASELINE[2:]
    assert without_remarks(several + REMARKS["Exif"].join((BASELINE[:2], BASELINE[2:])), "") == BASELINE


def test_what_makes_the_colors_stays() -> None:
    jfif = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\2\1" + SECRET[:6])
    kept = segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(100)) + segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    start = BASELINE.index(b"\xff\xdb")
    bare = without_remarks(b"\xff\xd8" + jfif + kept + BASELINE[start:], "")
    assert bare == b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0") + kept + BASELINE[start:]


def test_jpeg_2000_says_nothing_but_its_pixels() -> None:
    # a codec's own name is nobody's else
    assert b"\0\1Created by OpenJPEG version" in WAVELET
    assert without_remarks(WAVELET, "") is WAVELET
    for said in (SECRET, b"Kakadu-2.2 for " + SECRET, b"Kakadu-" + SECRET):
        assert without_remarks(commented(WAVELET, b"\0\1" + said), "") == WAVELET
    assert without_remarks(WAVELET + SECRET, "") == WAVELET


def test_boxes_that_make_no_image_go() -> None:
    plain = without_remarks(BOXED, "")
    assert np.array_equal(imagecodecs.jpeg2k_decode(plain), GRAY)
    at = BOXED.index(b"jp2h") - 4
    for kind in (b"xml ", b"uuid", b"free"):
        assert without_remarks(BOXED[:at] + box(kind, SECRET) + BOXED[at:], "") == plain
    assert np.array_equal(imagecodecs.jpegxl_decode(without_remarks(XL + box(b"Exif", SECRET), "")), GRAY)
    assert without_remarks(XL, "") is XL


def test_remarks_of_a_jpeg_in_jpeg_xl_go() -> None:
    codecs: Any = imagecodecs
    plain = bytes(imagecodecs.jpegxl_encode_jpeg(BASELINE))
    said = bytes(imagecodecs.jpegxl_encode_jpeg(BASELINE[:2] + REMARKS["comment"] + BASELINE[2:]))
    assert without_remarks(plain, ts.JPEG_XL_RECOMPRESSION) is plain
    assert codecs.jpegxl_decode_jpeg(without_remarks(said, ts.JPEG_XL_RECOMPRESSION)) == BASELINE


@pytest.mark.parametrize(
    "frame",
    [b"\xff\xd8", b"\xff\xd8\xff", BASELINE[:30], b"\xff\xd8" + SECRET, WAVELET[:60], b"\xff\x4f\xff\x51", BOXED[:60]],
)
def test_beginning_that_cannot_be_read_is_refused(frame: bytes) -> None:
    with pytest.raises(CannotDecode):
        without_remarks(frame, "")


@pytest.mark.parametrize("frame", [b"", SECRET, bytes(100)])
def test_what_is_no_such_frame_is_left_alone(frame: bytes) -> None:
    assert without_remarks(frame, "") is frame


# ---- in pixel data --------------------------------------------------------------------------------------------------


def written_without(path: Path, offset: int, element: PixelElement, header: Any, syntax: str, folder: Path) -> Path:
    made = folder / "made"
    with open(path, "rb") as file, open(made, "w+b") as write:
        assert remarks_in(file, element, header, syntax)
        write.write(path.read_bytes()[:offset])
        write_without(file, element, header, syntax, write)
    return made


CORPUS = [
    *("693_J2KI.dcm", "JPEG2000.dcm", "examples_jpeg2k.dcm", "MR_small_jpeg_ls_lossless.dcm"),
    *("SC_rgb_jls_lossy_line.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_small_odd_jpeg.dcm"),
    *("JPGExtended.dcm", "examples_ybr_color.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm"),
]


@pytest.mark.parametrize("name", CORPUS)
def test_files_are_what_they_were_without_what_was_said_in_them(name: str, tmp_path: Path) -> None:
    ds = dcmread(str(get_testdata_file(name)))
    syntax = ds.file_meta.TransferSyntaxUID
    count = int(ds.get("NumberOfFrames") or 1)
    plain = [without_remarks(frame, syntax) for frame in generate_frames(ds.PixelData, number_of_frames=count)]
    path = tmp_path / "received"
    path.write_bytes(encapsulate([commented(frame, b"\0\1" + SECRET) for frame in plain]) + END)
    element = PixelElement(tag=0x7FE00010, vr="OB", offset=0, length=UNDEFINED)
    made = written_without(path, 0, element, ds, syntax, tmp_path).read_bytes()
    assert SECRET not in made
    filling = b"\0\xff \n\r"
    assert [frame.rstrip(filling) for frame in generate_frames(made[12:], number_of_frames=count)] == [
        frame.rstrip(filling) for frame in plain
    ]


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("fragments", [1, 3])
def test_frames_in_fragments_and_their_offsets_stay_together(fragments: int, extended: bool, tmp_path: Path) -> None:
    if extended and fragments > 1:
        pytest.skip("a frame with an extended offset has one fragment")
    said = [BASELINE[:2] + REMARKS["Exif, large"] + BASELINE[2:], BASELINE]
    header = make_header(COLOR, 2)
    value = encapsulate_extended(said)[0] if extended else encapsulate(said, fragments_per_frame=fragments)
    path = tmp_path / "received"
    path.write_bytes(value + END)
    if extended:
        header.ExtendedOffsetTable = b"\0\0"
    element = PixelElement(tag=0x7FE00010, vr="OB", offset=0, length=UNDEFINED)
    made = written_without(path, 0, element, header, ts.JPEG_BASELINE, tmp_path)
    content = made.read_bytes()
    assert SECRET not in content
    assert content.count(BASELINE) == 2
    whole = io.BytesIO()
    make_header(COLOR, 2).save_as(whole, implicit_vr=False, little_endian=True)
    whole.write(content)
    whole.seek(0)
    read = dcmread(whole, force=True)
    assert ("ExtendedOffsetTable" in read) == extended
    source = PixelSource.open(whole, ts.JPEG_BASELINE)
    assert np.array_equal(source.frame(0), source.frame(1))


def test_many_frames_without_remarks_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "received"
    path.write_bytes(encapsulate([BASELINE, BASELINE + b"\0"]) + END)
    with open(path, "rb") as file:
        element = PixelElement(tag=0x7FE00010, vr="OB", offset=0, length=UNDEFINED)
        assert not remarks_in(file, element, make_header(COLOR, 2), ts.JPEG_BASELINE)


@pytest.mark.parametrize(
    ("surplus", "goes"), [(b"", False), (b"\0", False), (bytes(50), False), (b"\0\0" + SECRET, True)]
)
def test_what_is_behind_native_pixels_goes(surplus: bytes, goes: bool, tmp_path: Path) -> None:
    path = tmp_path / "received"
    path.write_bytes(GRAY.tobytes() + surplus)
    header = make_header(GRAY)
    element = PixelElement(tag=0x7FE00010, vr="OB", offset=0, length=GRAY.size + len(surplus))
    with open(path, "rb") as file, io.BytesIO() as write:
        assert remarks_in(file, element, header, ts.EXPLICIT) == goes
        write_without(file, element, header, ts.EXPLICIT, write)
        assert write.getvalue()[12:] == GRAY.tobytes()

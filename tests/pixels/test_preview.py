"""Pictures of what was cleaned: before on the left, after on the right, masks outlined."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pixel_objects import make_header, native
from pydicom import Dataset

from karnak_core.deidentify import Rectangle
from karnak_core.part10 import file_beginning
from karnak_core.pixels import CannotDecode
from karnak_core.pixels.png import to_png
from karnak_core.pixels.preview import OUTLINE, preview_pngs

ROWS, COLUMNS, GAP = 20, 30, 8
EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
MASK = Rectangle(x=4, y=3, width=6, height=5)


def write(path: Path, header: Dataset, frames: NDArray[Any], syntax: str = EXPLICIT) -> Path:
    beginning = file_beginning(
        sop_class_uid=header.SOPClassUID,
        sop_instance_uid=header.SOPInstanceUID,
        transfer_syntax_uid=syntax,
        calling_ae_title="TEST",
    )
    value = native(header, frames.tobytes()).getvalue()
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-15)
        value = deflate.compress(value) + deflate.flush()
    path.write_bytes(beginning + value)
    return path


def read_png(path: Path) -> NDArray[np.uint8]:
    """Read a PNG of eight bits without filters, checking its checksums."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        name, value = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        (check,) = struct.unpack(">I", content[place + 8 + length : place + 12 + length])
        assert zlib.crc32(name + value) == check
        chunks[name] = value
        place += 12 + length
    columns, rows, *kind = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert kind == [8, 2, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), "u1").reshape(rows, 1 + 3 * columns)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(rows, columns, 3)


def shown(tmp_path: Path, header: Dataset, before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.uint8]:
    one, two = write(tmp_path / "a.dcm", header, before), write(tmp_path / "b.dcm", header, after)
    (picture,) = preview_pngs(one, two, tmp_path / "out", rectangles=[MASK])
    assert picture == tmp_path / "out" / "b-frame-0001.png"
    return read_png(picture)


def test_both_are_shown_side_by_side_and_masks_are_outlined_from_outside(tmp_path: Path) -> None:
    before = np.full((ROWS, COLUMNS), 100, "u2")
    before[0, 0] = 200
    after = before.copy()
    after[3:8, 4:10] = 200
    header = make_header(before)
    picture = shown(tmp_path, header, before, after)
    assert picture.shape == (ROWS, 2 * COLUMNS + GAP, 3)
    left, right = picture[:, :COLUMNS], picture[:, COLUMNS + GAP :]
    assert (picture[:, COLUMNS : COLUMNS + GAP] == 255).all()
    for side in (left, right):
        assert (side[2:9, 3] == OUTLINE).all()
        assert (side[2:9, 10] == OUTLINE).all()
        assert (side[2, 3:11] == OUTLINE).all()
        assert (side[8, 3:11] == OUTLINE).all()
    assert (left[3:8, 4:10] == 0).all()
    assert (right[3:8, 4:10] == 255).all()
    assert (left[0, 0] == 255).all()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_gray_is_shown_by_the_window_of_the_header(tmp_path: Path, photometric: str) -> None:
    frame = np.full((ROWS, COLUMNS), 1024, "u2")
    header = make_header(frame, PhotometricInterpretation=photometric, WindowCenter=[0, 9], WindowWidth=[201, 9])
    header.RescaleSlope, header.RescaleIntercept = 1, -1024
    frame[0, 0], frame[0, 1] = 924, 1124
    picture = shown(tmp_path, header, frame, frame)
    expected = [0, 255, 128] if photometric == "MONOCHROME2" else [255, 0, 128]
    assert picture[0, :3, 0].tolist() == expected


def test_colors_are_shown_as_they_are(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (ROWS, COLUMNS, 3)).astype("u1")
    assert (shown(tmp_path, make_header(rgb), rgb, rgb)[0, :COLUMNS] == rgb[0]).all()
    ybr = np.zeros((ROWS, COLUMNS, 3), "u1")
    ybr[:] = (76, 85, 255)
    red = shown(tmp_path, make_header(ybr, PhotometricInterpretation="YBR_FULL"), ybr, ybr)[0, 0].astype(int)
    assert abs(red - (254, 0, 0)).max() <= 2
    indexes = np.full((ROWS, COLUMNS), 1, "u1")
    header = make_header(indexes, PhotometricInterpretation="PALETTE COLOR")
    for name, value in (("Red", 10), ("Green", 20), ("Blue", 30)):
        setattr(header, f"{name}PaletteColorLookupTableDescriptor", [2, 0, 16])
        setattr(header, f"{name}PaletteColorLookupTableData", np.array([0, value * 257], "<u2").tobytes())
    assert shown(tmp_path, header, indexes, indexes)[0, 0].tolist() == [10, 20, 30]


def test_first_last_and_some_between_of_many_frames_are_shown(tmp_path: Path) -> None:
    frames = np.arange(11 * ROWS * COLUMNS).astype("u2").reshape(11, ROWS, COLUMNS)
    path = write(tmp_path / "a.dcm", make_header(frames[0], frames=11), frames)
    written = preview_pngs(path, path, tmp_path / "out", most=3)
    assert [one.name for one in written] == [f"a-frame-{number:04}.png" for number in (1, 6, 11)]


def test_deflated_file_is_shown(tmp_path: Path) -> None:
    frame = np.zeros((ROWS, COLUMNS), "u1")
    header = make_header(frame)
    one, two = write(tmp_path / "a.dcm", header, frame, DEFLATED), write(tmp_path / "b.dcm", header, frame)
    assert len(preview_pngs(one, two, tmp_path / "out")) == 1


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    frame = np.zeros((ROWS, COLUMNS), "u1")
    one = write(tmp_path / "a.dcm", make_header(frame), frame)
    two = write(tmp_path / "b.dcm", make_header(frame[1:]), frame[1:])
    with pytest.raises(CannotDecode, match="different sizes"):
        preview_pngs(one, two, tmp_path / "out")


def test_png_of_one_pixel_is_a_png(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(to_png(np.array([[[1, 2, 3]]], "u1")))
    assert read_png(tmp_path / "x.png").tolist() == [[[1, 2, 3]]]

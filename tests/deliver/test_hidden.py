"""Where an original value, or an original pixel, could hide on its way out: none gets through."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate, get_frame

from karnak_core.deidentify import Profile, Project, basic_profile
from karnak_core.deliver.conversion import Conversion
from karnak_core.deliver.identity import DeIdentification
from karnak_core.deliver.pixels import PixelRule
from karnak_core.errors import Permanent
from karnak_core.part10 import read_outgoing
from karnak_core.testing import dataset_bytes, make_dataset, make_file

EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
#: no number of it is zero, and no part of it is like another one
FRAME = np.random.default_rng(1).integers(1, 4096, (64, 64)).astype("<u2")


class Pseudonyms:
    """Everybody is called the same."""

    def pseudonym(self, dataset: Dataset, project: str) -> str:
        return "PSN-1"

    def close(self) -> None:
        """Nothing is held."""


def profile_of(*elements: str, masks: str = "") -> Profile:
    lines = ["name: P", "profileElements:", *(f"  - {{name: n, {element}}}" for element in elements)]
    return Profile.from_yaml("\n".join([*lines, f"masks: [{masks}]"])).require()


BASIC = "codename: basic.dicom.profile"
MASKS = profile_of("codename: clean.pixel.data", BASIC, masks="{color: '000000', rectangles: ['0 0 2 2']}")


def sent(path: Path, profile: Profile | None = None, *, wanted: str = "", identify: bool = False) -> bytes:
    """Return the file that goes out."""
    identity = DeIdentification(
        profile=profile or basic_profile(),
        project=lambda: Project(name="P", secret=bytes(16)),
        source=Pseudonyms(),
        fetch=lambda _: "",
        give_back=lambda: None,
        leak_check=True,
    )
    conversion = Conversion(
        identity=None if identify else identity, pixels=PixelRule(wanted=wanted), workspace=path.parent
    )
    prepared = conversion.prepare(read_outgoing(path), 1_700_000_000_000, "FORWARD")
    try:
        return prepared.outgoing.path.read_bytes()
    finally:
        prepared.close()


def write(ds: Dataset, folder: Path) -> Path:
    path = folder / "received.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Return an element in Explicit VR Little Endian."""
    start = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    return start + struct.pack("<2xI" if vr in (b"OB", b"OW", b"SQ", b"UT") else "<H", len(value)) + value


def item(value: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


def burned_in(folder: Path, **elements: Any) -> Path:
    return make_file(folder, BurnedInAnnotation="YES", PixelData=FRAME.tobytes(), **elements)


# ---- pixels ---------------------------------------------------------------------------------------------------------

PIXELS = element(0x7FE00010, b"OW", FRAME.tobytes())
PADDING = element(0xFFFCFFFC, b"OB", b"\0\0")


@pytest.mark.parametrize(
    "ending",
    [PIXELS + PADDING + PIXELS, PIXELS + element(0x7FE10010, b"LO", b"ACME") + PIXELS, PIXELS + PIXELS],
    ids=["behind padding", "behind a private group", "at once"],
)
def test_second_pixels_do_not_go_out_beside_masked_ones(ending: bytes, tmp_path: Path) -> None:
    path = burned_in(tmp_path)
    content = path.read_bytes()
    assert content.endswith(PIXELS)
    path.write_bytes(content.removesuffix(PIXELS) + ending)
    with pytest.raises(Permanent, match=r"order of their tags|more than one element with pixels"):
        sent(path, MASKS)


def test_pixels_behind_elements_that_come_after_them_are_not_overlooked_in_big_endian(tmp_path: Path) -> None:
    path = make_file(
        tmp_path, transfer_syntax_uid=BIG_ENDIAN, BurnedInAnnotation="YES", PixelData=FRAME.byteswap().tobytes()
    )
    content = path.read_bytes()
    at = content.rindex(b"\x7f\xe0\x00\x10OW")
    path.write_bytes(content[:at] + struct.pack(">HH2sH4s", 0x7FE1, 0x10, b"LO", 4, b"ACME") + content[at:])
    with pytest.raises(Permanent, match="order of their tags"):
        sent(path, MASKS)


@pytest.mark.parametrize("wanted", ["", EXPLICIT, "1.2.840.10008.1.2.4.80"])
def test_pixels_that_a_wrong_length_hides_in_another_value_are_not_sent(wanted: str, tmp_path: Path) -> None:
    path = burned_in(tmp_path, transfer_syntax_uid="1.2.840.10008.1.2")
    content = path.read_bytes()
    # Bits Stored, which is said to have more bytes than there are
    path.write_bytes(content.replace(b"\x28\0\x01\x01\2\0\0\0", b"\x28\0\x01\x01\0\0\2\0"))
    with pytest.raises(Permanent, match="the data set cannot be read"):
        sent(path, MASKS, wanted=wanted)


def test_pixels_in_a_sequence_are_not_sent_where_pixels_have_to_be_cleaned(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new(0x7FE00010, "OW", FRAME.tobytes())
    ds = make_dataset(BurnedInAnnotation="YES")
    ds.add_new(0x00540016, "SQ", [item])
    path = write(ds, tmp_path)
    with pytest.raises(Permanent, match="others in a sequence"):
        sent(path, MASKS)
    ds.BurnedInAnnotation = "NO"
    assert FRAME.tobytes() in sent(write(ds, tmp_path), MASKS)


@pytest.mark.parametrize("group", [0x6000, 0x601E, 0x6020, 0x60FE])
def test_overlay_of_any_group_is_masked(group: int, tmp_path: Path) -> None:
    ds = make_dataset(BurnedInAnnotation="YES")
    for number, vr, value in (
        *((0x10, "US", 64), (0x11, "US", 64), (0x40, "CS", "G"), (0x50, "SS", [1, 1])),
        *((0x100, "US", 1), (0x102, "US", 0), (0x3000, "OW", b"\xff" * 512)),
    ):
        ds.add_new(group << 16 | number, vr, value)
    keep = "codename: action.on.specific.tags, action: K, tags: ['(60XX,XXXX)']"
    profile = profile_of(
        "codename: clean.pixel.data", keep, BASIC, masks="{color: '000000', rectangles: ['0 0 64 32']}"
    )
    new = pydicom.dcmread(io.BytesIO(sent(write(ds, tmp_path), profile)))
    assert new[group << 16 | 0x3000].value == b"\0" * 256 + b"\xff" * 256


def jpeg(seed: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(np.random.default_rng(seed).integers(0, 256, (64, 64)).astype("u1"), 90))


def jpeg_ls(seed: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(np.random.default_rng(seed).integers(0, 256, (64, 64)).astype("u1")))


def jpeg_2000(seed: int) -> bytes:
    frame = np.random.default_rng(seed).integers(0, 256, (64, 64)).astype("u1")
    return bytes(imagecodecs.jpeg2k_encode(frame, codecformat="J2K", reversible=True))


def rle(seed: int) -> bytes:
    # every run of it is a literal one
    rows = np.random.default_rng(seed).integers(0, 256, (64, 64)).astype("u1")
    segment = b"".join(b"\x3f" + row.tobytes() for row in rows)
    return struct.pack("<16I", 1, 64, *[0] * 14) + segment


CODECS = [
    pytest.param(jpeg, "1.2.840.10008.1.2.4.50", id="JPEG"),
    pytest.param(jpeg_ls, "1.2.840.10008.1.2.4.80", id="JPEG-LS"),
    pytest.param(jpeg_2000, "1.2.840.10008.1.2.4.90", id="JPEG 2000"),
]


@pytest.mark.parametrize("joined", [False, True], ids=["fragments", "one fragment"])
@pytest.mark.parametrize(("codec", "syntax"), [*CODECS, pytest.param(rle, "1.2.840.10008.1.2.5", id="RLE")])
def test_no_frame_is_lost_where_number_of_frames_is_too_small(
    codec: Any, syntax: str, joined: bool, tmp_path: Path
) -> None:
    frames = [codec(1) + codec(2)] if joined else [codec(1), codec(2), codec(3)]
    eight_bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    path = make_file(tmp_path, transfer_syntax_uid=syntax, PixelData=encapsulate(frames), **eight_bits)
    # as it was received, and not the first of its frames alone
    assert dataset_bytes(path) in sent(path, wanted=EXPLICIT, identify=True)
    path = make_file(
        tmp_path,
        transfer_syntax_uid=syntax,
        BurnedInAnnotation="YES",
        PixelData=encapsulate(frames),
        **eight_bits,
    )
    with pytest.raises(Permanent, match=r"several frames|goes on behind its end|more pixels"):
        sent(path, MASKS)


# ---- beside the pixels ----------------------------------------------------------------------------------------------

SAID = b"Test^Nobody TEST-1 1970-01-01 48.8584N 2.2945E"
BASELINE = "1.2.840.10008.1.2.4.50"


def said_in(frame: bytes) -> bytes:
    return frame[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(SAID) + 8) + b"Exif\0\0" + SAID + frame[2:]


def color_image(folder: Path, *frames: bytes, end: bytes = b"") -> Path:
    eight_bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "NumberOfFrames": len(frames)}
    value = encapsulate([frame + end for frame in frames])
    return make_file(folder, transfer_syntax_uid=BASELINE, PixelData=value, **eight_bits)


@pytest.mark.parametrize("wanted", ["", BASELINE, EXPLICIT, "1.2.840.10008.1.2.4.111"])
def test_what_a_camera_wrote_into_a_jpeg_does_not_go_out(wanted: str, tmp_path: Path) -> None:
    path = color_image(tmp_path, said_in(jpeg(1)), jpeg(2))
    assert b"48.8584N" in path.read_bytes()
    new = sent(path, wanted=wanted)
    assert b"48.8584N" not in new
    assert b"Exif" not in new
    if wanted != "1.2.840.10008.1.2.4.111":
        read = pydicom.dcmread(io.BytesIO(new))
        assert np.array_equal(read.pixel_array, pydicom.dcmread(path).pixel_array)
    else:
        value = new[new.rindex(b"\xe0\x7f\x10\0OB") + 12 :]
        codecs: Any = imagecodecs
        assert codecs.jpegxl_decode_jpeg(get_frame(value, 0, number_of_frames=2)) == jpeg(1)
    # whoever does not de-identify forwards what came
    assert SAID in sent(path, identify=True)


def test_frames_that_say_nothing_go_out_as_they_came(tmp_path: Path) -> None:
    path = color_image(tmp_path, jpeg(1), jpeg(2))
    content = path.read_bytes()
    assert sent(path).endswith(content[content.rindex(b"\xe0\x7f\x10\0OB") :])


def test_transcoding_that_is_refused_does_not_let_out_what_frames_say(tmp_path: Path) -> None:
    # frames that are cut off are not transcoded, and go out in the syntax that they came in
    path = color_image(tmp_path, said_in(jpeg(1))[:-400] + b"\xff\xd9")
    assert b"48.8584N" in sent(path, wanted=EXPLICIT, identify=True)
    assert b"48.8584N" not in sent(path, wanted=EXPLICIT)


@pytest.mark.parametrize("where", ["behind", "table", "native"])
def test_name_beside_pixels_that_cannot_be_taken_out_is_held(where: str, tmp_path: Path) -> None:
    if where == "native":
        # as much as a frame: perhaps it is one
        path = make_file(tmp_path, PixelData=bytes(16380) + b" Test^Nobody")
    elif where == "behind":
        path = color_image(tmp_path, jpeg(1), end=b"Test^Nobody\xff\xd9")
    else:
        path = color_image(tmp_path, jpeg(1))
        content = path.read_bytes()
        table = struct.pack("<HHII", 0xFFFE, 0xE000, 4, 0)
        named = struct.pack("<HHI", 0xFFFE, 0xE000, 12) + b"Test^Nobody "
        path.write_bytes(content.replace(table, named))
    with pytest.raises(Permanent, match=r"Patient's Name stands in \(7FE0,0010\), beside the pixels"):
        sent(path)


def test_what_is_behind_native_pixels_does_not_go_out(tmp_path: Path) -> None:
    path = make_file(tmp_path, PixelData=FRAME.tobytes() + b"St. Elsewhere ")
    new = sent(path)
    assert b"Elsewhere" not in new
    assert np.array_equal(pydicom.dcmread(io.BytesIO(new)).pixel_array, FRAME)


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vr", "around"), [*((vr, 0) for vr in (b"OB", b"OW", b"UT", b"LO")), (b"OB", 0x00540022), (b"OW", 0x0040A730)]
)
def test_sequence_that_calls_itself_something_else_is_held(vr: bytes, around: int, tmp_path: Path) -> None:
    value = item(element(0x00080080, b"LO", b"St. Elsewhere Hospital"))
    hidden = element(0x00540016, vr, value)
    path = make_file(tmp_path)
    content = path.read_bytes()
    at = content.rindex(b"\xe0\x7f\x10\0OW")
    path.write_bytes(content[:at] + (element(around, b"SQ", item(hidden)) if around else hidden) + content[at:])
    with pytest.raises(Permanent, match=r"\(0054,0016\) \w\w: it should be a sequence"):
        sent(path)


def test_keeping_the_name_does_not_let_it_out_elsewhere(tmp_path: Path) -> None:
    # at the root the name and the ID are written anew, whatever the profile says
    keep = "codename: action.on.specific.tags, action: K, tags: ['(0010,XXXX)', '(0008,103E)']"
    path = make_file(tmp_path, SeriesDescription="of Nobody", PatientBirthDate="", PatientID="ID-4711")
    with pytest.raises(Permanent, match=r"leak check: the received part of Patient's Name stands in \(0008,103E\)"):
        sent(path, profile_of(keep, BASIC))
    path = make_file(tmp_path, SeriesDescription="of ID-4711", PatientBirthDate="", PatientID="ID-4711")
    with pytest.raises(Permanent, match=r"leak check: the received Patient ID stands in \(0008,103E\)"):
        sent(path, profile_of(keep, BASIC))


@pytest.mark.parametrize("private", [True, False])
def test_name_in_a_sequence_that_is_kept_is_held(private: bool, tmp_path: Path) -> None:
    item = Dataset()
    item.PatientName, item.ReferencedSOPInstanceUID = "Test^Nobody", "1.2.826.0.1.3680043.8.498.1"
    ds = make_dataset()
    if private:
        ds.private_block(0x11, "ACME", create=True).add_new(1, "SQ", [item])
        keep = "codename: action.on.privatetags, action: K, tags: ['(0011,XXXX)']"
    else:
        ds.add_new(0x00081140, "SQ", [item])
        keep = "codename: action.on.specific.tags, action: K, tags: ['(0008,1140)']"
    with pytest.raises(Permanent, match=r"leak check: the received part of Patient's Name stands in"):
        sent(write(ds, tmp_path), profile_of(keep, BASIC))
    # what nobody is known by goes out with the sequence, and so does a name that is kept itself
    item.PatientName = ""
    assert b"1.2.826.0.1.3680043.8.498.1" in sent(write(ds, tmp_path), profile_of(keep, BASIC))
    item.PatientName = "Test^Nobody"
    named = "codename: action.on.specific.tags, action: K, tags: ['(0010,0010)']"
    assert b"Test^Nobody" in sent(write(ds, tmp_path), profile_of(named, keep, BASIC))


# ---- what calls itself another transfer syntax ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Expected implicit VR")
@pytest.mark.parametrize("identify", [False, True])
@pytest.mark.parametrize("wanted", ["", EXPLICIT, "1.2.840.10008.1.2.4.80"])
def test_explicit_elements_under_the_name_of_implicit_ones_are_read_as_they_are(
    wanted: str, identify: bool, tmp_path: Path
) -> None:
    path = make_file(tmp_path, pixels=128, PixelData=np.tile(FRAME, (2, 2)).tobytes())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1))
    new = pydicom.dcmread(io.BytesIO(sent(path, wanted=wanted, identify=identify)))
    assert np.array_equal(new.pixel_array, np.tile(FRAME, (2, 2)))

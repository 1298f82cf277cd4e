"""Pixels in another transfer syntax: written whole, the same where nothing may be lost, said where something is."""

from __future__ import annotations

import copy
import io
import threading
import tracemalloc
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pydicom.encaps
import pytest
from pixel_objects import CORPUS, decoded_frames, encapsulated, make_header, native, source_of
from pydicom import Dataset
from pydicom.encaps import generate_frames, parse_basic_offsets
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from karnak_core.pixels import (
    CannotDecode,
    CannotTranscode,
    PixelSource,
    Transcoded,
    TranscodeOptions,
    fitting,
    transcode,
)
from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.attributes import derived_uid
from karnak_core.pixels.encode import encoder
from karnak_core.pixels.verify import verify

LOSSLESS = [syntax.uid for syntax in ts.OFFERED if syntax.lossless and syntax.uid not in ts.NATIVE]
LOSSY = [syntax.uid for syntax in ts.OFFERED if not syntax.lossless and syntax.uid != ts.JPEG_XL_RECOMPRESSION]


def photo(dtype: str = "u1", bits: int = 8, shape: tuple[int, ...] = (64, 80)) -> np.ndarray[Any, Any]:
    """Return a frame with edges, gradients and a little noise, over all numbers of its bits."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: shape[0], : shape[1]]
    plane = (np.sin(x / 9) + np.cos(y / 7) + ((x // 20 + y // 16) % 2)) / 3
    planes = np.stack([plane, np.roll(plane, 5, 0), -plane], axis=-1)
    numbers = planes if len(shape) == 3 else plane
    numbers = numbers + rng.normal(0, 0.01, numbers.shape)
    numbers = (numbers - numbers.min()) / (numbers.max() - numbers.min()) * (2**bits - 1)
    return (numbers - (2 ** (bits - 1) if dtype[0] == "i" else 0)).astype(dtype)


def source(frame: np.ndarray[Any, Any], frames: int = 1, **changes: Any) -> PixelSource:
    """Return an uncompressed object whose frames are alike."""
    header = make_header(frame, frames, **changes)
    return PixelSource.open(native(header, frame.tobytes() * frames), ExplicitVRLittleEndian)


def done(src: PixelSource, target: str, **more: Any) -> tuple[Transcoded, io.BytesIO]:
    """Transcode; what is returned is the whole data set."""
    written = io.BytesIO()
    result = transcode(src, src.header, target, written, **more)
    assert result.size == written.tell() == len(written.getvalue())
    return result, written


FORMS: dict[str, tuple[np.ndarray[Any, Any], dict[str, Any]]] = {
    "8 bits": (photo(), {}),
    "6 bits": (photo(bits=6), {"BitsStored": 6}),
    "12 bits": (photo("u2", 12), {"BitsStored": 12}),
    "16 bits": (photo("u2", 16), {}),
    "8 bits in 16": (photo("u2", 8), {"BitsStored": 8}),
    "12 bits signed": (photo("i2", 12), {"BitsStored": 12}),
    "16 bits signed": (photo("i2", 16), {}),
    "8 bits signed": (photo("i1", 8), {}),
    "MONOCHROME1": (photo("u2", 10), {"BitsStored": 10, "PhotometricInterpretation": "MONOCHROME1"}),
    "RGB": (photo(shape=(64, 80, 3)), {}),
    "RGB 16 bits": (photo("u2", 16, (64, 80, 3)), {}),
    "YBR_FULL": (photo(shape=(64, 80, 3)), {"PhotometricInterpretation": "YBR_FULL"}),
    "palette": (photo(), {"PhotometricInterpretation": "PALETTE COLOR"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", LOSSLESS, ids=lambda uid: ts.SYNTAXES[uid].keyword)
def test_lossless_frames_are_the_same_in_every_form(form: str, target: str) -> None:
    frame, changes = FORMS[form]
    result, written = done(source(frame, 2, **changes), target)
    assert np.array_equal(decoded_frames(result.header, written.getvalue(), target), [frame, frame])
    assert "LossyImageCompression" not in result.header
    assert result.header.SOPInstanceUID == "2.25.111"
    assert result.header.ImageType == ["ORIGINAL", "PRIMARY"]
    assert not result.lossy


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", LOSSY, ids=lambda uid: ts.SYNTAXES[uid].keyword)
def test_lossy_frames_are_nearly_the_same_or_refused(form: str, target: str) -> None:
    frame, changes = FORMS[form]
    src = source(frame, 2, **changes)
    if fitting(target, src.output_image) != target:
        with pytest.raises(CannotTranscode, match="cannot hold pixels"):
            done(src, target)
        return
    result, written = done(src, target)
    read = decoded_frames(result.header, written.getvalue(), target)
    if result.header.PhotometricInterpretation != "YBR_FULL_422" or form == "RGB":
        span = src.image.highest - src.image.lowest
        assert np.abs(read.astype(float) - frame).max() <= (2 if target == ts.JPEG_LS_NEAR else span * 0.25)
        assert np.abs(read.astype(float) - frame).mean() <= span * 0.02
    assert result.lossy


@pytest.mark.parametrize("target", LOSSY, ids=lambda uid: ts.SYNTAXES[uid].keyword)
def test_losses_are_said_and_make_it_another_object(target: str) -> None:
    src = source(photo())
    result, _ = done(src, target)
    header = result.header
    assert header.LossyImageCompression == "01"
    assert header.LossyImageCompressionMethod == ts.SYNTAXES[target].method
    assert result.ratio is not None
    assert float(header.LossyImageCompressionRatio) == pytest.approx(result.ratio, rel=1e-4)
    assert header.ImageType == ["DERIVED", "PRIMARY"]
    assert ts.SYNTAXES[target].keyword in header.DerivationDescription
    assert header.DerivationCodeSequence[0].CodeValue == "113040"
    assert header.SourceImageSequence[0].ReferencedSOPInstanceUID == "2.25.111"
    assert header.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
    assert header.SOPInstanceUID.startswith("2.25.")
    assert header.SOPInstanceUID != "2.25.111"
    assert src.header.SOPInstanceUID == "2.25.111"
    assert "LossyImageCompression" not in src.header


def test_lossy_copy_has_the_same_uid_whenever_it_is_made_and_another_one_for_another_quality() -> None:
    uids = [
        done(source(photo()), ts.JPEG_BASELINE, options=TranscodeOptions(quality=quality))[0].header.SOPInstanceUID
        for quality in (85, 85, 50)
    ]
    assert uids[0] == uids[1] != uids[2]
    assert uids[0] == derived_uid("2.25.111", f"{ts.JPEG_BASELINE} 85 10.0 2")


def test_uids_of_lossy_copies_can_be_made_by_the_caller() -> None:
    result, _ = done(source(photo()), ts.JPEG_BASELINE, new_uid=lambda uid, _parameters: uid + ".1")
    assert result.header.SOPInstanceUID == "2.25.111.1"


def test_losses_are_added_to_those_before() -> None:
    before = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "4",
        "LossyImageCompressionMethod": "ISO_15444_1",
        "DerivationDescription": "cropped",
    }
    header = done(source(photo(), **before), ts.JPEG_BASELINE)[0].header
    assert list(header.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert header.LossyImageCompressionRatio[0] == 4
    assert header.DerivationDescription.startswith("cropped; lossy compression")


@pytest.mark.parametrize(
    ("ratios", "methods", "expected"),
    [
        ("4", None, (["4", "*"], ["", "ISO_10918_1"])),
        (None, "ISO_15444_1", (["", "*"], ["ISO_15444_1", "ISO_10918_1"])),
        (["4", "2.125"], "ISO_15444_1", (["4", "2.125", "*"], ["ISO_15444_1", "", "ISO_10918_1"])),
        ("4", ["ISO_15444_1", "ISO_14495_1"], (["4", "", "*"], ["ISO_15444_1", "ISO_14495_1", "ISO_10918_1"])),
    ],
)
def test_ratio_and_method_belong_together_by_their_place(ratios: Any, methods: Any, expected: Any) -> None:
    before = {"LossyImageCompressionRatio": ratios, "LossyImageCompressionMethod": methods}
    said: dict[str, Any] = {keyword: value for keyword, value in before.items() if value is not None}
    result, written = done(source(photo(), 1, LossyImageCompression="01", **said), ts.JPEG_BASELINE)
    header = PixelSource.open(io.BytesIO(whole(result, written)), ts.JPEG_BASELINE).header
    *first, last = map(str, header.LossyImageCompressionRatio)
    assert first == expected[0][:-1]
    assert float(last) == pytest.approx(result.ratio, rel=1e-4)
    assert list(header.LossyImageCompressionMethod) == expected[1]


@pytest.mark.parametrize(
    ("ratios", "methods"), [("8", None), (None, "ISO_10918_1"), (None, None), (["3", "8"], "ISO_15444_1")]
)
def test_what_is_missing_of_the_source_is_completed_by_its_transfer_syntax(ratios: Any, methods: Any) -> None:
    before = {"LossyImageCompressionRatio": ratios, "LossyImageCompressionMethod": methods}
    said: dict[str, Any] = {keyword: value for keyword, value in before.items() if value is not None}
    frame = photo()
    encode, _ = encoder(ts.JPEG_BASELINE, source(frame).image, TranscodeOptions())
    header = make_header(frame, 1, LossyImageCompression="01", **said)
    src = PixelSource.open(encapsulated(header, [encode(frame)]), ts.JPEG_BASELINE)
    for target in (ts.EXPLICIT, ts.JPEG_LS):
        made = done(src, target)[0].header
        methods_now, ratios_now = made["LossyImageCompressionMethod"], made["LossyImageCompressionRatio"]
        assert methods_now.VM == ratios_now.VM == (2 if isinstance(ratios, list) else 1)
        assert methods_now.value == (["ISO_15444_1", "ISO_10918_1"] if isinstance(ratios, list) else "ISO_10918_1")
        if ratios is None:
            assert float(ratios_now.value) == pytest.approx(frame.nbytes / src.encoded_length, rel=1e-4)
        else:
            assert [str(one) for one in ([ratios_now.value] if ratios_now.VM == 1 else ratios_now.value)] == [*ratios]


@pytest.mark.parametrize(
    ("syntax", "said", "code"),
    [
        (ts.EXPLICIT, False, "121320"),
        (ts.EXPLICIT, True, "121330"),
        (ts.JPEG_LS, False, "121322"),
        (ts.JPEG_LS, True, "121330"),
        (ts.JPEG_BASELINE, False, "121330"),
    ],
)
def test_source_is_called_what_it_is(syntax: str, said: bool, code: str) -> None:
    frame = photo()
    header = make_header(frame, **({"LossyImageCompression": "01"} if said else {}))
    if syntax == ts.EXPLICIT:
        file = native(header, frame.tobytes())
    else:
        file = encapsulated(header, [encoder(syntax, source(frame).image, TranscodeOptions())[0](frame)])
    made = done(PixelSource.open(file, syntax), ts.JPEG_2000)[0].header
    (purpose,) = made.SourceImageSequence[0].PurposeOfReferenceCodeSequence
    known = {code.value: code.meaning for code in (getattr(codes.cid7202, name) for name in codes.cid7202.dir())}
    assert purpose.CodeValue == code
    assert known[code] == purpose.CodeMeaning


def test_enhanced_objects_keep_their_image_type_on_which_their_acquisition_attributes_depend() -> None:
    src = source(photo(), ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    src.header.SharedFunctionalGroupsSequence = [Dataset()]
    header = done(src, ts.JPEG_BASELINE)[0].header
    assert header.ImageType == ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    assert "SourceImageSequence" not in header
    assert header.LossyImageCompression == "01"
    assert header.SOPInstanceUID != "2.25.111"


def test_losses_of_the_source_are_said_when_its_transfer_syntax_says_them_no_more() -> None:
    with source_of(CORPUS / "SC_rgb_jpeg_dcmtk.dcm") as src:
        for keyword in ("LossyImageCompression", "LossyImageCompressionMethod", "LossyImageCompressionRatio"):
            if keyword in src.header:
                delattr(src.header, keyword)
        header = done(src, ts.EXPLICIT)[0].header
        assert header.LossyImageCompression == "01"
        assert header.LossyImageCompressionMethod == "ISO_10918_1"
        assert header.SOPInstanceUID == src.header.SOPInstanceUID
        assert header.PhotometricInterpretation == "RGB"


def test_quality_ratio_and_error_decide_what_is_lost() -> None:
    src = source(photo("u2", 12), BitsStored=12)
    small = TranscodeOptions(quality=30, ratio=30, near_lossless_error=20)
    for target in (ts.JPEG_EXTENDED, ts.JPEG_LS_NEAR, ts.JPEG_2000, ts.HTJ2K, ts.JPEG_XL):
        assert done(src, target, options=small)[0].size < done(src, target)[0].size


def test_photometric_interpretation_is_the_one_that_the_codec_makes() -> None:
    made = {
        target: done(source(photo(shape=(64, 80, 3))), target)[0].header.PhotometricInterpretation
        for target in [ts.EXPLICIT, *LOSSLESS, *LOSSY]
        if target != ts.JPEG_EXTENDED
    }
    assert made[ts.JPEG_BASELINE] == "YBR_FULL_422"
    assert made[ts.JPEG_2000_LOSSLESS] == made[ts.HTJ2K_LOSSLESS] == "YBR_RCT"
    assert made[ts.JPEG_2000] == made[ts.HTJ2K] == "YBR_ICT"
    assert made[ts.JPEG_LS] == made[ts.RLE] == made[ts.JPEG_LOSSLESS_SV1] == made[ts.EXPLICIT] == "RGB"


@pytest.mark.parametrize("size", [64, 700, 2500])
def test_resolutions_of_rpcl_can_be_found_and_the_smallest_one_is_a_thumbnail(size: int) -> None:
    result, written = done(source(photo(shape=(size, size + 30))), ts.HTJ2K_RPCL)
    stream = PixelSource.open(io.BytesIO(whole(result, written)), ts.HTJ2K_RPCL).encoded_frame(0)
    style = stream.index(b"\xff\x52")
    order, levels = stream[style + 5], stream[style + 9]
    assert order == 2
    assert size / 2**levels <= 64
    assert b"\xff\x55" in stream[: stream.index(b"\xff\x90")]


@pytest.mark.parametrize("target", [*LOSSLESS, *LOSSY], ids=lambda uid: ts.SYNTAXES[uid].keyword)
@pytest.mark.parametrize("missing", [4, 100])
def test_frames_that_were_cut_off_and_closed_again_are_refused(target: str, missing: int) -> None:
    result, written = done(source(photo()), target)
    encoded = PixelSource.open(io.BytesIO(whole(result, written)), target).encoded_frame(0)
    if encoded.rstrip(b"\0").endswith(b"\xff\xd9"):
        encoded = encoded.rstrip(b"\0")[: -missing - 2].rstrip(b"\xff") + b"\xff\xd9"
    else:
        encoded = encoded[:-missing]
    with pytest.raises(CannotDecode):
        PixelSource.open(encapsulated(result.header, [encoded]), target).frame(0)


# ---- native ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("form", FORMS)
def test_uncompressed_again_frames_are_those_before(form: str, target: str) -> None:
    frame, changes = FORMS[form]
    compressed, written = done(source(frame, 2, **changes), ts.JPEG_LOSSLESS_SV1)
    src = PixelSource.open(io.BytesIO(whole(compressed, written)), ts.JPEG_LOSSLESS_SV1)
    result, again = done(src, target)
    assert np.array_equal(decoded_frames(result.header, again.getvalue(), target), [frame, frame])
    vr = "OW" if frame.dtype.itemsize > 1 else "OB"
    assert target == ImplicitVRLittleEndian or again.getvalue()[4:6].decode() == vr
    assert result.header.get("PlanarConfiguration", 0) == 0


def whole(result: Transcoded, written: io.BytesIO) -> bytes:
    """Return a data set of what was transcoded."""
    file = io.BytesIO()
    pydicom.dcmwrite(file, result.header, implicit_vr=False, little_endian=True)
    return file.getvalue() + written.getvalue()


def test_native_pixels_stay_byte_by_byte_with_what_is_in_their_unused_bits() -> None:
    value = np.random.default_rng(5).bytes(64 * 80 * 2)
    header = make_header(photo("u2"), BitsStored=12)
    header.add_new(0x60000102, "US", 12)
    src = PixelSource.open(native(header, value), ExplicitVRLittleEndian)
    assert done(src, ts.IMPLICIT)[1].getvalue()[8:] == value


def test_big_endian_numbers_are_those_of_little_endian() -> None:
    frame = photo("i2", 16)
    src = PixelSource.open(
        native(make_header(frame), frame.astype(">i2").tobytes(), ExplicitVRBigEndian), ExplicitVRBigEndian
    )
    assert done(src, ts.EXPLICIT)[1].getvalue()[12:] == frame.tobytes()
    result, written = done(src, ts.JPEG_LS)
    assert np.array_equal(decoded_frames(result.header, written.getvalue(), ts.JPEG_LS)[0], frame)


@pytest.mark.parametrize("target", [*LOSSLESS, ts.EXPLICIT])
def test_color_by_plane_is_compressed_by_pixel(target: str) -> None:
    frame = photo(shape=(64, 80, 3))
    header = make_header(frame, PlanarConfiguration=1)
    src = PixelSource.open(native(header, frame.transpose(2, 0, 1).tobytes()), ExplicitVRLittleEndian)
    # an edit that changes nothing, so that native pixels are not merely copied
    result, written = done(src, target, edit=lambda _index, frame: frame)
    assert np.array_equal(decoded_frames(result.header, written.getvalue(), target)[0], frame)
    assert result.header.PlanarConfiguration == (1 if target == ts.RLE else 0)


def test_one_bit_frames_are_edited_without_gaps_between_them() -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 5, 7)).astype("u1")
    header = make_header(bits[0], 3, BitsAllocated=1, BitsStored=1)
    value = np.packbits(bits.ravel(), bitorder="little").tobytes()
    src = PixelSource.open(native(header, value), ExplicitVRLittleEndian)
    result, written = done(src, ts.EXPLICIT, edit=lambda index, frame: frame ^ (index == 1))
    read = decoded_frames(result.header, written.getvalue(), ts.EXPLICIT)
    assert np.array_equal(read, [bits[0], 1 - bits[1], bits[2]])


def test_half_width_chroma_is_compressed_at_full_width() -> None:
    with source_of(CORPUS / "SC_ybr_full_422_uncompressed.dcm") as src:
        frame = src.frame(0)
        result, written = done(src, ts.JPEG_LS)
    assert result.header.PhotometricInterpretation == "YBR_FULL"
    assert np.array_equal(decoded_frames(result.header, written.getvalue(), ts.JPEG_LS)[0], frame)


def test_dirty_bits_are_not_compressed() -> None:
    frame = photo("u2", 12)
    header = make_header(frame, BitsStored=12)
    src = PixelSource.open(native(header, (frame | 0xA000).tobytes()), ExplicitVRLittleEndian)
    for target in LOSSLESS:
        result, written = done(src, target)
        assert np.array_equal(decoded_frames(result.header, written.getvalue(), target)[0], frame)


# ---- edits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [ts.EXPLICIT, ts.IMPLICIT, *LOSSLESS])
def test_edited_frames_are_what_is_sent(target: str) -> None:
    frame = photo("u2", 12)

    def black(index: int, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        changed = given.copy()
        changed[10 : 20 + index, 5:9] = 0
        return changed

    result, written = done(source(frame, 3, BitsStored=12), target, edit=black)
    read = decoded_frames(result.header, written.getvalue(), target)
    assert np.array_equal(read, [black(index, frame) for index in range(3)])


def test_edited_frames_are_encoded_anew_in_the_same_syntax() -> None:
    with source_of(CORPUS / "MR_small_jpeg_ls_lossless.dcm") as src:
        result, written = done(src, ts.JPEG_LS, edit=lambda _index, frame: frame // 2)
        frame = src.frame(0)
    assert np.array_equal(decoded_frames(result.header, written.getvalue(), ts.JPEG_LS)[0], frame // 2)


def test_frames_in_the_same_syntax_are_not_encoded_anew() -> None:
    with source_of(CORPUS / "examples_ybr_color.dcm") as src:
        result, written = done(src, ts.JPEG_BASELINE)
        frames = [src.encoded_frame(index) for index in range(30)]
    assert all(frame in written.getvalue() for frame in frames)
    assert result.header.PhotometricInterpretation == "YBR_FULL_422"


# ---- offsets -----------------------------------------------------------------------------------------------------


def test_every_frame_is_found_by_the_basic_offset_table() -> None:
    result, written = done(source(photo("u2", 12), 5, BitsStored=12), ts.JPEG_LS)
    value = written.getvalue()[12:]
    offsets = parse_basic_offsets(value)
    first = 8 + 4 * 5
    assert [value[first + offset : first + offset + 4] for offset in offsets] == [b"\xfe\xff\x00\xe0"] * 5
    assert result.transfer_syntax_uid == ts.JPEG_LS


def test_large_objects_have_an_extended_offset_table() -> None:
    frame = photo("u2", 12)
    src = source(frame, 4, BitsStored=12)
    result, written = done(src, ts.JPEG_LS, options=TranscodeOptions(largest_with_basic_offsets=1000))
    ds = pydicom.dcmread(io.BytesIO(whole(result, written)), force=True)
    offsets = np.frombuffer(ds.ExtendedOffsetTable, "<u8")
    lengths = np.frombuffer(ds.ExtendedOffsetTableLengths, "<u8")
    assert len(offsets) == len(lengths) == 4
    assert parse_basic_offsets(ds.PixelData) == []
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ts.JPEG_LS
    assert np.array_equal(ds.pixel_array, [frame] * 4)


def test_offset_tables_of_the_source_are_gone() -> None:
    src = source(photo())
    header = copy.copy(src.header)
    header.ExtendedOffsetTable = bytes(8)
    header.ExtendedOffsetTableLengths = bytes(8)
    result = transcode(src, header, ts.JPEG_LS, io.BytesIO())
    assert "ExtendedOffsetTable" not in result.header
    assert "ExtendedOffsetTableLengths" not in result.header


@pytest.mark.parametrize("compressed", [False, True])
def test_icon_that_is_compressed_does_not_go_into_another_syntax(compressed: bool) -> None:
    icon = make_header(photo())
    icon.PixelData = pydicom.encaps.encapsulate([b"icon"]) if compressed else bytes(64 * 80)
    icon["PixelData"].is_undefined_length = compressed
    src = source(photo())
    src.header.IconImageSequence = [icon]
    assert ("IconImageSequence" in done(src, ts.JPEG_LS)[0].header) is not compressed
    assert "IconImageSequence" in src.header


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_overlay_in_the_pixels_is_not_lost_without_a_word() -> None:
    src = source(photo("u2", 12), BitsStored=12)
    src.header.add_new(0x60000102, "US", 12)
    with pytest.raises(CannotTranscode, match="overlay"):
        done(src, ts.JPEG_LS)


@pytest.mark.parametrize("target", ["1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.102", ts.JPEG_XL_RECOMPRESSION])
def test_syntax_that_is_not_encoded_is_refused(target: str) -> None:
    with pytest.raises(CannotTranscode):
        done(source(photo()), target)


@pytest.mark.parametrize("frames", [1, 3])
def test_codec_that_refuses_is_told_by_name(frames: int) -> None:
    # less than it takes, and than the configuration allows
    options = TranscodeOptions(near_lossless_error=-1)
    with pytest.raises(CannotTranscode, match="the codec of JPEGLSNearLossless refuses"):
        done(source(photo(), frames), ts.JPEG_LS_NEAR, options=options)


@pytest.mark.parametrize(("bits", "asked", "largest"), [(8, 127, 127), (8, 255, 127), (4, 8, 7), (12, 255, 255)])
def test_near_lossless_error_is_no_more_than_the_pixels_can_differ_by(bits: int, asked: int, largest: int) -> None:
    # half of the largest number: what is more no decoder takes (ITU T.87 section C.2.3)
    frame = np.random.default_rng(5).integers(0, 1 << bits, (32, 32)).astype("u1" if bits <= 8 else "u2")
    src = source(frame, BitsStored=bits)
    result, written = done(src, ts.JPEG_LS_NEAR, options=TranscodeOptions(near_lossless_error=asked))
    (encoded,) = generate_frames(written.getvalue()[12:-8], number_of_frames=1)
    near = imagecodecs.jpegls_decode(encoded).astype("i4")
    assert result.lossy
    assert 0 < int(np.abs(near - frame).max()) <= largest


@pytest.mark.parametrize("frames", [1, 3])
def test_what_is_found_wrong_when_a_frame_is_checked_ends_the_object(frames: int) -> None:
    noise = np.random.default_rng(4).integers(0, 2, (256, 256)).astype("u1") * 255
    with pytest.raises(CannotTranscode, match="not the same when it is decoded again"):
        # a hundredth of a percent of the bytes says nothing of noise
        done(source(noise, frames), ts.JPEG_2000, options=TranscodeOptions(ratio=10_000))


@pytest.mark.parametrize("target", [ts.JPEG_2000, ts.HTJ2K], ids=lambda uid: ts.SYNTAXES[uid].keyword)
@pytest.mark.parametrize(
    ("dtype", "bits", "color"), [("u1", 8, False), ("u1", 8, True), ("u2", 12, False), ("i2", 16, False)]
)
def test_small_images_are_compressed_with_losses_and_nothing_is_printed(
    target: str, dtype: str, bits: int, color: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    least = -(1 << (bits - 1)) if dtype == "i2" else 0
    for rows, columns in [(1, 1), (1, 300), (3, 3), (16, 16), (17, 31), (12, 400), (32, 32)]:
        y, x = np.mgrid[:rows, :columns]
        plane = ((np.sin(x / 3) * np.cos(y / 4) + 1) / 2 * ((1 << bits) - 1) + least).astype(dtype)
        frame = np.stack([plane, plane[::-1], plane[:, ::-1]], axis=-1) if color else plane
        result, written = done(source(frame, 2, BitsStored=bits), target)
        read = decoded_frames(result.header, written.getvalue(), target)
        assert np.abs(read.astype(int) - frame).mean() <= (1 << bits) / 8
        assert result.lossy
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("target", [ts.JPEG_2000, ts.HTJ2K], ids=lambda uid: ts.SYNTAXES[uid].keyword)
def test_narrow_images_have_their_ratio(target: str) -> None:
    frame = photo("u2", 12, (20, 4000))
    ratios = [
        done(source(frame, BitsStored=12), target, options=TranscodeOptions(ratio=ratio))[0].ratio or 0
        for ratio in (5, 20)
    ]
    assert 4 < ratios[0] < 10 < ratios[1] < 40


@pytest.mark.parametrize("target", LOSSLESS, ids=lambda uid: ts.SYNTAXES[uid].keyword)
def test_one_number_that_differs_is_found_before_anything_is_sent(target: str) -> None:
    frame = photo("i2", 12)
    image = source(frame, BitsStored=12).output_image
    encode, described = encoder(target, image, TranscodeOptions())
    encoded = encode(frame)
    verify(encoded, frame, image, described, target, TranscodeOptions())
    other = frame.copy()
    other[60, 70] ^= 1
    with pytest.raises(CannotTranscode, match="not the same"):
        verify(encoded, other, image, described, target, TranscodeOptions())


@pytest.mark.parametrize("target", [*LOSSLESS, *LOSSY], ids=lambda uid: ts.SYNTAXES[uid].keyword)
def test_another_frame_is_found_before_it_is_sent(target: str) -> None:
    frame = photo()
    image = source(frame).output_image
    encode, described = encoder(target, image, TranscodeOptions())
    noise = np.random.default_rng(4).integers(0, 2, frame.shape).astype("u1") * 255
    with pytest.raises(CannotTranscode):
        verify(encode(noise), frame, image, described, target, TranscodeOptions())


@pytest.mark.parametrize("target", [*LOSSLESS, *LOSSY], ids=lambda uid: ts.SYNTAXES[uid].keyword)
def test_frame_that_is_not_decoded_again_is_found_before_it_is_sent(target: str) -> None:
    frame = photo()
    image = source(frame).output_image
    encode, described = encoder(target, image, TranscodeOptions())
    encoded = encode(frame)
    with pytest.raises(CannotTranscode):
        verify(encoded[: len(encoded) // 2], frame, image, described, target, TranscodeOptions())


# ---- memory and threads ------------------------------------------------------------------------------------------


class Repeated(io.RawIOBase):
    """A file with a beginning and then the same frame again and again, which is nowhere whole."""

    def __init__(self, beginning: bytes, frame: bytes, frames: int) -> None:
        self._beginning, self._frame = beginning, frame
        self._size = len(beginning) + len(frame) * frames
        self._position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset if whence == 0 else (self._position if whence == 1 else self._size) + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        parts = []
        end = self._size if size < 0 else min(self._size, self._position + size)
        while self._position < end:
            if self._position < len(self._beginning):
                part = self._beginning[self._position : end]
            else:
                at = (self._position - len(self._beginning)) % len(self._frame)
                part = self._frame[at : at + end - self._position]
            parts.append(part)
            self._position += len(part)
        return b"".join(parts)


@pytest.mark.parametrize("target", [ts.EXPLICIT, ts.IMPLICIT, ts.HTJ2K_LOSSLESS])
def test_object_of_two_thousand_frames_is_edited_and_transcoded_in_little_memory(target: str, tmp_path: Any) -> None:
    frame = photo("u2", 12, (128, 128))
    header = make_header(frame, 2000, BitsStored=12)
    beginning = native(header, b"").getvalue()
    beginning = beginning[:-4] + (frame.nbytes * 2000).to_bytes(4, "little")
    file: Any = Repeated(beginning, frame.tobytes(), 2000)
    src = PixelSource.open(file, ExplicitVRLittleEndian)
    with open(tmp_path / "out", "w+b") as written:
        transcode(src, src.header, target, written, edit=lambda _index, frame: frame // 3)
        tracemalloc.start()
        written.seek(0)
        transcode(src, src.header, target, written, edit=lambda _index, frame: frame // 3)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "target", [ts.JPEG_2000_LOSSLESS, ts.JPEG_2000, ts.HTJ2K_LOSSLESS, ts.JPEG_LS, ts.JPEG_BASELINE]
)
def test_several_threads_transcode_at_the_same_time(target: str) -> None:
    frame = photo()
    expected = done(source(frame, 4), target)[1].getvalue()
    made: list[bytes] = []

    def work() -> None:
        for _ in range(5):
            made.append(done(source(frame, 4), target)[1].getvalue())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made == [expected] * 20


def test_frames_are_read_by_several_threads_at_the_same_time() -> None:
    with source_of(CORPUS / "examples_ybr_color.dcm") as src:
        expected = [src.frame(index) for index in range(30)]
        wrong: list[int] = []

        def work() -> None:
            wrong.extend(index for index in range(30) if not np.array_equal(src.frame(index), expected[index]))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert wrong == []


def test_jpeg_in_jpeg_xl_is_the_same_jpeg_again() -> None:
    import imagecodecs

    with source_of(CORPUS / "examples_ybr_color.dcm") as src:
        result, written = done(src, ts.JPEG_XL_RECOMPRESSION)
        jpeg = src.encoded_frame(3)
    again = PixelSource.open(io.BytesIO(whole(result, written)), ts.JPEG_XL_RECOMPRESSION)
    assert bytes(imagecodecs.jpegxl_decode_jpeg(again.encoded_frame(3))).rstrip(b"\0") == jpeg.rstrip(b"\0")
    assert not result.lossy


def test_encapsulated_source_is_read_without_its_tables() -> None:
    frame = photo()
    result, written = done(source(frame, 3), ts.RLE)
    src = PixelSource.open(io.BytesIO(whole(result, written)), ts.RLE)
    fragments = [src.encoded_frame(index) for index in range(3)]
    bare = PixelSource.open(encapsulated(result.header, fragments), ts.RLE)
    assert np.array_equal([bare.frame(index) for index in range(3)], [frame] * 3)

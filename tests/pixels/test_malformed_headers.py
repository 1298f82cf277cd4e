"""Headers whose values are not what they should be: pixels are sent right or refused with a reason."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pixel_objects import make_header
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from karnak_core.deidentify import Profile, Project, Result, decode_dataset, encode_dataset
from karnak_core.errors import Permanent
from karnak_core.pixels import CannotTranscode, PixelElement, PixelSource, fitting, transcode
from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.cleaning import plan_cleaning, syntax_of_cleaned
from karnak_core.pixels.encode import TranscodeOptions, encoder
from karnak_core.pixels.image import PIXEL_DATA
from karnak_core.pixels.overlays import embedded_overlays
from karnak_core.pixels.preview import preview

# pydicom warns of values that are none; it goes on
pytestmark = pytest.mark.filterwarnings("ignore")

#: what no reason may hold: it is in every value that is made here
SECRET = "Zebulon^Quentin"
FRAME = np.add.outer(np.arange(16) * 7, np.arange(16) * 5).astype("u1")
PROJECT = Project(name="STUDY-A", secret=bytes(range(16)))
PROFILE = Profile.from_yaml(
    "name: Test\nprofileElements:\n"
    "  - {name: clean, codename: clean.pixel.data}\n"
    "  - {name: deface, codename: clean.recognizable.visual.features}\n"
    "masks:\n  - {stationName: '*', color: 'ff8000', rectangles: ['2 3 4 5']}\n"
).require()
CLASSES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1")

#: every element that is read of a header when pixels are transcoded, cleaned or shown
READ = (
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StationName"),
    *("DerivationDescription", "DerivationCodeSequence", "SourceImageSequence", "DeidentificationMethodCodeSequence"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "BurnedInAnnotation", "IconImageSequence"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData"),
    *("SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData"),
    *("ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PlaneOrientationSequence"),
    *("PixelMeasuresSequence", "PixelValueTransformationSequence", "SmallestImagePixelValue"),
    *("ExtendedOffsetTable", "RecognizableVisualFeatures", "ReferencedSOPClassUID"),
)
TAGS = (
    *(tag for tag in map(tag_for_keyword, READ) if tag is not None),
    *(0x60000000 | number for number in (0x10, 0x11, 0x15, 0x50, 0x100, 0x102, 0x3000)),
)
LONG = ("OB", "OW", "SQ", "UN", "UT", "UC", "OF", "OD", "OL", "OV", "SV", "UV", "UR")
VRS = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "PN", "SH", "SL", "SS"),
    *("ST", "TM", "UI", "UL", "US", *LONG),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"",
            *(SECRET + end for end in ("", "\\" + SECRET)),
            *("1\\2", "0", "-1", "1e308", "nan", "inf", "1" * 40, "4\\" + SECRET, "\\", " ", "0.5", "16\\16\\16"),
            *("1\\0\\0\\0\\1\\0", "NO", "01", "RGB", "PALETTE COLOR", "\x1b$B\xff", "ISO 2022 IR 87"),
        ]
    ),
    st.binary(max_size=40),
    st.lists(st.integers(0, 0xFFFF), max_size=8).map(lambda numbers: struct.pack(f"<{len(numbers)}H", *numbers)),
    st.lists(st.floats(), max_size=6).map(lambda numbers: struct.pack(f"<{len(numbers)}d", *numbers)),
).map(lambda value: value.encode("latin-1") if isinstance(value, str) else value)


def encoded(tag: int, vr: str, value: bytes) -> bytes:
    """Return an element as it may come in a file."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    value += b"\0" * (len(value) % 2)
    return head + (struct.pack("<2xI", len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def item(*elements: bytes) -> bytes:
    """Return a sequence of one item."""
    value = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


ELEMENTS: Any = st.builds(encoded, st.sampled_from(TAGS), st.sampled_from(VRS), VALUES)
SEQUENCES: Any = st.builds(
    lambda tag, elements: encoded(tag, "SQ", item(*elements)), st.sampled_from(TAGS), st.lists(ELEMENTS, max_size=3)
)


def base(sop_class: str = CLASSES[0], **changes: Any) -> Dataset:
    """Return a header with all that is read."""
    header = make_header(FRAME, SOPClassUID=sop_class, **changes)
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing = [1, 1]
    header.add_new(0x60000010, "US", 16)
    header.add_new(0x60000011, "US", 16)
    header.add_new(0x60000050, "SS", [1, 1])
    header.add_new(0x60003000, "OW", bytes(range(32)))
    return header


def palette(header: Dataset) -> Dataset:
    """Give a header a palette."""
    header.PhotometricInterpretation = "PALETTE COLOR"
    for color in ("Red", "Green", "Blue"):
        header.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", [256, 0, 8])
        header.add_new(f"{color}PaletteColorLookupTableData", "OW", bytes(range(256)))
    return header


def spoiled(header: Dataset, elements: list[bytes]) -> Callable[[], Dataset]:
    """Return what decodes a header in which some elements are other ones."""
    tags = {struct.unpack("<HH", element[:4]): element for element in elements}
    kept = Dataset({tag: header[tag] for tag in header.keys() if (tag.group, tag.element) not in tags})  # noqa: SIM118
    parts = {(tag.group, tag.element): encode_dataset(Dataset({tag: kept[tag]}), implicit=False) for tag in kept.keys()}  # noqa: SIM118
    data = b"".join(part for _, part in sorted((parts | tags).items()))
    return lambda: decode_dataset(data, implicit=False)


def source_of(header: Dataset, syntax: str) -> PixelSource:
    """Return pixels behind a header, as they are in ``syntax``."""
    if syntax in ts.NATIVE:
        data, length = FRAME.tobytes(), FRAME.nbytes
    else:
        data, length = FRAGMENTS[syntax], 0xFFFFFFFF
    element = PixelElement(tag=PIXEL_DATA, vr="OB", offset=0, length=length)
    return PixelSource(io.BytesIO(data), header, syntax, element)


def _fragments(syntax: str) -> bytes:
    image = PixelSource(
        io.BytesIO(FRAME.tobytes()),
        make_header(FRAME),
        ts.EXPLICIT,
        PixelElement(tag=PIXEL_DATA, vr="OB", offset=0, length=FRAME.nbytes),
    ).image
    frame = encoder(syntax, image, TranscodeOptions())[0](FRAME)
    frame += b"\0" * (len(frame) % 2)
    return (
        struct.pack("<HHI", 0xFFFE, 0xE000, 0)
        + struct.pack("<HHI", 0xFFFE, 0xE000, len(frame))
        + frame
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )


FRAGMENTS: dict[str, bytes] = {syntax: _fragments(syntax) for syntax in (ts.JPEG_BASELINE, ts.JPEG_LS)}


def transcoded(decode: Callable[[], Dataset], syntax: str, target: str) -> None:
    source = source_of(decode(), syntax)
    header = decode()
    made = transcode(source, header, fitting(target, source.output_image, syntax), io.BytesIO())
    encode_dataset(made.header, implicit=False)


def cleaned(decode: Callable[[], Dataset], syntax: str, target: str) -> None:
    received = decode()
    result = PROFILE.apply(received, PROJECT, "PSN")
    assert isinstance(result, Result)
    cleaning = plan_cleaning(PROFILE, received, result.dataset, PROJECT, True)
    if cleaning is None:
        return
    embedded_overlays(received)
    source = source_of(received, syntax)
    cleaning.header(result.dataset)
    target = syntax_of_cleaned(syntax, source.output_image)
    transcode(source, result.dataset, target, io.BytesIO(), edit=cleaning.edit(source.output_image))


def shown(decode: Callable[[], Dataset], syntax: str, target: str) -> None:
    source = source_of(decode(), syntax)
    pixels = source.frame(0), source.output_image, source.header
    assert preview(pixels, pixels, ()).startswith(b"\x89PNG")


def reasons(work: Callable[[], None]) -> Iterator[str]:
    """Do something, and yield why it was refused."""
    try:
        work()
    except Permanent as error:
        yield error.reason
        yield str(error.__cause__ or "")


@pytest.mark.parametrize("work", [transcoded, cleaned, shown], ids=lambda work: work.__name__)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    elements=st.lists(st.one_of(ELEMENTS, SEQUENCES), min_size=1, max_size=3),
    syntax=st.sampled_from([ts.EXPLICIT, ts.JPEG_BASELINE, ts.JPEG_LS]),
    target=st.sampled_from([ts.EXPLICIT, ts.RLE, ts.JPEG_BASELINE, ts.JPEG_LS_NEAR]),
    sop_class=st.sampled_from(CLASSES),
    in_palette=st.booleans(),
)
def test_any_value_is_used_or_refused_with_a_reason_that_does_not_tell_it(
    work: Callable[[Callable[[], Dataset], str, str], None],
    elements: list[bytes],
    syntax: str,
    target: str,
    sop_class: str,
    in_palette: bool,
) -> None:
    header = palette(base(sop_class)) if in_palette else base(sop_class)
    decode = spoiled(header, elements)
    for reason in reasons(lambda: work(decode, syntax, target)):
        assert "Zebulon" not in reason


@pytest.mark.parametrize("vr", ["DS", "IS", "LO", "UI", "PN", "FD", "US", "AT", "SV", "OB", "UN", "SQ"])
@pytest.mark.parametrize("value", [SECRET + "\\" + SECRET, "1\\2"])
@pytest.mark.parametrize("work", [transcoded, cleaned, shown], ids=lambda work: work.__name__)
def test_every_element_that_is_read_may_be_of_any_kind(
    work: Callable[[Callable[[], Dataset], str, str], None], value: str, vr: str
) -> None:
    for tag in TAGS:
        decode = spoiled(base(), [encoded(tag, vr, value.encode())])
        for reason in reasons(lambda decode=decode: work(decode, ts.JPEG_BASELINE, ts.JPEG_LS_NEAR)):  # type: ignore[misc]
            assert "Zebulon" not in reason


def test_ratio_that_is_no_number_is_a_reason() -> None:
    decode = spoiled(base(), [encoded(0x00282112, "DS", SECRET.encode())])
    with pytest.raises(CannotTranscode, match=r"^LossyImageCompressionRatio cannot be read$"):
        transcoded(decode, ts.EXPLICIT, ts.JPEG_LS_NEAR)


@pytest.mark.parametrize("value", [struct.pack("<HH", 12, 13), struct.pack("<HH", 0, 12), b"\x0c"])
def test_overlay_of_which_it_is_not_clear_where_it_lies_is_refused(value: bytes) -> None:
    header = base()
    del header[0x60003000]
    with pytest.raises(CannotTranscode, match="an overlay lies in unused bits"):
        transcoded(spoiled(header, [encoded(0x60000102, "US", value)]), ts.EXPLICIT, ts.JPEG_LS)


def test_overlay_that_says_billions_of_frames_is_cleaned_at_once() -> None:
    decode = spoiled(base(), [encoded(0x60000015, "IS", b"2000000000")])
    result = decode()
    cleaning = plan_cleaning(PROFILE, decode(), result, PROJECT, True)
    assert cleaning is not None
    cleaning.header(result)
    bits = np.unpackbits(np.frombuffer(result[0x60003000].value, "u1"), bitorder="little").reshape(16, 16)
    before = np.unpackbits(np.arange(32, dtype="u1"), bitorder="little").reshape(16, 16)
    assert not bits[3:8, 2:6].any()
    before[3:8, 2:6] = 0
    assert np.array_equal(bits, before)

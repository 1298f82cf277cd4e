"""Every image of pydicom's test data, as others decode it; and bytes that came to harm."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pixel_objects import CORPUS, corpus, encapsulated, opened, source_of

from karnak_core.pixels import CannotDecode, PixelSource
from karnak_core.pixels import syntaxes as ts

pytestmark = pytest.mark.filterwarnings("ignore")

#: images that cannot be decoded, and why
REFUSED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "rows and 1 samples per pixel, but its data set says",
    "MR_truncated.dcm": "the file ends inside it",
    "badVR.dcm": "NumberOfFrames is not one number",
}
#: what decoders of JPEG may differ by: they round differently
ROUNDING = 3


def _pydicom_can(path: Path, syntax: str) -> bool:
    # it has no decoder for JPEG Lossless and for 12 bits without packages that are not used here
    return syntax not in (ts.JPEG_LOSSLESS, ts.JPEG_LOSSLESS_SV1, ts.JPEG_EXTENDED)


@pytest.mark.parametrize("path", corpus(), ids=lambda path: path.name)
def test_image_is_decoded_as_by_pydicom_or_refused_with_the_reason(path: Path) -> None:
    with opened(path) as (file, syntax, offset):
        if path.name in REFUSED:
            with pytest.raises(CannotDecode, match=REFUSED[path.name]):
                PixelSource.open(file, syntax, offset).frame(0)
            return
        source = PixelSource.open(file, syntax, offset)
        last = source.image.number_of_frames - 1
        frames = [source.frame(index) for index in {0, last}]
    assert all(frame.shape == source.image.shape and frame.dtype == source.image.dtype for frame in frames)
    if not _pydicom_can(path, syntax):
        return
    is_cosine = syntax == ts.JPEG_BASELINE
    for index, frame in zip({0, last}, frames, strict=True):
        # not by the path: it would not be inflated
        other = pydicom.pixels.pixel_array(pydicom.dcmread(path), index=index, raw=not is_cosine)
        assert np.abs(frame.astype("f8") - other.astype("f8")).max() <= (ROUNDING if is_cosine else 0)


COMPRESSED = (
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "JPGExtended.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_RLE.dcm",
)


@pytest.mark.parametrize("name", COMPRESSED)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_harmed_frames_are_decoded_or_refused_and_end_nothing(name: str, data: st.DataObject) -> None:
    with source_of(CORPUS / name) as source:
        encoded = bytearray(source.encoded_frame(0))
        header, syntax, image = source.header, source.transfer_syntax_uid, source.image
    for _ in range(data.draw(st.integers(1, 6))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    harmed = PixelSource.open(encapsulated(header, [bytes(encoded)]), syntax)
    try:
        frame = harmed.frame(0)
    except CannotDecode:
        return
    assert frame.shape == image.shape
    assert image.lowest <= int(frame.min())
    assert int(frame.max()) <= image.highest


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400), syntax=st.sampled_from([ts.RLE, ts.JPEG_LS, ts.EXPLICIT, ts.IMPLICIT]))
def test_any_bytes_behind_a_header_are_pixels_or_refused(data: bytes, syntax: str) -> None:
    with source_of(CORPUS / "MR_small_RLE.dcm") as source:
        header, element = source.header, source.element
    try:
        PixelSource(io.BytesIO(data), header, syntax, replace(element, vr="OB", offset=0))
    except CannotDecode:
        return
    pytest.fail("taken for pixels")

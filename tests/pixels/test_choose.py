"""Which transfer syntax an instance goes out in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from karnak_core.pixels import (
    KEEP,
    OFFERED,
    ImageDescription,
    candidates,
    fitting,
    output_syntax,
    select,
    transfer_syntax,
)
from karnak_core.pixels import syntaxes as ts

GRAY = ImageDescription(
    rows=64,
    columns=64,
    samples_per_pixel=1,
    bits_allocated=8,
    bits_stored=8,
    high_bit=7,
    pixel_representation=0,
    photometric_interpretation="MONOCHROME2",
    planar_configuration=0,
    number_of_frames=1,
    kind="pixel",
)
CT: dict[str, Any] = {"bits_allocated": 16, "bits_stored": 16, "high_bit": 15, "pixel_representation": 1}
MR: dict[str, Any] = {"bits_allocated": 16, "bits_stored": 12, "high_bit": 11}
PALETTE: dict[str, Any] = {"photometric_interpretation": "PALETTE COLOR"}
COLOR: dict[str, Any] = {"photometric_interpretation": "RGB", "samples_per_pixel": 3}
BIT: dict[str, Any] = {"bits_allocated": 1, "bits_stored": 1, "high_bit": 0}
LONG: dict[str, Any] = {"bits_allocated": 32, "bits_stored": 32, "high_bit": 31}


@pytest.mark.parametrize(
    ("text", "uid"),
    [
        ("keep", KEEP),
        ("", KEEP),
        ("1.2.840.10008.1.2.4.70", ts.JPEG_LOSSLESS_SV1),
        (" 1.2.840.10008.1.2.1 ", ts.EXPLICIT),
        ("JPEGLSLossless", ts.JPEG_LS),
        ("jpeg2000lossless", ts.JPEG_2000_LOSSLESS),
        ("RLE", ts.RLE),
        ("RLELossless", ts.RLE),
        ("HTJ2K", ts.HTJ2K),
        ("JPEG XL", ts.JPEG_XL),
        ("JPEG-XL Lossless", ts.JPEG_XL_LOSSLESS),
    ],
)
def test_transfer_syntax_is_named_by_uid_or_keyword(text: str, uid: str) -> None:
    assert transfer_syntax(text) == uid


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.2.840.10008.1.2.4.53", "retired, and no library encodes it"),
        ("JPEGFullProgressionNonHierarchical1012", "retired, and no library encodes it"),
        ("1.2.840.10008.1.2.2", "retired since"),
        ("1.2.840.10008.1.2.4.102", "no library encodes it"),
        ("MPEG2MPML", "no library encodes it"),
        ("1.2.840.10008.1.2.4.92", "no library encodes it"),
        ("1.2.3", "is no transfer syntax"),
        ("1.2.840.10008.1.1", "is no transfer syntax"),
        ("JPEG3000", "is no transfer syntax; known: keep, ImplicitVRLittleEndian"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        transfer_syntax(text)


def test_every_offered_syntax_is_named_by_its_keyword_and_its_uid() -> None:
    for syntax in OFFERED:
        assert transfer_syntax(syntax.keyword) == transfer_syntax(str(syntax.uid)) == syntax.uid


@pytest.mark.parametrize(
    ("original", "output"),
    [
        ("1.2.840.10008.1.2.4.999", "1.2.840.10008.1.2.4.999"),
        (ts.RLE, ts.EXPLICIT),
        (ts.IMPLICIT, ts.EXPLICIT),
        (ts.BIG_ENDIAN, ts.EXPLICIT),
        (ts.EXPLICIT, ts.EXPLICIT),
        (ts.JPEG_BASELINE, ts.JPEG_BASELINE),
    ],
)
@pytest.mark.parametrize("only_uncompressed", [True, False])
def test_kept_syntax_becomes_explicit_where_few_read_the_original(
    original: str, output: str, only_uncompressed: bool
) -> None:
    assert output_syntax(KEEP, original, only_uncompressed=only_uncompressed) == output


@pytest.mark.parametrize(
    ("original", "only_uncompressed", "output"),
    [
        (ts.EXPLICIT, True, ts.JPEG_LOSSLESS_SV1),
        (ts.RLE, True, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_BASELINE, True, ts.JPEG_BASELINE),
        (ts.JPEG_BASELINE, False, ts.JPEG_LOSSLESS_SV1),
        ("1.2.840.10008.1.2.4.102", False, "1.2.840.10008.1.2.4.102"),
    ],
)
def test_configured_syntax_is_for_what_can_be_read_and_may_be_changed(
    original: str, only_uncompressed: bool, output: str
) -> None:
    assert output_syntax(ts.JPEG_LOSSLESS_SV1, original, only_uncompressed=only_uncompressed) == output


@pytest.mark.parametrize(
    ("wanted", "pixels", "fits"),
    [
        (ts.JPEG_BASELINE, {}, ts.JPEG_BASELINE),
        (ts.JPEG_BASELINE, COLOR, ts.JPEG_BASELINE),
        (ts.JPEG_BASELINE, MR, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_BASELINE, CT, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_BASELINE, PALETTE, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_BASELINE, LONG, ts.EXPLICIT),
        (ts.JPEG_BASELINE, BIT, ts.EXPLICIT),
        (ts.JPEG_EXTENDED, MR, ts.JPEG_EXTENDED),
        (ts.JPEG_EXTENDED, {**MR, "bits_stored": 13, "high_bit": 12}, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_EXTENDED, CT, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_EXTENDED, {**CT, "bits_stored": 12, "high_bit": 11}, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_EXTENDED, COLOR, ts.JPEG_LOSSLESS_SV1),
        (ts.JPEG_LS_NEAR, MR, ts.JPEG_LS_NEAR),
        (ts.JPEG_LS_NEAR, CT, ts.JPEG_LS),
        (ts.JPEG_LS_NEAR, PALETTE, ts.JPEG_LS),
        (ts.JPEG_2000, CT, ts.JPEG_2000),
        (ts.JPEG_2000, PALETTE, ts.JPEG_2000_LOSSLESS),
        (ts.JPEG_2000_LOSSLESS, LONG, ts.EXPLICIT),
        (ts.HTJ2K, CT, ts.HTJ2K),
        (ts.JPEG_XL, CT, ts.JPEG_XL_LOSSLESS),
        (ts.JPEG_XL, COLOR, ts.JPEG_XL),
        (ts.JPEG_XL, {**COLOR, "photometric_interpretation": "YBR_FULL"}, ts.JPEG_XL_LOSSLESS),
        (ts.JPEG_XL_RECOMPRESSION, {}, ts.JPEG_XL_LOSSLESS),
        (ts.RLE, LONG, ts.EXPLICIT),
        (ts.IMPLICIT, BIT, ts.IMPLICIT),
        (ts.EXPLICIT, LONG, ts.EXPLICIT),
        (ts.JPEG_LS, {"bits_stored": 1, "high_bit": 0}, ts.EXPLICIT),
        (ts.JPEG_LS, {**LONG, "kind": "float"}, ts.EXPLICIT),
    ],
)
def test_pixels_that_would_be_harmed_get_the_nearest_syntax(wanted: str, pixels: dict[str, Any], fits: str) -> None:
    assert fitting(wanted, replace(GRAY, **pixels)) == fits


def test_only_baseline_is_recompressed() -> None:
    assert fitting(ts.JPEG_XL_RECOMPRESSION, GRAY, ts.JPEG_BASELINE) == ts.JPEG_XL_RECOMPRESSION


@pytest.mark.parametrize(
    ("accepted", "wanted", "selected"),
    [
        ({ts.EXPLICIT, ts.JPEG_LOSSLESS_SV1}, ts.EXPLICIT, ts.EXPLICIT),
        ({ts.EXPLICIT}, ts.JPEG_LOSSLESS_SV1, ts.EXPLICIT),
        ({ts.JPEG_BASELINE}, ts.JPEG_LOSSLESS_SV1, ts.IMPLICIT),
    ],
)
def test_peer_that_rejects_the_wanted_syntax_gets_explicit_or_implicit(
    accepted: set[str], wanted: str, selected: str
) -> None:
    assert select(accepted, wanted) == selected


def test_peer_is_offered_the_wanted_syntax_its_lossless_stand_in_the_original_and_the_uncompressed_ones() -> None:
    assert candidates(ts.JPEG_BASELINE, ts.JPEG_2000) == (
        ts.JPEG_BASELINE,
        ts.JPEG_LOSSLESS_SV1,
        ts.JPEG_2000,
        ts.EXPLICIT,
        ts.IMPLICIT,
    )
    assert candidates(ts.JPEG_LS, ts.BIG_ENDIAN) == (ts.JPEG_LS, ts.EXPLICIT, ts.IMPLICIT)

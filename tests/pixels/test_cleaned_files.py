"""Whole files, cleaned and written again: read by pydicom, checked by dciodvfy; what cannot be cleaned is held."""

from __future__ import annotations

import copy
import io
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pixel_objects import corpus, encapsulated, make_header, native, source_of
from pydicom import Dataset
from pydicom.pixels import apply_color_lut

from karnak_core.deidentify import Profile, Project
from karnak_core.errors import Permanent
from karnak_core.part10 import file_beginning, read_beginning
from karnak_core.pixels import ImageDescription, PixelSource
from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.cleaning import Cleaning, plan_cleaning
from karnak_core.pixels.transcode import transcode

pytestmark = pytest.mark.filterwarnings("ignore")

PROJECT = Project(name="STUDY-A", secret=bytes(range(16)))
X, Y, WIDTH, HEIGHT = 3, 2, 4, 5
COLOR = (255, 255, 0)
MASKED = Profile.from_yaml(
    "name: Test\nprofileElements:\n  - {name: clean, codename: clean.pixel.data}\n"
    f"masks: [{{color: ffff00, rectangles: ['{X} {Y} {WIDTH} {HEIGHT}']}}]\n"
).require()
DEFACED = Profile.from_yaml(
    "name: Test\nprofileElements:\n  - {name: deface, codename: clean.recognizable.visual.features}\n"
).require()

#: a file of each kind of pixels and each transfer syntax; the rest of the corpus has the same again
FILES = (
    "CT_small.dcm",  # MONOCHROME2, signed
    "693_J2KI.dcm",
    "JPGExtended.dcm",
    "JPEGLSNearLossless_16.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "RG3_UNCR.dcm",  # MONOCHROME1
    "RG3_J2KR.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "SC_rgb_16bit_2frame.dcm",
    "SC_rgb_expb_16bit_2frame.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",  # YBR_FULL in the file
    "SC_ybr_full_uncompressed.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "US1_J2KR.dcm",  # YBR_RCT
    "US1_J2KI.dcm",  # YBR_ICT
    "color3d_jpeg_baseline.dcm",  # 120 frames
    "examples_palette.dcm",
    "OBXXXX1A_rle_2frame.dcm",
    "gdcm-US-ALOKA-16.dcm",  # a segmented palette of 65536 entries
    "examples_overlay.dcm",
    "MR-SIEMENS-DICOM-WithOverlays.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
    "liver.dcm",  # one bit
    "rtdose.dcm",  # 32 bits
)
PATHS = {path.name: path for path in corpus() if path.name in FILES}


def planned(header: Dataset, profile: Profile = MASKED) -> tuple[Cleaning, Dataset]:
    """Return what is to be done, and the header that is sent."""
    received = copy.deepcopy(header)
    if profile is MASKED:
        received.BurnedInAnnotation = "YES"
    sent = copy.deepcopy(received)
    cleaning = plan_cleaning(profile, received, sent, PROJECT, True)
    assert cleaning is not None
    cleaning.header(sent)
    return cleaning, sent


def cleaned(source: PixelSource, target: str, profile: Profile = MASKED) -> bytes:
    """Return a Part 10 file of cleaned pixels."""
    cleaning, sent = planned(source.header, profile)
    pixels = io.BytesIO()
    done = transcode(source, sent, target, pixels, edit=cleaning.edit(source.output_image))
    return part10(done.header, target) + pixels.getvalue()


def part10(header: Dataset, syntax: str) -> bytes:
    """Return a Part 10 file up to where the pixel data begins, in little endian."""
    file = io.BytesIO()
    plain = Dataset()
    plain.update({element.tag: element for element in header if element.tag.group < 0x7FE0})
    pydicom.dcmwrite(file, plain, implicit_vr=syntax == ts.IMPLICIT, little_endian=True)
    beginning = file_beginning(
        sop_class_uid=header.SOPClassUID,
        sop_instance_uid=header.SOPInstanceUID,
        transfer_syntax_uid=syntax,
        calling_ae_title="TEST",
    )
    return beginning + file.getvalue()


def frames_of(file: bytes) -> tuple[Dataset, NDArray[Any]]:
    """Return a file as pydicom reads it: (frames, rows, columns[, samples])."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    frames = dataset.pixel_array
    return dataset, frames if int(dataset.get("NumberOfFrames") or 1) > 1 else frames[None]


def opened(file: bytes) -> PixelSource:
    """Return the pixels of a file."""
    beginning = read_beginning(io.BytesIO(file))
    return PixelSource.open(io.BytesIO(file), beginning.transfer_syntax_uid, beginning.dataset_offset)


def shows_color(area: NDArray[Any], dataset: Dataset, image: ImageDescription) -> bool:
    """Tell whether pixels of an area, as pydicom reads them, are the colour of the mask on a screen."""
    if image.photometric_interpretation == "PALETTE COLOR":
        # the palette may not have it; then its nearest
        colors = apply_color_lut(np.arange(256, dtype="u2") if image.bits_stored == 8 else area, dataset)
        if image.bits_stored != 8:
            return len(np.unique(area)) == 1
        scale = 257 if colors.max() > 255 else 1
        distances = ((colors // scale - np.array(COLOR)) ** 2).sum(axis=1)
        return bool((distances[area] == distances.min()).all())
    if image.samples_per_pixel == 3:
        # pydicom has made RGB of YBR
        expected = np.array(COLOR) / 255
        limit = 3 / 255 if image.photometric_interpretation == "YBR_FULL" else 1e-4
        return bool((abs(area / image.highest - expected) <= limit).all())
    luminance = (0.299 * COLOR[0] + 0.587 * COLOR[1] + 0.114 * COLOR[2]) / 255
    shown = (area.astype(float) - image.lowest) / (image.highest - image.lowest)
    if image.photometric_interpretation == "MONOCHROME1":
        shown = 1 - shown
    return bool((abs(shown - luminance) <= 0.51 / (image.highest - image.lowest)).all())


@pytest.mark.parametrize("name", FILES)
def test_mask_is_in_the_file_and_nothing_else_has_changed(name: str) -> None:
    with source_of(PATHS[name]) as source:
        image = source.output_image
        dataset, after = frames_of(cleaned(source, ts.EXPLICIT))
        assert dataset.BurnedInAnnotation == "NO"
        area = np.zeros(image.shape[:2], bool)
        area[Y : Y + HEIGHT, X : X + WIDTH] = True
        for index in range(image.number_of_frames):
            before = source.frame(index)
            if image.photometric_interpretation == "YBR_FULL":
                before = pydicom.pixels.convert_color_space(before, "YBR_FULL", "RGB")
            assert (after[index][~area] == before[~area]).all()
            assert shows_color(after[index][area], dataset, image)


@pytest.mark.parametrize(
    "target",
    [ts.IMPLICIT, ts.RLE, ts.JPEG_LOSSLESS_SV1, ts.JPEG_LS, ts.JPEG_2000_LOSSLESS, ts.HTJ2K_LOSSLESS],
    ids=lambda uid: ts.SYNTAXES[uid].keyword,
)
@pytest.mark.parametrize("name", ["CT_small.dcm", "RG3_UNCR.dcm", "US1_J2KR.dcm", "examples_palette.dcm"])
def test_cleaned_pixels_are_the_same_in_every_lossless_syntax(name: str, target: str) -> None:
    with source_of(PATHS[name]) as source:
        _, expected = frames_of(cleaned(source, ts.EXPLICIT))
        again = opened(cleaned(source, target))
        for index, frame in enumerate(expected):
            assert (again.frame(index) == frame).all()


@pytest.mark.parametrize("names", [("OBXXXX1A", "OBXXXX1A_expb"), ("gdcm-US-ALOKA-16", "gdcm-US-ALOKA-16_big")])
def test_palette_in_big_endian_is_the_same_palette(names: tuple[str, str]) -> None:
    values = []
    for name in names:
        with source_of(next(path for path in corpus() if path.stem == name)) as source:
            cleaning, _ = planned(source.header)
            values.append(cleaning.edit(source.output_image)(0, source.frame(0))[Y, X])
    assert values[0] == values[1]


@pytest.mark.parametrize("source_syntax", [ts.HTJ2K_LOSSLESS, ts.HTJ2K_RPCL, ts.JPEG_LS, ts.JPEG_2000_LOSSLESS])
def test_compressed_input_is_cleaned(source_syntax: str) -> None:
    frame = np.random.default_rng(3).integers(0, 4096, (40, 50)).astype("u2")
    header = make_header(frame, BitsStored=12)
    plain = PixelSource.open(native(header, frame.tobytes()), ts.EXPLICIT)
    compressed = io.BytesIO()
    done = transcode(plain, header, source_syntax, compressed)
    source = opened(part10(done.header, source_syntax) + compressed.getvalue())
    _, after = frames_of(cleaned(source, ts.EXPLICIT))
    frame[Y : Y + HEIGHT, X : X + WIDTH] = after[0][Y, X]
    assert (after[0] == frame).all()
    assert after[0][Y, X] == round(4095 * 0.886)


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.4.92",  # JPEG 2000 Part 2
        "1.2.840.10008.1.2.4.93",
        "1.2.840.10008.1.2.4.100",  # MPEG2
        "1.2.840.10008.1.2.4.102",  # MPEG-4
        "1.2.840.10008.1.2.4.107",  # HEVC
        "1.2.840.10008.1.2.4.94",  # JPIP
        "1.2.3.4",  # nobody's
    ],
)
def test_what_cannot_be_decoded_is_held(syntax: str) -> None:
    header = make_header(np.zeros((40, 50), "u1"))
    file = encapsulated(header, [b"\0" * 100])
    cleaning, _ = planned(header)
    with pytest.raises(Permanent, match=r"\S"):
        cleaning.edit(PixelSource.open(file, syntax).output_image)


def test_frame_that_is_corrupt_stops_it_all() -> None:
    header = make_header(np.zeros((40, 50), "u1"))
    file = encapsulated(header, [b"\xff\xd8\xff" + b"\0" * 100])
    source = PixelSource.open(file, ts.JPEG_BASELINE)
    cleaning, sent = planned(header)
    with pytest.raises(Permanent):
        transcode(source, sent, ts.EXPLICIT, io.BytesIO(), edit=cleaning.edit(source.output_image))


# ---- dciodvfy ------------------------------------------------------------------------------------------------------


def errors_of(file: bytes, tmp_path: Path) -> Counter[str]:
    """Return the errors that dciodvfy finds in a file, without the values in them."""
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        if os.environ.get("CI"):
            pytest.fail("dciodvfy (dicom3tools) is missing")
        pytest.skip("dciodvfy (dicom3tools) is missing")
    path = tmp_path / "file.dcm"
    path.write_bytes(file)
    done = subprocess.run([dciodvfy, "-new", path], capture_output=True, check=False, timeout=60)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    assert lines
    return Counter(re.sub(r"<[^<>]*>|\d+", "", line) for line in lines if line.startswith("Error"))


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("color3d_jpeg_baseline.dcm", "liver.dcm")])
def test_dciodvfy_finds_no_new_error_in_what_was_masked(name: str, tmp_path: Path) -> None:
    with source_of(PATHS[name]) as source:
        before = errors_of(PATHS[name].read_bytes(), tmp_path)
        after = errors_of(cleaned(source, ts.EXPLICIT), tmp_path)
    assert sorted((after - before).elements()) == []


def test_dciodvfy_finds_no_new_error_in_what_was_defaced(tmp_path: Path) -> None:
    with source_of(PATHS["CT_small.dcm"]) as source:
        before = errors_of(PATHS["CT_small.dcm"].read_bytes(), tmp_path)
        file = cleaned(source, ts.EXPLICIT, DEFACED)
        dataset, frames = frames_of(file)
        assert (dataset.RecognizableVisualFeatures, frames[0].tolist() != source.frame(0).tolist()) == ("NO", True)
        assert sorted((errors_of(file, tmp_path) - before).elements()) == []
        assert cleaned(source, ts.EXPLICIT, DEFACED) == file


# ---- memory --------------------------------------------------------------------------------------------------------

MANY_FRAMES = """
import resource, sys
import numpy as np
sys.path[:0] = [{folder!r}]
from test_cleaned_files import DEFACED, MASKED, PixelSource, planned, transcode, ts

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

path, target, profile = sys.argv[1:]
with open(path, "rb") as file, open(path + ".out", "w+b") as out:
    source = PixelSource.open(file, ts.EXPLICIT)
    cleaning, sent = planned(source.header, {{"masked": MASKED, "defaced": DEFACED}}[profile])
    edit = cleaning.edit(source.output_image)
    edit(0, source.frame(0))
    before = peak()
    transcode(source, sent, target, out, edit=edit)
    print(peak() - before)
"""


@pytest.mark.parametrize(
    ("profile", "target"), [("masked", ts.EXPLICIT), ("masked", ts.JPEG_LS), ("defaced", ts.EXPLICIT)]
)
def test_two_thousand_frames_pass_in_little_memory(profile: str, target: str, tmp_path: Path) -> None:
    frame = np.zeros((128, 128), "u2")
    header = make_header(frame, frames=2000, SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1")
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    path = tmp_path / "many"
    # zeros that take no room
    path.write_bytes(native(header, b"").getvalue()[:-4] + (2000 * frame.nbytes).to_bytes(4, "little"))
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size + 2000 * frame.nbytes)
    done = subprocess.run(
        [sys.executable, "-c", MANY_FRAMES.format(folder=str(Path(__file__).parent)), path, target, profile],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 24  # MiB; the pixels are 62

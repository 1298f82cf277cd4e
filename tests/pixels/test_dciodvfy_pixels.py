"""Transcoded objects are as valid as they were, by dciodvfy."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import data_store
import pytest
from independent import need_programs, part10
from pixel_objects import CORPUS, source_of

from karnak_core.pixels import CannotTranscode, fitting, transcode
from karnak_core.pixels import syntaxes as ts

pytestmark = pytest.mark.filterwarnings("ignore")

MORE = Path(data_store.__path__[0]) / "data"
OBJECTS = (
    CORPUS / "CT_small.dcm",
    CORPUS / "MR_small.dcm",
    CORPUS / "examples_rgb_color.dcm",
    CORPUS / "examples_palette.dcm",
    CORPUS / "SC_rgb_small_odd.dcm",
    MORE / "emri_small.dcm",
    MORE / "SC_rgb_16bit.dcm",
)
#: not HTJ2K and JPEG XL: they are newer than the program in Debian, which does not read them
TARGETS = (
    ts.EXPLICIT,
    ts.RLE,
    ts.JPEG_BASELINE,
    ts.JPEG_EXTENDED,
    ts.JPEG_LOSSLESS_SV1,
    ts.JPEG_LS_NEAR,
    ts.JPEG_2000_LOSSLESS,
    ts.JPEG_2000,
)


def errors(path: Path) -> set[str]:
    """Return what dciodvfy finds wrong."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, timeout=60)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return {line for line in lines if line.startswith("Error")}


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_dciodvfy_finds_no_error_that_was_not_there(path: Path, tmp_path: Path) -> None:
    need_programs(["dciodvfy"])
    before = errors(path)
    new: dict[str, set[str]] = {}
    with source_of(path) as source:
        for wanted in TARGETS:
            target = fitting(wanted, source.output_image)
            written = io.BytesIO()
            try:
                result = transcode(source, source.header, target, written)
            except CannotTranscode:
                continue
            (tmp_path / "out.dcm").write_bytes(part10(result, written.getvalue()))
            new[wanted] = errors(tmp_path / "out.dcm") - before
    assert {wanted: found for wanted, found in new.items() if found} == {}
    assert new

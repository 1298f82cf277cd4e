"""Without the codecs a gateway runs: what needs them is refused, and says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BARE = """
import sys
finders = list(sys.meta_path)
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("imagecodecs", "jpeg_ls", "openjpeg", "rle", "pylibjpeg"):
            return None
        for finder in finders:
            if (spec := finder.find_spec(name, path, target)) is not None:
                return spec
    def find_distributions(self, context):
        return (found for finder in finders if hasattr(finder, "find_distributions")
            for found in finder.find_distributions(context))
sys.meta_path[:] = [Without()]
sys.path.insert(0, sys.argv[1])
from pixel_objects import CORPUS, source_of
from karnak_core.pixels import CannotDecode, transfer_syntax
print(transfer_syntax("ExplicitVRLittleEndian"))
try:
    transfer_syntax("JPEGLSLossless")
except ValueError as error:
    print(error)
with source_of(CORPUS / "MR_small_RLE.dcm") as source:
    print(int(source.frame(0).max()))
with source_of(CORPUS / "MR_small.dcm") as source:
    print(int(source.frame(0).max()))
with source_of(CORPUS / "JPEG2000.dcm") as source:
    try:
        source.frame(0)
    except CannotDecode as error:
        print(error.reason)
"""


def test_gateway_without_codecs_reads_uncompressed_and_rle_and_refuses_the_rest() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(Path(__file__).parent)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1.2.840.10008.1.2.1",
        "'JPEGLSLossless' needs codecs that are not installed (jpeg_ls, imagecodecs): "
        "install karnak-gateway[transcode]",
        "2145",
        "2145",
        "compressed pixels need a codec that is not installed: install karnak-gateway[transcode]",
    ]

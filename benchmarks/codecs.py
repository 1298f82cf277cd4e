"""``python -m benchmarks.codecs``: what transcoding costs a frame, beside DCMTK and gdcm, as a table.

The objects are CT, 512 × 512, signed, 14 bits: frames of pydicom-data's ``693_UNCR.dcm``, each with noise of its own. A
program is run on one of many frames and on one of a single frame; the difference is what the frames cost, without
starting it and reading the header.
"""

from __future__ import annotations

import io
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pydicom
from pydicom.data import get_testdata_file

from karnak_core.part10 import read_beginning
from karnak_core.pixels import SYNTAXES, PixelSource, TranscodeOptions, transcode
from karnak_core.pixels import syntaxes as ts
from karnak_core.pixels.encode import encoder

#: what is measured: compressed to, and decompressed from
SYNTAXES_MEASURED = (ts.JPEG_LS, ts.HTJ2K_LOSSLESS, ts.JPEG_2000_LOSSLESS, ts.JPEG_LOSSLESS_SV1)
COMPRESS = {
    ts.JPEG_LS: {"dcmtk": ["dcmcjpls"], "gdcm": ["gdcmconv", "--jpegls"]},
    ts.JPEG_LOSSLESS_SV1: {"dcmtk": ["dcmcjpeg", "+e1"], "gdcm": ["gdcmconv", "--jpeg"]},
    ts.JPEG_2000_LOSSLESS: {"gdcm": ["gdcmconv", "--j2k"]},
}
DECOMPRESS = {
    ts.JPEG_LS: {"dcmtk": ["dcmdjpls"], "gdcm": ["gdcmconv", "--raw"]},
    ts.JPEG_LOSSLESS_SV1: {"dcmtk": ["dcmdjpeg"], "gdcm": ["gdcmconv", "--raw"]},
    ts.JPEG_2000_LOSSLESS: {"gdcm": ["gdcmconv", "--raw"]},
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; CPU milliseconds a frame, None: not measured."""

    what: str
    #: everything that the gateway does: read, decode, encode, decode again, compare, write
    karnak: float
    #: the codec alone, of these
    codec: float | None
    others: dict[str, float | None]


def write_objects(folder: Path, frames: int) -> tuple[Path, Path]:
    """Write an uncompressed object of many frames and one of a single frame."""
    ds = pydicom.dcmread(str(get_testdata_file("693_UNCR.dcm")))
    frame = ds.pixel_array.astype("i2")
    noise = np.random.default_rng(1)
    paths = (folder / "many.dcm", folder / "one.dcm")
    for path, count in zip(paths, (frames, 1), strict=True):
        values = [np.clip(frame + noise.integers(-2, 3, frame.shape), -8192, 8191).astype("<i2") for _ in range(count)]
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.3"
        ds.NumberOfFrames = count
        ds.PixelData = b"".join(value.tobytes() for value in values)
        ds.save_as(path)
    return paths


def opened(path: Path) -> PixelSource:
    """Return the pixels of a file, which is read whole before: disks are not measured."""
    file = io.BytesIO(path.read_bytes())
    beginning = read_beginning(file)
    return PixelSource.open(file, beginning.transfer_syntax_uid, beginning.dataset_offset)


def best(run: Callable[[], object], rounds: int) -> float:
    """Return the CPU seconds of the cheapest round, those of programs that it runs included.

    All of them work in one thread, so that this is their time on a machine that nobody else uses.
    """

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    def once() -> float:
        start = used()
        run()
        return used() - start

    return min(once() for _ in range(rounds))


def _program(command: Sequence[str], many: Path, one: Path, frames: int, rounds: int) -> float | None:
    if shutil.which(command[0]) is None:
        return None
    out = many.with_suffix(".out")

    def run(path: Path) -> None:
        subprocess.run([*command, str(path), str(out)], check=True, capture_output=True)

    seconds = best(lambda: run(many), rounds) - best(lambda: run(one), rounds)
    return seconds / (frames - 1) * 1000


def _karnak(source: PixelSource, target: str, rounds: int) -> float:
    seconds = best(lambda: transcode(source, source.header, target, io.BytesIO()), rounds)
    return seconds / source.image.number_of_frames * 1000


def rows(folder: Path, frames: int, rounds: int) -> Iterator[Row]:
    """Measure, one after the other."""
    many, one = write_objects(folder, frames)
    source = opened(many)
    decoded = [source.frame(index) for index in range(frames)]
    for uid in SYNTAXES_MEASURED:
        encode, _ = encoder(uid, source.output_image, TranscodeOptions())
        others = COMPRESS.get(uid, {})
        yield Row(
            what=f"to {SYNTAXES[uid].keyword}",
            karnak=_karnak(source, uid, rounds),
            codec=best(lambda encode=encode: [encode(frame) for frame in decoded], rounds) / frames * 1000,
            others={name: _program(command, many, one, frames, rounds) for name, command in others.items()},
        )
    for uid in SYNTAXES_MEASURED:
        compressed = [_compressed(path, uid) for path in (many, one)]
        there = opened(compressed[0])
        others = DECOMPRESS.get(uid, {})
        yield Row(
            what=f"from {SYNTAXES[uid].keyword}",
            karnak=_karnak(there, ts.EXPLICIT, rounds),
            codec=None,
            others={name: _program(command, *compressed, frames, rounds) for name, command in others.items()},
        )


def _compressed(path: Path, uid: str) -> Path:
    """Write a file in another transfer syntax beside ``path``."""
    source = opened(path)
    written = io.BytesIO()
    result = transcode(source, source.header, uid, written)
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    ds.file_meta.TransferSyntaxUID = uid
    ds.update(result.header)
    target = path.with_suffix(f".{uid}.dcm")
    ds.save_as(target)
    with open(target, "ab") as file:
        file.write(written.getvalue())
    return target


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


@click.command()
@click.option("--frames", default=40, show_default=True, type=click.IntRange(2), help="Of the object with many.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="The fastest one counts.")
def main(frames: int, rounds: int) -> None:
    """Measure transcoding beside DCMTK and gdcm: CPU milliseconds for a CT frame of 512 × 512."""
    warnings.simplefilter("ignore")
    print("| CT 512 × 512, CPU ms a frame | karnak | of it, the encoder | dcmtk | gdcm |\n|---|--:|--:|--:|--:|")
    ratios = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for row in rows(Path(folder), frames, rounds):
            others = [row.others.get(name) for name in ("dcmtk", "gdcm")]
            print(
                f"| {row.what} | {row.karnak:.1f} | "
                + " | ".join(_cell(value) for value in (row.codec, *others))
                + " |"
            )
            ratios += [value / row.karnak for value in others if value is not None]
    if ratios:
        print(f"\nkarnak is {statistics.median(ratios):.2f} × as fast as the others, in the median")


if __name__ == "__main__":
    main()

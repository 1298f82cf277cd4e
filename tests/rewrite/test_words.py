"""What was received in big endian says the same in little endian."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from karnak_core.errors import Permanent
from karnak_core.part10 import read_outgoing
from karnak_core.rewrite import MadeFile, put_together, taken_apart
from karnak_core.testing import make_file

WORDS = struct.pack(">4H", 1, 2, 3, 0xABCD)


def carried_over(tmp_path: Path, syntax: str, **elements: object) -> Dataset:
    path = make_file(tmp_path, pixels=2, transfer_syntax_uid=ExplicitVRBigEndian, **elements)
    outgoing = read_outgoing(path)
    start = struct.pack("<HH", 0x7FE0, 0x0010)
    with closing(MadeFile(100, tmp_path)) as new:
        new.file.write(start + (struct.pack("<I", 8) if syntax == ImplicitVRLittleEndian else b"OW\0\0\x08\0\0\0"))
        new.file.write(b"newpixel")
        with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path) as apart:
            together = put_together(
                apart, apart.dataset, tmp_path, source_ae_title="GATE", transfer_syntax_uid=syntax, new_pixels=new
            )
    with closing(together):
        found = pydicom.dcmread(together.made.path)
        found.decode()
        return found


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_words_are_turned_round_at_every_level_and_all_else_stays(syntax: str, tmp_path: Path) -> None:
    item = Dataset()
    item.RedPaletteColorLookupTableData = WORDS
    item.Rows = 258
    found = carried_over(
        tmp_path,
        syntax,
        RedPaletteColorLookupTableData=WORDS,
        VectorGridData=struct.pack(">f", 1.5),
        PatientName="Müller^Ä",
        SpecificCharacterSet="ISO_IR 192",
        SourceImageSequence=[item],
        RequestAttributesSequence=[],
    )
    words = struct.pack("<4H", 1, 2, 3, 0xABCD)
    assert found.RedPaletteColorLookupTableData == words
    assert found.SourceImageSequence[0].RedPaletteColorLookupTableData == words
    assert found.SourceImageSequence[0].Rows == 258
    assert found.VectorGridData == struct.pack("<f", 1.5)
    assert (found.PatientName, found.Rows, list(found.RequestAttributesSequence)) == ("Müller^Ä", 2, [])
    assert found.PixelData == b"newpixel"


def test_value_that_is_no_whole_number_of_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="cannot be carried over from big endian"):
        carried_over(tmp_path, ExplicitVRLittleEndian, VectorGridData=b"\0\0\0\0\0\0")

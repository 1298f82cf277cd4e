"""Damaged files, and files with the patient's ID where none should be: refused, or nothing of the patient goes out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from karnak_core.deidentify import Profile, Project, basic_profile
from karnak_core.deliver.conversion import Conversion
from karnak_core.deliver.identity import DeIdentification
from karnak_core.deliver.pixels import PixelRule
from karnak_core.errors import DeliveryError
from karnak_core.part10 import read_outgoing

pytestmark = pytest.mark.filterwarnings("ignore")

PATIENT_ID: Final = b"ZQX-774411-PLANT"
FILES: Final = (
    *("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "emri_small.dcm"),
    *("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPEG2000.dcm"),
    *(
        "SC_rgb_rle_2frame.dcm",
        "examples_palette.dcm",
        "rtplan.dcm",
        "rtdose_1frame.dcm",
        "reportsi.dcm",
        "priv_SQ.dcm",
    ),
)
CLEANING: Final = Profile.from_yaml(
    "name: Masks\n"
    "profileElements:\n"
    "  - {name: clean, codename: clean.pixel.data}\n"
    "  - {name: face, codename: clean.recognizable.visual.features}\n"
    "  - {name: basic, codename: basic.dicom.profile}\n"
    "masks: [{color: '000000', rectangles: ['0 0 2 2']}]\n"
)
SYNTAXES: Final = ("", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.50")


class Pseudonyms:
    """Everybody is called the same."""

    def pseudonym(self, dataset: Dataset, project: str) -> str:
        return "PSN-1"

    def close(self) -> None:
        """Nothing is held."""


def sent(path: Path, profile: Profile, wanted: str) -> bytes:
    """Return the file that goes out."""
    identity = DeIdentification(
        profile=profile,
        project=lambda: Project(name="P", secret=bytes(16)),
        source=Pseudonyms(),
        fetch=lambda _: "",
        give_back=lambda: None,
        leak_check=True,
    )
    conversion = Conversion(identity=identity, pixels=PixelRule(wanted=wanted), workspace=path.parent)
    prepared = conversion.prepare(read_outgoing(path), 1_700_000_000_000, "FORWARD")
    try:
        return prepared.outgoing.path.read_bytes()
    finally:
        prepared.close()


def of_the_patient(name: str, folder: Path) -> Path:
    ds = pydicom.dcmread(str(get_testdata_file(name)))
    ds.PatientID, ds.PatientName, ds.BurnedInAnnotation = PATIENT_ID.decode(), "Wolkenstein^Quirinus", "YES"
    path = folder / name
    ds.save_as(path)
    return path


def damage(content: bytearray, start: int, chance: random.Random) -> None:
    """Change something behind ``start``, often where the pixels begin; now and then the ID is put there."""
    pixels = max(content.rfind(b"\xe0\x7f\x10\0"), content.rfind(b"\x7f\xe0\0\x10"), start)
    near = min(max(pixels + chance.randrange(-40, 60), start), len(content) - 1)
    at = chance.choice((chance.randrange(start, len(content)), near))
    match chance.randrange(7):
        case 0 | 1:
            content[at] = chance.randrange(256)
        case 2:
            del content[at : at + chance.choice((1, 2, 4, 8, 100))]
        case 3:
            content[at:at] = chance.randbytes(chance.choice((1, 2, 4, 8)))
        case 4:
            content[at:at] = PATIENT_ID
        case 5:
            content += chance.choice((PATIENT_ID, b"\0\0", bytes(content[at : at + 60])))
        case _:
            content[at:at] = content[at : at + chance.choice((8, 20, 60, 200))]


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_refused_or_says_nothing_of_the_patient(name: str, tmp_path: Path) -> None:
    whole = of_the_patient(name, tmp_path)
    content, start = whole.read_bytes(), read_outgoing(whole).dataset_offset
    assert PATIENT_ID in content or name == "image_dfl.dcm"
    chance = random.Random(name)
    path = tmp_path / "damaged.dcm"
    told: list[str] = []
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 3))):
            damage(damaged, start, chance)
        path.write_bytes(damaged)
        try:
            new = sent(path, chance.choice((basic_profile(), CLEANING)), chance.choice(SYNTAXES))
        except DeliveryError as error:
            told.append(error.reason)
        else:
            assert PATIENT_ID not in new
            assert b"Wolkenstein" not in new
    assert told
    assert not [reason for reason in told if "Wolkenstein" in reason or PATIENT_ID.decode() in reason]

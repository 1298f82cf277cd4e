"""The tables are those of the packages they are made from, small, and quickly there."""

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from karnak_core.deidentify.tables import attribute_type, attribute_types, confidentiality_table, knows_sop_class

ROOT = Path(__file__).parents[2]
DATA = ROOT / "karnak_core" / "data"
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generator", ROOT / "tools" / "generate_standard_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_what_the_generator_makes(generator: ModuleType) -> None:
    if wrong := generator.wrong_versions():
        pytest.skip("; ".join(wrong))
    assert DATA.joinpath("confidentiality.json").read_bytes() == generator.encoded(generator.confidentiality()) + b"\n"
    # compressed data may differ from one zlib to the next, what is in it may not
    made = gzip.decompress(DATA.joinpath("attributes.json.gz").read_bytes())
    assert made == generator.encoded(generator.attributes())


def test_tables_name_their_editions_and_are_small() -> None:
    assert confidentiality_table().edition == "2026c"
    assert json.loads(gzip.decompress(DATA.joinpath("attributes.json.gz").read_bytes()))["edition"] == "2026b"
    assert sum(path.stat().st_size for path in DATA.glob("*.json*")) < 500_000


def test_confidentiality_table_has_the_rows_of_the_standard() -> None:
    table = confidentiality_table()
    assert len(table.codes) + len(table.masks) == 655
    assert set(table.codes.values()) == {"X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"}
    assert (table.codes[0x00100010], table.codes[0x00080018]) == ("Z", "U")


def test_attribute_types_are_those_of_the_iod() -> None:
    assert attribute_type(CT, (0x00100010,)) == "2"
    assert attribute_type(CT, (0x00080060,)) == "1"
    assert attribute_type(CT, (0x00080080,)) == "3"
    assert attribute_type(CT, (0x00081140, 0x00081150)) == "1"
    assert attribute_type(CT, (0x00091001,)) is None
    assert attribute_type("1.2.3", (0x00100010,)) is None
    assert attribute_types("1.2.3", (0x00100010,)) == ()
    assert knows_sop_class(CT)
    assert not knows_sop_class("1.2.3")


def test_nothing_is_loaded_before_it_is_needed() -> None:
    # and then it takes a few hundredths of a second, which is not asserted: test machines are busy
    code = (
        "import karnak_core.deidentify as d, karnak_core.deidentify.tables as t;"
        "d.basic_profile();"
        "print(t.confidentiality_table.cache_info().currsize, t._attribute_table.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]

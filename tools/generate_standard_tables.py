"""Make the tables of karnak_core/data from packages that carry parts of the DICOM standard.

Run it with the development dependencies installed: ``python tools/generate_standard_tables.py``. A test does the same
and compares, so a table is never edited by hand. To follow a newer edition, raise the pins here and in pyproject.toml.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword

DATA = Path(__file__).parents[1] / "karnak_core" / "data"
#: distribution -> version whose tables are taken
PINS = {"highdicom": "0.28.2", "dicom-anonymizer": "2.1.0"}
ATTRIBUTES_EDITION = "2026b"
CONFIDENTIALITY_EDITION = "2026c"
#: list in the package -> action code of the column "Basic Prof." of PS3.15 Table E.1-1
LISTS = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
}


def confidentiality() -> dict[str, Any]:
    """Return the basic profile of PS3.15 Table E.1-1: action codes by tag, repeating groups as masked tags."""
    name = "dicomanonymizer/dicom_anonymization_databases/dicomfields_2026c.py"
    spec = importlib.util.spec_from_file_location("dicomfields", _root("dicomanonymizer").parent / name)
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    tags: dict[str, str] = {}
    masks: list[list[str]] = []
    for name, code in LISTS.items():
        for row in getattr(table, name):
            text = f"{row[0]:04X}{row[1]:04X}"
            if len(row) == 2:
                assert tags.setdefault(text, code) == code, f"{text} has two codes"
            else:
                masks.append([text, f"{row[2]:04X}{row[3]:04X}", code])
    return {
        "source": "DICOM PS3.15 Table E.1-1, column Basic Prof.",
        "edition": CONFIDENTIALITY_EDITION,
        "package": f"dicom-anonymizer {PINS['dicom-anonymizer']}",
        "option_source": "none",
        "tags": dict(sorted(tags.items())),
        "masks": sorted(masks),
    }


def attributes() -> dict[str, Any]:
    """Return which attributes the modules of every IOD define, with their types (PS3.3)."""
    folder = _root("highdicom") / "_standard"
    sop_classes, iods, modules = (
        json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
    )
    used = {module["key"] for iod in iods.values() for module in iod}
    return {
        "source": "DICOM PS3.3, modules of the IODs of PS3.4 Annex B",
        "edition": ATTRIBUTES_EDITION,
        "package": f"highdicom {PINS['highdicom']}",
        "sop_classes": dict(sorted(sop_classes.items())),
        # module -> usage: M, U or C
        "iods": {iod: {m["key"]: m["usage"] for m in rows} for iod, rows in sorted(iods.items())},
        # module -> type -> paths, hex digits without separators, in one text: it is taken apart when it is needed
        "modules": {name: _types(rows) for name, rows in sorted(modules.items()) if name in used},
    }


def _types(rows: list[dict[str, Any]]) -> dict[str, str]:
    types: dict[str, str] = {}
    for row in rows:  # the same path twice: the last one counts
        path = [_tag(keyword) for keyword in (*row["path"], row["keyword"])]
        if all(path):
            types["".join(path)] = row["type"]
    by_type: dict[str, list[str]] = {}
    for path_text, kind in types.items():
        by_type.setdefault(kind, []).append(path_text)
    return {kind: " ".join(sorted(paths)) for kind, paths in sorted(by_type.items())}


def _tag(keyword: str) -> str:
    """Return eight hex digits; nothing for a keyword of a repeating group, which no path can name."""
    tag = tag_for_keyword(keyword)
    return "" if tag is None else f"{tag:08X}"


def _root(package: str) -> Path:
    # the package itself is not imported: it is slow, and only its files are needed
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def encoded(table: dict[str, Any]) -> bytes:
    """Return the text of a table, always the same for the same content."""
    return json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def wrong_versions() -> list[str]:
    """Return the packages that are not there, or not in the version that the tables are made from."""
    wrong = []
    for package, wanted in PINS.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = "nothing"
        if found != wanted:
            wrong.append(f"{package}: {wanted} is needed, {found} is installed")
    return wrong


def main() -> int:
    if wrong := wrong_versions():
        print("\n".join(wrong), file=sys.stderr)
        return 2
    DATA.joinpath("confidentiality.json").write_bytes(encoded(confidentiality()) + b"\n")
    DATA.joinpath("attributes.json.gz").write_bytes(gzip.compress(encoded(attributes()), 9, mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main())

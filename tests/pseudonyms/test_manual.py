"""The examples of docs/pseudonyms.md are right."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from karnak_core.config.load import load
from karnak_core.plugins import load as load_plugins
from karnak_core.pseudonyms import csv_file

MANUAL = (Path(__file__).parents[2] / "docs" / "pseudonyms.md").read_text(encoding="utf-8")


def test_every_example_of_the_configuration_is_accepted() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
    assert len(examples) == 4
    for text in examples:
        example = yaml.safe_load(text)
        options = example.get("de_identification") or {"project": "STUDY-A", **example}
        destination = {"name": "local", "type": "folder", "directory": "out", "de_identification": options}
        secret = "0123456789abcdef0123456789abcdef"
        document = {
            "authenticators": {"registry": {"type": "oauth2", "token": "t"}},
            "projects": [{"name": "STUDY-A", "profile": "Dicom Basic Profile", "secret": secret}],
            "forward_nodes": [{"ae_title": "FORWARD", "destinations": [destination]}],
        }
        load(document, load_plugins())


def test_the_example_of_a_file_is_read() -> None:
    (text,) = re.findall(r"```\n(pseudonym,.*?)```", MANUAL, re.DOTALL)
    sheet = csv_file.read(text.encode(), csv_file.Layout())
    assert [(number, entry.pseudonym, entry.patient_id) for number, entry in sheet.rows] == [
        (2, "PSN-17", "4711"),
        (3, "PSN-18", "4712"),
    ]

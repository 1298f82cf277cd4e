"""Pixels that a profile wants cleaned never leave as they were received."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset

from karnak_core.deidentify import Profile, Project
from karnak_core.deliver.identity import DeIdentification
from karnak_core.errors import Permanent
from karnak_core.model import Instance
from karnak_core.part10 import read_outgoing
from karnak_core.rewrite import taken_apart
from karnak_core.testing import make_file

PROFILE = Profile.from_yaml(
    "name: Masks\n"
    "profileElements:\n"
    "  - {name: clean, codename: clean.pixel.data}\n"
    "  - {name: basic, codename: basic.dicom.profile}\n"
    "masks: [{color: '000000', rectangles: ['0 0 2 2']}]\n"
)


class Pseudonyms:
    """Everybody is called the same."""

    def pseudonym(self, _dataset: Dataset, _project: str) -> str:
        return "PSN-1"

    def close(self) -> None:
        """Nothing is held."""


def change(tmp_path: Path, **elements: Any) -> Dataset:
    """Return the instance that goes out."""
    path = make_file(tmp_path, **elements)
    outgoing = read_outgoing(path)
    instance = Instance(
        id=1,
        forward_node="FORWARD",
        calling_ae_title="US1",
        peer_host="127.0.0.1",
        received_at=1_700_000_000_000,
        sop_class_uid=outgoing.sop_class_uid,
        sop_instance_uid=outgoing.sop_instance_uid,
        study_instance_uid="",
        series_instance_uid="",
        transfer_syntax_uid=outgoing.transfer_syntax_uid,
        path=path,
        dataset_offset=outgoing.dataset_offset,
        size=outgoing.size,
    )
    identity = DeIdentification(
        profile=PROFILE,
        project=lambda: Project(name="P", secret=bytes(16)),
        source=Pseudonyms(),
        fetch=lambda _: "",
        give_back=lambda: None,
        leak_check=True,
    )
    with taken_apart(path, outgoing.transfer_syntax_uid, outgoing.dataset_offset, tmp_path) as apart:
        together = identity.changed(instance, apart, tmp_path)
    try:
        return pydicom.dcmread(together.outgoing.path)
    finally:
        together.close()


def test_image_with_something_burned_in_is_held_as_long_as_it_cannot_be_cleaned(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="the pixels have to be cleaned"):
        change(tmp_path, BurnedInAnnotation="YES")


def test_image_without_anything_burned_in_goes_out_and_no_cleaning_is_claimed(tmp_path: Path) -> None:
    sent = change(tmp_path, BurnedInAnnotation="NO")
    assert [item.CodeValue for item in sent.DeidentificationMethodCodeSequence] == ["113100"]
    assert len(sent.PixelData) == 2 * 64 * 64


def test_object_without_pixels_goes_out(tmp_path: Path) -> None:
    assert "PixelData" not in change(tmp_path, pixels=0, BurnedInAnnotation="YES")

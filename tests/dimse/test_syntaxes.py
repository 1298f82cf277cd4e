from __future__ import annotations

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom.sop_class import _STORAGE_CLASSES, Verification

from karnak_core.dimse.syntaxes import TRANSFER_SYNTAXES, choose_transfer_syntax, is_storage, is_uid


def test_every_storage_class_that_pynetdicom_knows_is_storage():
    assert [uid for uid in _STORAGE_CLASSES.values() if not is_storage(uid)] == []


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.3.10",  # DICOMDIR
        "1.2.840.10008.5.1.4.1.1.6",  # retired ultrasound
        "1.2.840.10008.5.1.4.38.1",  # hanging protocol
        "1.2.840.10008.5.1.4.1.1.999.1",  # newer than the table
        "1.3.12.2.1107.5.9.1",  # private
    ],
)
def test_private_retired_and_future_storage_is_storage(uid):
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        Verification,
        "1.2.840.10008.5.1.4.1.2.2.1",  # query/retrieve
        "1.2.840.10008.5.1.4.31",  # worklist
        "1.2.840.10008.3.1.2.3.3",  # MPPS
        "1.2.840.10008.5.1.1.9",  # print, a meta SOP class
        "1.2.840.10008.1.20.1",  # storage commitment
        "1.2.840.10008.5.1.4.34.6.1",  # UPS
        "1.2.840.10008.1.2.1",  # a transfer syntax
        "1.2.840.10008.4.2",  # the storage service class
        "no uid",
        "",
        "1." * 33,
    ],
)
def test_what_is_not_stored_is_not_storage(uid):
    assert not is_storage(uid)


def test_every_transfer_syntax_with_pixels_is_accepted():
    missing = {uid for uid in AllTransferSyntaxes if not uid.is_private} - TRANSFER_SYNTAXES
    assert {uid.name for uid in missing if "JPIP" not in uid.name} == set()
    assert "1.2.840.10008.1.2.4.94" not in TRANSFER_SYNTAXES
    assert len(TRANSFER_SYNTAXES) == 56


def test_the_first_accepted_syntax_of_the_requestor_is_chosen():
    assert choose_transfer_syntax(["1.2.3", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2"]) == "1.2.840.10008.1.2.5"
    assert choose_transfer_syntax(["1.2.3"]) is None


@pytest.mark.parametrize(("value", "answer"), [("1.2.3", True), ("1.02.3", True), ("1", False), ("1..2", False),
                                               ("1.2/..", False), ("1.2\n", False), ("٣.١", False)])  # fmt: skip
def test_a_uid_is_digits_and_dots(value, answer):
    assert is_uid(value) is answer

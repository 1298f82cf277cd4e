"""File meta information of a data set that goes out: nothing of the file that came in (PS3.10 section 7.1)."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from karnak_core.deidentify.errors import DeidentificationError
from karnak_core.deidentify.visit import texts_of


def make_file_meta(
    dataset: Dataset, *, transfer_syntax_uid: str, implementation_class_uid: str, implementation_version_name: str
) -> FileMetaDataset:
    """Return the file meta information of a de-identified data set.

    Raises
    ------
    DeidentificationError
        It has no SOP class or no SOP instance UID.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = _uid(dataset, 0x00080016, "SOP Class UID")
    meta.MediaStorageSOPInstanceUID = _uid(dataset, 0x00080018, "SOP Instance UID")
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(implementation_class_uid)
    meta.ImplementationVersionName = implementation_version_name
    return meta


def _uid(dataset: Dataset, tag: int, name: str) -> UID:
    texts = texts_of(dataset, tag)
    if not texts or not texts[0]:
        raise DeidentificationError(f"the new data set has no {name}")
    return UID(texts[0])

"""What de-identification makes goes out without being written to a file: the same bytes each time, or an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from karnak_core.deidentify import Project
from karnak_core.deidentify.profile import basic_profile
from karnak_core.deliver.conversion import Conversion, Prepared
from karnak_core.deliver.identity import DeIdentification
from karnak_core.errors import Permanent
from karnak_core.model import OpenContext, Outgoing, Sent
from karnak_core.part10 import read_outgoing
from karnak_core.rewrite import Pieces
from karnak_core.testing import RunningStoreSCP, make_dataset, make_file, run_store_scp
from karnak_plugins.dicom_dest.config import DicomDestination
from karnak_plugins.dicom_dest.storage_scu import StorageSCU
from karnak_plugins.folder_dest.config import FolderDestination
from karnak_plugins.folder_dest.writer import FolderWriter
from karnak_plugins.stow_dest.body import MultipartBody, SpoolFileError

#: rows and columns of images that are read at once, and of those whose pixels stay in their file
SMALL, LARGE = 16, 600


class Pseudonyms:
    """Everybody is called the same."""

    def pseudonym(self, _dataset: Dataset, _project: str) -> str:
        return "PSN-1"

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def conversion(tmp_path: Path) -> Conversion:
    identity = DeIdentification(
        profile=basic_profile(),
        project=lambda: Project(name="P", secret=bytes(16)),
        source=Pseudonyms(),
        fetch=lambda _: "",
        give_back=lambda: None,
        leak_check=True,
    )
    return Conversion(identity=identity, workspace=tmp_path / "workspace")


def prepared(conversion: Conversion, path: Path) -> Prepared:
    return conversion.prepare(read_outgoing(path), 1_700_000_000_000, "GATE")


def content(outgoing: Outgoing) -> bytes:
    with outgoing.open() as file:
        return file.read()


@contextmanager
def scu(scp: RunningStoreSCP, tmp_path: Path) -> Iterator[StorageSCU]:
    config = DicomDestination(ae_title="PACS", hostname="127.0.0.1", port=scp.port)
    with closing(StorageSCU(config, OpenContext(forward_node="GATE", data_directory=tmp_path))) as part:
        yield part


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("pixels", [SMALL, LARGE])
def test_peer_gets_what_a_file_of_it_would_hold_and_none_is_written(
    pixels: int, syntax: str, conversion: Conversion, tmp_path: Path
) -> None:
    path = make_file(tmp_path, pixels=pixels, transfer_syntax_uid=syntax, DataSetTrailingPadding=b"\0" * 10)
    with run_store_scp() as scp, scu(scp, tmp_path) as part, closing(prepared(conversion, path)) as one:
        assert part.send(one.outgoing) == Sent()
        assert isinstance(one.outgoing.source, Pieces)
        whole = content(one.outgoing)
        assert scp.stored[0].dataset == whole[one.outgoing.dataset_offset :]
        assert one.outgoing.path.read_bytes() == whole
        assert len(whole) == one.outgoing.size
        assert pydicom.dcmread(one.outgoing.path).PixelData == pydicom.dcmread(path).PixelData
    assert not one.outgoing.path.exists()


@pytest.mark.parametrize("pixels", [SMALL, LARGE])
def test_retry_sends_the_same_bytes(pixels: int, conversion: Conversion, tmp_path: Path) -> None:
    path = make_file(tmp_path, pixels=pixels)
    with closing(prepared(conversion, path)) as first, closing(prepared(conversion, path)) as second:
        assert content(first.outgoing) == content(second.outgoing)
        body = MultipartBody([first.outgoing, second.outgoing])
        assert b"".join(body) == b"".join(body)
        assert len(b"".join(body)) == len(body)
        assert b"".join(body).count(content(first.outgoing)) == 2


@pytest.mark.parametrize("pixels", [SMALL, LARGE])
def test_spool_file_that_vanishes_while_it_waits_is_sent_whole(
    pixels: int, conversion: Conversion, tmp_path: Path
) -> None:
    path = make_file(tmp_path, pixels=pixels)
    pixel_data = pydicom.dcmread(path).PixelData
    with run_store_scp() as scp, scu(scp, tmp_path) as part, closing(prepared(conversion, path)) as one:
        path.unlink()
        assert part.send(one.outgoing) == Sent()
        assert scp.stored[0].dataset.endswith(pixel_data)


def test_spool_file_that_is_cut_while_it_waits_fails_that_instance_alone(
    conversion: Conversion, tmp_path: Path
) -> None:
    paths = [make_file(tmp_path, pixels=pixels) for pixels in (SMALL, LARGE, SMALL)]
    batch = [prepared(conversion, path) for path in paths]
    os.truncate(paths[1], paths[1].stat().st_size - 1000)
    with run_store_scp() as scp, scu(scp, tmp_path) as part:
        waiting = [one.outgoing for one in batch]
        answers = dict.fromkeys(range(3))
        while waiting:
            for outgoing, answer in part.send_batch(waiting):
                answers[[one.outgoing for one in batch].index(outgoing)] = answer  # type: ignore[assignment]
                waiting = [one for one in waiting if one is not outgoing]
        assert answers[0] == answers[2] == Sent()
        assert isinstance(answers[1], Permanent)
        assert "shorter than what was received" in answers[1].reason
        assert len(scp.stored) == 2
    with pytest.raises(SpoolFileError, match="shorter"):
        b"".join(MultipartBody([batch[1].outgoing]))
    folder = FolderWriter(FolderDestination(directory="out"), OpenContext(data_directory=tmp_path))
    with pytest.raises(Permanent, match="shorter"):
        folder.send(batch[1].outgoing)
    assert not list((tmp_path / "out").rglob("*.dcm"))
    for one in batch:
        one.close()


def test_peer_that_takes_another_transfer_syntax_only_gets_it(conversion: Conversion, tmp_path: Path) -> None:
    path = make_file(tmp_path, pixels=LARGE)
    with (
        run_store_scp(transfer_syntaxes=[ImplicitVRLittleEndian]) as scp,
        scu(scp, tmp_path) as part,
        closing(prepared(conversion, path)) as one,
    ):
        sent = part.send(one.outgoing)
        assert sent.outgoing is not None
        assert sent.outgoing.transfer_syntax_uid == scp.stored[0].transfer_syntax_uid == ImplicitVRLittleEndian
        assert scp.stored[0].dataset.endswith(make_dataset(pixels=LARGE).PixelData)
        assert not sent.outgoing.path.exists()

"""What nothing changes arrives as it was sent, bit for bit: every data set of pydicom's test files, with real peers.

A file counts for a receiver when it reaches it straight from pynetdicom, which sends the bytes of the file; what
pydicom's files are made for is to be odd. They go to the same receiver through the gateway, and there must be no
difference in any bit behind the file meta information, which each receiver writes for itself.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pynetdicom.dsutils import split_dataset

from karnak_core.testing import (
    RunningGateway,
    RunningOrthanc,
    RunningStoreSCP,
    Stored,
    associate,
    dataset_bytes,
    dcmsend,
    run_gateway,
    run_orthanc,
    run_store_scp,
    run_storescp,
    storescu,
)

# the files are broken on purpose
pytestmark = [pytest.mark.filterwarnings("ignore:::pydicom"), pytest.mark.slow]

DOES_NOT_MATCH = 0xA900
#: Files that the gateway answers with 0xA900, as their data sets have no SOP Instance UID, or another one than the
#: C-STORE request that their file meta information makes: what is to be recorded, retried and found by its UID must
#: have one. Orthanc refuses them, too.
REFUSED = {
    "UN_sequence.dcm": "no UIDs in the data set",
    "no_meta_group_length.dcm": "no UIDs in the data set",
    "priv_SQ.dcm": "no UIDs in the data set",
    "badVR.dcm": "SOP Instance UID is 1.9.999…, in the file meta information 1.2.999…",
    "rtdose.dcm": "SOP Instance UID is 1.9.999…, in the file meta information 1.2.999…",
    "rtdose_1frame.dcm": "SOP Instance UID is 1.9.999…, in the file meta information 1.2.999…",
    "rtdose_expb.dcm": "SOP Instance UID is 1.9.999…, in the file meta information 1.2.999…",
    "rtdose_expb_1frame.dcm": "SOP Instance UID is 1.9.999…, in the file meta information 1.2.999…",
    "rtplan.dcm": "SOP Instance UID is 1.2.777…, in the file meta information 1.2.999…",
    "rtplan_truncated.dcm": "SOP Instance UID is 1.2.777…, in the file meta information 1.2.999…",
    "bad_sequence.dcm": "SOP Instance UID is a text that is no UID",
}

#: what Orthanc cannot parse, and does not answer at all: media directories, and these
UNANSWERED = {
    "MR_truncated.dcm",
    "SC_rgb_jpeg.dcm",
    "emri_small_jpeg_2k_lossless_too_short.dcm",
    "image_dfl.dcm",
    "rtplan_truncated.dcm",
}

#: an instance as it arrived: its SOP Instance UID, and the hash of its data set
Arrived = tuple[str, str]


def sample_files() -> list[Path]:
    """Every DICOM file of pydicom's and of pydicom-data's whose file meta information says how to send it."""
    found = []
    for package, folder in (("pydicom", "data/test_files"), ("data_store", "data")):
        spec = find_spec(package)
        assert spec is not None, f"{package} is not installed"
        assert spec.origin is not None
        for path in sorted((Path(spec.origin).parent / folder).rglob("*")):
            if path.is_file() and _can_be_sent(path):
                found.append(path)
    return found


def _can_be_sent(path: Path) -> bool:
    with open(path, "rb") as file:
        if file.read(132)[128:] != b"DICM":
            return False
    meta, _ = split_dataset(path)
    return all(
        meta.get(name) for name in ("TransferSyntaxUID", "MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")
    )


def arrived(sop_instance_uid: str, dataset: bytes) -> Arrived:
    return sop_instance_uid, hashlib.sha256(dataset).hexdigest()


def of_file(path: Path) -> Arrived:
    return arrived(str(split_dataset(path)[0].MediaStorageSOPInstanceUID), dataset_bytes(path))


def of_files(paths: Sequence[Path]) -> Counter[Arrived]:
    return Counter(map(of_file, paths))


def of_stored(stored: Sequence[Stored]) -> Counter[Arrived]:
    return Counter(arrived(one.sop_instance_uid, one.dataset) for one in stored)


def of_orthanc(orthanc: RunningOrthanc, folder: Path) -> dict[str, Arrived]:
    """What Orthanc has, by Orthanc's name."""
    found = {}
    for name in orthanc.instances():
        path = folder / name
        path.write_bytes(orthanc.file(name))
        found[name] = of_file(path)
        path.unlink()
    return found


def orthanc_name(path: Path) -> str:
    """The name that Orthanc gives to an instance: it keeps one of those that agree in these four."""
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    keywords = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    digest = hashlib.sha1("|".join(str(ds.get(keyword) or "") for keyword in keywords).encode()).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def is_answered(path: Path) -> bool:
    """Say whether Orthanc answers a file; each that it does not is waited for in vain."""
    return path.name not in UNANSWERED and not path.name.startswith("DICOMDIR")


def send_each(port: int, paths: Sequence[Path], called: str) -> dict[Path, int]:
    """Send in order; what breaks the association, or is not answered, does not keep the others from being sent."""
    statuses: dict[Path, int] = {}
    waiting = list(paths)
    while waiting:
        with associate(port, waiting, called=called) as association:
            assert association.alive
            while waiting and association.alive:
                path = waiting.pop(0)
                statuses[path] = association.send(path)
    return statuses


@dataclass
class Peers:
    """The receivers, and what reached them straight."""

    folder: Path
    pynetdicom: RunningStoreSCP
    orthanc: RunningOrthanc
    #: the files that count, by receiver
    files: dict[str, list[Path]] = field(default_factory=dict)
    orthanc_straight: dict[str, Arrived] = field(default_factory=dict)


@dataclass
class Through:
    """What became of the files on their way through the gateway."""

    gateway: RunningGateway
    statuses: dict[str, dict[Path, int]] = field(default_factory=dict)
    arrived: dict[str, Counter[Arrived]] = field(default_factory=dict)

    def accepted(self, receiver: str) -> list[Path]:
        return [path for path, status in self.statuses[receiver].items() if status == 0x0000]

    def refused(self, receiver: str) -> dict[str, int]:
        return {path.name: status for path, status in self.statuses[receiver].items() if status != 0x0000}

    def not_sent(self) -> list[Any]:
        return [
            (row["destination"], row["sop_instance_uid"], row["state"], row["reason"])
            for row in self.gateway.deliveries()
            if row["state"] != "sent"
        ]


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    """Receivers that every file was sent to straight."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="karnak-fidelity-")))
        storescp = stack.enter_context(run_storescp(folder / "straight", "+B", "+xa", "-pm"))
        pynetdicom = stack.enter_context(run_store_scp())
        orthanc = stack.enter_context(run_orthanc(folder / "orthanc"))
        found = Peers(folder, pynetdicom, orthanc)
        files = sample_files()
        with ThreadPoolExecutor() as pool:
            sending = {
                "storescp": pool.submit(send_each, storescp.port, files, "STORESCP"),
                "pynetdicom": pool.submit(send_each, pynetdicom.port, files, "PYNETDICOM"),
                "orthanc": pool.submit(send_each, orthanc.port, [*filter(is_answered, files)], "ORTHANC"),
            }
        there = {"storescp": of_files(storescp.files()), "pynetdicom": of_stored(pynetdicom.stored)}
        found.orthanc_straight = of_orthanc(orthanc, folder)
        orthanc.delete_all()
        for receiver, sent in sending.items():
            done = [path for path, status in sent.result().items() if status == 0x0000]
            if receiver == "orthanc":
                # the first of several by the same name is kept
                first = {orthanc_name(path): path for path in reversed(done)}
                found.files[receiver] = [path for path in done if first.get(orthanc_name(path)) == path]
                assert {orthanc_name(path) for path in found.files[receiver]} == found.orthanc_straight.keys()
            else:
                found.files[receiver] = done
                assert there[receiver] >= of_files(done), "a file does not even arrive straight as it is"
        yield found


@pytest.fixture(scope="module")
def through(peers: Peers) -> Iterator[Through]:
    """All files that count, sent to each receiver through the gateway."""
    with ExitStack() as stack:
        storescp = stack.enter_context(run_storescp(peers.folder / "through", "+B", "+xa", "-pm"))
        destinations = {
            "storescp": storescp.destination,
            "pynetdicom": peers.pynetdicom.destination,
            # one connection, as of several instances by the same name Orthanc keeps the first
            "orthanc": {**peers.orthanc.destination, "connections": 1},
        }
        nodes = [
            {"ae_title": name.upper(), "destinations": [{"name": name, **one}]} for name, one in destinations.items()
        ]
        gateway = stack.enter_context(run_gateway({"forward_nodes": nodes}, peers.folder / "data"))
        found = Through(gateway)
        before = len(peers.pynetdicom.stored)
        with ThreadPoolExecutor() as pool:
            sending = {
                name: pool.submit(send_each, gateway.port, peers.files[name], name.upper()) for name in destinations
            }
        found.statuses = {name: sent.result() for name, sent in sending.items()}
        gateway.wait_until_settled(sum(len(found.accepted(name)) for name in destinations), seconds=120.0)
        found.arrived["storescp"] = of_files(storescp.files())
        found.arrived["pynetdicom"] = of_stored(peers.pynetdicom.stored[before:])
        found.arrived["orthanc"] = Counter(of_orthanc(peers.orthanc, peers.folder).values())
        yield found


def test_enough_files_count_for_every_receiver(peers: Peers) -> None:
    counts = {receiver: len(files) for receiver, files in peers.files.items()}
    assert counts["storescp"] > 200
    assert counts["pynetdicom"] > 200
    assert counts["orthanc"] > 120, counts


@pytest.mark.parametrize("receiver", ["storescp", "pynetdicom"])
def test_what_reaches_a_receiver_straight_reaches_it_through_the_gateway_bit_for_bit(
    receiver: str, peers: Peers, through: Through
) -> None:
    assert through.refused(receiver) == {
        path.name: DOES_NOT_MATCH for path in peers.files[receiver] if path.name in REFUSED
    }
    assert through.not_sent() == []
    assert through.arrived[receiver] == of_files(through.accepted(receiver))


def test_what_orthanc_keeps_straight_it_keeps_from_the_gateway(peers: Peers, through: Through) -> None:
    assert through.refused("orthanc") == {}
    assert through.arrived["orthanc"] == Counter(peers.orthanc_straight.values())


def test_refused_files_have_other_uids_than_their_file_meta_information_and_no_others_have(through: Through) -> None:
    for receiver in through.statuses:
        for path, status in through.statuses[receiver].items():
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            meta = ds.file_meta
            same = (ds.get("SOPClassUID"), ds.get("SOPInstanceUID")) == (
                meta.MediaStorageSOPClassUID,
                meta.MediaStorageSOPInstanceUID,
            )
            assert same == (status == 0x0000), path


@pytest.mark.parametrize("sender", [dcmsend, storescu], ids=["dcmsend", "storescu"])
def test_what_dcmtk_sends_arrives_with_the_same_elements_and_is_never_decompressed(
    sender: Any, peers: Peers, through: Through, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a tenth of the files; DCMTK writes each anew, and waits for delayed acknowledgements unless told otherwise
    monkeypatch.setenv("TCP_NODELAY", "1")
    sources = {}
    for path in through.accepted("pynetdicom")[::10]:
        ds = pydicom.dcmread(path)
        syntax = str(ds.file_meta.TransferSyntaxUID)
        if sender is dcmsend or not pydicom.uid.UID(syntax).is_compressed:
            sources[str(ds.SOPInstanceUID)] = (syntax, ds)
            shutil.copy(path, tmp_path / f"{ds.SOPInstanceUID}.dcm")
    assert len(sources) > 10
    before = len(peers.pynetdicom.stored)
    count = len(through.gateway.deliveries())
    done = sender(through.gateway.port, tmp_path, called="PYNETDICOM", options=["--no-halt"])
    assert done.returncode == 0, done.stderr
    through.gateway.wait_until_settled(count + len(sources))
    received = {one.sop_instance_uid: one for one in peers.pynetdicom.stored[before:]}
    assert received.keys() == sources.keys()
    for uid, (syntax, ds) in sources.items():
        if pydicom.uid.UID(syntax).is_compressed:
            assert received[uid].transfer_syntax_uid == syntax
        assert _comparable(_parse(received[uid])) == _comparable(ds), uid


def _parse(stored: Stored) -> Dataset:
    syntax = pydicom.uid.UID(stored.transfer_syntax_uid)
    data = BytesIO(stored.dataset)
    if syntax == pydicom.uid.DeflatedExplicitVRLittleEndian:
        data = BytesIO(zlib.decompress(stored.dataset, wbits=-zlib.MAX_WBITS))
    return read_dataset(data, syntax.is_implicit_VR, syntax.is_little_endian)


def _comparable(ds: Dataset) -> dict[str, Any]:
    """Values by tag; without what DCMTK rightly writes anew: group lengths, padding."""
    return {str(element.tag): str(element.value) for element in ds if element.tag.element and element.tag != 0xFFFCFFFC}


def test_what_orthanc_sends_is_the_same_straight_and_through_the_gateway(peers: Peers, through: Through) -> None:
    names = {
        one["MainDicomTags"]["SOPInstanceUID"]: one["ID"]
        for one in peers.orthanc.get("/instances?expand&since=0&limit=10000")
    }
    before = len(peers.pynetdicom.stored)
    peers.orthanc.store(list(names.values()), peers.pynetdicom.port, called="PYNETDICOM")
    straight = of_stored(peers.pynetdicom.stored[before:])
    assert straight.total() > 120

    # some SOP classes pynetdicom does not know
    sent = [names[uid] for uid, _ in straight]
    count = len(through.gateway.deliveries())
    before = len(peers.pynetdicom.stored)
    peers.orthanc.store(sent, through.gateway.port, called="PYNETDICOM")
    through.gateway.wait_until_settled(count + straight.total(), seconds=120.0)
    assert of_stored(peers.pynetdicom.stored[before:]) == straight

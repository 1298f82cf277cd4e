"""From a modality through the gateway to its destinations: one gateway with a node for every question."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    generate_uid,
)
from pynetdicom import AE

from karnak_core.testing import (
    NO_ANSWER,
    RunningGateway,
    RunningStoreSCP,
    Stored,
    StoredFiles,
    associate,
    free_port,
    listens,
    make_dataset,
    make_file,
    rejection,
    run_gateway,
    run_store_scp,
    run_storescp,
    send,
    wait_until,
)

#: leased: just being tried
OPEN = ("pending", "leased")
#: seconds for a change to be followed: two are promised, a busy machine needs more
FOLLOWED = 30.0
DICOMDIR = "1.2.840.10008.1.3.10"
#: DCMTK's way to say that nothing but CT images in Explicit VR Little Endian is accepted
ONLY_EXPLICIT = """\
[[TransferSyntaxes]]
[Explicit]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[CT]
PresentationContext1 = CTImageStorage\\Explicit
[[Profiles]]
[Default]
PresentationContexts = CT
"""


@dataclass
class World:
    """A gateway, its peers, and what its configuration says."""

    gateway: RunningGateway
    #: answers success; tells who called it, and how
    good: RunningStoreSCP
    #: answers what :attr:`script` says
    scripted: RunningStoreSCP
    script: dict[str, list[int]]
    implicit: StoredFiles
    explicit: StoredFiles
    #: nobody listens there until a test does
    dead_port: int
    configuration: dict[str, Any]

    def states(self, path: Path) -> dict[str, str]:
        """State by destination of the instance in a file."""
        return {row["destination"]: row["state"] for row in self.rows(path)}

    def rows(self, path: Path) -> list[dict[str, Any]]:
        return self.gateway.deliveries(sop_instance_uid=path.stem)

    def row(self, path: Path) -> dict[str, Any]:
        (row,) = self.rows(path)
        return row

    def wait_for(self, path: Path, **states: str) -> None:
        """Wait until the instance is in these states, and in no others; ``_`` stands for a hyphen."""
        wanted = {name.replace("_", "-"): state for name, state in states.items()}
        self.gateway.wait_until(lambda: self.states(path) == wanted)

    def arrivals(self, path: Path) -> list[Stored]:
        return [stored for stored in self.good.stored if stored.sop_instance_uid == path.stem]

    @contextmanager
    def changed(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Apply a changed configuration, and the old one in the end."""
        changed = copy.deepcopy(self.configuration)
        change(changed)
        self.gateway.apply(changed)
        try:
            yield
        finally:
            self.gateway.apply(self.configuration)


def node(ae_title: str, *destinations: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"ae_title": ae_title, "destinations": list(destinations), **keys}


def node_of(configuration: dict[str, Any], ae_title: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in configuration["forward_nodes"] if one["ae_title"] == ae_title)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("flow")
    script: dict[str, list[int]] = {}
    (folder / "explicit.cfg").write_text(ONLY_EXPLICIT)
    with ExitStack() as stack:
        good = stack.enter_context(run_store_scp(ae_title="GOOD"))
        scripted = stack.enter_context(
            run_store_scp(ae_title="SCRIPTED", answer=lambda stored: _next(script[stored.sop_instance_uid]))
        )
        picky = stack.enter_context(run_store_scp(ae_title="PICKY", require_called_ae_title=True))
        implicit = stack.enter_context(run_storescp(folder / "implicit", "+xi"))
        explicit = stack.enter_context(
            run_storescp(folder / "explicit", "-xf", str(folder / "explicit.cfg"), "Default")
        )
        dead_port = free_port()
        once = {"retry_first": "1 d", "retry_longest": "7 d"}
        soon = {"retry_first": 0.1, "retry_longest": 1}
        to_good = good.destination
        configuration = {
            "application_entities": [{"ae_title": "GOOD", "hostname": "127.0.0.1", "port": good.port}],
            "forward_nodes": [
                node("PLAIN", {"name": "good", **to_good}),
                node(
                    "TWO",
                    {"name": "up", **to_good},
                    {"name": "down", **to_good, "port": dead_port, **soon},
                ),
                node("IMPLICIT", {"name": "implicit", **implicit.destination}),
                node("EXPLICIT", {"name": "explicit", **explicit.destination}),
                node(
                    "FILTERS",
                    {"name": "all", **to_good},
                    {"name": "head", **to_good, "condition": "tagValueContains(#Tag.StudyDescription, 'head')"},
                    {"name": "mr", **to_good, "authorized_sop_classes": ["MR Image Storage"]},
                ),
                node("HOLD", {"name": "good", **to_good}, {"name": "paused", **to_good, "paused": True}),
                node("OFF", {"name": "off", **to_good, "enabled": False}),
                node("NONE"),
                node("PARTLY", {"name": "off", **to_good, "enabled": False}, {"name": "good", **to_good}),
                node(
                    "BYTITLE", {"name": "good", "type": "dicom", "ae_title": "GOOD", "use_ae_title_destination": True}
                ),
                node("CALLING", {"name": "good", **to_good, "calling_ae_title": "SOMEBODY"}),
                node(
                    "SOURCES",
                    {"name": "good", **to_good},
                    sources=[
                        {"ae_title": "CT1"},
                        {"ae_title": "CT2", "hostname": "127.0.0.1", "check_hostname": True},
                        {"ae_title": "CT3", "hostname": "192.0.2.1", "check_hostname": True},
                        {"ae_title": "CT4", "hostname": "192.0.2.1", "check_hostname": False},
                        {"ae_title": "CT5", "hostname": "localhost", "check_hostname": True},
                    ],
                ),
                node("TABLE", {"name": "scripted", **scripted.destination, **once}),
                node("AGAIN", {"name": "scripted", **scripted.destination, **soon}),
                node("REFUSED", {"name": "scripted", **scripted.destination}),
                node("STRANGER", {"name": "picky", **picky.destination, "ae_title": "NOBODY"}),
            ],
        }
        gateway = stack.enter_context(run_gateway(configuration, folder / "data"))
        yield World(gateway, good, scripted, script, implicit, explicit, dead_port, configuration)


def _next(statuses: list[int]) -> int:
    """The next of the statuses; the last one for good."""
    return statuses.pop(0) if len(statuses) > 1 else statuses[0]


CALLED_NOT_RECOGNISED, CALLING_NOT_RECOGNISED, LOCAL_LIMIT = (1, 1, 7), (1, 1, 3), (2, 3, 2)


# ---- where it goes -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_destination_that_is_down_does_not_delay_the_other_and_gets_it_when_it_is_back(
    world: World, tmp_path: Path
) -> None:
    path = make_file(tmp_path)
    assert send(world.gateway.port, [path], called="TWO") == [0x0000]
    wait_until(lambda: world.arrivals(path))
    world.gateway.wait_until(lambda: any("refused" in row["reason"] for row in world.rows(path)))
    assert world.states(path)["down"] in OPEN
    down = world.gateway.wait_until(
        lambda: [one for one in [world.gateway.destination("TWO/down")] if one["state"] == "unreachable"]
    )[0]
    assert (down["pending"], down["failed"]) == (1, 0)
    assert str(world.dead_port) in down["reason"]

    with run_store_scp(ae_title="GOOD", port=world.dead_port) as back:
        world.wait_for(path, up="sent", down="sent")
        assert [stored.sop_instance_uid for stored in back.stored] == [path.stem]
    assert world.gateway.destination("TWO/down")["state"] == "ok"
    assert len(world.arrivals(path)) == 1


def test_nodes_do_not_mix_though_their_destinations_have_the_same_name(world: World, tmp_path: Path) -> None:
    first, second = make_file(tmp_path), make_file(tmp_path)
    assert send(world.gateway.port, [first], called="PLAIN", calling="ONE") == [0x0000]
    assert send(world.gateway.port, [second], called="PARTLY", calling="TWO") == [0x0000]
    world.wait_for(first, good="sent")
    world.wait_for(second, good="sent")
    one, two = world.row(first), world.row(second)
    assert (one["forward_node"], one["calling_ae_title"]) == ("PLAIN", "ONE")
    assert (two["forward_node"], two["calling_ae_title"]) == ("PARTLY", "TWO")
    assert world.arrivals(first)[0].calling_ae_title == "PLAIN"


def test_the_address_is_looked_up_by_ae_title(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    assert send(world.gateway.port, [path], called="BYTITLE") == [0x0000]
    world.wait_for(path, good="sent")
    assert [stored.called_ae_title for stored in world.arrivals(path)] == ["GOOD"]


def test_destination_sees_the_calling_ae_title_that_is_configured_for_it(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    assert send(world.gateway.port, [path], called="CALLING") == [0x0000]
    world.wait_for(path, good="sent")
    assert [stored.calling_ae_title for stored in world.arrivals(path)] == ["SOMEBODY"]


def test_the_sent_uids_are_those_received(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    ds = pydicom.dcmread(path)
    assert send(world.gateway.port, [path], called="PLAIN") == [0x0000]
    world.wait_for(path, good="sent")
    row = world.row(path)
    for level in ("study", "series", "sop"):
        assert row[f"sent_{level}_instance_uid"] == row[f"{level}_instance_uid"]
    assert row["study_instance_uid"] == ds.StudyInstanceUID
    assert row["series_instance_uid"] == ds.SeriesInstanceUID
    assert (row["attempts"], row["reason"], row["not_before"]) == (1, "", None)


def test_the_same_instance_sent_twice_is_delivered_twice(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    assert send(world.gateway.port, [path, path], called="PLAIN") == [0x0000, 0x0000]
    world.gateway.wait_until(lambda: [row["state"] for row in world.rows(path)] == ["sent", "sent"])
    assert len(world.arrivals(path)) == 2


# ---- what is kept back ---------------------------------------------------------------------------------------------


def test_a_condition_and_sop_classes_exclude_and_the_rule_is_told(world: World, tmp_path: Path) -> None:
    head = make_file(tmp_path, StudyDescription="CT of the head")
    knee = make_file(tmp_path, StudyDescription="knee", SOPClassUID=MRImageStorage, Modality="MR")
    assert send(world.gateway.port, [head, knee], called="FILTERS") == [0x0000, 0x0000]
    world.wait_for(head, all="sent", head="sent", mr="excluded")
    world.wait_for(knee, all="sent", head="excluded", mr="sent")
    reasons = {row["destination"]: row["reason"] for row in world.rows(head) + world.rows(knee) if row["reason"]}
    assert reasons == {"head": "condition not met", "mr": f"SOP class {CTImageStorage} is not authorised"}
    assert len(world.arrivals(head)) == len(world.arrivals(knee)) == 2


def test_a_dicomdir_is_acknowledged_and_excluded(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path, SOPClassUID=DICOMDIR, pixels=0)
    assert send(world.gateway.port, [path], called="FILTERS") == [0x0000]
    assert world.states(path) == {"all": "excluded", "head": "excluded", "mr": "excluded"}
    assert {row["reason"] for row in world.rows(path)} == {"DICOMDIR not forwarded"}
    assert world.arrivals(path) == []


def test_a_paused_destination_gets_what_waited_when_it_goes_on(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    assert send(world.gateway.port, [path], called="HOLD") == [0x0000]
    world.wait_for(path, good="sent", paused="pending")
    state = world.gateway.destination("HOLD/paused")
    assert (state["state"], state["pending"]) == ("paused", 1)
    assert state["oldest_pending_seconds"] >= 0

    with world.changed(lambda configuration: node_of(configuration, "HOLD")["destinations"][1].update(paused=False)):
        world.wait_for(path, good="sent", paused="sent")
    assert len(world.arrivals(path)) == 2


def test_nothing_is_queued_for_a_disabled_destination(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    assert send(world.gateway.port, [path], called="PARTLY") == [0x0000]
    world.wait_for(path, good="sent")
    assert world.gateway.destination("PARTLY/off")["state"] == "disabled"


@pytest.mark.parametrize("called", ["OFF", "NONE"])
def test_a_node_without_an_enabled_destination_answers_a_processing_failure(
    called: str, world: World, tmp_path: Path
) -> None:
    path = make_file(tmp_path)
    ae = AE(ae_title="CT1")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", world.gateway.port, ae_title=called)
    answer = association.send_c_store(pydicom.dcmread(path))
    association.release()
    assert answer.Status == 0x0110
    assert answer.ErrorComment == f"{called} has no enabled destination"
    assert world.rows(path) == []


# ---- who may send --------------------------------------------------------------------------------------------------


def test_an_unknown_called_ae_title_is_rejected(world: World) -> None:
    assert rejection(world.gateway.port, called="ELSEWHERE") == CALLED_NOT_RECOGNISED
    assert rejection(world.gateway.port, called="plain") == CALLED_NOT_RECOGNISED


@pytest.mark.parametrize("calling", ["CT1", "CT2", "CT4", "CT5"])
def test_a_source_may_send(calling: str, world: World) -> None:
    assert rejection(world.gateway.port, called="SOURCES", calling=calling) is None


@pytest.mark.parametrize("calling", ["CT3", "STRANGER", "ct1"])
def test_what_is_no_source_or_calls_from_another_host_is_rejected_and_recorded(calling: str, world: World) -> None:
    assert rejection(world.gateway.port, called="SOURCES", calling=calling) == CALLING_NOT_RECOGNISED
    refused = world.gateway.wait_until(
        lambda: [one for one in world.gateway.status()["refused_associations"] if one["calling_ae_title"] == calling]
    )
    assert (refused[0]["called_ae_title"], refused[0]["peer_host"]) == ("SOURCES", "127.0.0.1")
    assert refused[0]["reason"] == "calling AE title not recognised"
    assert refused[0]["count"] == 1


def test_associations_beyond_the_limit_of_a_peer_are_rejected_for_now(world: World, tmp_path: Path) -> None:
    files = [make_file(tmp_path)]
    port = world.gateway.port
    with (
        world.changed(lambda configuration: configuration.update(listener={"max_associations_per_peer": 2})),
        associate(port, files, called="PLAIN") as first,
    ):
        assert first.alive
        with associate(port, files, called="PLAIN") as second:
            assert second.alive
            # the limit counts from when the configuration is followed
            wait_until(lambda: rejection(port, called="PLAIN") == LOCAL_LIMIT)
            assert first.send(files[0]) == second.send(files[0]) == 0x0000
        wait_until(lambda: rejection(port, called="PLAIN") is None)


def test_associations_beyond_the_limit_of_all_are_rejected_for_now(world: World, tmp_path: Path) -> None:
    files = [make_file(tmp_path)]
    port = world.gateway.port
    with (
        world.changed(lambda configuration: configuration.update(listener={"max_associations": 1})),
        associate(port, files, called="PLAIN") as first,
    ):
        assert first.alive
        wait_until(lambda: rejection(port, called="PLAIN") == LOCAL_LIMIT)


# ---- transfer syntaxes ---------------------------------------------------------------------------------------------


def rich_dataset(**elements: Any) -> Dataset:
    """A data set with every kind of value whose encoding depends on the transfer syntax."""
    ds = make_dataset(pixels=0, **elements)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Müller^Zoë"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, 5, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99TEST", "öffnen"
    item.ReferencedSOPSequence = []
    ds.ProcedureCodeSequence = [item, Dataset()]
    ds.ProcedureCodeSequence.is_undefined_length = True
    ds.FrameIncrementPointer = (0x0018, 0x1063)
    ds.SimpleFrameList = [1, 70_000]
    ds.RecommendedDisplayFrameRateInFloat = 12.5
    block = ds.private_block(0x0009, "KARNAK TEST", create=True)
    block.add_new(0x01, "LO", "private")
    block.add_new(0x02, "FD", [1.5, -2.25])
    return ds


def write(ds: Dataset, syntax: str, folder: Path) -> Path:
    """Write in an uncompressed transfer syntax."""
    ds = copy.deepcopy(ds)
    big = syntax == ExplicitVRBigEndian
    pixels = np.arange(15, dtype=">u2" if big else "<u2") * 1000
    ds.add_new("PixelData", "OW", pixels.tobytes() + b"")
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def assert_same(one: Dataset, other: Dataset) -> None:
    """Compare what two data sets mean, whatever their transfer syntaxes."""
    np.testing.assert_array_equal(one.pixel_array, other.pixel_array)
    one, other = copy.deepcopy(one), copy.deepcopy(other)
    del one.PixelData, other.PixelData
    # without a VR in the file, private elements have none
    for ds in (one, other):
        private = ds.private_block(0x0009, "KARNAK TEST")
        values = [private[0x01].value, private[0x02].value]
        if not isinstance(values[1], bytes):
            values = [values[0].encode(), np.array(values[1], "<f8").tobytes()]
        assert values[1] == np.array([1.5, -2.25], "<f8").tobytes()
        ds.remove_private_tags()
    assert one == other


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("called", ["IMPLICIT", "EXPLICIT"])
def test_an_uncompressed_instance_is_sent_in_the_syntax_that_the_destination_takes(
    called: str, syntax: str, world: World, tmp_path: Path
) -> None:
    path = write(rich_dataset(), syntax, tmp_path)
    before = pydicom.dcmread(path)
    assert send(world.gateway.port, [path], called=called) == [0x0000]
    peer = world.implicit if called == "IMPLICIT" else world.explicit
    world.wait_for(path, **{called.lower(): "sent"})
    after = next(ds for ds in map(pydicom.dcmread, peer.files()) if path.stem == ds.SOPInstanceUID)
    taken = ImplicitVRLittleEndian if called == "IMPLICIT" else ExplicitVRLittleEndian
    assert after.file_meta.TransferSyntaxUID == taken
    assert_same(after, before)


def test_an_instance_that_cannot_be_decompressed_fails_where_its_syntax_is_not_taken(
    world: World, tmp_path: Path
) -> None:
    path = make_file(tmp_path, transfer_syntax_uid=JPEGBaseline8Bit, PixelData=encapsulate([b"\xff\xd8\xff\xd9"]))
    assert send(world.gateway.port, [path], called="IMPLICIT") == [0x0000]
    world.wait_for(path, implicit="failed")
    row = world.row(path)
    assert f"does not take transfer syntax {JPEGBaseline8Bit}" in row["reason"]
    assert f"cannot be sent in {ImplicitVRLittleEndian}" in row["reason"]
    assert row["attempts"] == 1


# ---- what the destination says -------------------------------------------------------------------------------------

SENT = {0x0000: "", 0xB000: "0xB000 coercion of data elements", 0xB006: "0xB006 elements discarded"}
SENT |= {0xB007: "0xB007 data set does not match SOP class"}
RETRYABLE = (0xA700, 0xA701, 0xA7FF, 0x0110, 0x0210, 0x0213)
PERMANENT = (0xA900, 0xA9FF, 0xC000, 0xC123, 0xCFFF, 0x0112, 0x0115, 0x0117, 0x0122)


def test_every_answer_of_a_destination_has_its_outcome(world: World, tmp_path: Path) -> None:
    statuses = [*SENT, 0x0111, *RETRYABLE, *PERMANENT]
    files = {status: make_file(tmp_path) for status in statuses}
    world.script.update({path.stem: [status] for status, path in files.items()})
    assert send(world.gateway.port, list(files.values()), called="TABLE") == [0x0000] * len(files)

    world.gateway.wait_until(lambda: all(world.row(path)["attempts"] for path in files.values()))
    rows = {status: world.row(path) for status, path in files.items()}
    assert {status: rows[status]["state"] for status in rows} == {
        **dict.fromkeys(SENT, "sent"),
        0x0111: "duplicate",
        **dict.fromkeys(RETRYABLE, "pending"),
        **dict.fromkeys(PERMANENT, "failed"),
    }
    assert {status: rows[status]["reason"] for status in SENT} == SENT
    for status in (*RETRYABLE, *PERMANENT):
        assert (
            f"C-STORE refused by SCRIPTED at 127.0.0.1:{world.scripted.port}: 0x{status:04X} " in rows[status]["reason"]
        )
    for status in RETRYABLE:
        assert (rows[status]["attempts"], rows[status]["finished_at"]) == (1, None)
        assert rows[status]["not_before"] > rows[status]["received_at"]
    numbers = world.gateway.destination("TABLE/scripted")
    assert numbers["state"] == "ok"
    assert {name: numbers[name] for name in ("sent", "duplicate", "pending", "failed")} == {
        "sent": len(SENT),
        "duplicate": 1,
        "pending": len(RETRYABLE),
        "failed": len(PERMANENT),
    }


def test_a_destination_that_does_not_authorise_is_held_and_no_attempt_counts(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    world.script[path.stem] = [0x0124]
    assert send(world.gateway.port, [path], called="REFUSED") == [0x0000]
    world.gateway.wait_until(lambda: world.row(path)["reason"])
    held = world.gateway.destination("REFUSED/scripted")
    assert held["state"] == "held"
    assert "0x0124 not authorised" in held["reason"]
    assert world.row(path)["state"] in OPEN
    assert world.row(path)["attempts"] == 0

    world.script[path.stem] = [0x0000]
    assert world.gateway.run("probe", "REFUSED/scripted").returncode == 0
    world.wait_for(path, scripted="sent")
    assert world.gateway.destination("REFUSED/scripted")["state"] == "ok"


def test_a_destination_that_does_not_know_the_called_ae_title_is_held(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    assert send(world.gateway.port, [path], called="STRANGER") == [0x0000]
    world.gateway.wait_until(lambda: world.row(path)["reason"])
    held = world.gateway.destination("STRANGER/picky")
    assert held["state"] == "held"
    assert "called AE title not recognised" in held["reason"]
    assert world.row(path)["state"] in OPEN
    assert world.row(path)["attempts"] == 0


def test_an_association_that_is_aborted_instead_of_an_answer_is_tried_again(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    world.script[path.stem] = [NO_ANSWER, 0xA700, 0x0000]
    assert send(world.gateway.port, [path], called="AGAIN") == [0x0000]
    world.wait_for(path, scripted="sent")
    assert len([one for one in world.scripted.stored if one.sop_instance_uid == path.stem]) == 3


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_uids_that_differ_from_those_of_the_command_are_refused_and_nothing_is_kept(
    world: World, tmp_path: Path
) -> None:
    ds = make_dataset()
    other = generate_uid()
    ds.file_meta.MediaStorageSOPInstanceUID = other
    ds.preamble = bytes(128)
    ds.save_as(tmp_path / "other.dcm", enforce_file_format=False)
    before = world.gateway.status()["instances"]
    assert send(world.gateway.port, [tmp_path / "other.dcm"], called="PLAIN") == [0xA900]
    assert world.gateway.deliveries(sop_instance_uid=other) == []
    assert world.gateway.deliveries(sop_instance_uid=str(ds.SOPInstanceUID)) == []
    world.gateway.wait_until(lambda: world.gateway.status()["instances"]["refused"] == before["refused"] + 1)
    assert world.gateway.status()["instances"]["received"] == before["received"]


def test_what_is_no_data_set_is_refused_and_nothing_is_kept(world: World, tmp_path: Path) -> None:
    path = make_file(tmp_path)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta = pydicom.dcmread(path).file_meta
    ds.save_as(path, enforce_file_format=True)
    with open(path, "ab") as file:
        file.write(b"\x08\x00\x18\x00UI\x40\x001.2.3")
    assert send(world.gateway.port, [path], called="PLAIN") == [0xC000]
    assert world.rows(path) == []


# ---- a configuration that changes ----------------------------------------------------------------------------------


def test_a_change_is_followed_soon_and_drops_no_association(world: World, tmp_path: Path) -> None:
    first = make_file(tmp_path)
    later: list[Path] = []

    def add(configuration: dict[str, Any]) -> None:
        node_of(configuration, "PLAIN")["destinations"].append({"name": "new", **world.good.destination})

    with associate(world.gateway.port, [first], called="PLAIN") as association:
        assert association.send(first) == 0x0000
        with world.changed(add):
            deadline = time.monotonic() + FOLLOWED
            while not later or "new" not in world.states(later[-1]):
                assert time.monotonic() < deadline
                later.append(make_file(tmp_path))
                assert association.send(later[-1]) == 0x0000
            world.wait_for(later[-1], good="sent", new="sent")
            world.wait_for(first, good="sent")
        deadline = time.monotonic() + FOLLOWED
        while "new" in world.states(later[-1]):
            assert time.monotonic() < deadline
            later.append(make_file(tmp_path))
            assert association.send(later[-1]) == 0x0000
        world.wait_for(later[-1], good="sent")


def test_what_waits_for_a_destination_that_is_removed_fails_and_says_so(world: World, tmp_path: Path) -> None:
    def add(configuration: dict[str, Any]) -> None:
        node_of(configuration, "NONE")["destinations"] = [{"name": "gone", **world.good.destination, "paused": True}]

    path = make_file(tmp_path)
    with world.changed(add):
        wait_until(lambda: send(world.gateway.port, [path], called="NONE") == [0x0000])
        assert world.states(path) == {"gone": "pending"}
    world.wait_for(path, gone="failed")
    assert "removed" in world.row(path)["reason"]
    assert world.gateway.destination("NONE/gone")["failed"] == 1
    world.gateway.run("deliveries", "discard", "--instance", path.stem, "--yes")
    assert world.states(path) == {"gone": "discarded"}


def test_a_node_that_is_removed_is_not_recognised_any_more(world: World) -> None:
    assert rejection(world.gateway.port, called="CALLING") is None

    def remove(configuration: dict[str, Any]) -> None:
        configuration["forward_nodes"].remove(node_of(configuration, "CALLING"))

    with world.changed(remove):
        wait_until(lambda: rejection(world.gateway.port, called="CALLING") == CALLED_NOT_RECOGNISED)
    wait_until(lambda: rejection(world.gateway.port, called="CALLING") is None)


@pytest.mark.slow
def test_the_listener_moves_to_another_port_and_open_associations_go_on(world: World, tmp_path: Path) -> None:
    files = [make_file(tmp_path) for _ in range(4)]
    new_port = free_port()
    configuration = {"forward_nodes": [node("MOVES", {"name": "good", **world.good.destination})]}
    with run_gateway(configuration, tmp_path / "data") as gateway:
        with associate(gateway.port, files, called="MOVES") as association:
            assert association.send(files[0]) == 0x0000
            gateway.apply({**configuration, "listener": {"port": new_port}})
            gateway.wait_until(lambda: listens(new_port))
            assert send(new_port, files[1:2], called="MOVES") == [0x0000]
            gateway.wait_until(lambda: not listens(gateway.port))
            assert association.send(files[2]) == 0x0000
        assert send(new_port, files[3:], called="MOVES") == [0x0000]
        gateway.wait_until(lambda: {row["state"] for row in gateway.deliveries()} == {"sent"})
        assert {row["sop_instance_uid"] for row in gateway.deliveries()} == {path.stem for path in files}
        assert gateway.terminate() == 0


@pytest.mark.slow
def test_a_gateway_on_postgresql_delivers_and_follows_the_same_way(
    world: World, tmp_path: Path, postgresql_url: str
) -> None:
    files = [make_file(tmp_path) for _ in range(20)]
    configuration = {"forward_nodes": [node("PG", {"name": "good", **world.good.destination})]}
    with run_gateway(configuration, tmp_path / "data", database_url=postgresql_url) as gateway:
        with associate(gateway.port, files, called="PG") as association:
            assert {association.send(path) for path in files[:10]} == {0x0000}
            configuration["forward_nodes"][0]["destinations"][0]["paused"] = True
            gateway.apply(configuration)
            gateway.wait_until(lambda: gateway.destination("good")["state"] == "paused")
            assert {association.send(path) for path in files[10:]} == {0x0000}
        assert len(gateway.deliveries()) == 20
        configuration["forward_nodes"][0]["destinations"][0]["paused"] = False
        gateway.apply(configuration)
        rows = gateway.wait_until_settled(20)
        assert {row["state"] for row in rows} == {"sent"}
        assert gateway.destination("good")["sent"] == 20
        assert gateway.terminate() == 0

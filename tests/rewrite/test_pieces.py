"""What goes out in pieces is read as one file, is written to one only when somebody asks, and is whole or an error."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from karnak_core.errors import Permanent
from karnak_core.model import Outgoing
from karnak_core.rewrite import MadeFile, Pieces, Stretch
from karnak_core.rewrite.made import IN_MEMORY

OTHER = bytes(range(256)) * 40
WHOLE = b"beginning" + OTHER[100:5100] + b"middle" + OTHER[5100:10200] + b"end"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other"
    path.write_bytes(OTHER)
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


def pieces_of(other: Path, workspace: Path, *, more: int = 0) -> Pieces:
    file = os.open(other, os.O_RDONLY)
    parts = [b"beginning", Stretch(100, 5000), b"", memoryview(b"middle"), Stretch(5100, 5100 + more), b"end"]
    return Pieces(parts, file, workspace)


def outgoing_of(source: Path | Pieces, size: int) -> Outgoing:
    return Outgoing(
        path=source,
        dataset_offset=0,
        size=size,
        sop_class_uid="1.2",
        sop_instance_uid="1.3",
        study_instance_uid="1.4",
        series_instance_uid="1.5",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )


@pytest.mark.parametrize("size", [1, 7, 4096, 5000, 100_000])
def test_pieces_are_read_as_one_file(size: int, other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    assert pieces.size == len(WHOLE)
    found = bytearray()
    with pieces.open() as file:
        buffer = bytearray(size)
        while read := file.readinto(buffer):  # type: ignore[attr-defined]
            found += buffer[:read]
            assert file.tell() == len(found)
        assert found == WHOLE
        file.seek(0)
        assert b"".join(iter(lambda: file.read(size), b"")) == WHOLE
    pieces.close()
    assert not workspace.exists()


@pytest.mark.parametrize("position", [0, 5, 9, 10, 5008, 5009, 5015, 5016, len(WHOLE) - 1, len(WHOLE), len(WHOLE) + 5])
def test_reading_goes_on_wherever_it_is_told_to(position: int, other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    with pieces.open() as file:
        assert file.seek(position) == file.tell() == position
        assert file.read() == WHOLE[position:]
        assert file.seek(0, os.SEEK_END) == len(WHOLE)
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
    pieces.close()


def test_two_readers_do_not_disturb_one_another(other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    with pieces.open() as first, pieces.open() as second:
        assert first.read(2000)
        assert second.read() == WHOLE
        assert first.read().endswith(b"end")
    pieces.close()


def test_file_is_written_when_its_path_is_asked_for_and_is_gone_afterwards(other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    path = pieces.path
    assert path == pieces.path
    assert path.read_bytes() == WHOLE
    pieces.close()
    pieces.close()
    assert not path.exists()


def test_path_of_what_is_closed_leads_nowhere(other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    pieces.close()
    assert not pieces.path.exists()
    assert pieces.open().read() == b""


def test_large_file_is_written_to_the_workspace_without_a_name(tmp_path: Path, workspace: Path) -> None:
    other = tmp_path / "large"
    other.write_bytes(b"\1")
    os.truncate(other, IN_MEMORY + 1)
    pieces = Pieces([Stretch(0, IN_MEMORY + 1)], os.open(other, os.O_RDONLY), workspace)
    assert pieces.path.stat().st_size == IN_MEMORY + 1
    assert os.listdir(workspace) == []
    pieces.close()


def test_what_was_removed_meanwhile_is_still_whole(other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    other.unlink()
    with pieces.open() as file:
        assert file.read() == WHOLE
    assert pieces.path.read_bytes() == WHOLE
    pieces.close()


def test_what_was_cut_meanwhile_ends_there_and_nothing_follows(other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    os.truncate(other, 3000)
    with pieces.open() as file:
        found = file.read()
        assert found == WHOLE[: 9 + 2900]
        assert file.read(100) == b""
        assert not file.readinto(bytearray(100))  # type: ignore[attr-defined]
    with pytest.raises(Permanent, match="shorter than what was received"):
        _ = pieces.path
    pieces.close()


def test_outgoing_has_a_path_for_who_asks_and_none_is_made_for_who_reads(other: Path, workspace: Path) -> None:
    pieces = pieces_of(other, workspace)
    outgoing = outgoing_of(pieces, pieces.size)
    other_facts = replace(outgoing, path=outgoing.source, facts={"Modality": "CT"})
    assert other_facts.source is pieces
    with other_facts.open() as file:
        assert file.read() == WHOLE
    assert outgoing.source is pieces
    assert outgoing.path.read_bytes() == WHOLE
    # a path is a path, wherever it came from
    assert replace(outgoing, facts={}).source == outgoing.path
    pieces.close()


def test_outgoing_that_is_a_file_is_that_file(other: Path) -> None:
    outgoing = outgoing_of(other, len(OTHER))
    assert outgoing.path == outgoing.source == other
    assert outgoing == replace(outgoing)
    with outgoing.open() as file:
        assert file.read() == OTHER
    with pytest.raises(TypeError, match="path"):
        Outgoing(dataset_offset=0, size=0)  # type: ignore[call-arg]


def test_made_file_that_is_a_piece_of_another_outlives_its_maker(tmp_path: Path) -> None:
    made = MadeFile(IN_MEMORY + 1, tmp_path)
    made.file.write(b"pixels")
    pieces = Pieces([b"head ", Stretch(0, made.size)], os.dup(made.file.fileno()), tmp_path)
    made.close()
    with pieces.open() as file:
        assert file.read() == b"head pixels"
    pieces.close()

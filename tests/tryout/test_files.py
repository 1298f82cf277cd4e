"""Which files are read, and under which names new ones are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from karnak_core.errors import Permanent
from karnak_core.model import Outgoing
from karnak_core.tryout import files_in, written
from karnak_core.tryout.naming import AlreadyThere, name_of_instance


def outgoing(study: str = "1.2", series: str = "1.3", instance: str = "1.4") -> Outgoing:
    return Outgoing(
        path=Path("x"),
        dataset_offset=0,
        size=0,
        sop_class_uid="1.1",
        sop_instance_uid=instance,
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax_uid="1.2.840.10008.1.2",
    )


def found(folder: Path, without: Path | None = None) -> list[str]:
    troubles: list[OSError] = []
    paths = [str(path.relative_to(folder)) for path in files_in(folder, without, troubles.append)]
    assert troubles == []
    return paths


def test_files_of_all_folders_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/deep/er/3", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == ["c", "a/deep/er/3", "b/1", "b/2"]


def test_each_folder_is_visited_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    folder = tmp_path / "folder"
    for path in (elsewhere, folder / "a"):
        path.mkdir(parents=True)
    (elsewhere / "file").touch()
    (folder / "a" / "up").symlink_to(folder)
    (folder / "b").symlink_to(elsewhere)
    (folder / "c").symlink_to(elsewhere)
    (folder / "self").symlink_to("self")
    assert found(folder) == ["self", "b/file"]


def test_output_folder_is_left_out(tmp_path: Path) -> None:
    for name in ("in.dcm", "out/made.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path, tmp_path / "out") == ["in.dcm"]
    assert found(tmp_path, tmp_path / "not there") == ["in.dcm", "out/made.dcm"]


def test_folder_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    troubles: list[OSError] = []
    assert list(files_in(tmp_path / "gone", None, troubles.append)) == []
    assert [trouble.filename for trouble in troubles] == [str(tmp_path / "gone")]


def test_file_is_named_by_its_uids() -> None:
    assert name_of_instance(outgoing()) == Path("1.2/1.3/1.4.dcm")


@pytest.mark.parametrize("uid", ["..", "/etc", "1.2/../../x", "", "1.", ".1", "1..2", "1" * 65, "1.2\n", "١.٢"])
@pytest.mark.parametrize("which", ["study", "series", "instance"])
def test_uid_that_is_none_becomes_no_name(which: str, uid: str) -> None:
    with pytest.raises(Permanent, match="no file can be named by it"):
        name_of_instance(outgoing(**{which: uid}))


def test_file_has_its_name_only_when_all_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    with written(path, overwrite=False) as file:
        file.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all"
    assert os.listdir(path.parent) == ["file"]


def test_nothing_is_left_of_a_file_that_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with written(tmp_path / "file", overwrite=False) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert os.listdir(tmp_path) == []


def test_file_that_exists_is_replaced_only_when_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(AlreadyThere), written(path, overwrite=False):
        raise AssertionError("nothing is to be written")
    with written(path, overwrite=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_file_that_comes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(AlreadyThere), written(path, overwrite=False):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["file"]


def test_link_that_leads_nowhere_is_a_file_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(AlreadyThere), written(path, overwrite=False) as file:
        file.write(b"mine")
    assert os.listdir(tmp_path) == ["file"]


def test_folder_that_is_a_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Permanent, match="cannot be written"), written(tmp_path / "file" / "x", overwrite=False):
        raise AssertionError("nothing is to be written")


def test_private_file_is_its_owner_s_only(tmp_path: Path) -> None:
    with written(tmp_path / "file", overwrite=False, private=True) as file:
        file.write(b"secret")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600

"""Instance files, their writers, and what the sweep may remove."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from karnak_core.spool import files
from karnak_core.spool.files import FILES_PER_FOLDER, SpoolFolder, SpoolWriter
from karnak_core.spool.retention import sweep_files

#: writes three files, names their paths, and waits
WRITER = """
import os, sys
from pathlib import Path
from karnak_core.spool.files import SpoolFolder, SpoolWriter
writer = SpoolWriter(SpoolFolder(Path(sys.argv[1])))
paths = []
for _ in range(3):
    path, descriptor = writer.create()
    os.write(descriptor, b"x")
    os.close(descriptor)
    paths.append(path)
print(*paths, flush=True)
sys.stdin.read()
"""


class OtherProcess:
    """A process that has written three files."""

    def __init__(self, folder: SpoolFolder) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self.paths = self._process.stdout.readline().split()
        assert len(self.paths) == 3

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def other_process(spool_folder: SpoolFolder) -> Iterator[OtherProcess]:
    process = OtherProcess(spool_folder)
    yield process
    process.kill()


@pytest.fixture
def writer(spool_folder: SpoolFolder) -> Iterator[SpoolWriter]:
    made = SpoolWriter(spool_folder)
    yield made
    made.close()


def make(writer: SpoolWriter) -> str:
    path, descriptor = writer.create()
    os.close(descriptor)
    return path


def present(folder: SpoolFolder) -> set[str]:
    return {relative for relative, _ in folder.files()}


def test_a_killed_writers_unnamed_files_go_and_named_ones_stay(ledger: Any, other_process: OtherProcess) -> None:
    folder = ledger.folder
    named, *unnamed = other_process.paths
    received = ledger.received("a")
    folder.remove([received.path])
    ledger.record(received.__class__(**{**vars_of(received), "path": named}))

    assert sweep_files(ledger.database, folder) == 0
    assert present(folder) == {named, *unnamed}

    other_process.kill()
    mine = make(ledger.writer)
    assert sweep_files(ledger.database, folder) == 2
    assert present(folder) == {named, mine}
    assert folder.path(named).read_bytes() == b"x"


def vars_of(received: Any) -> dict[str, Any]:
    return {name: getattr(received, name) for name in received.__dataclass_fields__}


def test_a_dead_writers_folders_and_lock_go_with_its_last_file(
    spool_folder: SpoolFolder, other_process: OtherProcess
) -> None:
    named, *_ = other_process.paths
    other_process.kill()
    spool_folder.sweep({named}, spool_folder.dead_writers())
    name = named.partition("-")[0]
    # as long as a file of it is left, it stays known as dead
    assert spool_folder.dead_writers() == {name}
    spool_folder.remove([named])
    spool_folder.sweep(set(), spool_folder.dead_writers())
    assert os.listdir(spool_folder.directory) == []


def test_a_living_writers_files_stay_whatever_names_them(spool_folder: SpoolFolder, writer: SpoolWriter) -> None:
    paths = {make(writer) for _ in range(3)}
    assert spool_folder.dead_writers() == set()
    assert spool_folder.sweep(set(), spool_folder.dead_writers()) == 0
    assert present(spool_folder) == paths


def test_a_living_writer_goes_on_after_a_sweep(
    spool_folder: SpoolFolder, writer: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(writer)
    spool_folder.remove([first])
    spool_folder.sweep(set(), set())
    second = make(writer)
    assert present(spool_folder) == {second}
    writer.sync_folders([second])


def test_a_full_folder_is_followed_by_another_and_removed_when_empty(
    spool_folder: SpoolFolder, writer: SpoolWriter
) -> None:
    paths = [make(writer) for _ in range(FILES_PER_FOLDER + 1)]
    assert len(set(paths)) == len(paths)
    assert len({path.partition("/")[0] for path in paths}) == 2
    writer.sync_folders(paths)
    spool_folder.remove(paths)
    spool_folder.sweep(set(), set())
    assert [entry.name for entry in os.scandir(spool_folder.directory) if entry.is_dir()] == [
        paths[-1].partition("/")[0]
    ]
    assert make(writer).startswith(paths[-1].partition("/")[0])


def test_threads_that_create_at_once_get_files_of_their_own(spool_folder: SpoolFolder, writer: SpoolWriter) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(make(writer) for _ in range(100))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(made)) == len(made) == 800
    assert present(spool_folder) == set(made)


def test_a_writer_that_closed_may_be_swept(spool_folder: SpoolFolder) -> None:
    writer = SpoolWriter(spool_folder)
    make(writer)
    writer.close()
    assert spool_folder.dead_writers() == {writer.name}
    assert spool_folder.sweep(set(), {writer.name}) == 1


def test_a_writer_that_starts_is_at_no_moment_taken_for_dead(spool_folder: SpoolFolder) -> None:
    done = threading.Event()
    taken_for_dead: set[str] = set()

    def look() -> None:
        while not done.is_set():
            taken_for_dead.update(spool_folder.dead_writers())

    thread = threading.Thread(target=look)
    thread.start()
    writers = [SpoolWriter(spool_folder) for _ in range(300)]
    done.set()
    thread.join(60)
    for writer in writers:
        writer.close()
    assert taken_for_dead == set()


def test_a_folder_left_by_a_failed_attempt_does_not_stop_a_writer(
    spool_folder: SpoolFolder, writer: SpoolWriter
) -> None:
    # made, but its parent could not be opened to sync it: too many open files
    (spool_folder.directory / f"{writer.name}-0").mkdir()
    path = make(writer)
    assert present(spool_folder) == {path}


def test_folders_and_files_that_are_not_ours_are_left_alone(spool_folder: SpoolFolder, writer: SpoolWriter) -> None:
    # the spool may be a file system of its own
    for name in ("lost+found", "some-folder", "x-y-z", ".snapshot"):
        (spool_folder.directory / name).mkdir()
    (spool_folder.directory / "some-folder" / "file").write_bytes(b"")
    (spool_folder.directory / "README").write_bytes(b"")
    mine = make(writer)
    writer.close()
    dead = spool_folder.dead_writers()
    assert present(spool_folder) == {mine}
    assert spool_folder.sweep(set(), dead) == 1
    assert sorted(os.listdir(spool_folder.directory)) == [".snapshot", "README", "lost+found", "some-folder", "x-y-z"]


def test_sweeps_at_the_same_time_disturb_neither_one_another_nor_writers(spool_folder: SpoolFolder) -> None:
    """Nodes that share a spool keep house at the same time."""
    errors: list[BaseException] = []
    done = threading.Event()

    def keep_house() -> None:
        try:
            while not done.is_set():
                spool_folder.sweep(set(), spool_folder.dead_writers())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=keep_house) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        writer = SpoolWriter(spool_folder)
        path = make(writer)
        writer.sync_folders([path])
        if not spool_folder.path(path).exists():
            errors.append(AssertionError("a living writer's file was removed"))
        writer.close()
    done.set()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_removing_a_file_twice_is_fine(spool_folder: SpoolFolder, writer: SpoolWriter) -> None:
    path = make(writer)
    spool_folder.remove([path, path, "no/such.dcm"])
    assert present(spool_folder) == set()


def test_files_are_for_their_owner_only(spool_folder: SpoolFolder, writer: SpoolWriter) -> None:
    path = spool_folder.path(make(writer))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert spool_folder.directory.stat().st_mode & 0o777 == 0o700


def test_free_bytes_are_those_of_the_file_system(spool_folder: SpoolFolder, tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    assert abs(spool_folder.free_bytes() - stat.f_bavail * stat.f_frsize) < 1 << 30
    assert files.FILES_PER_FOLDER > 0

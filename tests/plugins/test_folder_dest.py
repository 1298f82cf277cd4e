"""Destinations of type ``folder``: pattern, configuration, files, faults."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pluggy
import pydicom
import pytest
from pydantic import ValidationError
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from karnak_core import hookspecs
from karnak_core.errors import Misconfigured, Permanent, Retryable, Unreachable
from karnak_core.model import OpenContext, Outgoing, Sent
from karnak_core.part10 import file_beginning, read_beginning
from karnak_core.plugins import load
from karnak_plugins import folder_dest
from karnak_plugins.folder_dest import FOLDER
from karnak_plugins.folder_dest.config import FolderDestination
from karnak_plugins.folder_dest.pattern import SOP_INSTANCE_UID, Pattern, safe_value
from karnak_plugins.folder_dest.values import values
from karnak_plugins.folder_dest.writer import LEFT_BEHIND_AFTER, REPLACED, FolderWriter

MakeInstance = Callable[..., Outgoing]
FLAT = "{SOPInstanceUID}.dcm"


def instance(folder: Path, *, uid: str = "1.2.3.4", sender: str = "CT1", size: int = 16, **elements: Any) -> Outgoing:
    """Write a Part 10 file as the spool has it."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = uid
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = "1.2.3.1"
    ds.PatientID = "P1"
    ds.PatientName = "Doe^Jane"
    syntax = elements.pop("syntax", ExplicitVRLittleEndian)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    ds.add_new(0x7FE00010, "OB", os.urandom(size) if size > 16 else bytes(size))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.SourceApplicationEntityTitle = sender
    path = folder / f"{len(list(folder.iterdir()))}.spooled"
    ds.save_as(path, enforce_file_format=True)
    with open(path, "rb") as file:
        beginning = read_beginning(file)
    return Outgoing(
        path=path,
        dataset_offset=beginning.dataset_offset,
        size=path.stat().st_size,
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        transfer_syntax_uid=syntax,
    )


@pytest.fixture
def make_instance(tmp_path: Path) -> MakeInstance:
    """Make instances in a spool."""
    spool = tmp_path / "spooled"
    spool.mkdir()
    return lambda **elements: instance(spool, **elements)


def writer(data: Path, pattern: str | None = None, directory: str = "received") -> FolderWriter:
    """Open the part."""
    keys: Mapping[str, Any] = {"directory": directory} | ({"pattern": pattern} if pattern else {})
    return FOLDER.open(FolderDestination.model_validate(keys), OpenContext(data_directory=data))


def files(folder: Path) -> list[str]:
    """Return every file below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# ---- pattern -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/{SOPInstanceUID}", "is an absolute path; it starts below the directory"),
        ("../{SOPInstanceUID}", "has a name that begins with a dot"),
        ("a/../{SOPInstanceUID}", "has a name that begins with a dot"),
        (".hidden/{SOPInstanceUID}", "has a name that begins with a dot"),
        ("a//{SOPInstanceUID}", "has an empty name"),
        ("{SOPInstanceUID}/", "has an empty name"),
        ("", "has an empty name"),
        ("{SOPInstanceUID}/image.dcm", "without it different instances would share a file"),
        ("{PatientID}.dcm", "does not end in a file name with {SOPInstanceUID}"),
        ("{PatientId}/{SOPInstanceUID}", "{PatientId} is no keyword of DICOM PS3.6 nor a tag of 8 hexadecimal digits; "
         "did you mean {PatientID}?"),
        ("{}/{SOPInstanceUID}", "{} is no keyword"),
        ("{0010002}/{SOPInstanceUID}", "{0010002} is no keyword"),
        ("{SOPInstanceUID", "has a brace without its partner"),
        ("{SOPInstanceUID}}", "has a brace without its partner"),
        ("a:b/{SOPInstanceUID}", "has ':', which not every file system takes"),
        ("a\\{SOPInstanceUID}", "has '\\\\', which not every file system takes"),
        ("{PixelData}/{SOPInstanceUID}", "{PixelData} has no text (VR OB or OW)"),
        ("{ReferencedStudySequence}/{SOPInstanceUID}", "has no text (VR SQ)"),
        ("{MediaStorageSOPInstanceUID}/{SOPInstanceUID}", "is no element of the data set"),
        ("{PatientID}{PatientName}{StudyID}{SOPInstanceUID}", "has a name of up to 256 bytes; at most 240 fit"),
    ],
)  # fmt: skip
def test_pattern_that_cannot_be_used_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        FolderDestination(directory="received", pattern=pattern)
    (problem,) = error.value.errors()
    assert problem["loc"] == ("pattern",)
    assert reason in problem["msg"]


def test_placeholders_are_keywords_or_tags() -> None:
    pattern = Pattern.parse("{00100020}-{00091001}/{TransferSyntaxUID}/x{00080018}.dcm")
    assert pattern.tags == {0x00100020, 0x00091001, 0x00020010, SOP_INSTANCE_UID}
    assert pattern.fill_in({0x00100020: "P", SOP_INSTANCE_UID: "1.2"}) == ("P-_", "_", "x1.2.dcm")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("", "_"),
        ("  ", "_"),
        (".", "_"),
        ("..", "__"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        (".hidden", "_hidden"),
        ("a/b\\c", "a_b_c"),
        ("a\x00b\nc\x7f", "a_b_c_"),
        ("C:", "C_"),
        ("what?*<>|\"", "what______"),
        ("ends.", "ends_"),
        ("ends. .", "ends___"),
        ("CON", "_CON"),
        ("nul.dcm", "_nul.dcm"),
        ("COM1", "_COM1"),
        ("CONTROL", "CONTROL"),
        ("right\u202eleft", "right_left"),
        ("\ud800", "_"),
        ("e\u0301", "é"),
        ("山田^太郎", "山田^太郎"),
        ("x" * 100, "x" * 64),
        ("é" * 100, "é" * 32),
        ("a" + "é" * 100, "a" + "é" * 31),
        ("山" * 100, "山" * 21),
    ],
)  # fmt: skip
def test_value_becomes_a_name_that_every_file_system_takes(value: str, name: str) -> None:
    folder, _ = Pattern.parse("{PatientID}/{SOPInstanceUID}").fill_in({0x00100020: value, SOP_INSTANCE_UID: "1.2"})
    assert folder == name
    assert len(safe_value(value).encode()) <= 64


# ---- configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directory", "reason"),
    [
        ("../elsewhere", "leads out of the data directory; write an absolute path"),
        ("a/../../b", "leads out of the data directory"),
        (".", "holds what Karnak itself keeps"),
        ("spool", "holds what Karnak itself keeps"),
        ("./spool/received", "holds what Karnak itself keeps"),
        ("a\x00b", "has control characters"),
        ("", "at least 1 character"),
    ],
)
def test_directory_that_cannot_be_used_is_refused_with_the_reason(directory: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        FolderDestination(directory=directory)


def test_model_is_frozen_described_and_takes_no_other_keys() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        FolderDestination.model_validate({"directory": "received", "patern": FLAT})
    assert FolderDestination.model_config.get("frozen")
    assert all(field.description for field in FolderDestination.model_fields.values())


def test_directory_is_relative_to_the_data_directory_or_absolute(tmp_path: Path) -> None:
    assert FolderDestination(directory="received").root(tmp_path) == tmp_path / "received"
    assert FolderDestination(directory="/mnt/archive").root(tmp_path) == Path("/mnt/archive")


# ---- writing -----------------------------------------------------------------------------------------------------


def test_instance_is_written_as_it_is_at_the_path_of_the_default_pattern(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    outgoing = make_instance()
    assert writer(tmp_path).send(outgoing) == Sent()
    (name,) = files(tmp_path / "received")
    assert name == "P1/1.2.3/1.2.3.4.dcm"
    assert (tmp_path / "received" / name).read_bytes() == outgoing.path.read_bytes()
    assert outgoing.path.exists()


def test_values_come_from_the_data_set_in_its_character_set(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance(
        SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Ä", ImageType=["ORIGINAL", "PRIMARY"], PatientID=None
    )
    pattern = "{PatientName}/{ImageType}/{PatientID}/{StudyDate}/{00091001}/{SOPInstanceUID}"
    writer(tmp_path, pattern).send(outgoing)
    assert files(tmp_path / "received") == ["Müller^Ä/ORIGINAL_PRIMARY/_/_/_/1.2.3.4"]


def test_deflated_data_set_is_read_for_its_path(tmp_path: Path, make_instance: MakeInstance) -> None:
    writer(tmp_path).send(make_instance(syntax=DeflatedExplicitVRLittleEndian))
    assert files(tmp_path / "received") == ["P1/1.2.3/1.2.3.4.dcm"]


#: prints the values, and by how many bytes the most memory grew
MEASURED = """
import sys
from pathlib import Path
from karnak_core.model import Outgoing
from karnak_plugins.folder_dest.values import values

def most():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

path, syntax, offset = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
outgoing = Outgoing(
    path=path, dataset_offset=offset, size=path.stat().st_size, sop_class_uid="1.2", sop_instance_uid="1.2.3",
    study_instance_uid="1.2", series_instance_uid="1.2", transfer_syntax_uid=syntax,
)
before = most()
found = values(outgoing, [0x00100020, 0x00420011, 0x00720010])
assert found == {0x00100020: "P1", 0x00720010: "behind"}, found
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_values_are_read_without_holding_what_is_large(syntax: str, tmp_path: Path) -> None:
    size = 300 << 20
    start = file_beginning(
        sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax_uid=syntax, calling_ae_title="CT1"
    )
    before = struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 2) + b"P1"
    before += struct.pack("<HH2s2xI", 0x0042, 0x0011, b"OB", size)
    behind = struct.pack("<HH2sH", 0x0072, 0x0010, b"LO", 6) + b"behind"
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.write(start)
        if syntax == DeflatedExplicitVRLittleEndian:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            file.write(deflater.compress(before))
            for _ in range(300):
                file.write(deflater.compress(bytes(1 << 20)))
            file.write(deflater.compress(behind) + deflater.flush())
        else:
            file.write(before)
            file.seek(size, os.SEEK_CUR)
            file.write(behind)
    command = [sys.executable, "-c", MEASURED, str(path), syntax, str(len(start))]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 150 << 20
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_values_are_in_the_character_set_of_the_data_set_however_it_is_encoded(
    syntax: str, make_instance: MakeInstance
) -> None:
    outgoing = make_instance(syntax=syntax, SpecificCharacterSet="ISO_IR 100", StudyDescription="Schädel")
    assert values(outgoing, [0x00081030]) == {0x00081030: "Schädel"}


def test_data_set_is_not_read_when_the_uids_suffice(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance()
    outgoing.path.write_bytes(bytes(outgoing.size))
    pattern = "{SOPClassUID}/{StudyInstanceUID}/{SeriesInstanceUID}/{TransferSyntaxUID}/{SOPInstanceUID}"
    writer(tmp_path, pattern).send(outgoing)
    assert len(files(tmp_path / "received")) == 1


def test_study_uid_that_is_not_carried_along_is_read_from_the_data_set(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    outgoing = dataclasses.replace(make_instance(), study_instance_uid="")
    writer(tmp_path, "{StudyInstanceUID}/{SOPInstanceUID}").send(outgoing)
    assert files(tmp_path / "received") == ["1.2.3/1.2.3.4"]


def test_hostile_value_stays_inside_the_folder(tmp_path: Path, make_instance: MakeInstance) -> None:
    writer(tmp_path).send(make_instance(PatientID="../../../outside"))
    assert files(tmp_path / "received") == ["_._.._.._outside/1.2.3/1.2.3.4.dcm"]


def test_large_instance_is_copied_whole(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance(size=5_000_000)
    writer(tmp_path, FLAT).send(outgoing)
    assert (tmp_path / "received" / "1.2.3.4.dcm").read_bytes() == outgoing.path.read_bytes()


def test_any_transfer_syntax_is_taken(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance()
    assert writer(tmp_path).transfer_syntaxes(outgoing) == (ExplicitVRLittleEndian,)


# ---- again -------------------------------------------------------------------------------------------------------


def test_same_instance_again_is_a_duplicate_and_is_not_written(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance()
    part = writer(tmp_path, FLAT)
    part.send(outgoing)
    before = (tmp_path / "received" / "1.2.3.4.dcm").stat()
    assert part.send(outgoing) == Sent(duplicate=True)
    after = (tmp_path / "received" / "1.2.3.4.dcm").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_same_data_set_from_another_sender_is_a_duplicate(tmp_path: Path, make_instance: MakeInstance) -> None:
    part = writer(tmp_path, FLAT)
    part.send(make_instance(sender="CT1"))
    assert part.send(make_instance(sender="A-LONGER-NAME")) == Sent(duplicate=True)


@pytest.mark.parametrize("there", [b"", b"something else", bytes(128) + b"DICM\x02\x00\x01\x00OB\x00\x00"])
def test_other_content_is_replaced_with_a_warning(tmp_path: Path, make_instance: MakeInstance, there: bytes) -> None:
    outgoing = make_instance()
    (tmp_path / "received").mkdir()
    (tmp_path / "received" / "1.2.3.4.dcm").write_bytes(there)
    assert writer(tmp_path, FLAT).send(outgoing) == Sent(warning=REPLACED)
    assert (tmp_path / "received" / "1.2.3.4.dcm").read_bytes() == outgoing.path.read_bytes()


def test_changed_value_of_equal_length_is_replaced(tmp_path: Path, make_instance: MakeInstance) -> None:
    part = writer(tmp_path, FLAT)
    part.send(make_instance(StudyID="1"))
    assert part.send(make_instance(StudyID="2")) == Sent(warning=REPLACED)
    assert pydicom.dcmread(tmp_path / "received" / "1.2.3.4.dcm").StudyID == "2"


def test_two_writers_of_the_same_instances_do_not_disturb_each_other(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    batch = [make_instance(uid=f"1.2.3.{number}", size=100_000) for number in range(20)]
    answers: list[Sent] = []

    def work() -> None:
        part = writer(tmp_path)
        answers.extend(part.send(outgoing) for outgoing in batch)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 80
    assert not any(answer.warning for answer in answers)
    assert files(tmp_path / "received") == sorted(f"P1/1.2.3/1.2.3.{number}.dcm" for number in range(20))


# ---- links and things in the way ---------------------------------------------------------------------------------


def test_link_inside_that_leads_outside_is_refused(tmp_path: Path, make_instance: MakeInstance) -> None:
    (tmp_path / "received").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "received" / "P1").symlink_to(tmp_path / "outside")
    with pytest.raises(Permanent, match="is in the way inside"):
        writer(tmp_path).send(make_instance())
    assert files(tmp_path / "outside") == []


def test_link_in_the_place_of_the_file_is_replaced_and_not_followed(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    (tmp_path / "received").mkdir()
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "received" / "1.2.3.4.dcm").symlink_to(tmp_path / "precious")
    assert writer(tmp_path, FLAT).send(make_instance()).warning == REPLACED
    assert (tmp_path / "precious").read_text() == "kept"
    assert not (tmp_path / "received" / "1.2.3.4.dcm").is_symlink()


def test_folder_itself_may_be_a_link(tmp_path: Path, make_instance: MakeInstance) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "received").symlink_to(tmp_path / "mounted")
    writer(tmp_path, FLAT).send(make_instance())
    assert files(tmp_path / "mounted") == ["1.2.3.4.dcm"]


def test_folder_in_the_place_of_the_file_fails_this_instance_only(tmp_path: Path, make_instance: MakeInstance) -> None:
    (tmp_path / "received" / "1.2.3.4.dcm").mkdir(parents=True)
    with pytest.raises(Permanent, match="is in the way inside"):
        writer(tmp_path, FLAT).send(make_instance())
    assert files(tmp_path / "received") == []


def test_file_in_the_place_of_the_folder_holds_the_destination(tmp_path: Path, make_instance: MakeInstance) -> None:
    (tmp_path / "received").write_text("")
    for directory in ("received", "received/below"):
        with pytest.raises(Misconfigured, match="not a folder"):
            writer(tmp_path, FLAT, directory).send(make_instance())


def test_dangling_link_in_the_place_of_the_folder_is_unreachable(tmp_path: Path, make_instance: MakeInstance) -> None:
    (tmp_path / "received").symlink_to(tmp_path / "not-mounted")
    with pytest.raises(Unreachable, match="no such file"):
        writer(tmp_path, FLAT).send(make_instance())


# ---- faults ------------------------------------------------------------------------------------------------------


def test_missing_folder_is_made_with_those_above_it(tmp_path: Path, make_instance: MakeInstance) -> None:
    writer(tmp_path, FLAT, "a/b/c").send(make_instance())
    assert files(tmp_path / "a") == ["b/c/1.2.3.4.dcm"]


def test_folder_that_was_removed_meanwhile_is_made_again(tmp_path: Path, make_instance: MakeInstance) -> None:
    part = writer(tmp_path)
    part.send(make_instance())
    shutil.rmtree(tmp_path / "received")
    part.send(make_instance())
    assert files(tmp_path / "received") == ["P1/1.2.3/1.2.3.4.dcm"]


def test_missing_spool_file_fails_the_instance(tmp_path: Path, make_instance: MakeInstance) -> None:
    for pattern in (FLAT, "{PatientID}/{SOPInstanceUID}"):
        outgoing = make_instance()
        outgoing.path.unlink()
        with pytest.raises(Permanent, match="the spool file is missing"):
            writer(tmp_path, pattern).send(outgoing)


def test_spool_file_of_another_size_fails_the_instance(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance()
    os.truncate(outgoing.path, outgoing.size - 1)
    with pytest.raises(Permanent, match="not the size that was recorded"):
        writer(tmp_path, FLAT).send(outgoing)
    assert files(tmp_path / "received") == []


def test_data_set_that_cannot_be_read_fails_the_instance(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance()
    outgoing.path.write_bytes(bytes(outgoing.size))
    with pytest.raises(Permanent, match="the data set cannot be read: InvalidDicomError"):
        writer(tmp_path).send(outgoing)


@pytest.mark.parametrize("uid", ["", "1.2/3", ".1.2", "1.2.", "1." * 40 + "1", "NUL"])
def test_uid_that_would_not_tell_files_apart_fails_the_instance(
    tmp_path: Path, make_instance: MakeInstance, uid: str
) -> None:
    with pytest.raises(Permanent, match="SOP Instance UID is no valid UID"):
        writer(tmp_path, FLAT).send(dataclasses.replace(make_instance(), sop_instance_uid=uid))


IN_A_SMALL_FILE_SYSTEM = """
import sys
from pathlib import Path
from karnak_core.model import OpenContext
from karnak_core.part10 import read_outgoing
from karnak_plugins.folder_dest import FOLDER

config = FOLDER.config(directory=sys.argv[1], pattern="{SOPInstanceUID}")
part = FOLDER.open(config, OpenContext(data_directory=Path("/")))
try:
    part.send(read_outgoing(Path(sys.argv[2])))
except Exception as error:
    print(type(error).__name__, error)
print(sorted(str(path) for path in Path(sys.argv[1]).rglob("*") if path.is_file()))
"""


def in_a_mount(tmp_path: Path, outgoing: Outgoing, options: str) -> list[str]:
    """Send into a file system of its own; return what was printed."""
    (tmp_path / "mount").mkdir()
    mount = f'mount -t tmpfs -o {options} none "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", mount, "sh"]
    arguments = [str(tmp_path / "mount"), sys.executable, IN_A_SMALL_FILE_SYSTEM, str(outgoing.path)]
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    return done.stdout.splitlines()


def test_full_disk_is_tried_again_later_and_leaves_nothing(tmp_path: Path, make_instance: MakeInstance) -> None:
    said = in_a_mount(tmp_path, make_instance(size=200_000), "size=64k")
    assert said == [f"Retryable folder {tmp_path / 'mount'}: no space left on device", "[]"]


def test_read_only_folder_holds_the_destination(tmp_path: Path, make_instance: MakeInstance) -> None:
    said = in_a_mount(tmp_path, make_instance(), "ro")
    assert said == [f"Misconfigured folder {tmp_path / 'mount'}: read-only file system", "[]"]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user reaches."""
    folder = Path(tempfile.mkdtemp(prefix="karnak-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Do without the rights of root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_forbidden_folder_holds_the_destination(open_to_all: Path, request: pytest.FixtureRequest) -> None:
    spool = open_to_all / "spooled"
    spool.mkdir()
    outgoing = instance(spool)
    (open_to_all / "received").mkdir(mode=0o555)
    request.getfixturevalue("ordinary_user")
    part = writer(open_to_all, FLAT)
    for attempt in (lambda: part.send(outgoing), part.probe):
        with pytest.raises(Misconfigured, match="permission denied"):
            attempt()


def test_reason_names_the_folder_and_nothing_of_the_data_set(tmp_path: Path, make_instance: MakeInstance) -> None:
    (tmp_path / "received").mkdir()
    (tmp_path / "received" / "SECRET").write_text("")
    with pytest.raises(Permanent) as error:
        writer(tmp_path).send(make_instance(PatientID="SECRET"))
    assert str(tmp_path / "received") in error.value.reason
    assert "SECRET" not in error.value.reason


# ---- left behind -------------------------------------------------------------------------------------------------


def test_next_open_removes_what_a_crash_left_behind_long_ago(tmp_path: Path, make_instance: MakeInstance) -> None:
    writer(tmp_path, FLAT).send(make_instance())
    unfinished = tmp_path / "received" / ".karnak"
    for name, age in (("writing-old", LEFT_BEHIND_AFTER + 60), ("writing-new", 0), ("other", LEFT_BEHIND_AFTER + 60)):
        (unfinished / name).write_text("")
        when = (unfinished / name).stat().st_mtime - age
        os.utime(unfinished / name, (when, when))
    writer(tmp_path, FLAT)
    assert files(unfinished) == ["other", "writing-new"]


def test_next_open_leaves_what_another_one_is_writing(tmp_path: Path) -> None:
    unfinished = tmp_path / "received" / ".karnak"
    unfinished.mkdir(parents=True)
    for name in ("writing-live", "writing-dead"):
        (unfinished / name).write_text("x")
    with open(unfinished / "writing-live", "rb") as live:
        fcntl.flock(live, fcntl.LOCK_EX)
        writer(tmp_path, FLAT)
        assert files(unfinished) == ["writing-live"]
    writer(tmp_path, FLAT)
    assert files(unfinished) == []


KILLED = """
import os, sys
from pathlib import Path
from karnak_core.model import OpenContext
from karnak_core.part10 import read_outgoing
from karnak_plugins.folder_dest import FOLDER

os.rename = lambda *_, **__: os.kill(os.getpid(), 9)
config = FOLDER.config(directory="received", pattern="{SOPInstanceUID}.dcm")
part = FOLDER.open(config, OpenContext(data_directory=Path(sys.argv[1])))
part.send(read_outgoing(Path(sys.argv[2])))
"""


def test_kill_before_the_rename_leaves_no_part_of_a_file_in_its_place(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    outgoing = make_instance()
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path, outgoing.path], timeout=60, check=False)
    assert killed.returncode == -9
    (left,) = files(tmp_path / "received")
    assert left.startswith(".karnak/writing-")
    part = writer(tmp_path, FLAT)
    # nobody writes to it any more
    assert files(tmp_path / "received") == []
    assert part.send(outgoing) == Sent()
    assert (tmp_path / "received" / "1.2.3.4.dcm").read_bytes() == outgoing.path.read_bytes()


# ---- probe, close, hook ------------------------------------------------------------------------------------------


def test_probe_says_that_a_file_can_be_written_and_how_much_is_free(tmp_path: Path) -> None:
    said = writer(tmp_path).probe()
    assert said.startswith(f"a file can be written in {tmp_path / 'received'}; ")
    assert said.endswith("B free")
    assert files(tmp_path / "received") == []


def test_part_works_on_after_close(tmp_path: Path, make_instance: MakeInstance) -> None:
    part = writer(tmp_path)
    part.close()
    part.close()
    assert part.send(make_instance()) == Sent()


def test_no_descriptor_stays_open(tmp_path: Path, make_instance: MakeInstance) -> None:
    part = writer(tmp_path)
    outgoing = make_instance()
    (tmp_path / "received").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        part.send(outgoing)
        part.probe()
    (tmp_path / "received" / "P2").write_text("")
    with pytest.raises(Permanent):
        part.send(make_instance(PatientID="P2"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_karnak_register_destinations_offers_the_type_folder() -> None:
    manager = pluggy.PluginManager("karnak")
    manager.add_hookspecs(hookspecs)
    manager.register(folder_dest, name="folder_dest")
    manager.check_pending()
    assert manager.hook.karnak_register_destinations() == [[FOLDER]]


def test_plugin_is_found_by_its_entry_point() -> None:
    assert load().destinations["folder"] is FOLDER


def test_retryable_reason_is_not_a_broken_connection(tmp_path: Path, make_instance: MakeInstance) -> None:
    outgoing = make_instance()
    outgoing.path.unlink()
    outgoing.path.symlink_to(outgoing.path)
    with pytest.raises(Retryable, match="the spool file cannot be opened") as error:
        writer(tmp_path, FLAT).send(outgoing)
    assert not isinstance(error.value, Unreachable)
